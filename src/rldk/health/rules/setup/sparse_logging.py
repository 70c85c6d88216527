"""SET008 sparse-logging: the run logs so few records that most rules will have nothing to judge.

Invariant: it is info, and a run of fewer than 20 steps is never reported.
"""

from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Verdict
from rldk.health.rules.setup.common import SetupRule

__all__ = ["SparseLogging"]


class SparseLogging(SetupRule):
    """The run logs so few records that most rules will have nothing to judge.

    ## What it looks for
    Planned steps over `logging_steps` below 20.

    ## Why it matters
    Rules wait for an effect that lasts; with a dozen records they report trouble late or not at all.

    ## How it decides
    By `max_steps` and `logging_steps`, where both are known and the run has at least 20 steps.

    ## What looks alike but is healthy
    A trial of a few steps.

    ## What to do
    Log every step: it costs nothing against a step of training.

    ## Sources
    TRL logs every ten steps by default, each record a mean of ten.
    """

    code, name = "SET008", "sparse-logging"
    reads = ("max_steps", "logging_steps")

    def inspect(self) -> Verdict | None:
        steps, every = self.context.number("max_steps"), self.context.number("logging_steps")
        if steps is None or every is None or self.context.option("logging_strategy") not in (None, "steps"):
            return None
        every = every if every >= 1 else every * steps
        if steps < 20 or every <= 1 or steps / every >= 20:
            return None
        return self.info(
            f"{steps:.0f} steps logged every {every:.0f} give {steps / every:.0f} records: few to judge by",
            {"max_steps": steps, "logging_steps": every},
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "`logging_steps` is large for such a short run",
                (Remedy("set `logging_steps` to 1", down_to=1),),
            )
        ]
