"""What single rows of a log prove: one function for each statement, with the numbers of the rows.

Invariant: a statement holds of the rows alone. It is no verdict on the run, and rows without the metrics of a
statement say nothing.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import msgspec

from rldk.health.context import OFFLINE
from rldk.health.text import plain
from rldk.metrics.aliases import KL, REWARD
from rldk.report.text import counted, listed, number

__all__ = ["STATEMENTS", "ShortLog", "more_rows", "what_rows_show"]

NAMES = 4
"""Most metrics that a statement names."""
WIDEST_VOCABULARY = 260_000
"""Tokens of the largest vocabularies in use: a loss above its logarithm is worse than guessing."""
HIGHEST_RATE = 0.005
"""A learning rate above any that is used to fine-tune a language model."""
SATURATED_MARGIN = 5.0
"""Margin at which the gradient of a preference loss is below a hundredth of its first size."""

Row = Mapping[str, float | None]


class ShortLog(msgspec.Struct, frozen=True):
    """The train records of a short log, in order."""

    rows: Sequence[Row]
    algorithm: str | None = None
    dialect: str | None = None
    evaluated_at: int | None = None
    """Step of an evaluation before the first train record."""

    def of(self, names: str) -> list[float]:
        """The finite values of a metric; of alternatives with `|` between them, the first that is logged."""
        for name in names.split("|"):
            values = [value for row in self.rows if (value := row.get(name)) is not None]
            if values:
                return [value for value in values if math.isfinite(value)]
        return []

    def matching(self, begin: str, end: str) -> dict[str, list[float]]:
        """The finite values of each metric of a pattern, by the part between `begin` and `end`."""
        names = dict.fromkeys(name for row in self.rows for name in row)
        return {
            name[len(begin) : len(name) - len(end)]: values
            for name in names
            if name.startswith(begin) and name.endswith(end) and (values := self.of(name))
        }

    @property
    def is_offline(self) -> bool:
        """Whether the run learns from given sequences, so that its loss is its goal."""
        known = self.algorithm in OFFLINE
        online = self.of(REWARD) or self.matching("rewards/", "/mean")
        return known or (self.algorithm is None and not online and bool(self.of("loss")))


Statement = Callable[[ShortLog], str | None]
STATEMENTS: list[Statement] = []
"""Every statement, in the order of the page."""


def statement(function: Statement) -> Statement:
    """Decorator that adds a statement to the page."""
    STATEMENTS.append(function)
    return function


def what_rows_show(rows: ShortLog) -> list[str]:
    """The statements that hold of these rows."""
    return [text for one in STATEMENTS if (text := one(rows))]


def more_rows(dialect: str | None) -> str:
    """Where the rest of a training's records lies."""
    places = {
        "verl": "the whole console log, or wandb/run-*/, of trainer.logger",
        "sb3": "progress.csv, or the folder of TensorBoard",
        "openrlhf": "the folder of TensorBoard, or wandb/run-*/",
        "llama-factory": "trainer_log.jsonl of the output folder, or checkpoint-*/trainer_state.json",
        "ms-swift": "logging.jsonl of the output folder, or checkpoint-*/trainer_state.json",
    }
    return places.get(
        dialect or "", "checkpoint-*/trainer_state.json, wandb/run-*/, or the whole console log"
    )


def _span(values: Sequence[float]) -> str:
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} to {high}"


def _everywhere(rows: ShortLog) -> str:
    count = len(rows.rows)
    return {1: "in this row", 2: "in both rows"}.get(count, f"in all {count} rows")


def _is_zero(values: Sequence[float]) -> bool:
    return bool(values) and not any(values)


@statement
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


@statement
def finite_logits(rows: ShortLog) -> str | None:
    """A loss that is NaN although the logits are finite."""
    broken = [row for row in rows.rows if _is_nan(row.get("logps_chosen")) or _is_nan(row.get("nll_loss"))]
    logits = [value for row in broken if (value := row.get("logits_chosen")) is not None]
    if not logits or not all(map(math.isfinite, logits)):
        return None
    return (
        f"The logits are finite ({_span(logits)}) where log-probabilities or loss are NaN: the "
        "model computes, "
        "and a mean over no trained token is 0/0. Count the examples whose prompt fills max_length."
    )


def _is_nan(value: float | None) -> bool:
    return value is not None and math.isnan(value)


@statement
def all_cut(rows: ShortLog) -> str | None:
    """Completions that are cut at the limit."""
    cut = rows.of("truncated_frac|truncated_nonempty_frac|length_limit_frac")
    if not cut or min(cut) < 0.5:
        return None
    if min(cut) < 1:
        return f"{_percent(cut)} of the completions are cut at the limit, before they can give an answer."
    lengths = rows.of("completion_length_min") + rows.of("completion_length_max")
    if lengths and min(lengths) == max(lengths):
        return (
            f"Every completion is cut: shortest, longest and mean length are {lengths[0]:,.0f} tokens, "
            f"{_everywhere(rows)}. None ends, so no answer at the end can be rewarded."
        )
    return f"Every completion is cut, {_everywhere(rows)}: none ends by itself."


