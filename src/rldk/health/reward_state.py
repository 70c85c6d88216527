"""States of the reward that several rules ask for: improving, solved, falling, gained.

Invariant: a reward is compared with its own start, best and noise; a level decides only on a scale of 0 to 1.
"""

import sys

from rldk.health.tracks import Track

__all__ = [
    "at_ceiling",
    "at_top",
    "course",
    "falls",
    "gained",
    "improving",
    "in_noise",
    "reached_best",
    "solved",
    "thrives",
]


_TINY = 1e-9
ROOM, SKEW = 0.12, 0.6
"""A reward at its ceiling is within `ROOM` of its largest spread from its highest record, and its noise is
one-sided: that distance is at most `SKEW` of the distance to its lowest."""
_STEADY = 10
"""Records from which a smoothed level is reliable."""


def in_noise(track: Track, change: float) -> float:
    """A change of the series in standard deviations of its record-to-record noise.

    The noise of a policy that becomes deterministic goes to 0. So the noise counts as at least half of its
    peak and a twentieth of the range; no level of the series counts, because its unit is free.
    """
    least = max(0.5 * track.peak_noise, 0.05 * (track.high - track.low))
    rounding = 1e-9 * max(abs(track.high), abs(track.low))
    return change / max(track.noise, least, rounding, sys.float_info.min)


def improving(reward: Track, *, records: int = 40, sd: float = 0.5) -> bool:
    """Whether the smoothed reward gained `sd` of its noise over the last `records` records.

    The difference of two means over 20 records has a standard deviation of about .3 of the noise. The first
    ten records are only the start of such a mean.
    """
    trail = reward.trail
    if len(trail) <= _STEADY:
        return False
    return in_noise(reward, reward.ema20 - trail[max(len(trail) - 1 - records, _STEADY - 1)]) >= sd


def solved(reward: Track) -> bool:
    """Whether the reward rose clearly and is at its best, or is near 1 on a scale of 0 to 1."""
    if not reward.count:
        return False
    return at_top(reward) or (reward.ema10 >= 0.9 and reward.high <= 1.0 + _TINY and reward.low >= 0.0)


def reached_best(reward: Track, zero_std: Track) -> bool:
    """Whether groups lack spread because their prompts are solved: the reward rose to its top and stays.

    Args:
        reward: the reward.
        zero_std: the share of groups without spread; without it nothing is known of a ceiling.
    """
    return zero_std.ema20 >= 0.75 and at_top(reward)


def at_top(reward: Track) -> bool:
    """Whether the reward rose by three times its noise, and has kept nine tenths of that."""
    if not reward.count:
        return False
    rise = reward.best - reward.start
    clear = 3.0 * max(reward.noise, 0.05 * (reward.high - reward.low))
    return rise >= clear > 0 and reward.ema10 - reward.start >= 0.9 * rise


def at_ceiling(reward: Track, spread: Track) -> bool:
    """Whether the reward has no room left: near its highest record, and further from its lowest.

    Args:
        reward: the reward, or that of one function.
        spread: its standard deviation within a record; unless it is logged, nothing is known of a ceiling.
    """
    room = reward.high - reward.ema20
    return reward.low < reward.ema20 and room <= min(ROOM * spread.high, SKEW * (reward.ema20 - reward.low))


def falls(reward: Track) -> bool:
    """Whether the reward is below its best by twice its noise and by a quarter of what it had gained."""
    lost = reward.best - max(reward.ema10, reward.ema20)  # the slower one lags behind a reward that rises
    return in_noise(reward, lost) >= 2.0 and lost >= 0.25 * (reward.best - reward.start)


def gained(reward: Track, *, sd: float = 1.0) -> bool:
    """Whether the smoothed reward is `sd` of its noise above its start, and has not fallen from its best.

    The difference of a mean over 20 records and one over 5 has a standard deviation of half the noise.
    """
    return reward.count > 5 and in_noise(reward, reward.rise) >= sd and not falls(reward)


def thrives(reward: Track) -> bool:
    """Whether the reward shows that training works: it is at its top, above its start, or improving."""
    return at_top(reward) or gained(reward) or improving(reward)


def course(before: float, now: float) -> str:
    """The change of a reward, in words that follow "the reward": `went from 0.1 to 0.4`."""
    start, end = f"{before:.3g}", f"{now:.3g}"
    return f"went from {start} to {end}" if start != end else f"stayed at {end}"
