"""REW011 reward-length-correlation: reward and completion length rise together: the reward may pay for
length.

Invariant: levels never decide; only changes of reward and length in the same direction do.
"""

from itertools import islice, pairwise
from math import sqrt

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.causes import LOOPHOLE
from rldk.health.tracks import Track
from rldk.metrics.aliases import LENGTH, REWARD

__all__ = ["RewardLengthCorrelation", "RewardLengthCorrelationOptions"]


class RewardLengthCorrelationOptions(RuleOptions, frozen=True):
    """Thresholds of reward-length-correlation."""

    correlation: float = 0.7
    """Least correlation of the record-to-record changes."""
    growth: float = 1.25
    """Least mean length, as a multiple of the length at the start."""


class RewardLengthCorrelation(Rule[RewardLengthCorrelationOptions]):
    """Reward and completion length rise together: the reward may pay for length.

    ## What it looks for
    Changes of mean reward and mean length, from record to record, that go in the same direction.

    ## Why it matters
    Length is the cheapest way to please many judges and format rewards.

    ## How it decides
    The correlation of the record-to-record changes over the last 100 records is at least 0.7, and the mean
    length grew by a quarter since the start: info. Changes, not levels: two series that both rise always
    correlate.

    ## What looks alike but is healthy
    Tasks whose right answers are longer. Only samples can show whether the correlation holds within groups.

    ## What to do
    Compare short and long completions of equal quality with the reward function.

    ## Sources
    Dr. GRPO (arXiv 2503.20783); arXiv 2502.03373.
    """

    code, name, severity = "REW011", "reward-length-correlation", Severity.INFO
    needs = (REWARD, LENGTH)
    algorithms = ONLINE
    enable = "log the reward and the length of completions"
    shown_by = ("highest-before", "highest-since")

    def start(self) -> None:
        self.reward = self.chart.track(REWARD)
        self.length = self.chart.track(LENGTH)
        self.last: Verdict | None = None

    def observe(self, at: Observation) -> Verdict | None:
        length = self.length
        if length.count < 40 or length.ema20 < self.options.growth * length.start:
            self.last = None
        elif length.count % 10 == 0 or (self.last is None and length.count == 40):
            self.last = self._verdict()
        return self.last

    def _verdict(self) -> Verdict | None:
        count = min(len(self.reward.recent), len(self.length.recent))
        r = _correlation(_changes(self.reward, count), _changes(self.length, count))
        if r < self.options.correlation:
            return None
        return Verdict(
            severity=Severity.INFO,
            message=f"reward and length change together (correlation {r:.2f} over {count} records) and the "
            f"mean length grew from {self.length.start:.3g} to {self.length.ema20:.3g} tokens",
            evidence={"correlation": r, LENGTH: [self.length.start, self.length.ema20]},
            confidence=min(0.4 + r / 2, 0.9),
            baseline=self.length.start,
            limit=self.options.growth * self.length.start,
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the reward pays for length",
                (
                    LOOPHOLE,
                    Remedy("compare short and long completions of equal quality with the reward function"),
                ),
                0.6,
            ),
            Cause(
                "the loss favours long completions",
                (Remedy("set `loss_type='dr_grpo'`"), Remedy("set `loss_type='dapo'`")),
                0.3,
            ),
        ]


def _changes(track: Track, records: int) -> list[float]:
    values = list(islice(track.recent, len(track.recent) - records, None))
    return [after - before for before, after in pairwise(values)]


def _correlation(first: list[float], second: list[float]) -> float:
    """Pearson's correlation; 0 where either list does not vary."""
    count = len(first)
    mean_a, mean_b = sum(first) / count, sum(second) / count
    a, b = [x - mean_a for x in first], [y - mean_b for y in second]
    spread = sqrt(sum(x * x for x in a) * sum(y * y for y in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / spread if spread > 0 else 0.0
