"""Every value that a trainer logs is in the events file, exactly, and nothing else is."""

import math
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import tiny
from integrations import trainings
from integrations.trainings import NEW
from integrations.witness import Witness, check, of_phase, read
from rldk.integrations.trl import RLDKCallback
from rldk.metrics.dialects.trl import TRL, TRL_0
from rldk.runs import RecordedRun, Run

pytestmark = pytest.mark.training

EVALUATE = {"eval_strategy": "steps", "eval_steps": 2}
TRAIN: dict[str, Any] = {
    "grpo": trainings.grpo,
    "grpo_kl": lambda *where: trainings.grpo(
        *where,
        rewards=[tiny.letter_reward, tiny.length_reward],
        reward_weights=[1.0, 0.5],
        beta=0.1,
        logging_steps=2,
        max_steps=5,
    ),
    "grpo_iterations": lambda *where: trainings.grpo(*where, num_iterations=4, max_steps=6),
    "grpo_evals": lambda *where: trainings.grpo(
        *where, evaluate_on={"a": tiny.prompts(4), "b": tiny.prompts(8)}, eval_on_start=True, **EVALUATE
    ),
    "rloo": trainings.rloo,
    "dpo": lambda *where: trainings.dpo(*where, **EVALUATE),
    "kto": trainings.kto,
    # With this option a train log carries `train_runtime`, as a summary does.
    "sft": lambda *where: trainings.sft(*where, include_num_input_tokens_seen=True, **EVALUATE),
    "reward": lambda *where: trainings.reward(*where, **EVALUATE),
    "trainer": lambda _, *where: trainings.line(*where, logging_strategy="epoch", max_steps=32, **EVALUATE),
    "ppo": trainings.ppo,
}
BOTH = ["grpo", "dpo", "sft", "trainer"]
ONLY_NEW = ["grpo_kl", "grpo_iterations", "grpo_evals", "rloo", "kto", "reward"]
KINDS = [pytest.param(kind, marks=pytest.mark.compat) for kind in BOTH]
KINDS += ONLY_NEW if NEW else [pytest.param("ppo", marks=pytest.mark.compat)]

ANY = {"loss": "loss", "grad_norm": "grad_norm", "learning_rate": "lr", "epoch": "epoch"}
GRPO = ANY | {
    "reward": "reward_mean",
    "reward_std": "reward_std",
    "rewards/letter_reward/mean": "rewards/letter_reward/mean",
    "frac_reward_zero_std": "frac_reward_zero_std",
    "entropy": "entropy_mean",
    "clip_ratio/region_mean": "clip_frac",
    "completions/mean_length": "completion_length_mean",
    "completions/clipped_ratio": "truncated_frac",
    "num_tokens": "num_tokens",
}
DPO = ANY | {
    "rewards/chosen": "rewards_chosen",
    "rewards/margins": "rewards_margins",
    "rewards/accuracies": "rewards_accuracies",
    "logps/rejected": "logps_rejected",
    "eval_loss": "eval_loss",
    "eval_rewards/chosen": "eval_rewards_chosen",
}
NAMES = {
    "grpo": GRPO,
    "grpo_kl": GRPO | {"kl": "kl_mean", "rewards/length_reward/std": "rewards/length_reward/std"},
    "grpo_iterations": GRPO,
    "grpo_evals": GRPO | {"eval_reward": "eval_reward_mean", "eval_a_loss": "eval_a_loss"},
    "rloo": ANY | {"reward": "reward_mean", "kl": "kl_mean", "clip_ratio/region_mean": "clip_frac"},
    "dpo": DPO,
    "kto": ANY | {"kl": "kl_reference_point_mean", "rewards/chosen": "rewards_chosen"},
    "sft": ANY
    | {
        "mean_token_accuracy": "token_accuracy_mean",
        "eval_mean_token_accuracy": "eval_token_accuracy_mean",
        "train_runtime": "train_runtime",
        "num_input_tokens_seen": "num_input_tokens_seen",
    },
    "reward": ANY | {"mean_reward": "reward_model_score_mean", "eval_accuracy": "eval_reward_model_accuracy"},
    "trainer": ANY | {"eval_loss": "eval_loss", "eval_runtime": "eval_runtime", "train_loss": "train_loss"},
    "ppo": {
        "objective/kl": "kl_sequence_mean",
        "objective/scores": "reward_mean",
        "policy/clipfrac_avg": "clip_frac",
        "loss/value_avg": "value_loss_mean",
        "lr": "lr",
        "episode": "episodes",
    },
}
"""The main keys of each training by hand; of a key that is not here the dialect gives the name."""


class Recording(NamedTuple):
    trainer: Any
    before: Witness
    after: Witness
    run: Run
    lines: list[dict[str, Any]]
    names: dict[str, str]


