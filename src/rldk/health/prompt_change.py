"""Finds where the prompts changed, and how much a series moved there.

Invariant: what changes between two records while the gradients are as before is not the policy's doing.
"""

from math import sqrt

from rldk.health.tracks import BLOCK, WINDOW, Track

__all__ = ["PromptChange"]

LEAP = 6.0
"""Standard errors by which two means of five records differ where the lengths leapt. Of a pooled deviation
with eight degrees of freedom, normal noise exceeds that by chance in one of 3,000 places."""
SHARE = 0.05
"""Least change of the mean length, as a share of itself."""
AT_ONCE = 0.5
"""Share of the change that is there at the first record."""
USUAL = 1.5
"""Multiple of the largest gradient norm before that those since may have."""


class PromptChange:
    """How much a series moved where the mean length of the completions leapt between two records.

    A policy changes by degrees; harder prompts, as those of a curriculum, change the lengths of their answers
    at once, and reward and entropy with them.

    Args:
        series: what moves, such as the reward.
        length: the mean length of the completions.
        gradient: the gradient norm.

    Example:
        >>> reward, length, gradient = Track(), Track(), Track()
        >>> change = PromptChange(reward, length, gradient)
        >>> for step in range(1, 31):
        ...     is_harder = step > 20
        ...     reward.push(step, 0.4 if is_harder else 0.9)
        ...     length.push(step, 7.0 if is_harder else 5.0)
        ...     gradient.push(step, 1.0)
        ...     change.feed()
        >>> round(change.moved, 2)
        -0.5
    """

    def __init__(self, series: Track, length: Track, gradient: Track) -> None:
        self._series, self._length, self._gradient = series, length, gradient
        self.moved = 0.0
        """The sum of what the series moved at such records, in its own unit, since `reset`."""

    def reset(self) -> None:
        """Begin anew, as where a reward is at its best."""
        self.moved = 0.0

    def feed(self) -> None:
        """Look at the newest ten records, once a record: whether the lengths leapt in their middle."""
        series, length, gradient = self._series, self._length, self._gradient
        if not series.count == length.count == gradient.count or series.count < 2 * BLOCK:
            return
        if not _leaps(length.tail(2 * BLOCK)):
            return
        gradients, values = gradient.tail(WINDOW), series.tail(2 * BLOCK)
        if max(gradients[-BLOCK:]) <= USUAL * max(gradients[:-BLOCK]):
            self.moved += (sum(values[BLOCK:]) - sum(values[:BLOCK])) / BLOCK


def _leaps(lengths: list[float]) -> bool:
    """Whether the second half of the lengths is another level than the first, from its first record on."""
    before, after = lengths[:BLOCK], lengths[BLOCK:]
    was, now = sum(before) / BLOCK, sum(after) / BLOCK
    changed = now - was
    if not changed or abs(changed) < SHARE * abs(was) or (after[0] - was) / changed < AT_ONCE:
        return False
    squares = sum((one - was) ** 2 for one in before) + sum((one - now) ** 2 for one in after)
    error = sqrt(squares / (2 * BLOCK - 2) * 2 / BLOCK)
    return abs(changed) >= LEAP * error
