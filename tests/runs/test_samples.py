"""TRL's tables of completions as samples: those of a real training, and damaged ones."""

import math
import random
import shutil
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from trl import GRPOConfig, GRPOTrainer

import tiny
from events import logged, write_run
from integrations import trainings
from processes import run_script
from rldk import RLDKError, open_run
from rldk.errors import MissingDependencyError
from rldk.integrations.trl import observe_rewards
from rldk.runs import RecordedRun, Sample
from rldk.runs.sample_tables import reward_functions, tables_of

SEEN = []
"""What the reward functions were given and gave: `(step, prompt, completion, letters, length)`."""


def seen_reward(prompts, completions, trainer_state, log_extra=None, **kwargs):
    """The share of the letter e; nothing for the first of each batch."""
    letters = [None, *tiny.letter_reward(completions)[1:]]
    lengths = tiny.length_reward(completions)
    steps = [trainer_state.global_step + 1] * len(prompts)
    SEEN.extend(zip(steps, prompts, completions, letters, lengths, strict=True))
    if log_extra:
        log_extra("note", [f"note {number}" for number in range(len(prompts))])
        log_extra("weight", [number / 2 for number in range(len(prompts))])
    return letters


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a GRPO training of four steps, with a checkpoint after two and four."""
    if not trainings.NEW:
        pytest.skip("TRL 0.23 writes no completions")
    folder = tmp_path_factory.mktemp("trained")
    SEEN.clear()
    trainer = trainings.grpo(
        tiny.save_model(folder / "model"),
        folder,
        rewards=[seen_reward, tiny.length_reward],
        log_completions=True,
        save_strategy="steps",
        save_steps=2,
    )
    trainer.train()
    return folder / "out"


@pytest.mark.training
def test_each_sample_of_a_real_training_is_there_with_its_rewards(trained):
    samples = open_run(trained).samples()
    found = list(samples)
    assert len(found) == len(samples) == len(SEEN) == 16
    expected = [
        (step, prompt, completion, {"seen_reward": letters, "length_reward": pytest.approx(length)})
        for step, prompt, completion, letters, length in SEEN
    ]
    for sample, (step, prompt, completion, rewards) in zip(found, expected, strict=True):
        assert (sample.step, sample.prompt, sample.completion) == (step, prompt, completion)
        assert sample.rewards == pytest.approx(rewards)
        assert math.isfinite(sample.advantage)
    # The columns of log_extra, of which one holds floats as rewards do: the trainer's log tells them apart.
    assert [sample.extra["weight"] for sample in found[:4]] == [0, 0.5, 1, 1.5]
    assert found[1].extra["note"] == "note 1"


@pytest.mark.training
def test_they_are_found_from_the_trainers_folder_a_checkpoint_and_the_tables(trained, tmp_path):
    steps = {
        ".": [1, 2, 3, 4],
        "checkpoint-4": [1, 2, 3, 4],
        "checkpoint-2": [1, 2],
        "checkpoint-2/trainer_state.json": [1, 2],
        "completions": [1, 2, 3, 4],
        "completions/completions_00003.parquet": [3],
    }
    for path, expected in steps.items():
        run = open_run(trained / path)
        assert [sample.step for sample in run.samples()] == [step for step in expected for _ in range(4)], (
            path
        )
        assert run.format == ("trl-completions" if "completions" in path else "trainer-state")
        assert run.bad_lines == []
    # Without a checkpoint, and beside another log.
    shutil.copytree(trained / "completions", tmp_path / "out" / "completions")
    run = open_run(tmp_path / "out")
    assert (run.format, list(run), len(run.samples())) == ("trl-completions", [], 16)
    (tmp_path / "out" / "log.jsonl").write_text('{"step": 1, "loss": 0.5}\n')
    run = open_run(tmp_path / "out")
    assert (run.format, len(list(run)), len(run.samples())) == ("jsonl", 1, 16)


@pytest.mark.training
def test_the_messages_of_a_conversation_stay_messages(tmp_path):
    if not trainings.NEW:
        pytest.skip("TRL 0.23 writes no completions")
    rows = tiny.prompts().map(lambda row: {"prompt": [{"role": "user", "content": row["prompt"]}]})
    trainer = GRPOTrainer(
        model=tiny.save_model(tmp_path / "model"),
        args=GRPOConfig(
            **trainings.options(
                tmp_path, max_steps=1, num_generations=4, max_completion_length=6, log_completions=True
            )
        ),
        reward_funcs=lambda completions, **_: [len(one[0]["content"]) / 10 for one in completions],
        train_dataset=rows,
        processing_class=tiny.tokenizer(),
    )
    trainer.train()
    (first, *_) = found = list(open_run(tmp_path / "out").samples())
    assert [message["role"] for message in (*first.prompt, *first.completion)] == ["user", "assistant"]
    for sample in found:
        (reward,) = sample.rewards.values()
        assert reward == pytest.approx(len(sample.completion[0]["content"]) / 10)


@pytest.mark.training
def test_a_run_of_ours_has_what_was_observed_and_else_the_tables_of_its_trainer(tmp_path):
    if not trainings.NEW:
        pytest.skip("TRL 0.23 writes no completions")
    SEEN.clear()
    observed = observe_rewards([seen_reward, tiny.length_reward])
    model = tiny.save_model(tmp_path / "model")
    trainings.grpo(
        model, tmp_path, [trainings.recorder(tmp_path / "logs")], rewards=observed, log_completions=True
    ).train()
    run = open_run(tmp_path / "logs")
    found = list(run.samples())
    assert [source.path for source in run.samples().sources] == [run.files.samples]
    assert {sample.step for sample in found} == {1, 2, 3, 4}
    assert all(sample.why for sample in found)
    seen = {(step, text, letters) for step, _, text, letters, _ in SEEN}
    assert all((one.step, one.completion, one.rewards["seen_reward"]) in seen for one in found)
    assert run.bad_lines == []
    # Without the observer, TRL's own tables of the same training are there.
    run.files.samples.unlink()
    whole = list(run.samples())
    assert [sample.completion for sample in whole] == [text for _, _, text, *_ in SEEN]
    assert set(whole[0].rewards) == {"seen_reward", "length_reward"}
    assert "weight" in whole[0].extra


# Tables made by hand


def table(folder, number=1, rows=3, **columns):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"completions_{number:05}.parquet"
    made = {
        "step": [number] * rows,
        "prompt": [f"p{row}" for row in range(rows)],
        "completion": [f"c{row}" for row in range(rows)],
        **columns,
    }
    pq.write_table(pa.table({name: values for name, values in made.items() if values is not None}), path)
    return path


def test_values_are_kept_as_they_are(tmp_path):
    path = table(
        tmp_path, 7, f=[0.5, None, math.inf], n=[1, 2, 3], advantage=[1.0, -1.0, None], ok=[True] * 3
    )
    assert list(open_run(path).samples()) == [
        Sample(
            step=7, prompt="p0", completion="c0", rewards={"f": 0.5}, advantage=1, extra={"n": 1, "ok": True}
        ),
        Sample(
            step=7,
            prompt="p1",
            completion="c1",
            rewards={"f": None},
            advantage=-1,
            extra={"n": 2, "ok": True},
        ),
        Sample(step=7, prompt="p2", completion="c2", rewards={"f": math.inf}, extra={"n": 3, "ok": True}),
    ]


def test_a_distillation_has_no_rewards(tmp_path):
    first, *_ = open_run(table(tmp_path)).samples()
    assert first == Sample(step=1, prompt="p0", completion="c0", rewards={})


def test_tables_come_in_the_order_of_their_steps(tmp_path):
    for step in (100_000, 9, 20):
        table(tmp_path, step, rows=1)
    assert [sample.step for sample in open_run(tmp_path).samples()] == [9, 20, 100_000]


def test_only_what_is_looked_at_is_read(tmp_path):
    big = table(tmp_path, 1, rows=100_000)
    table(tmp_path, 2).write_bytes(b"damaged")
    run = open_run(tmp_path)
    samples = iter(run.samples())
    assert next(samples).step == 1
    big.unlink()
    samples.close()
    assert run.bad_lines == []


def test_what_is_wrong_with_a_table_is_told_and_the_others_are_read(tmp_path):
    table(tmp_path, 1, rows=1)
    table(tmp_path, 2).write_bytes(b"PAR1 and no more")
    table(tmp_path, 3).write_bytes(b"")
    table(tmp_path, 4, prompt=None)
    table(tmp_path, 5, prompt=["a", None, "c"])
    table(tmp_path, 6, step=["x"] * 3)
    table(tmp_path, 7, rows=1)
    (tmp_path / "notes.txt").write_text("no table")
    run = open_run(tmp_path)
    assert [sample.step for sample in run.samples()] == [1, 5, 5, 7]
    reasons = {(int(bad.path.stem[-5:]), bad.number): bad.reason for bad in run.bad_lines}
    assert [*reasons] == [(2, 1), (3, 1), (4, 1), (5, 2), (6, 1), (6, 2), (6, 3)]
    assert "no column 'prompt'" in reasons[4, 1]
    assert "no sample" in reasons[5, 2]
    assert len(run.samples()) == 8
    assert run.bad_count == 7


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are another matter here")
def test_damaged_tables_are_read_or_told(tmp_path):
    """Two hundred of them, in a process of its own: pyarrow is C++."""
    path = table(tmp_path / "whole", rows=200, f=[number / 7 for number in range(200)])
    whole = path.read_bytes()
    (tmp_path / "damaged").mkdir()
    for number in range(200):
        chance = random.Random(number)
        data = bytearray(whole)
        for _ in range(chance.choice([1, 3, 20])):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        at = chance.randrange(len(data))
        cut = bytes(data[:at]) if number % 4 == 0 else bytes(data)
        (tmp_path / "damaged" / f"completions_{number:05}.parquet").write_bytes(cut)
    done = run_script(
        """
        import resource, sys
        from rldk import open_run
        import pyarrow.parquet
        resource.setrlimit(resource.RLIMIT_AS, (1 << 32, 1 << 32))
        run = open_run(sys.argv[1])
        print(sum(1 for _ in run.samples()), run.bad_count, all(bad.reason for bad in run.bad_lines))
        """,
        tmp_path / "damaged",
    )
    assert done.stderr == ""
    read, bad, told = done.stdout.split()
    assert (int(read) > 1_000, int(bad) > 50, told) == (True, True, "True")


def test_without_pyarrow_the_error_names_the_package(tmp_path, monkeypatch):
    run = open_run(table(tmp_path))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    for read in (list, len):
        with pytest.raises(MissingDependencyError, match="pip install pyarrow"):
            read(run.samples())


def test_a_log_without_tables_has_no_samples_and_needs_no_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "log.jsonl").write_text('{"step": 1, "loss": 0.5}\n')
    for run in (open_run(tmp_path), RecordedRun(write_run(tmp_path / "ours", logged(1)))):
        assert list(run.samples()) == []
        assert not run.samples()


def test_a_folder_that_only_looks_like_it_is_refused(tmp_path):
    (tmp_path / "completions").mkdir()
    (tmp_path / "completions" / "completions_1.parquet.tmp").touch()
    for path in (tmp_path, tmp_path / "completions"):
        with pytest.raises(RLDKError):
            open_run(path)
        assert tables_of(path) == []


def test_reward_functions_are_those_that_were_logged():
    keys = [
        "reward",
        "rewards/f/mean",
        "rewards/f/std",
        "eval_rewards/g/h/mean",
        "train/rewards/<lambda>/mean",
    ]
    assert reward_functions(keys) == {"f", "g/h", "<lambda>"}
    assert reward_functions(["reward"]) is None
