"""Which finding explains which, so that failures with one cause are reported together.

Invariant: a rule's finding is a consequence only of a rule that reported too and did not begin clearly later:
a change of the training just before it, else a rule in its `explained_by`.
"""

from collections.abc import Mapping

from rldk.health.rule import Rule

__all__ = ["cause_of"]

SLACK = 10
"""Train records by which a cause may begin after its consequence, because rules differ in delay."""

SOON = 20
"""Train records after a change of the training within which it is the first suspect."""


def cause_of(
    rule: type[Rule],
    onset: int,
    onsets: Mapping[str, int],
    steps_per_record: float,
    changes: Mapping[str, int] | None = None,
) -> str | None:
    """The name of the rule whose finding explains the finding of `rule`, or None.

    Args:
        rule: the rule whose finding needs an explanation.
        onset: the step at which it began.
        onsets: the onset step of each finding, by the name of its rule.
        steps_per_record: mean distance of train records, in steps.
        changes: the onset step of each finding that is a change of the training, by the name of its rule.
    """
    soon = SOON * max(steps_per_record, 1.0)
    before = {name: at for name, at in (changes or {}).items() if 0 <= onset - at <= soon}
    if before and not rule.is_change:
        return max(before, key=before.__getitem__)
    latest = onset + SLACK * max(steps_per_record, 1.0)
    return next((name for name in rule.explained_by if name in onsets and onsets[name] <= latest), None)
