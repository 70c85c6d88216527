"""Rules whose data no log holds: rldk lists them as not checked, with a way to check by hand."""

from typing import ClassVar

from rldk.health.observation import Observation
from rldk.health.rule import Rule, Verdict

__all__ = ["NotCheckable"]


class NotCheckable(Rule):
    """A rule that needs data that logs do not hold."""

    missing: ClassVar[str]
    """How to check by hand."""

    def checkable(self) -> str | None:
        return self.missing

    def observe(self, at: Observation) -> Verdict | None:
        return None
