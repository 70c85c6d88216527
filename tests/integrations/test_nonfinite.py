"""NaN, infinities and None: null in strict JSON, spelled out in the notes, never lost, never 0."""

import math

import pytest
import torch
from transformers import TrainerCallback

import tiny
from integrations import trainings
from integrations.trainings import NEW
from integrations.witness import Witness, check, of_phase, read
from rldk.metrics.dialects.trl import TRL, TRL_0
from rldk.runs import RecordedRun

pytestmark = [pytest.mark.training, pytest.mark.compat]


class Poison(TrainerCallback):
    """Makes the weights NaN after step 2."""

    def on_step_end(self, args, state, control, model=None, **kwargs):
        if state.global_step == 2:
            with torch.no_grad():
                next(model.parameters()).fill_(math.nan)


def train(kind, model, folder, callbacks=(), **changes):
    """The lines of a training; every value was checked against a witness."""
    callback, witness = trainings.recorder(folder / "logs"), Witness()
    getattr(trainings, kind)(model, folder, [witness, callback, *callbacks], **changes).train()
    dialect = TRL if NEW else TRL_0
    lines = read(callback.files.events)
    check(lines, witness.seen, dialect.reader(kind))
    return lines, RecordedRun(callback.files)


@pytest.mark.parametrize("kind", ["dpo", "sft"])
def test_nan_weights(kind, model, tmp_path):
    lines, run = train(kind, model, tmp_path, [Poison()], eval_strategy="steps", eval_steps=4)
    for line in of_phase(lines, "train")[:2]:
        assert line["notes"] == []
        assert math.isfinite(line["metrics"]["grad_norm"])
    for line in of_phase(lines, "train")[2:]:
        assert line["metrics"]["grad_norm"] is None
        assert "nonfinite:grad_norm=nan" in line["notes"]
        assert line["metrics"]["loss"] == 0.0  # the trainer's own doing, and recorded as it is
    (evaluation,) = of_phase(lines, "eval")
    assert evaluation["metrics"]["eval_loss"] is None
    assert "nonfinite:eval_loss=nan" in evaluation["notes"]
    events = [event for event in run if event.phase == "train"]
    assert math.isnan(dict(events[2].nonfinite())["grad_norm"])


def test_a_nan_loss_that_is_not_filtered(model, tmp_path):
    lines, _ = train("sft", model, tmp_path, [Poison()], logging_nan_inf_filter=False)
    assert [line["metrics"]["loss"] is None for line in of_phase(lines, "train")] == [
        False,
        False,
        True,
        True,
    ]
    assert "nonfinite:loss=nan" in of_phase(lines, "train")[2]["notes"]


def test_a_reward_function_that_scores_no_sample_of_a_batch(model, tmp_path):
    calls = []

    def reward(completions, **kwargs):
        calls.append(completions)
        return [None] * len(completions) if len(calls) == 2 else tiny.letter_reward(completions)

    lines, _ = train("grpo", model, tmp_path, rewards=reward)
    unscored = of_phase(lines, "train")[1]
    spelled = "none" if NEW else "nan"
    assert unscored["metrics"]["rewards/reward/mean"] is None
    assert f"nonfinite:rewards/reward/mean={spelled}" in unscored["notes"]
    if NEW:
        assert unscored["metrics"]["reward_mean"] is None
        assert "nonfinite:reward_mean=none" in unscored["notes"]
    else:
        assert unscored["metrics"]["reward_mean"] == 0.0
    others = [line for line in of_phase(lines, "train") if line is not unscored]
    assert all(math.isfinite(line["metrics"]["rewards/reward/mean"]) for line in others)


@pytest.mark.parametrize(("value", "spelled"), [(math.inf, "inf"), (-math.inf, "-inf")])
def test_an_infinite_reward(value, spelled, model, tmp_path):
    def reward(completions, **kwargs):
        return [value, *tiny.letter_reward(completions[1:])]

    lines, _ = train("grpo", model, tmp_path, rewards=reward, max_steps=1)
    (line,) = of_phase(lines, "train")
    assert line["metrics"]["reward_mean"] is None
    assert f"nonfinite:reward_mean={spelled}" in line["notes"]
