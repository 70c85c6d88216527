"""GEN010 repetition: completions repeat themselves.

Invariant: only completions that `observe_rewards` saw are judged.
"""

from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Severity
from rldk.health.rules.common import OBSERVE
from rldk.health.rules.generation.common import REPEATED, RiseOptions, RisesAboveOwnLevel

__all__ = ["Repetition", "RepetitionOptions"]


class RepetitionOptions(RiseOptions, frozen=True):
    """Thresholds of repetition."""

    rise: float = 0.2
    """Rise of the share above the run's own level that is a warning while the reward stands."""
    level: float = 0.3
    """Least share for a warning."""
    records: int = 10
    """Records in a row."""


class Repetition(RisesAboveOwnLevel[RepetitionOptions]):
    """Completions repeat themselves.

    ## What it looks for
    The share of 4-grams of tokens that repeat an earlier one of the same completion.

    ## Why it matters
    A lost end token, or a reward for length, shows in the text as repetition.

    ## How it decides
    The score is 1 where the mean of ten records is at 0.3 and above the run's own level by 0.2 and by 2.5
    times its noise. It grows in proportion, for ten records in a row; see [severity](../severity.md). The own
    level is the mean of the first five records, or the median of records 5 to 25 if that is lower. A reward
    that gained since then takes away up to seven tenths, because it may pay for the repetition. From a score
    of 1 on it is a warning, info where only the gain keeps it below. The rule judges the completions that
    `observe_rewards` sees.

    ## What looks alike but is healthy
    Code, tables and lists repeat themselves, from the start.

    ## What to do
    See length-runaway and truncation; punish repetition in the reward.

    ## Sources
    arXiv 2502.03373 (repetition under a reward for length).
    """

    code, name, severity = "GEN010", "repetition", Severity.WARNING
    share = REPEATED
    needs = (REPEATED,)
    enable = f"{OBSERVE}; completions shorter than 16 tokens are not judged"
    explained_by = ("eos-mismatch", "truncation", "kl-blowup", "entropy-collapse")
    shown_by = ("before", "since-end")

    def describe(self, own: float, now: float) -> str:
        return f"completions repeat themselves: {now:.0%} of their 4-grams are repeats, up from {own:.0%}"

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the policy no longer ends its answers, and pads them with repeats",
                (
                    Remedy("read them: rldk samples RUN"),
                    Remedy("set `beta` to 0.04", up_to=0.04, verl="raise actor.kl_loss_coef"),
                ),
                0.6,
            ),
            Cause(
                "the reward pays for length, or for words that the policy can repeat",
                (Remedy("punish repetition in the reward: get_repetition_penalty_reward of TRL"),),
                0.5,
            ),
        ]
