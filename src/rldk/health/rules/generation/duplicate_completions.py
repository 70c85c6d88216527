"""GEN009 duplicate-completions: more and more completions of one prompt are the same.

Invariant: only completions that `observe_rewards` saw are judged.
"""

from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Severity
from rldk.health.rules.generation.common import DUPLICATES, RiseOptions, RisesAboveOwnLevel
from rldk.health.trouble import ERRORS, LEVEL

__all__ = ["DuplicateCompletions", "DuplicateCompletionsOptions"]

ALIKE = 0.25
"""Share of its own start from which the spread of the rewards shows that completions no longer differ."""


class DuplicateCompletionsOptions(RiseOptions, frozen=True):
    """Thresholds of duplicate-completions."""

    rise: float = 0.3
    """Rise of the share above the run's own level that is a warning while the reward stands."""
    level: float = 0.5
    """Least share for a warning."""
    records: int = 10
    """Records in a row."""


class DuplicateCompletions(RisesAboveOwnLevel[DuplicateCompletionsOptions]):
    """More and more completions of one prompt are the same.

    ## What it looks for
    The share of completions with the same text as another completion of their prompt.

    ## Why it matters
    Identical completions have the same reward, so their advantage is 0: they show lost entropy in the text.

    ## How it decides
    The score is 1 where the mean of ten records is at 0.5 and above the run's own level by 0.3 and by 2.5
    times its noise. It grows in proportion, for ten records in a row; see [severity](../severity.md). The own
    level is the mean of the first five records, or the median of records 5 to 25 if that is lower. A reward
    that gained since then takes away up to seven tenths. From a score of 1 on it is a warning. It is info
    where only the gain keeps it below. It is info, too, where the reward is at its best and its spread fell
    to a quarter: the task is solved. The rule judges the completions that `observe_rewards` sees.

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
    explained_by = ("sampling-temperature", "entropy-collapse", "kl-blowup")
    shown_by = ("before", "since")

    def start(self) -> None:
        super().start()
        self.spread = self.chart.track("reward_std")

    def is_harmless(self) -> bool:
        """Whether the task is solved: the reward rose to its best, and completions no longer differ in it."""
        reward, spread = self.reward, self.spread
        if not spread.count or spread.ema20 > ALIKE * spread.start:
            return False
        error = reward.error(LEVEL)
        return reward.rise >= ERRORS * error and reward.best - reward.ema10 <= ERRORS * error

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
