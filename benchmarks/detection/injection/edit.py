"""A log while something is put into it: times, series and the reward.

Invariant: a series is its trend and the rest; a fault moves the trend and puts the rest back. What belongs
together moves together. Nothing before the onset changes unless a caller writes it.
"""

from typing import NamedTuple

import msgspec
import numpy as np

from injection.base import Base, Series, Split, is_number, split
from rldk.health.observation import Observation

REWARD, REWARD_STD, LOSS, GRADIENT = "reward_mean", "reward_std", "loss", "grad_norm"
KL, ENTROPY, LENGTH, TRUNCATED = "kl_mean", "entropy_mean", "completion_length_mean", "truncated_frac"
ZERO_STD, CLIPPED, STEP_TIME, RATE = "frac_reward_zero_std", "clip_frac", "step_time", "lr"


class Row(NamedTuple):
    """A record and its values, which may be changed."""

    record: Observation
    values: dict[str, float | None]


class Edit:
    """A copy of a base that faults and patterns change.

    Args:
        base: the healthy log.
        onset: share of the log before it, which stays as it is.
        seed: of what is drawn.
    """

    def __init__(self, base: Base, onset: float, seed: int) -> None:
        self.base = base
        self.rows = [Row(record, dict(record.values)) for record in base.records]
        """All records, in their order."""
        self.train = [row for row in self.rows if row.record.phase == "train"]
        """The train records; `rows` and `train` share their values."""
        self.count = count = len(self.train)
        """Train records."""
        self.onset = onset_at = min(max(int(onset * count), 3 if onset else 0), count - 3)
        """The train record at which the fault begins, counted from 0."""
        self.rng = np.random.default_rng(seed)
        since = np.arange(count) - onset_at + 1
        self.step = (since >= 1).astype(float)
        """0 before the onset, 1 from it on."""
        self.ramp = np.clip(since / max(3, round(0.4 * (count - onset_at))), 0, 1)
        """0 before the onset, 1 from two fifths of the rest on."""
        self.to_end = np.clip(since / max(count - onset_at, 1), 0, 1)
        """0 before the onset, 1 at the last record."""
        self._series: dict[str, Series] = {}

    def records(self) -> list[Observation]:
        """The log as it is now."""
        return [msgspec.structs.replace(row.record, values=row.values) for row in self.rows]

    # Series ------------------------------------------------------------------------------------------

    def get(self, name: str) -> Series | None:
        """The series as it is now."""
        return self._series[name] if name in self._series else self.base.series(name)

    def need(self, name: str) -> Series:
        """The series of a metric that the fault needs, so that the base holds it."""
        values = self.get(name)
        assert values is not None, f"{self.base.name} holds no {name}"
        return values

    def split(self, name: str) -> Split:
        """Trend and rest of a series that the base holds, as it is now."""
        known = split(self._series[name]) if name in self._series else self.base.split(name)
        assert known is not None, f"{self.base.name} holds no {name}"
        return known

    def put(
        self, name: str, values: Series, low: float = -np.inf, high: float = np.inf, since: int | None = None
    ) -> None:
        """Write a series from the onset (or `since`) on, where the log holds a value."""
        since = self.onset if since is None else since
        bounded = np.clip(values, low, high)
        self._series[name] = bounded
        for row, value in zip(self.train[since:], bounded[since:].tolist(), strict=True):
            if is_number(row.values.get(name)):
                row.values[name] = value

    def add(self, name: str, values: Series) -> None:
        """Write a series into every train record, whether or not the log holds the metric."""
        self._series[name] = values
        for row, value in zip(self.train, values.tolist(), strict=True):
            row.values[name] = value

    def multiply(self, name: str, factor: Series, low: float = -np.inf, high: float = np.inf) -> None:
        """A series times a factor, if the log holds it."""
        values = self.get(name)
        if values is not None:
            self.put(name, values * factor, low, high)

    def gauss(self, sd: float = 1.0) -> Series:
        """Independent normal values, one a train record."""
        return sd * self.rng.standard_normal(self.count)

    def wobble(self, name: str, at_most: float) -> Series:
        """The relative noise of a positive series, as factors with a mean near 1."""
        values = self.get(name)
        if values is None:
            return np.exp(self.gauss(0.15))
        level = self.split(name).trend
        safe = np.where(level > 0, level, 1.0)
        return np.where(level > 0, np.clip(values / safe, 1 - at_most, 1 + at_most), 1.0)

    def noise(self, like: str) -> Series:
        """The rest of one of the log's series as noise of standard deviation 1, begun elsewhere."""
        known = self.base.split(like) or self.base.split(LOSS)
        if known is None or known.sd <= 1e-9:
            return self.gauss()
        return np.roll(known.rest / known.sd, -int(self.rng.integers(self.count)))

    # The reward --------------------------------------------------------------------------------------

    def components(self) -> list[str]:
        """The means of the reward functions."""
        names = {name for row in self.train[:40] for name in row.values}
        return sorted(name for name in names if name.startswith("rewards/") and name.endswith("/mean"))

    def move_reward(self, mode: str) -> None:
        """What becomes of the reward from the onset on.

        Args:
            mode: `paid`: it rises by four of its standard deviations or a quarter of its range; `flat`: it
                stands; `falling`: it loses half of its level, or four standard deviations; `kept`: as it was.

        Raises:
            ValueError: there is no such mode.
        """
        known = self.base.split(REWARD)
        if known is None or mode == "kept":
            return
        level, old = float(known.trend[self.onset]), self.need(REWARD)
        if mode == "paid":
            change = max(4 * known.sd, 0.25 * float(np.ptp(old)))
            if self._is_share():
                change = min(change, 0.9 * (1 - level))
        elif mode == "falling":
            gained = max(level - float(known.trend[0]), 0.0)
            change = -max(4 * known.sd, gained, 0.5 * level if old.min() >= 0 else 0.0)
        elif mode == "flat":
            change = 0.0
        else:
            raise ValueError(f"no mode {mode!r}: use paid, flat, falling or kept")
        self.shift_reward(change * self.ramp)

    def shift_reward(self, change: Series) -> None:
        """The reward stands at its level of the onset, plus a change, with its own noise."""
        known = self.split(REWARD)
        self.set_reward(known.trend[self.onset] + known.rest + change)

    def set_reward(self, new: Series) -> None:
        """Write the reward within the bounds that it kept; its components share the difference."""
        old, parts = self.need(REWARD), self.components()
        new = np.clip(new, 0.0 if old.min() >= 0 else -np.inf, 1.0 if self._is_share() else np.inf)
        self.put(REWARD, new)
        for part in parts:
            self.put(part, self.need(part) + (new - old) / len(parts))

    def _is_share(self) -> bool:
        """Whether the reward of the base lies between 0 and 1."""
        old = self.base.series(REWARD)
        return old is not None and bool(old.min() >= 0 and old.max() <= 1 + 1e-9)

    # Evaluations -------------------------------------------------------------------------------------

    def evaluations(self, **series: Series) -> None:
        """Fifteen evaluations in place of the log's own, each with the values of its train record."""
        every = max(self.count // 15, 1)
        rows, at = [], -1
        for row in self.rows:
            if row.record.phase == "eval":
                continue
            rows.append(row)
            if row.record.phase == "train":
                at += 1
                if at % every == every - 1:
                    values = {f"eval_{name}": float(values[at]) for name, values in series.items()}
                    evaluation = msgspec.structs.replace(row.record, phase="eval", resumed_from=None)
                    rows.append(Row(evaluation, {**values, "eval_runtime": 12.5}))
        self.rows = rows
