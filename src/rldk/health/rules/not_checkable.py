"""Rules whose data no log holds: they are reported as not checked, with what would enable them."""

from typing import ClassVar

from rldk.health.observation import Observation
from rldk.health.rule import Rule, Verdict

__all__ = ["NotCheckable"]


class NotCheckable(Rule):
    """A rule that waits for data that logs do not hold."""

    missing: ClassVar[str]
    """What would enable it."""

    def checkable(self) -> str | None:
        return self.missing

    def observe(self, at: Observation) -> Verdict | None:
        return None