@pytest.fixture(scope="module")
def record(model: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Trains each kind once, with a witness on either side of rldk."""

    @cache
    def recording(kind: str) -> Recording:
        folder: Path = tmp_path_factory.mktemp(kind)
        before, after = Witness(), Witness()
        callback = RLDKCallback(output_dir=folder / "logs", run_id="r")
        trainer = TRAIN[kind](model, folder, [before, callback, after])
        trainer.train()
        assert callback.files is not None
        return Recording(
            trainer, before, after, RecordedRun(callback.files), read(callback.files.events), NAMES[kind]
        )

    return recording


@pytest.mark.parametrize("kind", KINDS)
def test_every_logged_value_is_recorded_exactly_and_nothing_else(kind, record):
    recording = record(kind)
    algorithm = kind.partition("_")[0]

    def canonical(key):
        name = (TRL if NEW else TRL_0).canonical(key, algorithm)
        return recording.names.get(key, name)

    check(recording.lines, recording.before.seen, canonical)
    logged = {key for one in recording.before.seen for key in one.logs}
    assert set(recording.names) <= logged


@pytest.mark.parametrize("kind", KINDS)
def test_the_logs_of_other_callbacks_are_not_changed(kind, record):
    recording = record(kind)
    assert repr(recording.after.seen) == repr(recording.before.seen)


@pytest.mark.parametrize("kind", KINDS)
def test_the_reader_gives_the_same_records(kind, record):
    recording = record(kind)
    events = list(recording.run)
    assert recording.run.bad_lines == []
    for event, line in zip(events, recording.lines, strict=True):
        logged = {name: event.metrics[name] for name in event.metrics if not name.startswith("resource/")}
        assert logged == line["metrics"]
    assert [event.phase for event in events] == [line["model_info"]["phase"] for line in recording.lines]


@pytest.mark.parametrize("kind", KINDS)
def test_wall_time_never_goes_back(kind, record):
    times = [line["wall_time"] for line in record(kind).lines]
    assert times == sorted(times)
    assert times[0] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_model_and_its_training_are_described(kind, record):
    recording = record(kind)
    trainer = recording.trainer
    info = recording.lines[-1]["model_info"]
    assert info["run_id"] == "r"
    assert info["model_size"] == sum(p.numel() for p in trainer.model.parameters())
    assert info["optimizer"] == "AdamW"
    assert info["scheduler"] == "linear"
    seeds = dict.fromkeys(("seed", "torch_seed", "numpy_seed", "random_seed"), 7)
    assert recording.lines[0]["rng"] == seeds | {"python_hash_seed": None}


@pytest.mark.parametrize("kind", KINDS)
def test_the_model_is_named_by_its_path(kind, record, model):
    names = {line["model_info"]["model_name"] for line in record(kind).lines}
    assert names == ({None} if kind == "trainer" else {model})  # a plain module has no name


@pytest.mark.parametrize("kind", ["sft", "dpo", "kto", "reward"] if NEW else ["sft"])
def test_offline_trainers_read_every_token_and_generate_none(kind, record):
    train = of_phase(record(kind).lines, "train")
    assert [line["data_slice"]["tokens_out"] for line in train] == [0] * len(train)
    totals = [line["metrics"]["num_tokens"] for line in train]
    grown = [now - before for before, now in zip([0, *totals], totals, strict=False)]
    assert [line["data_slice"]["tokens_in"] for line in train] == grown
    assert sum(grown) == totals[-1] > 0


if NEW:

    def test_steps_that_do_not_generate_have_no_reward_rather_than_zero(record):
        train = of_phase(record("grpo_iterations").lines, "train")
        assert [line["step"] for line in train if "reward_mean" in line["metrics"]] == [1, 5]
        assert [line["step"] for line in train if "loss" in line["metrics"]] == [1, 2, 3, 4, 5, 6]

    def test_each_dataset_of_an_evaluation_is_a_record_of_its_own(record):
        lines = of_phase(record("grpo_evals").lines, "eval")
        assert [line["step"] for line in lines] == [0, 0, 2, 2, 4, 4]
        for a, b in zip(lines[::2], lines[1::2], strict=True):
            assert "eval_a_loss" in a["metrics"]
            assert "eval_a_loss" not in b["metrics"]
            assert "eval_b_loss" in b["metrics"]
            assert "eval_reward_mean" in a["metrics"]
            assert "reward_mean" not in a["metrics"]

    def test_kl_is_absent_where_beta_is_zero(record):
        assert not any("kl_mean" in line["metrics"] for line in record("grpo").lines)
        assert all("kl_mean" in line["metrics"] for line in of_phase(record("grpo_kl").lines, "train"))


@pytest.mark.compat
def test_a_train_log_with_a_runtime_is_no_summary(record):
    lines = record("sft").lines
    summaries = of_phase(lines, "summary")
    assert len(summaries) == 1
    assert math.isfinite(summaries[0]["metrics"]["train_loss"])
    assert all("train_runtime" in line["metrics"] for line in of_phase(lines, "train"))
