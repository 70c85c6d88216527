"""Statements about loss, gradient, learning rate and pace.

Invariant: a statement holds of the rows alone. Rows without the metrics of a statement say nothing.
"""

import math

from rldk.report.rows.short_log import ShortLog, everywhere, is_zero, percent, span, statement
from rldk.report.text import number

__all__: list[str] = []

WIDEST_VOCABULARY = 260_000
"""Tokens of the largest vocabularies in use: a loss above its logarithm is worse than guessing."""
HIGHEST_RATE = 0.005
"""A learning rate above any that is used to fine-tune a language model."""
UNTRAINED = 4.0
"""A loss, in nats a token, above those of pretrained models on text: their first ones are 0.5 to 3."""
ABSURD = 100.0
"""A loss that no language model has, however badly it guesses."""
LATE = 500
"""A step by which a fine-tuned model has learned the form of its answers."""
SLOW = 30.0
"""Seconds a step that people ask about."""


@statement("grad_norm", "lr")
def gradient_zero(rows: ShortLog) -> str | None:
    """A gradient of exactly 0."""
    gradient, spread, loss = rows.of("grad_norm"), rows.of("reward_std"), rows.of("loss")
    if not is_zero(gradient):
        return None
    if spread and min(spread) > 0:
        return (
            f"The gradient norm is exactly 0 {everywhere(rows)} although rewards vary (spread "
            f"{span(spread)}): nothing trainable is reached, or all tokens are masked."
        )
    if rows.is_offline and len(set(loss)) > 1 and any(loss):
        rate = rows.of("lr")
        constant = f", and the rate is {number(rate[0])} throughout" if len(set(rate)) == 1 else ""
        return (
            f"The gradient norm is exactly 0 {everywhere(rows)} while the loss goes from "
            f"{number(loss[0])} to "
            f"{number(loss[-1])}{constant}. A layer-wise optimizer logs placeholders for both; otherwise "
            "nothing is trained."
        )
    return None


@statement("loss", "grad_norm")
def worse_than_guessing(rows: ShortLog) -> str | None:
    """A loss above that of a uniform guess."""
    loss = rows.of("loss")
    limit = math.log(WIDEST_VOCABULARY)
    if not _is_language_model(rows) or not loss or max(loss) <= limit:
        return None
    if min(loss) <= limit and max(loss) <= ABSURD:
        return None
    if max(loss) > ABSURD:
        return (
            f"The loss is {span([one for one in loss if one > ABSURD])} in "
            f"{sum(one > ABSURD for one in loss)} of {len(loss)} rows, where guessing evenly among "
            f"{WIDEST_VOCABULARY:,} tokens costs {limit:.1f}: the forward pass overflows (precision, "
            "attention "
            "kernel), or losses are summed."
        )
    return (
        f"The loss is {span([one for one in loss if one > limit])}: "
        f"guessing evenly among {WIDEST_VOCABULARY:,} tokens costs {limit:.1f}. "
        "A head or a projector has no trained weights, labels are shifted, or losses are summed."
    )


def _is_language_model(rows: ShortLog) -> bool:
    """Whether the loss is that of the next token: other models have losses of other sizes."""
    known = rows.dialect not in {None, "sb3", "generic"} or bool(rows.of("token_accuracy_mean"))
    return known and rows.algorithm in {None, "sft"} and rows.is_offline


@statement("loss", "token_accuracy*", "grad_norm")
def untrained_loss(rows: ShortLog) -> str | None:
    """A loss that is high, late in a training."""
    loss, steps = rows.of("loss"), rows.steps
    if not _is_language_model(rows) or not loss or not steps:
        return None
    if not UNTRAINED <= min(loss) <= math.log(WIDEST_VOCABULARY) or steps[0] < LATE:
        return None
    accuracy = rows.of("token_accuracy_mean")
    right = f", with {percent(accuracy)} of the tokens right" if accuracy else ""
    return (
        f"The loss is still {span(loss)} at step {steps[0]:,}{right}: as unsure as an even choice among "
        f"{math.exp(min(loss)):,.0f} tokens. A pretrained model begins below {number(UNTRAINED)}, so "
        "this one "
        "has lost what it knew, or its template, labels or weights do not fit. More of these steps will "
        "not mend "
        "it: try an earlier checkpoint."
    )


@statement("loss", "grad_norm", "lr")
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


@statement("lr")
def high_rate(rows: ShortLog) -> str | None:
    """A learning rate that no language model stands."""
    rate = rows.of("lr")
    if rows.dialect in {None, "sb3", "generic"} or not rate or max(rate) < HIGHEST_RATE:
        return None
    return (
        f"The learning rate reaches {number(max(rate))}. "
        "To fine-tune a language model, 1e-6 to 1e-3 is usual."
    )


@statement("step_*time*", "train_steps_per_second_so_far", "perf/time_per_step", "iteration_time")
def pace(rows: ShortLog) -> str | None:
    """Steps that take long."""
    seconds = rows.of("step_wall_time_so_far|iteration_time|step_time|perf/time_per_step")
    seconds = seconds or [1 / rate for rate in rows.of("train_steps_per_second_so_far") if rate]
    if not seconds or min(seconds) < SLOW:
        return None
    rollout = rows.of("generation_time|timing_s/gen")
    made = f", {span(rollout)} s of them to generate" if rollout else ""
    return f"A step takes {span([*map(round, seconds)])} s{made}."
