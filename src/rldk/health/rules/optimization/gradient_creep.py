"""OPT003 gradient-creep: the gradient norm grows to a multiple of its early level.

Invariant: no level of a gradient norm decides, only its multiple of the run's own early level; a reward that
gains halves the score.
"""

from math import isfinite, log, sqrt

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import course
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.optimization.common import GRADIENT, TINY
from rldk.health.tracks import BASELINE, Track
from rldk.health.trouble import Trouble
from rldk.metrics.aliases import REWARD

__all__ = ["GradientCreep", "GradientCreepOptions"]

EARLY = 10
"""First records whose median is the run's own level in a log that is too short for a baseline."""
DOUBTFUL = 0.9
"""Largest score where most groups have no advantage: the norm is that of a few, and jumps about."""


class GradientCreepOptions(RuleOptions, frozen=True):
    """Thresholds of gradient-creep."""

    times: float = 4.0
    """Multiple of the run's own gradient norm that is worth a warning."""
    records: int = 8
    """Records in a row at which the median of 11 is that high."""


class GradientCreep(Rule[GradientCreepOptions]):
    """The gradient norm grows to a multiple of its early level.

    ## What it looks for
    A gradient norm that has grown to a multiple of its early level, and what the reward gained meanwhile.

    ## Why it matters
    A collapse often begins so: rollout and trainer drift apart, or the policy becomes extreme.

    ## How it decides
    The median of eleven records is at least four times the run's own level, for eight records. The own level
    is the median of the first ten records, or that of records 5 to 25 where it is lower. Where the
    first ten are lower, it is the geometric mean of both: an adapter starts with small gradients. A record
    whose groups all lack a spread has no advantage, so its norm does not count.

    The score is 1 at four times the level, 2 at sixteen times; see [severity](../severity.md). A reward that
    gained since then halves it. From a score of 1 on it is a warning. Info where only the gain keeps it
    below, or where half of the groups have no advantage: the norm is then that of a few.

    ## What looks alike but is healthy
    A rise while the reward rises, or a new stage of a curriculum. On a solved task few prompts have an
    advantage, so the norm jumps about.

    ## What to do
    See sampling-mismatch first; one update a batch; a lower learning rate or some KL.

    ## Sources
    verl's FAQ (a continuous rise means a precision mismatch); trl#2980 (over 10,000 steps); Liu and Li 2025.
    """

    code, name, severity = "OPT003", "gradient-creep", Severity.WARNING
    needs = (GRADIENT,)
    algorithms = ONLINE
    enable = "log grad_norm, as TRL does"
    explained_by = ("sampling-mismatch", "stale-rollout")
    answers = ("gradient-spikes",)

    def start(self) -> None:
        self.gradient = Track()
        self.reward = self.chart.track(REWARD)
        self.zero_std = self.chart.track("frac_reward_zero_std")
        self.high = Trouble(self.reward, records=self.options.records, enough=self.enough)
        self.early = self.own = 0.0

    def observe(self, at: Observation) -> Verdict | None:
        gradient, norm = self.gradient, at.values.get(GRADIENT)
        # Without an advantage the norm is 0, or that of the KL penalty: the level would follow chance.
        if norm is not None and isfinite(norm) and at.values.get("frac_reward_zero_std") != 1.0:
            gradient.push(at.step, norm)
        if gradient.count < EARLY:
            return None
        if gradient.count <= BASELINE[1]:
            self.early = self.early or gradient.median(EARLY)
            base = gradient.baseline
            self.own = self.early if base is None else min(base, sqrt(base * self.early))
        level, own = gradient.middle, self.own
        effect = log(level / own) / log(self.options.times) if level > own > TINY else 0.0
        severity = self.high.feed(effect, at.step)
        few = self.zero_std.ema20 >= 0.5
        self.score = min(self.high.score, DOUBTFUL) if few else self.high.score
        if severity is None:
            return None
        if few:
            severity = Severity.INFO
        reward, then = self.reward, self.high.then
        paid = f", the reward {course(then.mean, reward.ema20)}" if then else ""
        return Verdict(
            severity=min(severity, self.severity),
            message=f"the gradient norm rose from {own:.3g} to {level:.3g}{paid}",
            evidence={GRADIENT: [own, level], "reward_mean": [then.mean, reward.ema20] if then else None},
            onset=self.high.since,
            confidence=self.high.confidence,
            baseline=own,
            limit=own * self.options.times,
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
                "updates are too large, and nothing holds the policy near its reference",
                (
                    self.chart.step_size.lower(0.3),
                    Remedy("set `max_grad_norm` to 0.2", down_to=0.2, verl="lower actor.grad_clip"),
                    Remedy("set `beta` to 0.01", up_to=0.01, verl="raise actor.kl_loss_coef"),
                ),
                0.5,
            ),
        ]
