"""OPT003 gradient-creep: the gradient norm rises for hundreds of steps while the reward does not.

Invariant: no level of a gradient norm decides; the rule compares it with the run's own early level.
"""

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import improving, solved
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.optimization.common import GRADIENT, TINY
from rldk.metrics.aliases import REWARD

__all__ = ["GradientCreep", "GradientCreepOptions"]


class GradientCreepOptions(RuleOptions, frozen=True):
    """Thresholds of gradient-creep."""

    ratio: float = 3.0
    """Multiple of the run's early gradient norm from which it is reported."""
    z: float = 2.33
    """Standard normal quantile that the trend must reach; 2.33 is p = 0.01."""


class GradientCreep(Rule[GradientCreepOptions]):
    """The gradient norm rises for hundreds of steps while the reward does not.

    ## What it looks for
    A smoothed gradient norm that has grown to a multiple of its early level, and still grows.

    ## Why it matters
    A collapse often begins so: rollout and trainer drift apart, or the policy becomes extreme.

    ## How it decides
    From 160 records on, the rule judges every tenth. Mean and median of 50 records are at least 3 times those
    of records 10 to 60. The last 100 records, in blocks of five, rise with p < 0.01 by Mann-Kendall. Warning
    where the reward gained less than half of its noise over these 100 records and is not at its ceiling; info
    otherwise.

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
            base <= TINY
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
            + (f" while the reward stays at {reward.ema20:.3g}" if idle else ""),
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
                "updates are too large, and nothing holds the policy near its reference",
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
