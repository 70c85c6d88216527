"""OPT002 gradient-spike: the gradient norm jumps, and the run suffers from it.

Invariant: no level of a gradient norm decides, only the multiple of what is usual; few spikes are a warning
only if reward or loss suffers afterwards.
"""

from collections import deque
from itertools import islice, pairwise
from math import exp, log
from statistics import median
from typing import NamedTuple

from rldk.health.context import OFFLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import course
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.optimization.common import GRADIENT, TINY
from rldk.health.tracks import WINDOW
from rldk.health.trouble import Trouble
from rldk.metrics.aliases import LOSS, REWARD

__all__ = ["GradientSpike", "GradientSpikeOptions"]

LEAST = 10
"""Records before which nothing is usual."""


class Spike(NamedTuple):
    """One record far above the others."""

    number: int
    """The number of the record, from 1."""
    step: int
    value: float


class GradientSpikeOptions(RuleOptions, frozen=True):
    """Thresholds of gradient-spike."""

    ratio: float = 5.0
    """Least multiple of the median of the last 100 records that are no spikes."""
    deviations: float = 6.0
    """Least number of robust standard deviations above that median, on a log scale."""
    damage: float = 2.0
    """Change of reward or loss that counts, in standard deviations of its noise."""
    bursts: int = 3
    """Spikes, or bursts of them, among 100 records that are worth a warning if they reach `peak`."""
    peak: float = 10.0
    """Multiple of the usual norm, in the median of the spikes, that is worth a warning."""


