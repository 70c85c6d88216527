"""REW006 proxy-divergence: the reward rises while what you care about falls: reward hacking.

Invariant: levels never decide; only changes of reward and truth in opposite directions do.
"""

from math import isfinite

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import in_noise
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.reward.common import MEAN, PREFIX, functions_of
from rldk.health.tracks import Streak, Track
from rldk.metrics.aliases import REWARD

__all__ = ["ProxyDivergence", "ProxyDivergenceOptions"]


class ProxyDivergenceOptions(RuleOptions, frozen=True):
    """Thresholds of proxy-divergence."""

    change: float = 1.0
    """Least gain of the reward and loss of the truth, in standard deviations of their noise."""
    share: float = 0.2
    """Least loss of the truth, as a share of its largest value so far."""
    records: int = 15
    """Records in a row; fewer where each is the mean of many steps."""


class ProxyDivergence(Rule[ProxyDivergenceOptions]):
    """The reward rises while what you care about falls: reward hacking.

    ## What it looks for
    The reward against the truth. The truth is the metric that you name as `truth_metric`, or the single
    reward function with weight 0, which the trainer only logs.

    ## Why it matters
    The policy has found a loophole; every further step is spent on it.

    ## How it decides
    Over the last 40 records (evals: over the last 4) the smoothed reward gained at least its record-to-record
    noise, and the truth lost at least its own. The truth is below its best by twice its noise and by a fifth
    of its largest value. All that for 15 records in a row: warning. Smoothed autocorrelated noise changes
    this much in 1 of 200 windows of 40. The finding stays open until the loss is less than half of that
    fifth, also when both curves are flat.

    ## What looks alike but is healthy
    Learning a format first can lower accuracy for 20 to 50 steps. Small evals are noise: use 100 items.

    ## What to do
    Correct the reward; raise `beta`, so that the policy stays near the reference; keep the checkpoint of the
    best truth.

    ## Sources
    open-r1#255, open-r1#407; Gao et al. (arXiv 2210.10760); arXiv 2606.04923 (onset between steps 68
    and 478).
    """

    code, name, severity = "REW006", "proxy-divergence", Severity.WARNING
    phases = ("train", "eval")
    enable = "log the metric that truth_metric names: by its name in docs/metrics.md, or by the trainer's key"
    algorithms = ONLINE
    shown_by = ("highest-before", "highest-since")

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
            "name the metric that the reward is a proxy for: RLDKCallback(truth_metric=...), or "
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
        # A hacked reward stays hacked, also when both curves are flat, until the truth is regained.
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
