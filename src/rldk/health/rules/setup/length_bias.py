"""SET010 length-bias: a loss that averages within each completion favours long wrong answers.

Invariant: it is info, since short answers hardly show the bias.
"""

from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Verdict
from rldk.health.rules.setup.common import SetupRule

__all__ = ["LengthBias"]


class LengthBias(SetupRule):
    """A loss that averages within each completion favours long wrong answers.

    ## What it looks for
    `loss_type='grpo'` with answers of 1,000 tokens and more allowed.

    ## Why it matters
    A wrong answer costs less per token the longer it is, so wrong answers grow: see length-runaway.

    ## How it decides
    By these options. It was the default of early TRL.

    ## What looks alike but is healthy
    Short answers, where the bias does not matter.

    ## What to do
    Use a loss that averages over all tokens.

    ## Sources
    Dr. GRPO (arXiv 2503.20783); the help text of TRL, which does not recommend it.
    """

    code, name = "SET010", "length-bias"
    algorithms = frozenset({"grpo"})
    reads = ("loss_type", "max_completion_length")

    def inspect(self) -> Verdict | None:
        limit = self.context.number("max_completion_length")
        if self.context.option("loss_type") != "grpo" or limit is None or limit < 1000:
            return None
        return self.info(
            f"the loss averages within each completion, of up to {limit:.0f} tokens: wrong ones may grow",
            {"loss_type": "grpo", "max_completion_length": limit},
        )

    def causes(self) -> list[Cause]:
        return [Cause("`loss_type` is the loss of the first GRPO paper", (Remedy("set `loss_type='dapo'`"),))]
