"""POL004 off-policy: updates leave the trust region: too many ratios are clipped, or the policy moves too
far in one batch.

Invariant: a level alone is information; a reward that does not thrive, or a rise, makes it a warning.
"""

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import thrives
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.policy.common import LOWER_RATE
from rldk.health.tracks import Streak
from rldk.metrics.aliases import REWARD

__all__ = ["OffPolicy", "OffPolicyOptions"]

EARLY = 40
"""Records before which a reward cannot show yet whether it rises."""


class OffPolicyOptions(RuleOptions, frozen=True):
    """Thresholds of off-policy."""

    clipped: float = 0.2
    """Share of clipped tokens above which it is reported; twice that where both sides are counted."""
    kl: float = 0.1
    """Approximate KL of an update, in nats, above which it is reported."""
    ratio: float = 0.1
    """Distance of the mean ratio from 1 above which it is reported."""
    records: int = 10
    """Records in a row."""


class OffPolicy(Rule[OffPolicyOptions]):
    """Updates leave the trust region: too many ratios are clipped, or the policy moves too far in one batch.

    ## What it looks for
    The share of clipped tokens, the ratio of new to old probabilities, the KL between them.

    ## Why it matters
    Clipped tokens teach nothing, and the other tokens push the policy along stale data.

    ## How it decides
    The mean of ten records, for ten records in a row: more than 0.2 of the tokens clipped (0.4 where both
    sides are counted, as in Stable-Baselines3), an approximate KL above 0.1, or a mean ratio more than 0.1
    away from 1. Warning where the reward does not thrive after 40 records (100 with `num_iterations` above
    1), or where the clipped share rose to three times its start; otherwise info.

    ## What looks alike but is healthy
    Exactly 0 is expected with one update a batch: 1,496 of 1,496 public records show it. Classic control with
    PPO clips a fifth and more and learns: hence the reward decides.

    ## What to do
    One update a batch, a lower learning rate.

    ## Sources
    trl#3120, trl#1857, trl#2980; INTELLECT-2 (arXiv 2505.07291); DeepSeek-V3.2 (arXiv 2512.02556).
    """

    code, name, severity = "POL004", "off-policy", Severity.WARNING
    needs = (
        "clip_frac|clip_two_sided_frac|approx_kl_mean|approx_kl_padded_mean|ratio_padded_mean|ratio_mean",
    )
    algorithms = ONLINE
    enable = "log the share of clipped tokens"
    explained_by = ("sampling-mismatch",)
    answers = ("clip-ratio-zero",)

    def start(self) -> None:
        track = self.chart.track
        self.clipped, self.both = track("clip_frac"), track("clip_two_sided_frac")
        self.kl = track("approx_kl_mean|approx_kl_padded_mean")
        self.ratio = track("ratio_padded_mean|ratio_mean")
        self.reward = track(REWARD)
        self.high = Streak()
        self.alarmed = False
        self.wait = 100 if (self.context.number("num_iterations") or 1) > 1 else EARLY

    def observe(self, at: Observation) -> Verdict | None:
        text = self._deviation_text()
        held = self.high.feed(text is not None, at.step)
        if (
            text is None
            or held < self.options.records
            or max(t.count for t in (self.clipped, self.both, self.kl, self.ratio)) < 10
        ):
            return None
        rose = self._rose()
        thriving = thrives(self.reward) and not rose
        early = self.reward.count < self.enough(self.wait) and not rose
        if thriving and self.alarmed:
            return None
        known = self.reward.count > 0 and not early
        self.alarmed = not thriving and known
        return Verdict(
            severity=Severity.INFO if thriving or not known else Severity.WARNING,
            message=f"updates leave the trust region: {text}"
            + (", but the reward does well" if thriving else ""),
            evidence={
                "clip_frac": self.clipped.ema10 if self.clipped.count else self.both.ema10,
                "approx_kl": self.kl.ema10,
                "reward_mean": [self.reward.start, self.reward.ema20],
            },
            onset=self.high.since,
            confidence=0.7,
        )

    def _rose(self) -> bool:
        clipped = self.clipped
        return clipped.count > 20 and clipped.ema10 > max(self.options.clipped, 3 * clipped.start)

    def _deviation_text(self) -> str | None:
        options = self.options
        if self.clipped.ema10 > options.clipped or self.both.ema10 > 2 * options.clipped:
            return f"{max(self.clipped.ema10, self.both.ema10):.0%} of the tokens are clipped"
        if self.kl.ema10 > options.kl:
            return f"a KL of {self.kl.ema10:.2g} nats in one batch"
        if self.ratio.count and abs(self.ratio.ema10 - 1) > options.ratio:
            return f"the mean ratio to the generating policy is {self.ratio.ema10:.2f}"
        return None

    def causes(self) -> list[Cause]:
        return [
            Cause("the learning rate is too high", (LOWER_RATE,), 0.6),
            Cause(
                "too many updates on the same completions",
                (
                    Remedy("set `num_iterations` to 1", down_to=1),
                    Remedy("lower `steps_per_generation`", scale=0.5, down_to=1),
                    Remedy("set `num_ppo_epochs` to 1", down_to=1),
                ),
                0.55,
            ),
            Cause("completions are older than one update", (Remedy("see stale-rollout"),), 0.2),
        ]
