"""What counts as cured: the definitions, written before the first training with a remedy.

Invariant: an outcome follows from the held-out measurements of three trainings and from the findings of the
treated one, by the numbers here alone.
"""

from collections.abc import Sequence
from typing import Literal

__all__ = ["GAP", "OUTCOMES", "Outcome", "closed", "end_of", "outcome"]

Outcome = Literal["cured", "mostly", "partly", "no", "worse"]
OUTCOMES: tuple[Outcome, ...] = ("cured", "mostly", "partly", "no", "worse")
LAST = 2
"""Measurements that the end is the mean of, as in the labels of the wide set."""
GAP = 0.05
"""Least distance of the ill end below the healthy one: with less, a cure could not be measured."""
CURED, MOSTLY, PARTLY = 0.8, 0.5, 0.2
"""Shares of the gap that must be closed."""
WORSE = 0.05
"""Loss against the ill end, in held-out accuracy, from which a remedy made the run worse."""


def end_of(measured: Sequence[float]) -> float:
    """The mean of the last measurements of a training."""
    last = measured[-LAST:]
    return sum(last) / len(last)


def closed(ill: float, treated: float, healthy: float) -> float:
    """The share of the gap between two ends that the treated training closed; above 1 beyond the healthy."""
    return (treated - ill) / (healthy - ill)


def outcome(ill: float, treated: float, healthy: float, *, gone: bool) -> Outcome:
    """What the remedy did.

    Args:
        ill: end of the ill training.
        treated: end of the training with the remedy.
        healthy: end of the training without the fault, at least `GAP` above the ill one.
        gone: whether the finding, or another of its severity in its place, is not reported any more.
    """
    if treated <= ill - WORSE:
        return "worse"
    share = closed(ill, treated, healthy)
    if share >= CURED and gone:
        return "cured"
    if share >= MOSTLY:
        return "mostly"
    return "partly" if share >= PARTLY else "no"
