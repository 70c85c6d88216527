"""GEN009 duplicate-completions: more and more completions of one prompt are the same.

Invariant: only completions that `observe_rewards` saw are judged.
"""

from rldk.health.remedies import Remedy
from rldk.health.reward_state import at_ceiling
from rldk.health.rule import Cause, Severity
from rldk.health.rules.generation.common import DUPLICATES, RiseOptions, RisesAboveOwnLevel
from rldk.health.tracks import Track

__all__ = ["DuplicateCompletions", "DuplicateCompletionsOptions"]


class DuplicateCompletionsOptions(RiseOptions, frozen=True):
    """Thresholds of duplicate-completions."""

    rise: float = 0.3
    """Least rise of the share above the run's own level."""
    level: float = 0.5
    """Share below which nothing is reported."""
    records: int = 10
    """Records in a row."""


class DuplicateCompletions(RisesAboveOwnLevel[DuplicateCompletionsOptions]):
    """More and more completions of one prompt are the same.

    ## What it looks for
    The share of completions with the same text as another completion of their prompt.

    ## Why it matters
    Identical completions have the same reward, so their advantage is 0: they show lost entropy in the text.

    ## How it decides
    The mean of ten records is at least 0.5, and above the run's own level by 0.3 and by twice its noise. That
    holds for ten records, and the reward does not do well: warning. The own level is the mean of the first
    five records, or the median of records 5 to 25 if that is lower. Where the reward does well: info; where
    the task is solved: nothing. The rule judges the completions that `observe_rewards` sees.

    ## What looks alike but is healthy
    Tasks with few right answers, such as one number: the share is high from the start, or the reward rises
    with it.

    ## What to do
    See entropy-collapse.

    ## Sources
    DAPO (arXiv 2503.14476).
    """

    code, name, severity = "GEN009", "duplicate-completions", Severity.WARNING
    share = DUPLICATES
    needs = (DUPLICATES,)
    explained_by = ("entropy-collapse", "kl-blowup")
    shown_by = ("before", "since")

    def is_rewarded(self, reward: Track) -> bool:
        """A solved task has few answers left."""
        return at_ceiling(reward)

    def describe(self, own: float, now: float) -> str:
        return f"{now:.0%} of the completions repeat another one of their prompt, up from {own:.0%}"

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the policy lost its entropy",
                (
                    Remedy("raise `temperature` to 1.0", up_to=1.0),
                    Remedy("set `epsilon_high` to 0.28", up_to=0.28),
                    Remedy("set `beta` to 0.04", up_to=0.04, verl="raise actor.kl_loss_coef"),
                ),
                0.7,
            ),
            Cause(
                "one answer is rewarded whatever the prompt",
                (Remedy("read them: rldk samples RUN --sort reward"),),
                0.5,
            ),
        ]
