"""Rules about the wrong reward: one that rises while what it stands for falls, or that pays for length.

Invariant: levels never decide; what moves together or apart does.
"""

from itertools import islice, pairwise
from math import isfinite, sqrt

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import in_noise
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.functions import MEAN, PREFIX, functions_of
from rldk.health.tracks import Streak, Track
from rldk.metrics.aliases import LENGTH, REWARD

__all__ = ["RULES"]


class ProxyDivergence(Rule):
    """The reward rises while what you care about falls: reward hacking.

    ## What it looks for
    The reward against the truth: the metric that you name as `truth_metric`, or, where one of the reward
    functions has weight 0 and so is only watched, that function.

    ## Why it matters
    The policy has found a loophole; every further step is spent on it.

    ## How it decides
    Over the last 40 records (evals: over the last 4) the smoothed reward gained as much as its
    record-to-record noise and the truth lost as much as its own and is below its best by twice that, for 15
    records in a row, and by a fifth of its largest value. Smoothed autocorrelated noise changes by so much
    in one window of 40 of two hundred. It holds until half of that loss is regained, also when both stand
    still.

    ## What looks alike but is healthy
    Learning a format first can lower accuracy for 20 to 50 steps. Small evals are noise: use 100 items.

    ## What to do
    Correct the reward; tie the policy to the reference; stop at the best truth.

    ## Sources
    open-r1#255, open-r1#407; Gao et al. (arXiv 2210.10760); arXiv 2606.04923 (onset between steps 68
    and 478).
    """

    code, name, severity = "REW006", "proxy-divergence", Severity.WARNING
    phases = ("train", "eval")
    enable = (
        "log the metric that truth_metric names; its name is that of docs/metrics.md or the trainer's key"
    )
    algorithms = ONLINE

    class Options(RuleOptions, frozen=True):
        """Thresholds of proxy-divergence."""

        change: float = 1.0
        """Least gain of the reward and loss of the truth, in standard deviations of their noise."""
        share: float = 0.2
        """Least loss of the truth, as a share of the largest value that it had."""
        records: int = 15
        """Records in a row; fewer where each is the mean of many steps."""

    def start(self) -> None:
        self.reward = self.chart.track(REWARD)
        self.truth_name = self.context.truth_metric
        self.truth = Track()
        self.apart = Streak()
        self.hacked_at: int | None = None
        self._weights = self.context.option("reward_weights")

    def checkable(self) -> str | None:
        weights = self.context.option("reward_weights")
        if self.context.truth_metric or (isinstance(weights, list) and weights.count(0) == 1):
            return None
        return (
            "name the metric that the reward is a proxy of: RLDKCallback(truth_metric=...), or "
            "rldk doctor --truth-metric"
        )

    def inputs(self) -> tuple[str, ...]:
        return (self.truth_name,) if self.truth_name else ("rewards/*/mean",)

    def observe(self, at: Observation) -> Verdict | None:
        if self.truth_name is None:
            self.truth_name = self._watched(at)
        value = at.values.get(self.truth_name or "")
        if value is None or not isfinite(value):
            return None
        self.truth.push(at.step, value)
        reward, truth = self.reward, self.truth
        evals = at.phase == "eval"
        enough = self.enough(40, least=15)
        if reward.count < enough or truth.count < (4 if evals else enough):
            return None
        window = 40
        lost = truth.mean(4) - truth.best if evals else truth.gain(window)
        apart = (
            in_noise(reward, reward.gain(window)) >= self.options.change
            and in_noise(truth, lost) <= -self.options.change
            and in_noise(truth, truth.best - truth.ema10) >= 2.0 * self.options.change
            and truth.best - truth.ema10 >= self._least_loss()
        )
        held = self.apart.feed(apart, at.step)
        if held >= (2 if evals else self.enough(self.options.records)):
            self.hacked_at = self.hacked_at or truth.best_step
        # What has been hacked stays so, also when both curves are flat, until the truth is regained.
        if self.hacked_at is not None and truth.best - truth.ema10 < 0.5 * self._least_loss():
            self.hacked_at = None
        if self.hacked_at is None:
            return None
        return Verdict(
            severity=Severity.WARNING,
            message=f"the reward rose from {reward.start:.3g} to {reward.ema20:.3g} while the truth, "
            f"{self.truth_name}, fell from {truth.best:.3g} (step {truth.best_step}) to {truth.ema10:.3g}",
            evidence={
                "reward_mean": [reward.start, reward.ema20],
                str(self.truth_name): [truth.best, truth.ema10],
            },
            onset=self.hacked_at,
            confidence=0.8,
        )

    def _least_loss(self) -> float:
        return float(self.options.share * max(abs(self.truth.high), abs(self.truth.low)))

    def _watched(self, at: Observation) -> str | None:
        names = functions_of(at.values)
        if isinstance(self._weights, list) and len(self._weights) == len(names):
            return PREFIX + names[self._weights.index(0)] + MEAN
        return None

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the policy exploits a loophole of the reward: length, format, a phrase, a judge's bias",
                (
                    Remedy("read the best-rewarded completions, and close the loophole in the reward"),
                    Remedy("set `beta` to 0.04", up_to=0.04, verl="raise actor.kl_loss_coef"),
                    Remedy("keep the checkpoint of the best truth"),
                ),
                0.8,
            )
        ]


class RewardLengthCorrelation(Rule):
    """Reward and completion length go together, and length grows: length may be what is rewarded.

    ## What it looks for
    Changes from record to record of the mean reward and of the mean length that agree.

    ## Why it matters
    Length is the cheapest way to please many judges and format rewards.

    ## How it decides
    The correlation of the record-to-record changes over the last 100 records is at least 0.7, and the mean
    length grew by a quarter since the start: info. Changes, not levels: two series that both rise always
    correlate.

    ## What looks alike but is healthy
    Tasks whose right answers are longer. Whether the correlation holds within groups only samples can tell.

    ## What to do
    Compare short and long completions of equal quality with the reward function.

    ## Sources
    Dr. GRPO (arXiv 2503.20783); arXiv 2502.03373.
    """

    code, name, severity = "REW011", "reward-length-correlation", Severity.INFO
    needs = (REWARD, LENGTH)
    algorithms = ONLINE
    enable = "log the reward and the length of completions"

    class Options(RuleOptions, frozen=True):
        """Thresholds of reward-length-correlation."""

        correlation: float = 0.7
        """Correlation of the record-to-record changes."""
        growth: float = 1.25
        """Mean length now, in multiples of that at the start."""

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
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the reward pays for length",
                (Remedy("compare short and long completions of equal quality with the reward function"),),
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
    """Pearson's correlation; 0 where one of the two does not vary."""
    count = len(first)
    mean_a, mean_b = sum(first) / count, sum(second) / count
    a, b = [x - mean_a for x in first], [y - mean_b for y in second]
    spread = sqrt(sum(x * x for x in a) * sum(y * y for y in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / spread if spread > 0 else 0.0


RULES: tuple[type[Rule], ...] = (ProxyDivergence, RewardLengthCorrelation)
