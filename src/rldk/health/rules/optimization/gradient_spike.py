"""OPT002 gradient-spike: the gradient norm jumps, and the run suffers from it.

Invariant: no level of a gradient norm decides; it is a warning only if reward or loss suffers afterwards.
"""

from collections import deque
from math import log
from statistics import median

from rldk.health.context import OFFLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.optimization.common import GRADIENT, TINY
from rldk.metrics.aliases import LOSS, REWARD

__all__ = ["GradientSpike", "GradientSpikeOptions"]


class GradientSpikeOptions(RuleOptions, frozen=True):
    """Thresholds of gradient-spike."""

    ratio: float = 5.0
    """Least multiple of the median of the last 100 records."""
    deviations: float = 6.0
    """Least number of robust standard deviations above that median, on a log scale."""
    damage: float = 2.0
    """Change of reward or loss that counts, in standard deviations of its noise."""


class GradientSpike(Rule[GradientSpikeOptions]):
    """The gradient norm jumps, and the run suffers from it.

    ## What it looks for
    Gradient norms far above the run's own, followed by a fall of the reward or a rise of the loss.

    ## Why it matters
    One bad update can undo an hour: Adam's second moment stays inflated and learning slows for long.

    ## How it decides
    A record is a spike if it is at least 5 times the median of the last 100 records and at least 6 robust
    standard deviations above it on a log scale. Two spikes within three records: info. Warning if, within 30
    records, the mean reward over 10 records falls by two standard deviations of its record-to-record noise.
    In offline training, warning if the loss rises by a quarter of its level and by two such deviations.

    ## What looks alike but is healthy
    Single spikes: a plain rule of 3 standard deviations fires 7 to 14 times per 1,000 healthy steps, and on
    every public log of 100 records. Spikes that clipping absorbed: reward and loss go on. Batches without
    advantage, whose gradient is 0: their spread widens the scale.

    ## What to do
    Look at the batch of the onset; clip harder; lower the learning rate.

    ## Sources
    trl#101, trl#281, ms-swift#3713; OLMo 2's spike score; SPAM (arXiv 2501.06842); public logs: five healthy
    ones have bursts of spikes without consequence.
    """

    code, name, severity = "OPT002", "gradient-spike", Severity.WARNING
    needs = (GRADIENT,)
    enable = "log grad_norm, as TRL does"
    explained_by = ("sampling-mismatch", "kl-blowup")
    answers = ("gradient-spikes",)

    def start(self) -> None:
        self.gradient = self.chart.track(GRADIENT)
        self.reward = self.chart.track(REWARD)
        self.loss = self.chart.track(LOSS)
        self.is_offline = self.context.algorithm in OFFLINE | {"trainer"}
        self.usual = 0.0
        self.spikes: deque[tuple[int, int]] = deque(maxlen=3)
        self.burst: tuple[int, int] | None = None
        self.peak = 0.0
        self.levels = (0.0, 0.0, 0.0, 0.0)
        self.hurt = ""

    def observe(self, at: Observation) -> Verdict | None:
        gradient = self.gradient
        count = gradient.count
        if count < 30:
            return None
        if count % 20 == 0 or not self.usual:
            self.usual = gradient.median()
        value = gradient.last
        if (
            value > max(self.options.ratio * self.usual, TINY)
            and gradient.step == at.step
            and self._is_spike(value)
        ):
            self._note(count, at.step, value)
        burst = self.burst
        if burst is None:
            return None
        age = count - burst[0]
        if age > 30 and not self.hurt:
            self.burst = None
            return None
        self.hurt = self._damage() if age <= 30 or self.hurt else ""
        if not self.hurt and age > 10:
            return None
        return Verdict(
            severity=Severity.WARNING if self.hurt else Severity.INFO,
            message=f"the gradient norm jumped from {self.usual:.3g} to {self.peak:.3g}"
            + (f", and then {self.hurt}" if self.hurt else "; reward and loss have not suffered"),
            evidence={GRADIENT: [self.usual, self.peak]},
            onset=burst[1],
            confidence=0.8 if self.hurt else 0.5,
        )

    def _is_spike(self, value: float) -> bool:
        logs = [log(old) for old in self.gradient.tail(100)[:-1] if old > TINY]
        if len(logs) < 20:
            return False
        middle = median(logs)
        spread = 1.4826 * median(abs(old - middle) for old in logs)
        above = log(value) - middle
        return above >= log(self.options.ratio) and above >= self.options.deviations * max(spread, 0.02)

    def _note(self, count: int, step: int, value: float) -> None:
        if not self.burst and (not self.spikes or count - self.spikes[-1][0] > 2):
            reward, loss = self.reward, self.loss
            self.levels = (reward.ema10, reward.noise, loss.ema10, loss.noise)
            self.peak = 0.0
        self.spikes.append((count, step))
        self.peak = max(self.peak, value)
        if self.burst is None:
            close = [spike for spike in self.spikes if count - spike[0] <= 2]
            if len(close) >= 2:
                self.burst = close[0]

    def _damage(self) -> str:
        rewarded, reward_noise, lost, loss_noise = self.levels
        reward, loss, times = self.reward, self.loss, self.options.damage
        if reward.count >= 20:
            fall = rewarded - reward.ema10
            if fall >= times * max(reward_noise, 0.02 * abs(rewarded), 1e-9):
                return f"the reward fell from {rewarded:.3g} to {reward.ema10:.3g}"
        elif self.is_offline and loss.count >= 20:
            rise = loss.ema10 - lost
            if rise >= max(times * loss_noise, 0.25 * abs(lost), 1e-9):
                return f"the loss rose from {lost:.3g} to {loss.ema10:.3g}"
        return ""

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the learning rate is too high for this batch size",
                (
                    Remedy("lower `learning_rate`", scale=0.3, verl="lower actor_rollout_ref.actor.optim.lr"),
                    Remedy("set `max_grad_norm` to 0.2", down_to=0.2, verl="lower actor.grad_clip"),
                ),
                0.6,
            ),
            Cause(
                "a bad batch",
                (Remedy("look at the data of the onset step and those around it"),),
                0.5,
            ),
            Cause(
                "Adam's second moment forgets too slowly",
                (Remedy("set `adam_beta2` to 0.95", down_to=0.95),),
                0.3,
            ),
        ]