def _percent(shares: Sequence[float]) -> str:
    low, high = f"{min(shares):.0%}", f"{max(shares):.0%}"
    return low if low == high else f"{low} to {high}"


@statement
def no_eos(rows: ShortLog) -> str | None:
    """Completions without an end token."""
    if not _is_zero(rows.of("contain_eos_frac")):
        return None
    return f"No completion holds an end token, {_everywhere(rows)}."


@statement
def no_spread(rows: ShortLog) -> str | None:
    """Completions that all score alike."""
    spread, reward = rows.of("reward_std|reward_group_std_mean"), rows.of("reward_mean")
    if not _is_zero(spread) or not reward:
        return None
    return (
        f"All completions score alike (reward {_span(reward)}, spread 0) {_everywhere(rows)}: "
        "every advantage is 0, and these prompts teach nothing."
    )


@statement
def no_advantage(rows: ShortLog) -> str | None:
    """Advantages that are all 0."""
    ends = rows.of("advantage_token_min") + rows.of("advantage_token_max")
    if not _is_zero(ends):
        return None
    return (
        f"Smallest and largest advantage are 0 to the printed digits, {_everywhere(rows)}: "
        "every group of the batch scores alike, and next to nothing is learned from it."
    )


@statement
def one_value(rows: ShortLog) -> str | None:
    """Reward functions that always return one value."""
    if len(rows.rows) < 2:
        return None
    spreads = rows.matching("rewards/", "/std")
    names = [
        f"{plain(name)} ({number(values[0])})"
        for name, values in rows.matching("rewards/", "/mean").items()
        if len(values) > 1 and min(values) == max(values) and not any(spreads.get(name, ()))
    ]
    if not names:
        return None
    return (
        f"One value {_everywhere(rows)}: {listed(names[:NAMES])}. A mean that never moves is a default, "
        "a pattern that never matches, or a task that all solve; print what the function gets and returns."
    )


@statement
def format_only(rows: ShortLog) -> str | None:
    """One reward function that is near 1 beside one near 0."""
    functions = rows.matching("rewards/", "/mean")
    high = [name for name, values in functions.items() if min(values) >= 0.9 and max(values) <= 1]
    low = [name for name, values in functions.items() if min(values) >= 0 and max(values) <= 0.25]
    if not high or not low:
        return None
    texts = [f"{plain(name)} is {_span(functions[name])}" for name in (high[0], low[0])]
    return (
        f"{texts[0]} while {texts[1]}: the first is earned nearly always, the second seldom. "
        "Read completions."
    )


@statement
def gradient_zero(rows: ShortLog) -> str | None:
    """A gradient of exactly 0."""
    gradient, spread, loss = rows.of("grad_norm"), rows.of("reward_std"), rows.of("loss")
    if not _is_zero(gradient):
        return None
    if spread and min(spread) > 0:
        return (
            f"The gradient norm is exactly 0 {_everywhere(rows)} although rewards vary (spread "
            f"{_span(spread)}): nothing trainable is reached, or all tokens are masked."
        )
    if rows.is_offline and len(set(loss)) > 1 and any(loss):
        rate = rows.of("lr")
        constant = f", and the rate is {number(rate[0])} throughout" if len(set(rate)) == 1 else ""
        return (
            f"The gradient norm is exactly 0 {_everywhere(rows)} while the loss goes from "
            f"{number(loss[0])} to "
            f"{number(loss[-1])}{constant}. A layer-wise optimizer logs placeholders for both; otherwise "
            "nothing is trained."
        )
    return None


@statement
def same_gradient(rows: ShortLog) -> str | None:
    """A gradient norm with the same digits in rows whose loss becomes 0."""
    gradient, loss = rows.of("grad_norm"), rows.of("loss")
    if len(gradient) < 2 or len(set(gradient)) > 1 or 0.0 not in loss or not any(loss):
        return None
    if round(gradient[0], 3) == gradient[0]:
        return None  # 0 tells nothing, and printed digits repeat by chance
    return (
        f"The gradient norm is {gradient[0]:.6g} to the last digit {_everywhere(rows)}, which no "
        "gradient is: "
        "DeepSpeed reports a norm like this for gradients that are NaN."
    )


@statement
def hidden_nan(rows: ShortLog) -> str | None:
    """A loss of exactly 0, as which trainers log NaN."""
    zeros = [row for row in rows.rows if row.get("loss") == 0]
    count = len(zeros)
    if not rows.is_offline or not zeros or all(_is_learned(row) for row in zeros):
        return None
    return (
        f"The loss is exactly 0 in {count} of {counted(len(rows.rows), 'row')}. A language model "
        "hardly reaches "
        "that: transformers logs NaN as 0 unless logging_nan_inf_filter=False, or no token is trained."
    )


