"""`observe_rewards` in real trainings: TRL does exactly what it does without it."""

import asyncio
import functools
import gc
import inspect
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, TrainerCallback

import tiny
from integrations import trainings
from rldk.integrations.trl import observe_rewards
from rldk.integrations.trl.rewards import ends_of
from rldk.recording.guard import Guard
from rldk.recording.reward_observer import RewardObserver

pytestmark = pytest.mark.compat
on_new = pytest.mark.skipif(not trainings.NEW, reason="TRL 0.23 takes plain functions only")


class Listener(TrainerCallback):
    """Does what the callback does with an observer."""

    def __init__(self) -> None:
        self.guard = Guard()
        self.metrics: list[tuple[int, str, dict[str, float]]] = []
        self.samples: list[Any] = []

    def on_train_begin(self, args, state, control, model=None, processing_class=None, **kwargs):
        ends = ends_of(args, model, processing_class, all_counted=trainings.NEW)
        self.observer = RewardObserver(state, self.guard, ends=ends, weights=args.reward_weights)

    def on_step_end(self, args, state, control, **kwargs):
        self.samples += self.observer.drain("train", state.global_step)

    def on_log(self, args, state, control, logs=None, **kwargs):
        phase = "eval" if "eval_loss" in logs else "train" if "loss" in logs else "summary"
        if phase == "eval":
            self.samples += self.observer.drain("eval", state.global_step)
        if phase != "summary":
            self.metrics.append((state.global_step, phase, self.observer.take(phase)))


def outcome(trainer) -> tuple[Any, ...]:
    """What came of a training: its logs but for times, its weights, how it ended."""
    try:
        trainer.train()
        ended = None
    except Exception as error:
        ended = f"{type(error).__name__}: {error}"
    timed = ("runtime", "per_second", "time")
    history = [
        {key: repr(value) for key, value in one.items() if not key.endswith(timed)}
        for one in trainer.state.log_history
    ]
    return (
        ended,
        history,
        {name: value.numpy().tobytes() for name, value in trainer.model.state_dict().items()},
    )


def twice(make, rewards):
    """The same training without and with an observer; its listener."""
    plain, listener = outcome(make(rewards(), None)), Listener()
    observed = outcome(make(observe_rewards(rewards()), [listener]))
    assert plain[0] == observed[0]
    assert plain[1] == observed[1]
    assert plain[2] == observed[2]
    assert listener.guard.failures == 0
    return plain[0], listener


def partly(completions: list[str], **kwargs: Any) -> list[float | None]:
    """Nothing for every third completion."""
    return [None if i % 3 == 0 else float(len(text)) for i, text in enumerate(completions)]


def lambdas() -> list[Any]:
    """Two functions of one name."""
    return [
        lambda completions, **kwargs: [float(len(text)) for text in completions],
        lambda completions, **kwargs: [-1.0 for _ in completions],
    ]


CASES = {
    "one": (lambda: tiny.letter_reward, {}),
    "two, an evaluation, records of two steps": (
        lambda: [tiny.letter_reward, partly],
        {"logging_steps": 2, "eval_strategy": "steps", "eval_steps": 2, "reward_weights": [1.0, 0.5]},
    ),
    "two of one name": (lambdas, {}),
    "several updates a generation": (lambda: [tiny.letter_reward], {"num_iterations": 2}),
    "several generations a step": (
        lambda: [tiny.length_reward],
        {"gradient_accumulation_steps": 2, "steps_per_generation": 1},
    ),
}


@pytest.mark.training
@pytest.mark.parametrize("case", CASES)
def test_grpo_is_the_same_to_the_last_bit(case, model, tmp_path):
    rewards, changes = CASES[case]

    def make(given, callbacks):
        evaluate_on = tiny.prompts(8) if "eval_steps" in changes else None
        return trainings.grpo(model, tmp_path, callbacks, rewards=given, evaluate_on=evaluate_on, **changes)

    ended, listener = twice(make, rewards)
    assert ended is None
    (names,) = {tuple(one.rewards) for one in listener.samples}
    steps = {one.step for one in listener.samples if one.phase == "train"}
    if case == "one":
        assert names == ("letter_reward",)
        assert steps == {1, 2, 3, 4}
        assert all(metrics["reward_functions/letter_reward/calls"] == 1 for _, _, metrics in listener.metrics)
    elif case == "two of one name":
        assert names == ("<lambda>", "<lambda>#2")
    elif case == "several updates a generation":
        assert steps == {1, 3}
        assert [bool(metrics) for _, _, metrics in listener.metrics] == [True, False, True, False]
    elif case == "several generations a step":
        assert all(metrics["reward_functions/length_reward/calls"] == 2 for _, _, metrics in listener.metrics)
    else:
        (_, _, train), (_, _, evaluation) = listener.metrics[:2]
        assert train["reward_functions/letter_reward/calls"] == 2
        assert train["reward_functions/partly/missing_frac"] == 0.5
        assert evaluation["eval_reward_functions/partly/calls"] == 8
        assert {one.phase for one in listener.samples} == {"train", "eval"}
        sample = next(one for one in listener.samples if None not in one.rewards.values())
        assert sample.reward == pytest.approx(
            sample.rewards["letter_reward"] + 0.5 * sample.rewards["partly"]
        )
        assert "missing" in {why for one in listener.samples for why in one.why}


