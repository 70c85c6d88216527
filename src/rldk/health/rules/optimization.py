"""The optimization family: gradients that grow; losses are in `offline`, zeros in `standstill`.

Invariant: no level of a gradient norm decides; it is compared with the run's own, and what follows counts.
"""

from collections import deque
from math import log
from statistics import median

from rldk.health.context import OFFLINE, ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import improving, solved
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules import divergence, offline, standstill
from rldk.health.rules.nonfinite import NonFinite
from rldk.metrics.aliases import LOSS, REWARD

__all__ = ["RULES"]

GRADIENT = "grad_norm"
_TINY = 1e-12


class GradientSpike(Rule):
    """The gradient norm jumps, and the run suffers from it.

    ## What it looks for
    Gradient norms far above the run's own, followed by a fall of the reward or a rise of the loss.

    ## Why it matters
    One bad update can undo an hour: Adam's second moment stays inflated and learning slows for long.

    ## How it decides
    A record is a spike if it is at least 5 times the median of the last 100 records and at least 6 robust
    standard deviations above it on a log scale. Two spikes within three records: info. Warning if within 30
    records the mean reward over 10 records falls by two standard deviations of its record-to-record noise
    or, in offline training, the loss rises by a quarter of its level and by two such deviations.

    ## What looks alike but is healthy
    Single spikes: a plain rule of 3 standard deviations fires 7 to 14 times per 1,000 healthy steps, and on
    every public log of 100 records. Spikes that clipping absorbed: reward and loss go on. Batches without
    advantage, whose gradient is 0: their spread widens the scale.

    ## What to do
    Look at the batch of the onset; clip harder; lower the learning rate.

    ## Sources
    trl#101, trl#281, ms-swift#3713; OLMo 2's spike score; SPAM (arXiv 2501.06842); public logs, five healthy
    ones of which have bursts of spikes with nothing behind them.
    """

    code, name, severity = "OPT002", "gradient-spike", Severity.WARNING
    needs = (GRADIENT,)
    enable = "log grad_norm, as TRL does"

    class Options(RuleOptions, frozen=True):
        """Thresholds of gradient-spike."""

        ratio: float = 5.0
        """Times the median of the last 100 records."""
        deviations: float = 6.0
        """Robust standard deviations above it, on a log scale."""
        damage: float = 2.0
        """Change of reward or loss that counts, in standard deviations of its noise."""

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
            value > max(self.options.ratio * self.usual, _TINY)
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
            + (f", and then {self.hurt}" if self.hurt else "; nothing has followed from it"),
            evidence={GRADIENT: [self.usual, self.peak]},
            onset=burst[1],
            confidence=0.8 if self.hurt else 0.5,
        )

    def _is_spike(self, value: float) -> bool:
        logs = [log(old) for old in self.gradient.tail(100)[:-1] if old > _TINY]
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


class GradientCreep(Rule):
    """The gradient norm rises for hundreds of steps while the reward does not.

    ## What it looks for
    A smoothed gradient norm that has grown to a multiple of what it was early in the run, and still grows.

    ## Why it matters
    It is the usual prelude to a collapse: rollout and trainer drift apart, or the policy runs into a corner.

    ## How it decides
    From 160 records on, every tenth: mean and median of 50 records are at least 3 times those of records 10
    to 60, and the last 100 records, in blocks of five, rise with
    p < 0.01 by Mann-Kendall. Warning where the reward gained less than half of its noise over these 100
    records and is not at its ceiling; info otherwise.

    ## What looks alike but is healthy
    A rise while the reward rises, or a new stage of a curriculum. Few prompts with advantage make the norm of
    a solved task jump about.

    ## What to do
    See sampling-mismatch first; one update a batch; a lower learning rate or some KL.

    ## Sources
    verl's FAQ (a continuous rise means a precision mismatch); trl#2980 (over 10,000 steps); Liu and Li 2025.
    """

    code, name, severity = "OPT003", "gradient-creep", Severity.WARNING
    needs = (GRADIENT,)
    algorithms = ONLINE
    enable = "log grad_norm, as TRL does"

    class Options(RuleOptions, frozen=True):
        """Thresholds of gradient-creep."""

        ratio: float = 3.0
        """Times the run's early gradient norm."""
        z: float = 2.33
        """Standard normal quantile that the trend must reach; 2.33 is p = 0.01."""

    def start(self) -> None:
        self.gradient = self.chart.track(GRADIENT)
        self.reward = self.chart.track(REWARD)
        self.base = 0.0
        self.held: Verdict | None = None
        self.since: int | None = None

    def observe(self, at: Observation) -> Verdict | None:
        gradient = self.gradient
        count = gradient.count
        if count < 60:
            return None
        if count == 60:
            self.base = max(gradient.median(50), gradient.mean(50))
        elif count >= 160 and count % 10 == 0:
            self.held = self._judge(at.step)
        return self.held

    def _judge(self, step: int) -> Verdict | None:
        level, base = min(self.gradient.ema50, self.gradient.median(50)), self.base
        if (
            base <= _TINY
            or level < self.options.ratio * base
            or _trend(self.gradient.tail(100)) < self.options.z
        ):
            self.since = None
            return None
        if self.since is None:
            self.since = step
        reward = self.reward
        idle = reward.count >= 100 and not improving(reward, records=99) and not solved(reward)
        return Verdict(
            severity=Severity.WARNING if idle else Severity.INFO,
            message=f"the gradient norm crept up from {base:.3g} to {level:.3g} and still rises"
            + (f" while the reward stands at {reward.ema20:.3g}" if idle else ""),
            evidence={GRADIENT: [base, level], "reward_mean": reward.ema20},
            onset=self.since,
            confidence=min(0.5 + 0.05 * level / base, 0.85),
        )

    def causes(self) -> list[Cause]:
        several = (self.context.number("num_iterations") or 1) > 1
        return [
            Cause(
                "rollout engine and trainer disagree more and more",
                (Remedy("compare the log-probabilities of one fixed prompt in both engines"),),
                0.6 if self.chart.holds("sampling_*|importance_*") else 0.3,
            ),
            Cause(
                "several updates from one batch",
                (Remedy("set `num_iterations` to 1", down_to=1),),
                0.7 if several else 0.1,
            ),
            Cause(
                "updates too large, without anything that holds the policy",
                (
                    Remedy("lower `learning_rate`", scale=0.3, verl="lower actor_rollout_ref.actor.optim.lr"),
                    Remedy("set `max_grad_norm` to 0.2", down_to=0.2, verl="lower actor.grad_clip"),
                    Remedy("set `beta` to 0.01", up_to=0.01, verl="raise actor.kl_loss_coef"),
                ),
                0.5,
            ),
        ]


def _trend(values: list[float], blocks: int = 20) -> float:
    """Mann-Kendall's z of the means of `blocks` blocks: standard normal where there is no trend."""
    width = max(len(values) // blocks, 1)
    means = [sum(values[i : i + width]) / width for i in range(0, width * (len(values) // width), width)]
    n = len(means)
    score = sum((b > a) - (b < a) for i, a in enumerate(means) for b in means[i + 1 :])
    deviation = (n * (n - 1) * (2 * n + 5) / 18) ** 0.5
    return (score - 1) / deviation if score > 0 else (score + 1) / deviation if score < 0 else 0.0


RULES: tuple[type[Rule], ...] = (
    NonFinite,
    GradientSpike,
    GradientCreep,
    *divergence.RULES,
    *offline.RULES,
    *standstill.RULES,
)
"""Rules of the optimization family."""
