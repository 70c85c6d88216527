"""Statements about values that are not finite, or hide that they are not.

Invariant: a statement holds of the rows alone. Rows without the metrics of a statement say nothing.
"""

import math

from rldk.health.text import plain
from rldk.report.rows.short_log import Row, ShortLog, span, statement
from rldk.report.text import counted, listed, number

__all__ = ["SATURATED_MARGIN", "is_learned", "margin_of"]

NAMES = 4
"""Most metrics that a statement names."""
SATURATED_MARGIN = 5.0
"""Margin at which the gradient of a preference loss is below a hundredth of its first size."""
WARM_UP = 1e-6
"""A learning rate below this has moved no weight of a language model by the first record."""
UNLEARNABLE = 0.2
"""A loss from which no single record leads to 0."""


@statement("*")
def not_finite(rows: ShortLog) -> str | None:
    """Values that are NaN or infinite."""
    broken = [
        [name for name, value in row.items() if value is not None and not math.isfinite(value)]
        for row in rows.rows
    ]
    names = list(dict.fromkeys(name for found in broken for name in found))
    if not names:
        return None
    count = sum(map(bool, broken))
    shown = listed([*map(plain, names[:NAMES]), *([f"{len(names) - NAMES} more"] if names[NAMES:] else [])])
    if not broken[0]:
        first = next(index for index, found in enumerate(broken, 1) if found)
        return f"Not finite in {count} of {len(broken)} rows, first in row {first}: {shown}."
    return f"Not finite already in the first row, and in {count} of {len(broken)}: {shown}."


@statement("*")
def last_row_broken(rows: ShortLog) -> str | None:
    """A last row that is the first with a gradient or a loss that is not finite."""
    broken = [_is_broken(row) for row in rows.rows]
    if len(broken) < 2 or not broken[-1] or any(broken[:-1]):
        return None
    return (
        "The last row is the first that is not finite, so these rows do not show whether it heals. A skipped "
        "step does; NaN weights do not. Look at the next rows, and keep the last checkpoint: save nothing "
        "over it."
    )


def _is_broken(row: Row) -> bool:
    values = [value for name in ("grad_norm", "loss") if (value := row.get(name)) is not None]
    return not all(map(math.isfinite, values))


@statement("grad_norm", "lr", "loss")
def broken_at_first(rows: ShortLog) -> str | None:
    """A gradient that is not finite before the learning rate has moved a weight."""
    first = rows.rows[0] if rows.rows else {}
    rate = first.get("lr")
    if rows.is_excerpt or not _is_broken(first) or rate is None or not 0 <= rate <= WARM_UP:
        return None
    return (
        f"The rate is {number(rate)} in the first row, which moves no weight: the rate is not the cause. "
        "Look "
        "at the data (a batch without a trained token), the precision, the attention kernel, and with "
        "DeepSpeed at overlap_comm (set it to false)."
    )


@statement("grad_norm", "lr", "loss")
def skipped_steps(rows: ShortLog) -> str | None:
    """Gradients that are not finite while the loss stays finite in all rows."""
    count = sum(not _is_finite_or_none(row) for row in rows.rows)
    first = next((at for at, row in enumerate(rows.rows) if not _is_finite_or_none(row)), None)
    losses = [row.get("loss") for row in rows.rows]
    if first is None or first == len(losses) - 1 or not all(_is_alive(loss) for loss in losses):
        return None
    rates = rows.of("lr")
    held = len(rates) > 1 and len(set(rates)) == 1 and count == len(rows.rows)
    still = f" The rate stays at {number(rates[0])}, as it does where no step is taken." if held else ""
    return (
        f"The loss stays finite ({span([loss for loss in losses[first:] if loss is not None])}) although "
        f"{counted(count, 'gradient norm')} {'is' if count == 1 else 'are'} not: these steps were skipped, "
        f"as a loss scaler of fp16 does, or only the norm is wrong. The weights are whole.{still}"
    )


def _is_finite_or_none(row: Row) -> bool:
    """Whether the gradient norm of a row is finite or not logged."""
    value = row.get("grad_norm")
    return value is None or math.isfinite(value)


def _is_alive(loss: float | None) -> bool:
    return loss is not None and math.isfinite(loss) and loss != 0.0


@statement("loss", "nll_loss", "logps_*", "logits_*")
def finite_logits(rows: ShortLog) -> str | None:
    """Log-probabilities or a loss that are NaN although the logits are finite."""
    logits = [
        value
        for row in rows.rows
        if any(_is_nan(row[name]) for name in row if name.startswith(("logps", "nll_loss")))
        for name, value in row.items()
        if name.startswith("logits_chosen") and value is not None and math.isfinite(value)
    ]
    if not logits:
        return None
    return (
        f"The logits are finite ({span(logits)}) where log-probabilities or loss are NaN: the model "
        "computes, "
        "and a mean over no trained token is 0/0. Count the rows whose prompt alone fills max_length: "
        "they have "
        "no token of an answer left."
    )


