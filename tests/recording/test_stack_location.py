"""What a stack tells of where a training is."""

import sys
import threading

import pytest

from rldk.recording.stack_location import (
    Frame,
    StackLocation,
    frames_of_error,
    frames_of_thread,
    inside_training,
    locate,
)

SITE = "/env/lib/python3.11/site-packages"


def frame(function, file, line=1):
    """A frame of a file of a package, or of the user where the path is absolute."""
    module = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    if file.startswith("/"):
        return Frame(function, file.rpartition("/")[2].removesuffix(".py"), file, line)
    return Frame(function, module, f"{SITE}/{file}", line)


TRAIN = [
    frame("<module>", "/home/me/trl/train.py", 30),
    frame("Trainer.train", "transformers/trainer.py", 2213),
    frame("Trainer._inner_training_loop", "transformers/trainer.py", 2500),
]
GENERATE = frame("GRPOTrainer._generate_and_score_completions", "trl/trainer/grpo_trainer.py", 2330)
SCORE = [GENERATE, frame("GRPOTrainer._calculate_rewards", "trl/trainer/grpo_trainer.py", 1626)]


@pytest.mark.parametrize(
    ("stack", "activity"),
    [
        (
            [GENERATE, frame("GenerationMixin._sample", "transformers/generation/utils.py", 2700)],
            "generation",
        ),
        ([GENERATE, frame("LLM.generate", "vllm/entrypoints/llm.py")], "generation"),
        (
            [frame("GRPOTrainer._generate", "trl/trainer/grpo_trainer.py"), frame("post", "requests/api.py")],
            "generation",
        ),
        ([*SCORE, frame("judge", "/home/me/trl/torch/a.py", 7)], "the reward function judge (a.py:7)"),
        (
            [*SCORE, frame("accuracy_reward", "trl/rewards/accuracy_rewards.py", 7)],
            "the reward function accuracy_reward (accuracy_rewards.py:7)",
        ),
        ([*SCORE, frame("evaluate", "/home/me/a.py", 7)], "the reward function evaluate (a.py:7)"),
        (
            [*SCORE, frame("judge", "/home/me/rewards.py", 7), frame("get", "requests/api.py", 70)],
            "the reward function judge (rewards.py:7)",
        ),
        (
            [*SCORE, frame("judge", "/home/me/rewards.py", 7), frame("parse", "/home/me/rewards.py", 3)],
            "the reward function judge (rewards.py:3)",
        ),
        (
            [
                *SCORE,
                frame("ObservedReward.__call__", "rldk/recording/x.py"),
                frame("main.<locals>.judge", "/home/me/a.py", 9),
            ],
            "the reward function judge (a.py:9)",
        ),
        (
            [
                *SCORE,
                frame("run_coroutine_threadsafe", "asyncio/tasks.py"),
                frame("GRPOTrainer._calculate_rewards.<locals>._invoke_async", "trl/trainer/grpo_trainer.py"),
                frame("judge", "/home/me/rewards.py", 7),
            ],
            "the reward function judge (rewards.py:7)",
        ),
        ([*SCORE, frame("Module._call_impl", "torch/nn/modules/module.py")], "the scoring of completions"),
        ([frame("all_gather", "torch/distributed/distributed_c10d.py")], "a collective of the ranks"),
        ([frame("_next_data", "torch/utils/data/dataloader.py")], "the data loader"),
        ([frame("backward", "torch/autograd/__init__.py")], "the backward pass"),
        ([frame("AdamW.step", "torch/optim/adamw.py")], "the optimizer"),
        ([frame("Line.forward", "/home/me/model.py")], None),
    ],
)
def test_what_a_stack_is_busy_with(stack, activity):
    place = locate([*TRAIN, *stack])
    assert place.activity == activity
    assert place.where == str(stack[-1])
    assert place.during is None


@pytest.mark.parametrize(
    ("function", "file", "during"),
    [
        ("Trainer._save_checkpoint", "transformers/trainer.py", "a save"),
        ("Trainer.push_to_hub", "transformers/trainer.py", "a save"),
        ("Trainer.evaluate", "transformers/trainer.py", "an evaluation"),
        ("compile_fx", "torch/_inductor/compile_fx.py", "a compilation"),
        ("Trainer._load_best_model", "transformers/trainer.py", "a load"),
        ("PreTrainedModel.from_pretrained", "transformers/modeling_utils.py", "a load"),
        ("Trainer.training_step", "transformers/trainer.py", None),
    ],
)
def test_what_takes_its_time_is_known_by_the_stack(function, file, during):
    barrier = frame("barrier", "torch/distributed/distributed_c10d.py")
    assert locate([*TRAIN, frame(function, file), barrier]).during == during


