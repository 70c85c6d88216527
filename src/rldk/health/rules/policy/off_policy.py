"""POL004 off-policy: updates leave the trust region: too many ratios are clipped, or the policy moves too
far in one batch.

Invariant: the distance from the generating policy decides, in multiples of its limit; a reward that gains
halves the score.
"""

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import course
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.causes import too_fast
from rldk.health.tracks import Track
from rldk.health.trouble import Trouble, size
from rldk.metrics.aliases import REWARD

__all__ = ["OffPolicy", "OffPolicyOptions"]

EARLY = 40
"""Records before which a reward cannot show yet whether it rises."""
DOUBTFUL = 0.9
"""Largest score before that, unless the clipped share rose."""


CLIPPED, BOTH = "clip_frac", "clip_two_sided_frac"
BATCH_KL, RATIO = "approx_kl_mean|approx_kl_padded_mean", "ratio_padded_mean|ratio_mean"


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
    The median of eleven records, for ten records in a row: more than 0.2 of the tokens clipped (0.4 where
    both sides are counted, as in Stable-Baselines3), an approximate KL above 0.1, or a mean ratio more than
    0.1 away from 1.

    The score is 1 at the limit and grows by 1 with each doubling; see [severity](../severity.md). A reward
    that gained since then halves it. From a score of 1 on it is a warning, info where only the gain keeps it
    below. Info also before 40 records (100 with `num_iterations` above 1), unless the clipped share rose to
    three times its start.

    ## What looks alike but is healthy
    Exactly 0 is expected with one update a batch: 1,496 of 1,496 public records show it. Classic control with
    PPO clips a fifth and more and learns: hence a reward that gains halves the score.

    ## What to do
    One update a batch, a lower learning rate.

    ## Sources
    trl#3120, trl#1857, trl#2980; INTELLECT-2 (arXiv 2505.07291); DeepSeek-V3.2 (arXiv 2512.02556).
    """

    code, name, severity = "POL004", "off-policy", Severity.WARNING
    needs = (f"{CLIPPED}|{BOTH}|{BATCH_KL}|{RATIO}",)
    shown_on = (CLIPPED, BOTH, BATCH_KL, RATIO)
    algorithms = ONLINE
    enable = "log the share of clipped tokens"
    explained_by = ("sampling-mismatch",)
    answers = ("clip-ratio-zero",)

    def start(self) -> None:
        track = self.chart.track
        names = CLIPPED, BOTH, BATCH_KL, RATIO
        self.clipped, self.both, self.kl, self.ratio = map(track, names)
        self.names = {track(name): name for name in names}
        self.reward = track(REWARD)
        self.high = Trouble(self.reward, records=self.options.records, enough=self.enough)
        self.wait = 100 if (self.context.number("num_iterations") or 1) > 1 else EARLY

    def observe(self, at: Observation) -> Verdict | None:
        effect, text, track, limit = self._deviation()
        severity = self.high.feed(effect, at.step)
        self.score = self.high.score
        if severity is None:
            return None
        if self.reward.count < self.enough(self.wait) and not self._rose():
            self.score, severity = min(self.score, DOUBTFUL), Severity.INFO
        reward, then = self.reward, self.high.then
        paid = f", the reward {course(then.mean, reward.ema20)}" if then else ""
        return Verdict(
            severity=min(severity, self.severity),
            message=f"updates leave the trust region: {text}{paid}",
            evidence={
                self.chart.held(self.names[track])[0]: track.middle,
                "reward_mean": [then.mean, reward.ema20] if then else None,
            },
            onset=self.high.since,
            confidence=self.high.confidence,
            limit=limit,
        )

    def _rose(self) -> bool:
        clipped = self.clipped
        return clipped.count > 20 and clipped.middle > max(self.options.clipped, 3 * clipped.start)

    def _deviation(self) -> tuple[float, str, Track, float]:
        """The largest of the sizes, 1 at its limit, in words, and the metric and the limit that it is of."""
        options, clipped, both, kl, ratio = self.options, self.clipped, self.both, self.kl, self.ratio
        sizes = {
            clipped: (clipped.middle / options.clipped, options.clipped),
            both: (both.middle / (2 * options.clipped), 2 * options.clipped),
            kl: (kl.middle / options.kl, options.kl),
            ratio: (abs(ratio.middle - 1) / options.ratio, 1 + options.ratio) if ratio.count else (0.0, 1.0),
        }
        track = max(sizes, key=lambda one: sizes[one][0])
        most, limit = sizes[track]
        if most < 1.0:
            return max(most, 0.0), "", track, limit
        texts = {
            kl: f"a KL of {kl.middle:.2g} nats in one batch",
            ratio: f"the mean ratio to the generating policy is {ratio.middle:.2f}",
        }
        return size(most), texts.get(track, f"{track.middle:.0%} of the tokens are clipped"), track, limit

    def causes(self) -> list[Cause]:
        return [
            too_fast(self.chart, "the learning rate is too high", 0.6, None),
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