def _is_learned(row: Row) -> bool:
    """Whether a loss of 0 may be one that was rounded: a small gradient goes with it, or a large margin."""
    gradient, margin = row.get("grad_norm"), row.get("rewards_margins")
    return (gradient is not None and 0 < gradient < 0.05) or (margin or 0.0) > SATURATED_MARGIN


@statement
def worse_than_guessing(rows: ShortLog) -> str | None:
    """A loss above that of a uniform guess."""
    loss = rows.of("loss")
    limit = math.log(WIDEST_VOCABULARY)
    if rows.algorithm not in {None, "sft"} or not rows.is_offline or not loss or min(loss) <= limit:
        return None
    return (
        f"The loss is {_span(loss)}: guessing evenly among {WIDEST_VOCABULARY:,} tokens costs {limit:.1f}. "
        "A head or a projector has no trained weights, labels are shifted, or losses are summed."
    )


@statement
def loss_rises(rows: ShortLog) -> str | None:
    """A loss that rises while the gradient grows."""
    loss, gradient = rows.of("loss"), rows.of("grad_norm")
    if not rows.is_offline or len(loss) < 3 or len(gradient) != len(loss):
        return None
    low = min(range(len(loss)), key=loss.__getitem__)
    after = range(low + 1, len(loss))
    top = max(after, key=loss.__getitem__, default=low)
    steepest = max((gradient[index] for index in after), default=0.0)
    if loss[low] <= 0 or loss[top] < 1.5 * loss[low] or steepest < 10 * max(gradient[low], 1e-12):
        return None
    rate = rows.of("lr")
    at = f" at a rate of {number(max(rate))}" if rate else ""
    return (
        f"The loss rises from {number(loss[low])} to {number(loss[top])}, and the gradient norm from "
        f"{number(gradient[low])} to {number(steepest)}{at}: lower the rate, and go back before the rise."
    )


@statement
def high_rate(rows: ShortLog) -> str | None:
    """A learning rate that no language model stands."""
    rate = rows.of("lr")
    if rows.dialect in {None, "sb3", "generic"} or not rate or max(rate) < HIGHEST_RATE:
        return None
    return (
        f"The learning rate reaches {number(max(rate))}. "
        "To fine-tune a language model, 1e-6 to 1e-3 is usual."
    )


@statement
def saturated(rows: ShortLog) -> str | None:
    """Preferences that are told apart with nothing left to learn."""
    accuracy, margin = rows.of("rewards_accuracies"), rows.of("rewards_margins")
    if not margin or min(margin) < SATURATED_MARGIN or (accuracy and min(accuracy) < 1):
        return None
    every = "Every pair is told apart, with" if accuracy else "The pairs are apart by"
    epoch = rows.of("epoch")
    when = f" at epoch {number(epoch[0])}" if epoch else ""
    return f"{every} a margin of {_span(margin)}{when}: these pairs have nothing left to teach."


@statement
def no_reference(rows: ShortLog) -> str | None:
    """Implicit rewards that are a constant times the log-probabilities."""
    chosen, logps = rows.of("rewards_chosen"), rows.of("logps_chosen")
    if len(chosen) < 2 or len(chosen) != len(logps) or not all(logps) or len(set(logps)) < 2:
        return None
    ratios = [reward / logp for reward, logp in zip(chosen, logps, strict=True)]
    if max(ratios) - min(ratios) > 1e-3 * abs(ratios[0]) or not ratios[0]:
        return None
    return (
        f"The rewards of the chosen are {number(ratios[0])} times their log-probability {_everywhere(rows)}: "
        "there is no reference model in them."
    )


@statement
def clamped_kl(rows: ShortLog) -> str | None:
    """KTO's reference point at 0."""
    point = rows.of(f"kl_reference_point_mean|{KL}")
    if rows.algorithm != "kto" or not point or min(point) > 0:
        return None
    return (
        f"KTO's kl is {_span(point)}. It is a reference point that is clamped at 0, so 0 is normal: "
        "the mismatched answers have become less likely."
    )


@statement
def evaluated_first(rows: ShortLog) -> str | None:
    """An evaluation before any update."""
    if rows.evaluated_at != 0:
        return None
    return (
        "Step 0 holds only an evaluation: it comes before the first update (verl: trainer.val_before_train), "
        "so it has no keys of training."
    )


@statement
def reused(rows: ShortLog) -> str | None:
    """Updates that use the completions of an earlier row again."""
    lengths = [row.get("completion_length_mean") is not None for row in rows.rows]
    count = lengths.count(False)
    updates = all(row.get("loss") is not None for row in rows.rows)
    if not updates or not count or not any(lengths):
        return None
    return (
        f"Of {counted(len(lengths), 'row')}, {count} without new completions: such an update uses "
        "the completions "
        "of the row before again."
    )
