"""REW009 reward-function-errors: a reward function raises, or returns a wrong number of values, or
infinities.

Invariant: only `observe_rewards` shows the calls of a function; a log alone is not checked.
"""

from collections.abc import Collection

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, Severity, Verdict
from rldk.health.rules.common import OBSERVE
from rldk.health.rules.reward.common import MAX_FUNCTIONS, OBSERVED, observed_functions

__all__ = ["RewardFunctionErrors"]


class RewardFunctionErrors(Rule):
    """A reward function raises, or returns a wrong number of values, or infinities.

    ## What it looks for
    Exceptions, wrong numbers of values, and infinities from the observed reward functions.

    ## Why it matters
    A wrong number of values ends a run of TRL 1.16; TRL 0.23 uses a single value for all completions. An
    infinity makes the advantages of its group 0 in TRL 1.16, and the weights NaN in 0.23.

    ## How it decides
    One is enough: warning.

    ## What looks alike but is healthy
    A function that returns None on purpose: see missing-rewards.

    ## What to do
    Run the function on the rows that failed.

    ## Sources
    trl#4501; observed by running TRL 0.23.1 and 1.16.0.
    """

    code, name, severity = "REW009", "reward-function-errors", Severity.WARNING
    needs = (f"{OBSERVED}*/errors",)
    algorithms = ONLINE
    enable = OBSERVE
    shown_by = ("without-reward",)

    def start(self) -> None:
        self.names: list[str] = []

    def meet(self, names: Collection[str]) -> None:
        for name in observed_functions(names):
            if len(self.names) < MAX_FUNCTIONS and name not in self.names:
                self.names.append(name)

    def observe(self, at: Observation) -> Verdict | None:
        texts, evidence = [], {}
        for name in self.names:
            errors = at.values.get(f"{OBSERVED}{name}/errors")
            infinite = at.values.get(f"{OBSERVED}{name}/nonfinite_frac")
            if errors:
                calls = at.values.get(f"{OBSERVED}{name}/calls") or errors
                texts.append(
                    f"`{name}` failed, or gave a wrong number of values, in {errors:.0f} of {calls:.0f} calls"
                )
                evidence[f"{OBSERVED}{name}/errors"] = errors
            if infinite:
                texts.append(f"`{name}` gave an infinity to {infinite:.2g} of the completions")
                evidence[f"{OBSERVED}{name}/nonfinite_frac"] = infinite
        if not texts:
            return None
        return Verdict(
            severity=Severity.WARNING, message="; ".join(texts), evidence=evidence, confidence=0.95
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "completions that the function was not written for: empty or cut ones, or odd characters",
                (Remedy("run the function on such completions; return a finite number for each"),),
                0.7,
            ),
            Cause(
                "a service that the function calls fails at times",
                (Remedy("catch its errors, and return None for those rows"),),
                0.3,
            ),
        ]
