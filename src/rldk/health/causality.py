"""Which finding explains which: failures that share one cause are one story.

Invariant: a finding is reported as the consequence of another only if its rule names the other's in
`explained_by`, the other was found too, and did not begin clearly later.
"""

from collections.abc import Mapping

from rldk.health.rule import Rule

__all__ = ["cause_of"]

SLACK = 10
"""Train records by which a cause may seem to begin after its consequence: rules differ in delay."""


def cause_of(rule: type[Rule], onset: int, onsets: Mapping[str, int], steps_per_record: float) -> str | None:
    """The name of the found rule that explains what `rule` found, or None.

    Args:
        rule: the rule whose finding is to be explained.
        onset: the step at which it began.
        onsets: the onset of each rule that was found, by its name.
        steps_per_record: mean distance of train records, in steps.
    """
    latest = onset + SLACK * max(steps_per_record, 1.0)
    return next((name for name in rule.explained_by if name in onsets and onsets[name] <= latest), None)
