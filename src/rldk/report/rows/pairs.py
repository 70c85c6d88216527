"""Statements about pairs, reference and evaluation.

Invariant: a statement holds of the rows alone. Rows without the metrics of a statement say nothing.
"""

from rldk.metrics.aliases import KL
from rldk.report.rows.finite import SATURATED_MARGIN, margin_of
from rldk.report.rows.short_log import ShortLog, everywhere, span, statement
from rldk.report.text import number

__all__: list[str] = []


@statement("rewards_*", "loss")
def saturated(rows: ShortLog) -> str | None:
    """Preferences that are told apart with nothing left to learn."""
    accuracy = rows.of("rewards_accuracies")
    margin = [value for row in rows.rows if (value := margin_of(row)) is not None]
    if not margin or min(margin) < SATURATED_MARGIN or (accuracy and min(accuracy) < 1):
        return None
    every = "Every pair is told apart, with" if accuracy else "The pairs are apart by"
    epoch = rows.of("epoch")
    when = f" at epoch {number(epoch[0])}" if epoch else ""
    return f"{every} a margin of {span(margin)}{when}: these pairs have nothing left to teach."


@statement("rewards_*", "logps_*")
def no_reference(rows: ShortLog) -> str | None:
    """Implicit rewards that are a constant times the log-probabilities."""
    chosen, logps = rows.of("rewards_chosen"), rows.of("logps_chosen")
    if len(chosen) < 2 or len(chosen) != len(logps) or not all(logps) or len(set(logps)) < 2:
        return None
    ratios = [reward / logp for reward, logp in zip(chosen, logps, strict=True)]
    if max(ratios) - min(ratios) > 1e-3 * abs(ratios[0]) or not ratios[0]:
        return None
    return (
        f"The rewards of the chosen are {number(ratios[0])} times their log-probability {everywhere(rows)}: "
        "there is no reference model in them."
    )


@statement("kl*")
def clamped_kl(rows: ShortLog) -> str | None:
    """KTO's reference point at 0."""
    point = rows.of(f"kl_reference_point_mean|{KL}")
    if rows.algorithm != "kto" or not point or min(point) > 0:
        return None
    return (
        f"KTO's kl is {span(point)}. It is a reference point that is clamped at 0, so 0 is normal: "
        "the mismatched answers have become less likely."
    )


@statement("eval_*", "val*", "reward_mean")
def evaluated_first(rows: ShortLog) -> str | None:
    """An evaluation before any update."""
    if rows.evaluated_at != 0:
        return None
    return (
        "Step 0 holds only an evaluation: it comes before the first update (verl: trainer.val_before_train), "
        "so it has no keys of training."
    )
