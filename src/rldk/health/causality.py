"""Which finding explains which, so that failures with one cause are reported together.

Invariant: a rule's finding is a consequence only of a rule in its `explained_by`, and only if that rule
reported too and its finding did not begin clearly later.
"""

from collections.abc import Mapping

from rldk.health.rule import Rule

__all__ = ["cause_of"]

SLACK = 10
"""Train records by which a cause may begin after its consequence, because rules differ in delay."""


def cause_of(rule: type[Rule], onset: int, onsets: Mapping[str, int], steps_per_record: float) -> str | None:
    """The name of the rule whose finding explains the finding of `rule`, or None.

    Args:
        rule: the rule whose finding needs an explanation.
        onset: the step at which it began.
        onsets: the onset step of each finding, by the name of its rule.
        steps_per_record: mean distance of train records, in steps.
    """
    latest = onset + SLACK * max(steps_per_record, 1.0)
    return next((name for name in rule.explained_by if name in onsets and onsets[name] <= latest), None)
