"""How a condition becomes a severity: its size, how long it lasts, and what the reward did since it began.

Invariant: a reward that gains halves a score and never silences a condition; no unit and no level of the
reward decides.
"""

from collections import deque
from collections.abc import Callable
from math import ceil, hypot, log2
from typing import NamedTuple

from rldk.health.rule import Severity
from rldk.health.tracks import MIDDLE, Track

__all__ = ["BEGUN", "MIDDLE_LAG", "Level", "Trouble", "size"]

MIDDLE_LAG = MIDDLE // 2
"""Records by which `Track.middle` lags behind its series."""

CALM = 0.3
"""Effect below which a series counts as calm: the reward of that time is the one to compare with."""
BEGUN = 0.5
"""Effect from which a condition has begun: its onset is the first record in a row above it."""
ERRORS = 3.0
"""Standard errors of the difference between two means that make a gain or a loss count in full."""
LOSS_ADDS = 0.5
"""How much a reward that falls adds to the score of what is worth a warning: smaller, it stays below 1."""
LOSING = -2 / 3
"""Benefit from which the reward falls, and not only wanders: two standard errors."""
TURNED = 8.0
"""Standard errors of a mean of ten records below the best by which a reward that gained has turned."""
LEVEL = 20
"""Records of the mean that stands for the level of the reward."""
TRIFLE = 0.05
"""Share of the range of the reward below which a gain or a loss never counts in full, however small the
errors: a policy that is deterministic has next to none."""


class Level(NamedTuple):
    """The level of a reward at some record."""

    mean: float
    records: int
    """How many records the mean is of."""

    @classmethod
    def of(cls, reward: Track) -> "Level":
        """The level now: the mean of `LEVEL` records, or of all where there are fewer."""
        return cls(reward.ema20, min(reward.count, LEVEL))

    def gain(self, reward: Track) -> float:
        """What the reward has gained since, in standard errors of the difference of the two means.

        A change of less than `TRIFLE` of the range of the reward is less than `ERRORS`.
        """
        return _gain(reward, self.mean, self.records)


def _gain(reward: Track, mean: float, records: int) -> float:
    """What a reward gained since its level was a mean of `records` records, in standard errors."""
    then, now = records or 1, min(reward.count, LEVEL) or 1
    error = reward.error(then)
    error = hypot(error, error if now == then else reward.error(now))
    return (reward.ema20 - mean) / max(error, TRIFLE / ERRORS * (reward.high - reward.low))


