"""POL006 entropy-explosion: entropy climbs, and text turns to noise.

Invariant: no level of entropy is a fault by itself; the rule compares a run with its own beginning, and the
reward decides.
"""

from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import gained, improving, solved
from rldk.health.rule import Cause, RuleOptions, Severity, Verdict
from rldk.health.rules.policy.common import EntropyRule
from rldk.health.tracks import Streak

__all__ = ["EntropyExplosion", "EntropyExplosionOptions"]


class EntropyExplosionOptions(RuleOptions, frozen=True):
    """Thresholds of entropy-explosion."""

    times: float = 2.0
    """Multiple of the early level from which it is reported; twice that needs half the records."""
    rise: float = 0.3
    """Least rise, in nats."""
    records: int = 10
    """Records in a row."""


class EntropyExplosion(EntropyRule[EntropyExplosionOptions]):
    """Entropy climbs, and text turns to noise.

    ## What it looks for
    Mean entropy of the tokens far above the run's own beginning, in a run whose reward does not gain.

    ## Why it matters
    Noise scores nothing and does not end, and the next update learns from it.

    ## How it decides
    The mean of ten records is at least twice the smallest early level and 0.3 nats above it, for ten records;
    or four times and one nat above it, for five. The early levels are those of the first 3 or 5 records, and
    the median of records 5 to 25. Warning if the reward is not above its start and not improving.

    ## What looks alike but is healthy
    A slow rise by less than 1 nat that levels, with a better reward (rllm#116, verl#651). A bump that
    recovers without loss of reward. The median of records 5 to 25 alone is no baseline: a policy may be lost
    by record 5.

    ## What to do
    Repair truncation and sampling mismatch first. Then remove the entropy bonus, and lower the upper clip,
    the temperature and the learning rate.

    ## Sources
    verl#2738, verl#781, verl#651, verl#514; rllm#116 (2.0 is trouble); public logs that go from 0.2 to 8 nats
    within five records.
    """

    code, name, severity = "POL006", "entropy-explosion", Severity.WARNING
    explained_by = ("sampling-mismatch", "broken-start", "kl-blowup")
    shown_by = ("before", "since")
    answers = ("entropy-level",)

    def start(self) -> None:
        super().start()
        self.far = Streak()

    def observe(self, at: Observation) -> Verdict | None:
        entropy, options = self.entropy, self.options
        levels = self._levels()
        if not levels:
            return None
        own = min(levels)
        rise = entropy.ema10 - own
        held = self.beyond.feed(entropy.ema10 >= options.times * own and rise >= options.rise, at.step)
        far = self.far.feed(entropy.last >= 2 * options.times * own and entropy.last - own >= 1.0, at.step)
        if held < options.records and far < options.records / 2:
            return None
        reward = self.reward
        if gained(reward, sd=0.5) or solved(reward) or improving(reward):
            return None
        return Verdict(
            severity=Severity.WARNING if reward.count else Severity.INFO,
            message=f"entropy rose from {own:.2g} to {entropy.ema10:.2g} nats{self._reward_text()}",
            evidence=self._evidence(own),
            onset=self.beyond.since if self.beyond.count else self.far.since,
            confidence=0.9 if far else 0.7,
        )

    def causes(self) -> list[Cause]:
        bonus = self.context.number("entropy_coef")
        hot = self.context.number("temperature")
        return [
            Cause(
                "updates are too large",
                (
                    Remedy("lower `learning_rate`", scale=0.3, verl="lower actor_rollout_ref.actor.optim.lr"),
                    Remedy("set `beta` to 0.04", up_to=0.04, verl="raise actor.kl_loss_coef"),
                ),
                0.6,
            ),
            Cause(
                "the loss has an entropy bonus",
                (Remedy("set `entropy_coef` to 0", down_to=0, verl="set actor.entropy_coeff=0"),),
                0.9 if bonus else 0.3,
            ),
            Cause(
                "the upper clip is too wide",
                (Remedy("lower `epsilon_high` to 0.2", down_to=0.2, verl="lower actor.clip_ratio_high"),),
                0.35,
            ),
            Cause(
                "sampling is too hot",
                (Remedy("set `temperature` to 1.0", down_to=1.0),),
                0.9 if hot is not None and hot > 1.05 else 0.1,
            ),
            Cause(
                "the trainer learns from completions that the length limit cut",
                (Remedy("raise `max_completion_length`", scale=2, verl="raise data.max_response_length"),),
                0.5 if self.truncated.count and self.truncated.start > 0.5 else 0.1,
            ),
        ]
