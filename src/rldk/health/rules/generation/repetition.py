"""GEN010 repetition: completions repeat themselves.

Invariant: nothing is said of texts that were not seen.
"""

from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Severity
from rldk.health.rules.common import OBSERVE
from rldk.health.rules.generation.common import REPEATED, RiseOptions, RisesAboveOwnLevel

__all__ = ["Repetition", "RepetitionOptions"]


class RepetitionOptions(RiseOptions, frozen=True):
    """Thresholds of repetition."""

    rise: float = 0.2
    """Rise of the share above the run's own."""
    level: float = 0.3
    """Share below which nothing is said."""
    records: int = 10
    """Records in a row."""


class Repetition(RisesAboveOwnLevel[RepetitionOptions]):
    """Completions repeat themselves.

    ## What it looks for
    The share of 4-grams of tokens that stood in the same completion before.

    ## Why it matters
    It is how a lost end token, or a reward for length, shows in text.

    ## How it decides
    The mean of ten records is at least 0.3, and at least 0.2 and twice the noise above the run's own (the
    mean of the first five records, or the median of records 5 to 25 if that is lower), for ten records, and
    the reward does not do well: warning; where it does, and may be what pays for it: info. The texts are
    those that `observe_rewards` sees.

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
    enable = f"{OBSERVE}; of completions shorter than 16 tokens it says nothing"
    explained_by = ("eos-mismatch", "truncation", "kl-blowup", "entropy-collapse")
    shown_by = ("before", "since-end")

    def describe(self, own: float, now: float) -> str:
        return f"{now:.0%} of the 4-grams of a completion stood in it before, up from {own:.0%}"

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the policy no longer ends its answers, and fills them",
                (
                    Remedy("read them: rldk samples RUN"),
                    Remedy("set `beta` to 0.04", up_to=0.04, verl="raise actor.kl_loss_coef"),
                ),
                0.6,
            ),
            Cause(
                "the reward pays for length, or for words that can be said again",
                (Remedy("punish repetition in the reward: get_repetition_penalty_reward of TRL"),),
                0.5,
            ),
        ]