class Trouble:
    """One condition: its size at each record, since when it holds, and the score that decides its severity.

    `score = effect * (1 - discount * benefit)`. An effect of 1 is what a warning needs while the reward
    stands. The benefit, -1 to 1, is what the reward gained since the condition began, in `ERRORS` standard
    errors. A reward that gains takes away the discount, by default half; one that falls adds half.

    Args:
        reward: the reward; a run that logs none gets information only.
        records: records in a row at which the condition must hold.
        discount: how much of the score a reward that gains takes away, 0 to 1.
        lag: records by which the size lags behind the series, as a median of 11 does by five.
        enough: how many of `records` are enough at the spacing of the run's records; by default all.

    Example:
        >>> reward = Track()
        >>> trouble = Trouble(reward, records=3)
        >>> for step in range(1, 41):
        ...     reward.push(step, 0.5)
        ...     severity = trouble.feed(0.0 if step < 30 else 1.2, step)
        >>> severity.word, trouble.since, trouble.score
        ('warning', 30, 1.2)
    """

    def __init__(
        self,
        reward: Track,
        *,
        records: int = 10,
        discount: float = 0.5,
        lag: int = 0,
        enough: Callable[[int], float] = float,
    ) -> None:
        self._reward, self._records, self._discount, self._enough = reward, records, discount, enough
        self._steps: deque[int] = deque(maxlen=lag + 1)
        self._held = 0  # records in a row since it began
        self._lows: deque[tuple[int, float]] = deque()  # those among which the smallest effect can be
        self.effect = 0.0
        """The smallest effect of the newest `records` records, the size that lasts; 0 before it has begun."""
        self.score = 0.0
        """The effect, less what the reward paid for it."""
        self.benefit = 0.0
        """What the reward gained since the condition began, -1 to 1."""
        self._since = 0
        self._paid, self._is_paid = 0.0, False  # the best reward since then, and whether it gained
        self._turn: int | None = None  # the step after that best
        self._calm = (0.0, 0)  # the mean of the reward when the series was last calm, and how many it had

    def feed(
        self, effect: float, step: int, *, records: float | None = None, is_absolute: bool = False
    ) -> Severity | None:
        """Add the size of the condition at a record; returns its severity, or None where it does not hold.

        Args:
            effect: the size, as a multiple of what a warning needs; 0 or below where there is none.
            step: the step of the record.
            records: records in a row that are enough now, other than those of all that are enough.
            is_absolute: whether this size is a fault whatever the reward does.
        """
        self._steps.append(step)
        if effect < CALM or not self._calm[1]:
            self._calm = (self._reward.ema20, self._reward.count)
        if effect < BEGUN:
            if self._held:
                self._held = 0
                self._lows.clear()
                self.effect = self.score = 0.0
            return None
        if not self._held:
            self._since, self._paid = self._steps[0], self._reward.ema10
            self._turn, self._is_paid = None, False
        most = self._records
        if records is None:
            records = self._enough(most)
        needed = most if records >= most else ceil(records)
        effect = self.effect = self._smallest(effect, needed)
        benefit = self.benefit = self._benefit() if effect else 0.0
        if benefit >= 1.0 and self._reward.ema10 >= self._paid:
            self._paid, self._turn, self._is_paid = self._reward.ema10, None, True
        elif self._is_paid and self._turn is None:
            self._turn = step
        weight = self._discount if benefit > 0 else LOSS_ADDS if effect >= 1.0 else 0.0
        self.score = effect * (1.0 - benefit * weight)
        return self._severity(is_absolute) if effect >= 1.0 else None

    def _smallest(self, effect: float, needed: int) -> float:
        """Add `effect`; returns the smallest of the newest `needed` effects, 0 while there are fewer."""
        self._held += 1
        held, lows = self._held, self._lows
        while lows and lows[-1][1] >= effect:
            lows.pop()
        lows.append((held, effect))
        if lows[0][0] <= held - self._records:
            lows.popleft()
        if held < needed:
            return 0.0
        return lows[0][1] if needed == self._records else next(low for at, low in lows if at > held - needed)

    @property
    def since(self) -> int:
        """Step at which the condition began; where the reward first gained from it and then fell, the step
        at which the reward turned.
        """
        reward = self._reward
        fell = self.benefit <= LOSING or self._paid - reward.ema10 >= TURNED * reward.error(10)
        return self._turn if self._turn is not None and fell else self._since

    @property
    def then(self) -> Level | None:
        """The reward when the series was last calm; None where there was none."""
        mean, records = self._calm
        return Level(mean, min(records, LEVEL)) if records else None

    def _severity(self, is_absolute: bool) -> Severity:
        if not self._reward.count or (self.score < 1.0 and not is_absolute):
            return Severity.INFO
        return Severity.CRITICAL if self.score >= 2.0 and self.benefit <= LOSING else Severity.WARNING

    @property
    def confidence(self) -> float:
        """0.6 at the size that warns, 0.95 from twice that."""
        return max(0.6, min(0.25 + 0.35 * self.score, 0.95))

    def _benefit(self) -> float:
        mean, records = self._calm
        if not records:
            return 0.0
        return max(-1.0, min(_gain(self._reward, mean, min(records, LEVEL)) / ERRORS, 1.0))


def size(times: float) -> float:
    """The effect of a series at `times` its limit: one more for each doubling beyond it.

    Example:
        >>> size(0.5), size(1.0), size(4.0)
        (0.5, 1.0, 3.0)
    """
    return 1.0 + log2(times) if times > 1.0 else times
