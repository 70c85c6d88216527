"""SET005 few-generations: so few completions a prompt that at least half of the groups teach nothing.

Invariant: it is info, since rewards of many values need no large groups.
"""

from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Verdict
from rldk.health.rules.setup.common import GENERATING, SetupRule

__all__ = ["FewGenerations"]


class FewGenerations(SetupRule):
    """So few completions a prompt that at least half of the groups teach nothing.

    ## What it looks for
    `num_generations` below 4.

    ## Why it matters
    With rewards of 0 and 1 and groups of two, at least half of the groups have no advantage, whatever the
    success rate; see zero-advantage.

    ## How it decides
    By this option alone. The default of RLOO is 2.

    ## What looks alike but is healthy
    Continuous rewards, whose groups always have a spread.

    ## What to do
    Raise `num_generations`.

    ## Sources
    p^2 + (1-p)^2 is at least 0.5; RLOOConfig of TRL.
    """

    code, name = "SET005", "few-generations"
    algorithms = GENERATING
    reads = ("num_generations",)

    def inspect(self) -> Verdict | None:
        group = self.context.number("num_generations")
        if group is None or group >= 4:
            return None
        share = 0.5 ** (group - 1)
        return self.info(
            f"with {group:.0f} completions a prompt and rewards of 0 or 1, at least {share:.0%} of the "
            "groups have no advantage",
            {"num_generations": group},
        )

    def causes(self) -> list[Cause]:
        return [Cause("small groups", (Remedy("set `num_generations` to 8", up_to=4),))]
