"""POL008 bad-critic: the critic explains nothing, or explodes.

Invariant: the rule waits for 20 records, and the reward decides whether a bad critic is a warning.
"""

from typing import NamedTuple

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import thrives
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.tracks import Streak
from rldk.metrics.aliases import REWARD

EXPLAINED, CLIPPED = "value_explained_variance", "value_clip_frac"
LOSSES = "value_loss_mean|value_squared_error_mean"

__all__ = ["BadCritic", "BadCriticOptions"]


class Fault(NamedTuple):
    """What is wrong with the critic."""

    text: str
    metric: str
    values: float | list[float]
    baseline: float | None
    limit: float


class BadCriticOptions(RuleOptions, frozen=True):
    """Thresholds of bad-critic."""

    explained: float = 0.0
    """Median explained variance of 30 records below which the critic explains nothing."""
    times: float = 10.0
    """The loss as a multiple of its level in records 5 to 25."""
    clipped: float = 0.5
    """Share of clipped values above which it is reported."""
    records: int = 10
    """Records in a row."""


class BadCritic(Rule[BadCriticOptions]):
    """The critic explains nothing, or explodes.

    ## What it looks for
    The explained variance of the critic's values, its loss and its share of clipped values.

    ## Why it matters
    Advantages are the returns less the critic's values: a bad critic makes them noisier than no critic would.

    ## How it decides
    After 20 records: the median explained variance of 30 records is below 0; or the loss, a mean of ten
    records, is ten times the median of records 5 to 25 for ten records; or more than half of the values are
    clipped for ten records. Warning where the reward is
    neither at its top nor above its start, and does not improve. Otherwise a negative explained variance
    is info, and the other two are not reported.

    ## What looks alike but is healthy
    A negative value in the first 20 updates; a dip to -2.35 over 50 records without consequence in a healthy
    public log; a loss that grows with the reward: hence the reward decides.

    ## What to do
    Warm the critic up before the policy, `lam` 1.0 for long answers, normalise rewards.

    ## Sources
    VC-PPO (arXiv 2503.01491); NeMo-RL#3412 (explained variance -0.72 to -5.28 while the critic's gradient
    went from 110 to 700); J. Schulman's "Nuts and Bolts".
    """

    code, name, severity = "POL008", "bad-critic", Severity.WARNING
    shown_on = (EXPLAINED, LOSSES, CLIPPED)
    needs = (f"{EXPLAINED}|{LOSSES}|{CLIPPED}",)
    algorithms = ONLINE
    enable = "train with a critic, as PPO does"

    def start(self) -> None:
        track = self.chart.track
        self.explained = track(EXPLAINED)
        self.loss = track(LOSSES)
        self.clipped = track(CLIPPED)
        self.reward = track(REWARD)
        self.bad, self.below = Streak(), Streak()
        self.alarmed = False
        self.median = 0.0
        self.negative = 0
        self.begin = 0

    def observe(self, at: Observation) -> Verdict | None:
        fault, since = self._explains_nothing(at.step), self.begin
        if fault is None:
            fault = self._explodes()
            held = self.bad.feed(fault is not None, at.step)
            since = self.bad.since
            if held < self.options.records:
                return None
        if fault is None:
            return None
        thriving = thrives(self.reward)
        if thriving and (not self.negative or self.alarmed):
            return None
        self.alarmed = not thriving and self.reward.count > 0
        return Verdict(
            severity=Severity.INFO if thriving or not self.reward.count else Severity.WARNING,
            message=fault.text + (", but the reward does well" if thriving else ""),
            evidence={fault.metric: fault.values},
            onset=since,
            confidence=0.7,
            baseline=fault.baseline,
            limit=fault.limit,
        )

    def _explains_nothing(self, step: int) -> Fault | None:
        explained = self.explained
        below = self.below.feed(explained.count > 0 and explained.ema10 < self.options.explained, step)
        if explained.count < 50:
            return None
        if below:
            self.begin = self.below.since
        if explained.count % 10 == 0:
            self.median = explained.median(30)
            self.negative = int(self.median < self.options.explained)
        if not self.negative:
            return None
        text = f"the critic explains nothing: median explained variance {self.median:.2g} over 30 records"
        return Fault(text, EXPLAINED, self.median, None, self.options.explained)

    def _explodes(self) -> Fault | None:
        loss, own, times = self.loss, self.loss.baseline, self.options.times
        if own is not None and own > 0 and loss.ema10 >= times * own:
            text = f"the critic's loss rose from {own:.3g} to {loss.ema10:.3g}"
            name = next(iter(self.chart.held(LOSSES)), LOSSES)
            return Fault(text, name, [own, loss.ema10], own, times * own)
        if self.clipped.count >= 20 and self.clipped.ema10 > self.options.clipped:
            text = f"{self.clipped.ema10:.0%} of the critic's values are clipped"
            return Fault(text, CLIPPED, self.clipped.ema10, None, self.options.clipped)
        return None

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the critic started cold",
                (Remedy("start the critic from the reward model, or train it alone first"),),
                0.6,
            ),
            Cause(
                "returns are too large or too late for it",
                (
                    Remedy("set `whiten_rewards=True`"),
                    Remedy("set `lam` to 1.0", up_to=1.0),
                    Remedy("raise `cliprange_value`", scale=2),
                ),
                0.5,
            ),
        ]
