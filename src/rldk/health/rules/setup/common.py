"""What the rules of the setup family share: they judge the configuration once, before the first record."""

from typing import Any, ClassVar

from rldk.health.observation import Observation
from rldk.health.rule import O_co, Rule, Severity, Verdict

__all__ = ["GENERATING", "RECORD", "START", "SetupRule"]

GENERATING = frozenset({"grpo", "rloo"})
RECORD = "record the run with RLDKCallback: the log does not hold the trainer's options"
START = (
    "record the training with RLDKCallback: it looks at what the trainer holds when a training begins, "
    "except under DeepSpeed and FSDP"
)


class SetupRule(Rule[O_co]):
    """A rule that judges the configuration once."""

    severity = Severity.INFO
    phases = ()
    reads: ClassVar[tuple[str, ...]] = ()
    """Options that the rule reads."""

    def checkable(self) -> str | None:
        if not self.context.options:
            return RECORD
        lacking = [name for name in self.reads if name not in self.context.options]
        return f"this trainer has no option {' and '.join(lacking)}" if lacking else None

    def observe(self, at: Observation) -> Verdict | None:
        return None

    def info(self, message: str, evidence: dict[str, Any], confidence: float = 0.8) -> Verdict:
        """A verdict of severity info."""
        return Verdict(severity=Severity.INFO, message=message, evidence=evidence, confidence=confidence)
