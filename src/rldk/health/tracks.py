"""Streaming statistics of a run's series.

Invariant: the work of a step and the memory do not depend on the length of the run, and only finite values
are pushed.
"""

import fnmatch
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Collection, Iterable
from itertools import accumulate, islice
from math import sqrt
from statistics import median

from rldk.health.step_size import StepSize

__all__ = ["BASELINE", "BLOCK", "MIDDLE", "WINDOW", "Chart", "Streak", "Track"]

WINDOW = 100
"""Newest records that a track stores one by one."""
BASELINE = (5, 25)
"""The records, counted from 0, whose median is a run's own baseline: past warm-up, before most trouble."""
BLOCK = 5
"""Records of a block. Differences of block means give an error that autocorrelation hardly changes: the 95%
quantile of a fall on stationary noise is 5.3, 5.9, 6.7 and 8.5 such errors at an autocorrelation of 0, 0.3,
0.6 and 0.8. With differences of records it goes from 1.6 to 8.2."""
WEIGHTS = (0.18181818, 0.0952381, 0.03921569, 0.03921569)
"""Weights of the newest record in `ema10`, `ema20`, `ema50` and `noise`."""
SETTLED = 51
"""Records up to which one of these weighs the newest more, because it has fewer."""
APART = 3
"""Distance of records that autocorrelated noise hardly makes alike: 0.6 from one to the next is 0.2 here."""
MIDDLE = 11
"""Records of the median that stands for the size of a series."""
MAX_NAMES = 10_000
"""Most metric names that a chart stores as seen; logs have a few dozen."""


