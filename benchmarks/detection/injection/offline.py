"""Faults of DPO and SFT, and those of any trainer; as `online.py` for the others."""

import math

import numpy as np

from injection.edit import GRADIENT, LOSS, Edit

MARGINS, ACCURACIES = "rewards_margins", "rewards_accuracies"
CHOSEN, REJECTED = "rewards_chosen", "rewards_rejected"
LN2 = math.log(2)
BETA = 0.1
"""What a change of a reward is divided by to give that of its log-probability."""


def nan_every(edit: Edit, every: float) -> None:
    """Every so many records the gradient is NaN, and the loss 0 by the Trainer's filter."""
    for row in edit.train[edit.onset :: int(every)]:
        row.values[GRADIENT], row.values[LOSS] = math.nan, 0.0


def nan_for(edit: Edit, records: float) -> None:
    """So many records in a row are NaN."""
    for row in edit.train[edit.onset : edit.onset + int(records)]:
        row.values[GRADIENT], row.values[LOSS] = math.nan, 0.0


def pairs_stuck(edit: Edit, share: float) -> None:
    """A share of what was learned is left, in training and in evaluations."""
    for row in edit.rows:
        values = row.values
        for prefix in ("", "eval_"):
            chosen, rejected = values.get(prefix + CHOSEN), values.get(prefix + REJECTED)
            accuracy, loss = values.get(prefix + ACCURACIES), values.get(prefix + LOSS)
            tiny = edit.rng.normal(0, 1e-4, 2).tolist()
            if chosen is not None and rejected is not None:
                values[prefix + CHOSEN] = chosen = share * chosen + tiny[0]
                values[prefix + REJECTED] = rejected = share * rejected + tiny[1]
                values[prefix + MARGINS] = chosen - rejected
            if accuracy is not None:
                noise = (1 - share) * edit.rng.normal(0, 0.08)
                values[prefix + ACCURACIES] = 0.5 + share * (accuracy - 0.5) + noise
            if loss is not None:
                values[prefix + LOSS] = LN2 + share * (loss - LN2) + tiny[0]


def displacement(edit: Edit, fall: float) -> None:
    """Chosen and rejected fall together, so that pairs are still told apart."""
    lost = fall * edit.to_end * (1 + 0.08 * edit.noise(CHOSEN))
    apart = (0.2 * fall + 1) * edit.to_end
    for name, change in (
        (CHOSEN, -lost),
        (REJECTED, -lost - apart),
        (MARGINS, apart),
        ("logps_chosen", -lost / BETA),
        ("logps_rejected", -(lost + apart) / BETA),
    ):
        values = edit.get(name)
        if values is not None:
            edit.put(name, values + change)
    edit.multiply(LOSS, 1 - 0.3 * edit.to_end)


def margin_collapse(edit: Edit, share: float) -> None:
    """The margin loses a share; beyond all of it, pairs are told apart the wrong way."""
    margins, losses, accuracies = edit.need(MARGINS), edit.need(LOSS), edit.need(ACCURACIES)
    lost = share * edit.ramp
    edit.put(MARGINS, margins * (1 - lost))
    edit.put(REJECTED, edit.need(REJECTED) + margins * lost)
    edit.put(ACCURACIES, 0.5 + (accuracies - 0.5) * (1 - lost), 0.0, 1.0)
    edit.put(LOSS, losses + lost * np.maximum(LN2 - losses, 0.0))


def saturation(edit: Edit, margin: float) -> None:
    """The margin grows to so much, and the loss goes to 0."""
    before, accuracies = edit.need(MARGINS), edit.need(ACCURACIES)
    margins = before + edit.ramp * np.maximum(margin - before, 0.0) * edit.wobble(MARGINS, 0.5)
    edit.put(MARGINS, margins)
    edit.put(REJECTED, edit.need(REJECTED) + before - margins)
    edit.put(LOSS, (1 - edit.ramp) * edit.need(LOSS) + edit.ramp * np.log1p(np.exp(-margins)))
    edit.put(ACCURACIES, accuracies + edit.ramp * (1 - accuracies) * min(margin / 6, 1.0))


def pair_evaluation_falls(edit: Edit, points: float) -> None:
    """The accuracy of evaluations loses so much, while the train accuracy does not."""
    at = np.arange(edit.count)
    held = np.minimum(at, edit.onset)
    begin = min(max(float(edit.split(ACCURACIES).trend[edit.onset]) - 0.05, 0.6), 0.8)
    before = np.where(at < edit.onset, 0.1 * (1 - at / max(edit.onset, 1)), 0.0)
    edit.evaluations(
        rewards_accuracies=begin - points * edit.to_end - before + edit.gauss(0.01),
        rewards_margins=edit.split(MARGINS).trend[held] * (1 - 2 * points * edit.to_end),
        loss=edit.split(LOSS).trend[held] * (1 + 2 * points * edit.to_end),
    )


def evaluation_rises(edit: Edit, share: float) -> None:
    """The loss of evaluations rises by a share, while the train loss falls."""
    trend = edit.split(LOSS).trend
    held = trend[np.minimum(np.arange(edit.count), edit.onset)]
    noise = edit.gauss(0.003 * abs(float(trend[edit.onset])))
    edit.evaluations(loss=1.05 * held * (1 + share * edit.to_end) + noise)
    edit.multiply(LOSS, 1 - 0.3 * edit.to_end)


def divergence(edit: Edit, times: float) -> None:
    """The loss rises so many times."""
    edit.multiply(LOSS, times**edit.ramp)
    edit.multiply(GRADIENT, 1 + 1.5 * (times - 1) * edit.ramp)
    edit.multiply("token_accuracy_mean", 1 - 0.4 * (times - 1) * edit.ramp, low=0.02)
