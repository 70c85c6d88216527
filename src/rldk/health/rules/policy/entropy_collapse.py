"""POL005 entropy-collapse: the policy became deterministic, and the reward does not gain from it.

Invariant: no level of entropy is a fault by itself; the rule compares a run with its own beginning, and the
reward decides.
"""

from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import gained, improving, solved
from rldk.health.rule import Cause, RuleOptions, Severity, Verdict
from rldk.health.rules.policy.common import EntropyRule
from rldk.health.tracks import Streak
from rldk.metrics.aliases import KL

__all__ = ["EntropyCollapse", "EntropyCollapseOptions"]


class EntropyCollapseOptions(RuleOptions, frozen=True):
    """Thresholds of entropy-collapse."""

    share: float = 0.35
    """Share of the early level at or below which it is reported."""
    critical_share: float = 0.2
    """Share of the early level at or below which it is critical."""
    gone_share: float = 0.1
    """Share of the early level at or below which it is reported although the reward is above its start."""
    records: int = 15
    """Records in a row; a third as many where it is critical."""


class EntropyCollapse(EntropyRule[EntropyCollapseOptions]):
    """The policy became deterministic, and the reward does not gain from it.

    ## What it looks for
    Mean entropy of the tokens far below the run's own beginning, in a run whose reward does not do well.

    ## Why it matters
    Without entropy all completions of a prompt are alike; there is nothing left to choose from.

    ## How it decides
    The mean of ten records is at most 0.35 of the run's own level and below it by twice the noise, for 15
    records: warning. The own level is the median of records 5 to 25. Before record 25, or where an early
    level is more than twice as high, it is the largest early level. At most a fifth, for five records:
    critical. Healthy runs fall below half, the threshold proposed elsewhere, and noise hides a slow gain of
    the reward. It is not reported while the reward improves, is at its ceiling, or is high on a scale of 0 to
    1. Where the reward is above its start but no longer improves, only a fall to a tenth is reported, as a
    warning: the fall may have paid, but it pays no more. A ceiling counts only where completions no longer
    differ in reward.

    ## What looks alike but is healthy
    Entropy falls in every run that learns: healthy ones end at 0.27 to 0.47 of their base, some near 0.03
    nats, with the reward at its ceiling. First values of public runs lie between 0.12 and 2.74 nats: no
    level is low.

    ## What to do
    Raise the upper clip, sample at temperature 1, or go back to a checkpoint from before the fall.

    ## Sources
    DAPO (arXiv 2503.14476); arXiv 2505.22617 (reward as a function of entropy); Skywork-OR1 (arXiv
    2505.22312); TRL's GRPOConfig; public logs.
    """

    code, name, severity = "POL005", "entropy-collapse", Severity.CRITICAL
    explained_by = ("sampling-mismatch", "kl-blowup")
    shown_by = ("before", "since")
    answers = ("entropy-level",)

    def start(self) -> None:
        super().start()
        self.sampling = self.context.number("temperature")
        self.spread = self.chart.track("reward_std")
        self.clip, self.kl = self.chart.track("clip_frac"), self.chart.track(KL)
        self.deep = Streak()

    def observe(self, at: Observation) -> Verdict | None:
        entropy, options = self.entropy, self.options
        levels = self._levels()
        if not levels:
            return None
        own = self._own(levels)
        left = entropy.ema10 / own if own > 0 else 1.0
        low = left <= options.share and own - entropy.ema10 >= 2 * min(entropy.noise, own / 4)
        held = self.beyond.feed(low, at.step)
        deep = self.deep.feed(low and entropy.last <= options.critical_share * own, at.step)
        if held < options.records and deep < options.records / 3:
            return None
        severity = self._severity(left, deep)
        if severity is None:
            return None
        return Verdict(
            severity=severity,
            message=f"entropy fell from {own:.2g} to {entropy.ema10:.2g} nats{self._reward_text()}",
            evidence=self._evidence(own),
            onset=self.beyond.since,
            confidence=0.9 if severity is Severity.CRITICAL else 0.7,
        )

    def _own(self, levels: tuple[float, ...]) -> float:
        """The median of records 5 to 25; the largest early level before that, or where it is far higher."""
        base, largest = self.entropy.baseline, max(levels)
        return largest if base is None or base < 0.5 * largest else base

    def _severity(self, left: float, deep: int) -> Severity | None:
        reward = self.reward
        if not reward.count:
            return Severity.INFO
        high = reward.low >= 0.0 and reward.high <= 1.0 + 1e-9 and reward.ema10 >= 0.75
        if high or improving(reward) or (solved(reward) and not self._still_mixed()):
            return None
        if gained(reward):
            return Severity.WARNING if left <= self.options.gone_share else None
        very = left <= self.options.critical_share or deep >= self.options.records / 3
        return Severity.CRITICAL if very else Severity.WARNING

    def _still_mixed(self) -> bool:
        """Whether completions still differ in reward: a plateau, but no task that is solved."""
        spread = self.spread
        return spread.count > 0 and spread.ema20 > 0.5 * spread.start

    def causes(self) -> list[Cause]:
        cold = self.sampling is not None and self.sampling < 0.9
        unclipped = self.clip.count > 0 and self.clip.high == 0.0
        far = self.kl.count > 0 and self.kl.ema10 >= 1.0
        return [
            Cause(
                "only likely tokens are reinforced: the upper clip holds the others down",
                (
                    Remedy("set `epsilon_high` to 0.28", up_to=0.28, verl="set clip_ratio_high=0.28"),
                    Remedy("set `use_adaptive_entropy=True` with `entropy_target` near the early level"),
                    Remedy("set `top_entropy_quantile` to 0.2", down_to=0.2),
                ),
                0.2 if unclipped else 0.5,
            ),
            Cause(
                "sampling is too cold", (Remedy("set `temperature` to 1.0", up_to=1.0),), 0.8 if cold else 0.2
            ),
            Cause(
                "updates are too large",
                (
                    Remedy("lower `learning_rate`", scale=0.3, verl="lower actor_rollout_ref.actor.optim.lr"),
                    Remedy("set `beta` to 0.04", up_to=0.04, verl="raise actor.kl_loss_coef"),
                ),
                0.85
                if far
                else 0.7
                if self.gradient.count and self.gradient.high > 10 * self.gradient.start
                else 0.45,
            ),
        ]