class Track:
    """One series: its beginning, its smoothed level, its best level, its latest records."""

    __slots__ = (
        "_blocks",
        "_error_at",
        "_error_of_one",
        "_middle",
        "_middle_at",
        "_window",
        "baseline",
        "best",
        "best_step",
        "count",
        "ema10",
        "ema20",
        "ema50",
        "first",
        "high",
        "last",
        "low",
        "lowest",
        "noise",
        "peak_noise",
        "recent",
        "start",
        "step",
        "trail",
    )

    def __init__(self) -> None:
        self.count = 0
        """Finite records so far."""
        self.first = 0.0
        """The first record."""
        self.last = 0.0
        """The newest record."""
        self.step = -1
        """The step of the newest record; -1 before there is one."""
        self.low = self.high = 0.0
        """Smallest and largest record."""
        self.ema10 = self.ema20 = self.ema50 = 0.0
        """Exponential means over about 10, 20 and 50 records; plain means until there are as many."""
        self.best = self.lowest = 0.0
        """Highest and lowest `ema10`, from the fifth record on."""
        self.best_step = -1
        """Step at which `best` was reached."""
        self.noise = 0.0
        """Standard deviation from record to record, whatever the trend: .886 times the mean absolute
        difference of neighbours, which is the standard deviation of independent normal values."""
        self.peak_noise = 0.0
        """The largest `noise` since the tenth record, for a series whose noise has gone to 0."""
        self.start = 0.0
        """Mean of the first five records, or of fewer where there are fewer."""
        self.baseline: float | None = None
        """Median of the records `BASELINE`; None before record 25."""
        self.recent: deque[float] = deque(maxlen=WINDOW)
        """The newest records."""
        self.trail: deque[float] = deque(maxlen=WINDOW)
        """`ema20` after each of the newest records."""
        self._error_of_one, self._error_at = 0.0, 0
        self._blocks = _Blocks()
        self._middle, self._middle_at = 0.0, 0
        self._window: list[float] = []  # the records that `middle` is the median of, sorted

    def push(self, step: int, value: float) -> None:
        """Add the next record."""
        count = self.count = self.count + 1
        if count == 1:
            self.first = self.last = self.low = self.high = value
        weight10, weight20, weight50, noise_weight = _weights(count) if count <= SETTLED else WEIGHTS
        ema10 = self.ema10 = self.ema10 + (value - self.ema10) * weight10
        ema20 = self.ema20 = self.ema20 + (value - self.ema20) * weight20
        self.ema50 += (value - self.ema50) * weight50
        change = value - self.last
        spread = 0.886 * (change if change >= 0 else -change)
        noise = self.noise = self.noise + (spread - self.noise) * noise_weight
        if noise > self.peak_noise and count >= 10:
            self.peak_noise = noise
        if value < self.low:
            self.low = value
        elif value > self.high:
            self.high = value
        if ema10 > self.best:
            self.best, self.best_step = ema10, step
        elif ema10 < self.lowest:
            self.lowest = ema10
        self.last, self.step = value, step
        self.recent.append(value)
        self.trail.append(ema20)
        if count <= BASELINE[1]:
            self._begin()

    def _begin(self) -> None:
        """Set what the first records alone decide."""
        if self.count <= 5:
            self.start = self.best = self.lowest = self.ema10
            self.best_step = self.step
        elif self.count == BASELINE[1]:
            self.baseline = median(islice(self.recent, *BASELINE))

    def gain(self, records: int) -> float:
        """Change of `ema20` over the last `records` records (at most `WINDOW` - 1), or since the first."""
        trail = self.trail
        return self.ema20 - trail[max(len(trail) - 1 - records, 0)] if trail else 0.0

    def mean(self, records: int) -> float:
        """Mean of the newest `records` records (at most `WINDOW`); 0 where there is none."""
        values = self.tail(records)
        return sum(values) / len(values) if values else 0.0

    def median(self, records: int = WINDOW) -> float:
        """Median of the newest `records` records; 0 where there is none."""
        values = self.tail(records)
        return median(values) if values else 0.0

    @property
    def middle(self) -> float:
        """Median of the newest `MIDDLE` records: the size of the series, which single records do not move."""
        if self._middle_at != self.count:
            self._middle = self._median_of_newest()
            self._middle_at = self.count
        return self._middle

    def _median_of_newest(self) -> float:
        """The upper median of the newest `MIDDLE` records, from a sorted window that moves by a record."""
        window = self._window
        if self._middle_at == self.count - 1 and self.count > MIDDLE:
            left = self.recent[-1 - MIDDLE]
            if left != self.last:
                del window[bisect_left(window, left)]
                insort(window, self.last)
        else:
            window[:] = sorted(islice(reversed(self.recent), MIDDLE))
        return window[len(window) // 2]

    def error(self, records: int) -> float:
        """Standard error of a mean of `records` records, from the means of blocks of `BLOCK` records.

        A series that stands still, as a policy that is deterministic, has no noise. So the error is at least
        that of a noise of a twentieth of the series' range, and at least what a float can hold.
        """
        due = self.count if self.count < WINDOW // BLOCK else -(self.count // BLOCK)  # in a block it stands
        if self._error_at != due:
            least = max(0.05 * (self.high - self.low), 1e-9 * max(abs(self.high), abs(self.low)), 1e-12)
            self._error_of_one, self._error_at = max(self._noise_of_blocks() * sqrt(BLOCK), least), due
        return self._error_of_one / sqrt(records)

    def _noise_of_blocks(self) -> float:
        """Standard deviation of the mean of a block, whatever the trend; of fewer than 40 records a guess.

        Eight blocks are six second differences: of fewer the error would be chance.
        """
        if len(self.recent) < 8 * BLOCK:
            return 1.5 * _noise([*self.recent]) / sqrt(BLOCK)
        return self._blocks.noise(self)

    def cautious_error(self, records: int) -> float:
        """`error` for a level before a fall, which autocorrelated noise in a short log does not deceive.

        Records `APART` show the autocorrelation that neighbours hide, and from eight blocks on blocks that
        overlap use every record. It is larger the fewer records there are. A curve makes it too large.
        """
        values = [*self.recent]
        noise = _noise(values, APART) / sqrt(BLOCK)
        if len(values) >= 8 * BLOCK:
            sums = [0.0, *accumulate(values)]
            means = [(end - begin) / BLOCK for begin, end in zip(sums, sums[BLOCK:], strict=False)]
            noise = max(_noise(means, BLOCK), noise)
        few = 1.0 + BLOCK / max(len(values), 1)
        return max(few * noise * sqrt(BLOCK / records), self.error(records))

    def tail(self, records: int) -> list[float]:
        """The newest `records` records, oldest first."""
        recent = self.recent
        if records >= len(recent):
            return list(recent)
        newest = [*islice(reversed(recent), records)]  # the ends of a deque are near
        newest.reverse()
        return newest

    @property
    def rise(self) -> float:
        """`ema20` less `start`."""
        return self.ema20 - self.start


def _weights(count: int) -> tuple[float, float, float, float]:
    """`WEIGHTS` for record `count`, or those of a plain mean where they are larger: an exponential mean that
    starts at the first record overweights it.
    """
    in_10, in_20, in_50, in_noise = WEIGHTS
    return (
        in_10 if count > 10 else 1 / count,
        in_20 if count > 20 else 1 / count,
        in_50 if count > 50 else 1 / count,
        in_noise if count > SETTLED else 1 / max(count - 1, 1),
    )


class _Blocks:
    """The means of a track's blocks of `BLOCK` records, and the noise between them.

    A block is summed once if the noise is asked for at every fifth record, else at each question.
    """

    __slots__ = ("_at", "_bends", "_means")

    def __init__(self) -> None:
        self._at = 0
        self._means: deque[float] = deque(maxlen=WINDOW // BLOCK)
        self._bends: deque[float] = deque(maxlen=WINDOW // BLOCK - 2)

    def noise(self, track: Track) -> float:
        """`_noise` of the means of the blocks that end with the newest record."""
        count, at = track.count, self._at
        if count != at:
            values = track.tail(BLOCK if count - at == BLOCK else WINDOW)
            if len(values) > BLOCK:
                self._means.clear()
                self._bends.clear()
            for begin in range(len(values) % BLOCK, len(values), BLOCK):
                self._add(sum(values[begin : begin + BLOCK]) / BLOCK)
            self._at = count
        return sum(self._bends) / (1.954 * len(self._bends))

    def _add(self, mean: float) -> None:
        means = self._means
        means.append(mean)
        if len(means) > 2:
            self._bends.append(abs(means[-3] - 2 * means[-2] + mean))


def _noise(values: list[float], apart: int = 1) -> float:
    """Standard deviation of values around their trend, by second differences; 0 where there are too few.

    A straight trend has none, and a curve next to none. Of independent normal values the mean absolute second
    difference is 1.954 standard deviations. Where neighbours are alike, compare values that are `apart`.
    """
    bends = [
        abs(before - 2 * value + after)
        for before, value, after in zip(values, values[apart:], values[2 * apart :], strict=False)
    ]
    return sum(bends) / (1.954 * len(bends)) if bends else 0.0


class Chart:
    """The tracks of one run, shared by its rules: a series that two rules ask for is kept once.

    Args:
        always: metrics to track whether or not a rule asks for them.
    """

    def __init__(self, *always: str) -> None:
        self.tracks: dict[str, Track] = {names: Track() for names in always}
        """Each track by the names that `track` was called with."""
        self.spacing = 1.0
        """Mean distance of train records in steps: with `logging_steps=10` each is a mean of ten steps."""
        self.known_names: set[str] = set()
        """Every metric that the run's records have held."""
        self.step_size = StepSize()
        """How far the first updates moved the model, from the train records."""

    def track(self, names: str) -> Track:
        """The track of a metric; of alternatives with `|` between them, the first that a record holds.

        Raises:
            TypeError: the name is not a string.
        """
        if not isinstance(names, str):
            raise TypeError(f"name a track by a string such as 'reward_mean', not by {names!r}")
        return self.tracks.setdefault(names, Track())

    def holds(self, need: str, names: Collection[str] | None = None) -> bool:
        """Whether `names` (by default, all metrics seen so far) include a metric that a rule needs.

        Args:
            need: a name, or alternatives with `|` between them; `*` stands for any text.
            names: the metrics of a record.
        """
        among = self.known_names if names is None else names
        for name in need.split("|"):
            if name in among or ("*" in name and any(fnmatch.fnmatchcase(given, name) for given in among)):
                return True
        return False

    def held(self, need: str) -> list[str]:
        """The metrics seen so far that a rule's need stands for: of alternatives, the first that was seen."""
        for name in need.split("|"):
            found = sorted(fnmatch.filter(self.known_names, name))
            if found:
                return found
        return []

    def feeders(self, keys: Iterable[str]) -> list[tuple[str, Track]]:
        """The key that feeds each track, for a record with these keys."""
        present = set(keys)
        if len(self.known_names) < MAX_NAMES:
            self.known_names.update(present)
        found = []
        for names, track in self.tracks.items():
            key = next((name for name in names.split("|") if name in present), None)
            if key is not None:
                found.append((key, track))
        return found


class Streak:
    """How many records in a row a condition has held, and since which step."""

    __slots__ = ("count", "since")

    def __init__(self) -> None:
        self.count = 0
        """Records in a row."""
        self.since = 0
        """Step of the first of them."""

    def feed(self, holds: bool, step: int) -> int:
        """Add the next record; returns the number of records in a row for which the condition has held."""
        if not holds:
            self.count = 0
        else:
            if not self.count:
                self.since = step
            self.count += 1
        return self.count