class GradientSpike(Rule[GradientSpikeOptions]):
    """The gradient norm jumps, and the run suffers from it.

    ## What it looks for
    Gradient norms far above the run's own, followed by a fall of the reward or a rise of the loss.

    ## Why it matters
    One bad update can undo an hour: Adam's second moment stays inflated and learning slows for long.

    ## How it decides
    A record is a spike if it is at least 5 times the median of the last 100 records that are no spikes, and
    at least 6 robust standard deviations above it on a log scale. Where half of the groups have no advantage,
    no record is one.

    The score is the number of spikes among 100 records, divided by 3, or the size of the median spike: 1 at
    ten times the usual norm, 2 at a hundred times. The smaller of both counts; see
    [severity](../severity.md). Spikes within two records of each other count once. A reward that gained since
    the first halves it. From a score of 1 on it is a warning; info where only the gain keeps it below.

    Two spikes within three records: info. Warning if, within 30 records, the mean reward over 10 records
    falls by two standard deviations of its record-to-record noise. In offline training, warning if the loss
    rises by a quarter of its level and by two such deviations.

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
    explained_by = ("high-learning-rate", "sampling-mismatch", "kl-blowup")
    answers = ("gradient-spikes",)

    def start(self) -> None:
        self.gradient = self.chart.track(GRADIENT)
        self.reward = self.chart.track(REWARD)
        self.loss = self.chart.track(LOSS)
        self.zero_std = self.chart.track("frac_reward_zero_std")
        self.is_offline = self.context.algorithm in OFFLINE | {"trainer"}
        self.calm: deque[float] = deque(maxlen=WINDOW)
        """Logarithms of the last records that are no spikes."""
        self.usual, self.middle, self.spread = 0.0, 0.0, 0.0
        self.spikes: deque[Spike] = deque(maxlen=WINDOW)
        self.many = Trouble(self.reward, records=1)
        self.burst: Spike | None = None
        self.levels = (0.0, 0.0, 0.0, 0.0)
        self.hurt = ""
        self.before = 0.0
        """The usual norm before the newest burst."""

    def observe(self, at: Observation) -> Verdict | None:
        gradient = self.gradient
        count, value, spikes = gradient.count, gradient.last, self.spikes
        while spikes and spikes[-1].step >= at.step:
            spikes.pop()  # a resume does these steps again
        if gradient.step == at.step and value > TINY:
            if self._is_spike(value):
                self._note(Spike(count, at.step, value))
            else:
                self.calm.append(log(value))
                if len(self.calm) >= LEAST and (count % 20 == 0 or not self.usual):
                    self._measure()
        while spikes and count - spikes[0].number >= WINDOW:
            spikes.popleft()
        severity = self.many.feed(self._effect(), at.step)
        self.score = self.many.score if self.reward.count else 0.0  # without a reward, information only
        burst = self._burst(count)
        if severity is not None and (severity > Severity.INFO or burst is None):
            top = median(spike.value for spike in spikes)
            then, reward = self.many.then, self.reward
            paid = f", the reward {course(then.mean, reward.ema20)}" if then else ""
            return Verdict(
                severity=min(severity, self.severity),
                message=f"{len(spikes)} of the newest {min(count, WINDOW)} gradient norms are spikes: their "
                f"median is {top:.3g}, where {self.usual:.3g} is usual{paid}",
                evidence={GRADIENT: [self.usual, top]},
                onset=spikes[0].step,
                confidence=self.many.confidence,
                baseline=self.usual,
                limit=self.options.ratio * self.usual,
            )
        return burst

    def _measure(self) -> None:
        middle = self.middle = median(self.calm)
        self.spread = 1.4826 * median(abs(old - middle) for old in self.calm)
        self.usual = exp(middle)

    def _effect(self) -> float:
        """1 at the number and the height that are worth a warning; the smaller of both sizes counts."""
        spikes = self.spikes
        if not spikes:
            return 0.0
        bursts = 1 + sum(after.number - before.number > 2 for before, after in pairwise(spikes))
        height = median(spike.value for spike in spikes) / self.usual
        return min(bursts / self.options.bursts, log(max(height, 1.0)) / log(self.options.peak))

    def _is_spike(self, value: float) -> bool:
        """Whether a record is far above the others; a norm that stays there is a level and no spike."""
        ratio = self.options.ratio
        if not self.usual or value < ratio * self.usual or self.gradient.middle >= ratio * self.usual:
            return False
        if self.zero_std.ema20 >= 0.5:  # most groups have no advantage: the norm is that of a few
            return False
        return log(value) - self.middle >= self.options.deviations * max(self.spread, 0.02)

    def _note(self, spike: Spike) -> None:
        spikes = self.spikes
        if not self.burst and (not spikes or spike.number - spikes[-1].number > 2):
            reward, loss = self.reward, self.loss
            self.levels = (reward.ema10, reward.noise, loss.ema10, loss.noise)
            self.before = self.usual
        spikes.append(spike)
        if self.burst is None:
            self.burst = next(
                (
                    old
                    for old in islice(spikes, max(len(spikes) - 3, 0), len(spikes) - 1)
                    if spike.number - old.number <= 2
                ),
                None,
            )

    def _burst(self, count: int) -> Verdict | None:
        """Two spikes within three records, and what followed."""
        burst = self.burst
        if burst is None:
            return None
        age = count - burst.number
        if age > 30 and not self.hurt:
            self.burst = None
            return None
        self.hurt = self._damage() if age <= 30 or self.hurt else ""
        if not self.hurt and age > 10:
            return None
        peak = max(
            (spike.value for spike in self.spikes if spike.number >= burst.number), default=burst.value
        )
        return Verdict(
            severity=Severity.WARNING if self.hurt else Severity.INFO,
            message=f"the gradient norm jumped from {self.before:.3g} to {peak:.3g}"
            + (f", and then {self.hurt}" if self.hurt else self._unhurt()),
            evidence={GRADIENT: [self.before, peak]},
            onset=burst.step,
            confidence=0.8 if self.hurt else 0.5,
            baseline=self.before,
            limit=self.options.ratio * self.before,
        )

    def _unhurt(self) -> str:
        """What `_damage` looked at and found whole; nothing where it had nothing to look at."""
        if self.reward.count >= 20:
            return "; the reward has not suffered"
        return "; the loss has not suffered" if self.is_offline and self.loss.count >= 20 else ""

    def _damage(self) -> str:
        rewarded, reward_noise, lost, loss_noise = self.levels
        reward, loss, times = self.reward, self.loss, self.options.damage
        if reward.count >= 20:
            fall = rewarded - reward.ema10
            if fall >= times * max(reward_noise, 0.05 * (reward.high - reward.low), 1e-12):
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
                    self.chart.step_size.lower(0.3),
                    Remedy("set `max_grad_norm` to 0.2", down_to=0.2, verl="lower actor.grad_clip"),
                ),
                self.chart.step_size.blame(0.6),
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