CALL = [
    frame("CallbackHandler.on_step_end", "transformers/trainer_callback.py"),
    frame("CallbackHandler.call_event", "transformers/trainer_callback.py"),
]


@pytest.mark.parametrize(
    ("stack", "during"),
    [
        ([frame("Bench.on_step_end", "/home/me/a.py")], "the callback Bench"),
        (
            [frame("LogCompletionsCallback.on_step_end", "trl/trainer/callbacks.py")],
            "the callback LogCompletionsCallback",
        ),
        ([frame("main.<locals>.Bench.on_step_end", "/home/me/a.py")], "the callback Bench"),
        (
            [
                frame("timed.<locals>.wrapper", "/home/me/a.py"),
                frame("Bench.on_epoch_end", "/home/me/a.py"),
                frame("benchmark", "/home/me/a.py"),
            ],
            "the callback Bench",
        ),
        ([frame("<lambda>", "/home/me/a.py")], "the callback <lambda>"),
        ([frame("RLDKCallback.on_step_end", "rldk/integrations/trl/callback.py")], None),
        (
            [
                frame("Bench.on_step_end", "/home/me/a.py"),
                frame("Trainer.evaluate", "transformers/trainer.py"),
            ],
            "an evaluation",
        ),
        ([], None),
    ],
)
def test_a_callback_is_known_by_its_class_and_rldks_own_does_not_count(stack, during):
    assert locate([*TRAIN, *CALL, *stack]).during == during


def test_a_callback_of_an_evaluation_is_told_as_a_callback():
    evaluate = frame("Trainer.evaluate", "transformers/trainer.py")
    bench = frame("Bench.on_evaluate", "/home/me/a.py")
    assert locate([*TRAIN, evaluate, *CALL, bench]).during == "the callback Bench"


def test_a_users_own_call_event_is_no_callback():
    assert locate([*TRAIN, frame("call_event", "/home/me/a.py"), frame("f", "/home/me/a.py")]).during is None


def test_inside_a_training_are_the_frames_from_its_loop_on():
    inner = [*TRAIN[1:], frame("judge", "/home/me/a.py")]
    stack = [*TRAIN, frame("Bench.on_step_end", "/home/me/a.py"), *inner]
    assert inside_training(stack, 4) == inner[1:]
    assert inside_training(stack, 2) == stack[2:]
    assert inside_training(stack, 0) == stack
    assert list(inside_training(TRAIN, 4)) == []


def test_a_launcher_is_no_collective():
    stack = [frame("run", "torch/distributed/run.py"), *TRAIN]
    assert locate(stack).activity is None


def test_nothing_is_known_of_no_stack():
    assert locate([]) == StackLocation()


def test_a_place_in_words():
    assert str(StackLocation(where="f (a.py:1)")) == "in f (a.py:1)"
    assert (
        str(StackLocation(where="f (a.py:1)", activity="generation", during="a save"))
        == "in generation during a save"
    )


def deep(levels):
    if levels:
        return deep(levels - 1)
    raise ValueError("at the bottom")


def test_the_innermost_frame_of_an_exception_is_the_last():
    with pytest.raises(ValueError) as caught:
        deep(3)
    frames = frames_of_error(caught.value.__traceback__)
    assert [one.function for one in frames[-4:]] == ["deep"] * 4
    assert frames[-1].line == deep.__code__.co_firstlineno + 3


def test_a_recursion_without_end_is_looked_at_all_the_same():
    def forever():
        forever()

    with pytest.raises(RecursionError) as caught:
        forever()
    where = locate(frames_of_error(caught.value.__traceback__)).where
    assert where.startswith(
        "test_a_recursion_without_end_is_looked_at_all_the_same.<locals>.forever (test_stack_location.py:"
    )


def test_a_running_thread_is_seen_where_it_is():
    inside, leave = threading.Event(), threading.Event()

    def waits_here():
        inside.set()
        leave.wait()

    thread = threading.Thread(target=waits_here)
    thread.start()
    inside.wait()
    frames = frames_of_thread(sys._current_frames()[thread.ident])
    leave.set()
    thread.join()
    names = [one.function.rpartition(".")[2] for one in frames]
    assert names[names.index("waits_here") + 1] == "wait"
    assert frames_of_thread(None) == []