@pytest.mark.training
def test_what_the_observer_says_is_what_trl_logs(model, tmp_path):
    listener = Listener()
    trainer = trainings.grpo(
        model,
        tmp_path,
        [listener],
        rewards=observe_rewards([tiny.letter_reward]),
        max_steps=3,
        per_device_train_batch_size=16,
        max_completion_length=24,
    )
    trainer.train()
    logs = [one for one in trainer.state.log_history if "loss" in one]
    for log, (step, _, metrics) in zip(logs, listener.metrics, strict=True):
        assert log["completions/clipped_ratio"] == pytest.approx(1 - metrics["samples/trainer_ended_frac"])
        best = [one for one in listener.samples if one.step == step and "best" in one.why]
        assert best[0].reward > log["reward"]
        assert best[0].length <= log["completions/max_length"]


@pytest.mark.training
def test_rloo_is_the_same_to_the_last_bit(model, tmp_path):
    def make(given, callbacks):
        trainer = trainings.rloo(model, tmp_path, callbacks)
        trainer.reward_funcs = [given]
        return trainer

    _, listener = twice(make, lambda: tiny.length_reward)
    assert {one.step for one in listener.samples} == {1, 2, 3, 4}


@pytest.mark.training
def test_conversations_and_reward_models_are_the_same_to_the_last_bit(model, tmp_path):
    questions = [[{"role": "user", "content": text[:10]}] for text in tiny.SENTENCES]
    data = Dataset.from_list([{"prompt": questions[i % 4]} for i in range(32)])

    def words(completions, **kwargs):
        return [float(len(one[0]["content"])) for one in completions]

    def rewards():
        torch.manual_seed(0)
        judge = AutoModelForSequenceClassification.from_pretrained(model, num_labels=1)
        return [words, judge]

    def make(given, callbacks):
        trainer = trainings.grpo(model, tmp_path, callbacks, rewards=given)
        trainer.train_dataset = data
        return trainer

    _, listener = twice(make, rewards)
    sample = listener.samples[0]
    assert sample.prompt[0]["role"] == "user"
    assert sample.completion[0]["role"] == "assistant"
    assert sample.reward is None, "what the reward model gave is not seen"
    assert "samples/unscored_frac" not in listener.metrics[0][2]