def _is_nan(value: float | None) -> bool:
    return value is not None and math.isnan(value)


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


@statement("kl*", "entropy*", "clip*")
def mean_over_nothing(rows: ShortLog) -> str | None:
    """Metrics that are not finite beside a finite loss and gradient."""
    broken = [
        row
        for row in rows.rows
        if any(value is not None and not math.isfinite(value) for value in row.values())
    ]
    core = [row.get(name) for row in broken for name in ("loss", "grad_norm")]
    if not broken or not core or not all(map(_is_finite, core)):
        return None
    return (
        "Loss and gradient norm are finite in these rows: the weights are whole. What is not finite is a "
        "mean "
        "over nothing: no token, or no example of that kind in the batch."
    )


@statement("grad_norm", "loss")
def same_gradient(rows: ShortLog) -> str | None:
    """A gradient norm with the same digits in rows whose loss is 0."""
    lost = [row.get("grad_norm") for row in rows.rows if row.get("loss") == 0]
    first = next((value for value in lost if value), None)
    if len(lost) < 2 or not first or not math.isfinite(first) or set(lost) != {first}:
        return None
    return (
        f"The gradient norm is {first:.6g} in the {len(lost)} rows whose loss is 0, to the last "
        "digit: no "
        "gradient is that. DeepSpeed reports such a norm for gradients that are NaN. Set overlap_comm to "
        "false, and train in bf16."
    )


@statement("loss", "grad_norm", "reward_mean")
def weights_lost(rows: ShortLog) -> str | None:
    """A gradient that is not finite and a loss that is lost, from some row to the last."""
    count = 0
    for row in reversed(rows.rows):
        gradient, loss = row.get("grad_norm"), row.get("loss")
        if gradient is None or math.isfinite(gradient) or (loss and math.isfinite(loss)):
            break
        count += 1
    if count < 2 or (count == len(rows.rows) and not rows.is_excerpt):
        return None
    since = "in all these rows" if count == len(rows.rows) else f"from row {len(rows.rows) - count + 1} on"
    return (
        f"The gradient norm is not finite and the loss is lost {since}: the weights are NaN, and what they "
        "write or earn says nothing. Go back to a checkpoint whose row is finite; the fault lies in the rows "
        "before it."
    )


@statement("loss")
def hidden_nan(rows: ShortLog) -> str | None:
    """A loss of exactly 0, as which trainers log NaN."""
    zeros = [at for at, row in enumerate(rows.rows) if row.get("loss") == 0]
    count = len(zeros)
    if not rows.is_offline or not zeros or all(is_learned(rows, at) for at in zeros):
        return None
    return (
        f"The loss is exactly 0 in {count} of {counted(len(rows.rows), 'row')}. A language model hardly "
        "reaches that: transformers logs NaN as 0 unless logging_nan_inf_filter=False, or no token is "
        "trained."
    )


def is_learned(rows: ShortLog, at: int) -> bool:
    """Whether a loss of 0 may be one that was rounded: a small gradient goes with it, or a large margin."""
    row = rows.rows[at]
    before = rows.rows[at - 1].get("loss") if at else None
    if before is not None and before > UNLEARNABLE:
        return False
    gradient, margin = row.get("grad_norm"), margin_of(row)
    return (gradient is not None and 0 < gradient < 0.05) or (margin or 0.0) > SATURATED_MARGIN


def margin_of(row: Row) -> float | None:
    """The finite margin of a row, also where only its two rewards are logged."""
    margin, chosen, rejected = (
        value if value is not None and math.isfinite(value) else None
        for value in map(row.get, ("rewards_margins", "rewards_chosen", "rewards_rejected"))
    )
    return margin if margin is not None or chosen is None or rejected is None else chosen - rejected


@statement("loss", "train_loss")
def closing_loss(rows: ShortLog) -> str | None:
    """A closing mean of the loss that is 0 or not finite."""
    loss = rows.closing.get("train_loss")
    if loss is None or (loss != 0.0 and math.isfinite(loss)):
        return None
    epochs = rows.closing.get("epoch")
    after = f" after {number(epochs)} epochs" if epochs else ""
    return (
        f"The trainer's closing mean, train_loss, is {number(loss)}{after}. No training ends there: the loss "
        "was NaN, which transformers adds up as 0, or no token was trained. Give trainer_state.json, whose "
        "grad_norm shows since when; train in bf16, and decode the labels of a batch."
    )