class Judge:
    """A callable object."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, completions: list[str], **kwargs: Any) -> list[float]:
        self.seen += 1
        return [float(len(text)) for text in completions]


class SlowJudge(Judge):
    """An asynchronous one."""

    async def __call__(self, completions: list[str], **kwargs: Any) -> list[float | None]:
        await asyncio.sleep(0.01)
        return [None, *(float(len(text)) for text in completions[1:])]


async def slow(completions: list[str], **kwargs: Any) -> list[float]:
    """An asynchronous function."""
    await asyncio.sleep(0.01)
    return [float(text.count("a")) for text in completions]


def scaled(completions: list[str], scale: float, **kwargs: Any) -> list[float]:
    """A function for a partial."""
    return [scale * len(text) for text in completions]


@on_new
@pytest.mark.training
def test_all_that_trl_calls_is_the_same_to_the_last_bit(model, tmp_path):
    def rewards():
        return [slow, functools.partial(scaled, scale=0.1), Judge(), SlowJudge()]

    _, listener = twice(lambda given, told: trainings.grpo(model, tmp_path, told, rewards=given), rewards)
    assert list(listener.samples[0].rewards) == ["slow", "scaled", "Judge", "SlowJudge"]
    _, _, metrics = listener.metrics[0]
    assert metrics["reward_functions/SlowJudge/missing_frac"] == 0.25
    assert metrics["reward_functions/slow/seconds"] > 0.005
    assert listener.samples[0].reward == pytest.approx(
        sum(v or 0.0 for v in listener.samples[0].rewards.values())
    )


def raises(completions, **kwargs):
    raise ZeroDivisionError("in the reward")


def interrupted(completions, **kwargs):
    raise RuntimeError from KeyError("a")


FAULTS = {
    "raises": raises,
    "raises from another": interrupted,
    "too few": lambda completions, **kwargs: [1.0],
    "none at all": lambda completions, **kwargs: None,
    "a generator": lambda completions, **kwargs: (float(len(text)) for text in completions),
    "a tensor": lambda completions, **kwargs: torch.arange(len(completions), dtype=torch.float64),
    "an array": lambda completions, **kwargs: np.arange(len(completions)),
    "strings": lambda completions, **kwargs: ["good" for _ in completions],
    "only None": lambda completions, **kwargs: [None for _ in completions],
    "infinite": lambda completions, **kwargs: [
        float("inf") if i == 0 else 0.5 for i in range(len(completions))
    ],
    "empties its input": lambda completions, **kwargs: [
        1.0 for _ in range(len(completions)) if completions.append("")
    ],
}


@pytest.mark.training
@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_function_fares_as_without_an_observer(fault, model, tmp_path):
    ended, listener = twice(
        lambda given, told: trainings.grpo(model, tmp_path, told, rewards=given, max_steps=1),
        lambda: FAULTS[fault],
    )
    if fault == "raises":
        assert ended == "ZeroDivisionError: in the reward"
        assert listener.observer.last_error == "raises raised ZeroDivisionError"
    if fault in ("too few", "strings"):
        listener.observer.drain("train", 1)
        listener.observer.take("train")
        assert listener.observer.last_error is not None
    if fault in ("a tensor", "an array", "only None", "infinite"):
        assert "reward_functions/<lambda>/missing_frac" in listener.metrics[0][2]


@pytest.mark.training
def test_two_trainers_of_one_process_are_told_apart(model, tmp_path):
    first, second = Listener(), Listener()
    rewards = observe_rewards([tiny.letter_reward])
    for listener, steps in ((first, 3), (second, 2)):
        trainings.grpo(model, tmp_path, [listener], rewards=rewards, max_steps=steps).train()
    assert {one.step for one in first.samples} == {1, 2, 3}
    assert {one.step for one in second.samples} == {1, 2}


@on_new
@pytest.mark.training
def test_beside_a_scorer_that_is_not_observed_no_total_is_told(model, tmp_path):
    def half(completions, **_):
        return [None if index % 2 else 1.0 for index in range(len(completions))]

    def other(completions, **_):
        return [2.0] * len(completions)

    alone, beside = Listener(), Listener()
    for listener, rewards in ((alone, [half]), (beside, [half, other])):
        rewards[0] = observe_rewards(rewards[0])
        trainings.grpo(model, tmp_path, [listener], rewards=rewards, max_steps=2).train()
    assert {one.reward for one in alone.samples} >= {1.0}
    assert [metrics["samples/unscored_frac"] for _, _, metrics in alone.metrics] == [0.5, 0.5]
    assert {one.reward for one in beside.samples} == {None}
    assert all("samples/unscored_frac" not in metrics for _, _, metrics in beside.metrics)
    assert all("reward_functions/half/calls" in metrics for _, _, metrics in beside.metrics)


@pytest.mark.training
def test_ends_that_trl_0_does_not_count_are_seen(model, tmp_path):
    listener = Listener()
    trainer = trainings.grpo(
        model,
        tmp_path,
        [listener],
        rewards=observe_rewards(tiny.letter_reward),
        max_completion_length=32,
        max_steps=2,
    )
    config = trainer.model.generation_config
    config.eos_token_id = [config.eos_token_id, *range(40, 140)]  # a third of what a random model writes
    trainer.train()
    clipped = [one["completions/clipped_ratio"] for one in trainer.state.log_history if "loss" in one]
    ended = [metrics["samples/ended_frac"] for _, _, metrics in listener.metrics]
    assert min(ended) > 0.9
    assert min(clipped) > 0.5, "TRL looked at the config when the trainer was made"
    if not trainings.NEW:
        assert "ended-unseen" in {why for one in listener.samples for why in one.why}


# The wrapper alone


class Holder:
    def method(self, completions, *, power: float = 2.0, **kwargs):
        """Its words."""
        return completions


def same(completions, other=1, *args, **kwargs):
    """Its words."""
    return completions


@pytest.mark.parametrize(
    ("function", "name", "is_async"),
    [
        (same, "same", False),
        (lambda completions, **kwargs: completions, "<lambda>", False),
        (functools.partial(functools.partial(same, other=2), other=3), "same", False),
        (Judge(), "Judge", False),
        (Holder().method, "method", False),
        (slow, "slow", True),
        (SlowJudge(), "SlowJudge", True),
        (functools.partial(slow), "slow", True),
    ],
    ids=["function", "lambda", "partial", "object", "method", "async", "async object", "async partial"],
)
def test_trl_finds_the_same_name_kind_and_signature(function, name, is_async):
    wrapped = observe_rewards(function)
    assert wrapped is not function
    assert wrapped.__name__ == name
    assert wrapped.__doc__ == function.__doc__
    assert inspect.signature(wrapped) == inspect.signature(function)
    found = inspect.iscoroutinefunction(wrapped) or inspect.iscoroutinefunction(wrapped.__call__)
    assert found == is_async
    assert inspect.iscoroutinefunction(wrapped) == inspect.iscoroutinefunction(function) or isinstance(
        function, functools.partial
    )
    if trainings.NEW:
        from trl.trainer.utils import get_callable_name, is_async_callable

        assert get_callable_name(wrapped) == get_callable_name(function)
        assert is_async_callable(wrapped) == is_async_callable(function) == is_async


def test_shapes_are_kept_and_what_is_wrapped_stays_so():
    module = torch.nn.Linear(1, 1)
    given = ["model/name", module, same, None]
    wrapped = observe_rewards(given)
    assert wrapped[:2] == given[:2]
    assert wrapped[3] is None
    assert given[2] is same, "the user's list is not changed"
    assert isinstance(observe_rewards((same,)), tuple)
    assert observe_rewards(module) is module
    once = observe_rewards(same)
    assert observe_rewards(once) is once
    again = observe_rewards([once])[0]
    assert again.__wrapped__ is same
    assert observe_rewards([]) == []


def test_the_very_object_comes_back_whatever_it_is():
    output, listener = object(), Guard()
    state = type("State", (), {"__hash__": None})()
    observer = RewardObserver(state, listener)
    wrapped = observe_rewards(lambda *args, **kwargs: output)
    assert wrapped() is output
    assert wrapped(["a"], completions=3, trainer_state=state) is output
    big = ["\x1b[31m\x00" + "x" * 10_000_000, "\ud800"]
    assert wrapped(completions=big, prompts=big, completion_ids=[[1], [2]], trainer_state=state) is output
    samples = observer.drain("train", 1)
    assert all(len(one.completion) < 5_000 for one in samples)
    assert listener.failures == 1, "3 completions"


def test_attributes_are_those_of_the_function():
    judge = Judge()
    wrapped = observe_rewards(judge)
    wrapped(completions=["a"])
    assert wrapped.seen == judge.seen == 1
    with pytest.raises(AttributeError, match="nothing"):
        _ = wrapped.nothing


@observe_rewards
def decorated(completions, **kwargs):
    return completions


def test_a_copy_for_another_process_is_the_bare_function():
    assert pickle.loads(pickle.dumps(observe_rewards(tiny.letter_reward))) is tiny.letter_reward
    assert isinstance(pickle.loads(pickle.dumps(observe_rewards(Judge()))), Judge)
    if __name__ in __import__("sys").modules:
        assert pickle.loads(pickle.dumps(decorated)) is decorated


def test_without_a_listener_nothing_is_held():
    state = type("State", (), {"__hash__": None})()
    texts = [type("Text", (str,), {})("a") for _ in range(3)]
    observe_rewards(tiny.letter_reward)(completions=texts, trainer_state=state)
    gc.collect()
    assert not [one for one in gc.get_referrers(texts[0]) if one is not texts and not inspect.isframe(one)]


def test_the_ends_of_a_model():
    class Model:
        class generation_config:  # noqa: N801
            eos_token_id = (7, 8)

    class Wrapped:
        module = Model()

    class Tokens:
        eos_token_id, pad_token_id = 1, 0

    class Processor:
        tokenizer = Tokens

    class Args:
        max_completion_length = 9

    old = ends_of(Args, Wrapped(), Processor, all_counted=False)
    assert (old.known, old.trainers, old.pad, old.limit) == ({1, 7, 8}, {1}, 0, 9)
    assert ends_of(Args, Model, Tokens, all_counted=True).trainers == {1, 7, 8}
    nothing = ends_of(object(), None, None, all_counted=True)
    assert (nothing.known, nothing.pad, nothing.limit) == (frozenset(), None, None)
