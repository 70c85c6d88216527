"""POL001 kl-blowup: the policy runs away from its reference and the reward does not pay for it.

Invariant: a distance alone is no fault; it is one only where the reward did not gain from it.
"""

import math

from rldk.health.context import GROUPED, ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import at_ceiling, falls, improving
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.policy.common import KL_SEQUENCE, LOWER_RATE
from rldk.health.tracks import BASELINE, Streak, Track
from rldk.metrics.aliases import KL, LOSS, REWARD

__all__ = ["KLBlowup", "KLBlowupOptions"]

KL_REFERENCE = "kl_reference_point_mean"


class KLBlowupOptions(RuleOptions, frozen=True):
    """Thresholds of kl-blowup."""

    records: int = 10
    """Records in a row above the limit."""
    times: float = 5.0
    """The limit as a multiple of the run's own level."""
    floor: float = 0.5
    """Lowest limit of a KL per token, in nats, against the median of records 5 to 25."""
    first_floor: float = 1.0
    """Lowest limit of a KL per token, in nats, against the first record."""
    sequence_limit: float = 10.0
    """The limit of a KL summed over a completion, in nats."""
    jump: float = 10.0
    """Multiple of the recent median that four records in a row must exceed to be a jump."""
    gain: float = 0.5
    """Gain of the reward, as a share of its spread, that pays for the distance."""


class KLBlowup(Rule[KLBlowupOptions]):
    """The policy runs away from its reference and the reward does not pay for it.

    ## What it looks for
    The KL between policy and reference, high for many records, in a run whose reward gained little.

    ## Why it matters
    The policy forgets what it could do before; text degrades; the reward model's scores stop meaning
    anything.

    ## How it decides
    It holds when ten records in a row are above the limit, or four in a row above ten times the median of the
    50 before. The limit of a KL per token is five times the median of records 5 to 25 and at least 0.5 nats,
    or five times the first record and at least 1 nat. Where GRPO or RLOO train a whole model, the reference
    is the policy's own start, so the limit from the first record is 1 nat. The limit of a KL summed over a
    completion (PPO, online DPO) is 10 nats, the top of the range in TRL's guide; above five times that it is
    reported whatever the reward. KTO's reference point has a scale of its own: only the ten-fold jump counts,
    together with a loss above its start. It is a warning unless the reward gained: by half its spread since
    the start, to a ceiling, or by twice its record-to-record noise in 40 records. The spread is `reward_std`
    where that is logged, since the noise of a record shrinks with the batch. Critical: above ten times the
    limit while the reward has fallen below its start.

    ## What looks alike but is healthy
    Single-record spikes of the k3 estimate (8 spikes to 197 in a run whose reward was intact): hence records
    in a row, never a mean. A reference that differed from the start, with a KL of 0.3 to 12: hence multiples
    of the run's own first record. A run that learns much moves far. `beta=0` logs no KL: nothing to check.

    ## What to do
    Lower the learning rate, raise `beta`, go back to the checkpoint before the onset.

    ## Sources
    TRL how_to_train (0 to 10 for the sum); open-r1#257; ms-swift#6550; OpenRLHF#931; trl#3015 (overflow of
    k3); trl#4040 (no key with beta=0); public logs: one drifts to 2.5 nats a token in 20 steps while the
    reward gains a third of its spread.
    """

    code, name, severity = "POL001", "kl-blowup", Severity.CRITICAL
    needs = (f"{KL}|{KL_SEQUENCE}|{KL_REFERENCE}",)
    algorithms = ONLINE | {"kto"}
    enable = "train with beta > 0 (kl_coef in PPO): without a reference there is no KL"
    explained_by = ("sampling-mismatch", "stale-rollout", "negative-kl")
    shown_by = ("before", "since")

    def start(self) -> None:
        self.token = self.chart.track(KL)
        self.sequence = self.chart.track(KL_SEQUENCE)
        self.kto = self.chart.track(KL_REFERENCE)
        self.reward = self.chart.track(REWARD)
        self.spread = self.chart.track("reward_std")
        self.loss = self.chart.track(LOSS)
        self.mismatch = self.chart.track("sampling_logp_difference_mean|sampling_prob_difference_mean")
        self.high = Streak()
        self.extreme = Streak()
        self.jump = Streak()
        self.far = Streak()
        self.before = math.inf
        self.limit = math.inf

    def observe(self, at: Observation) -> Verdict | None:
        kl = self.token if self.token.count else self.sequence if self.sequence.count else self.kto
        if kl.count <= BASELINE[1]:
            self.limit = self._limit(kl)
        limit = self.limit
        value = kl.last
        held = self.high.feed(value >= limit, at.step)
        extreme = self.extreme.feed(value >= 10 * limit, at.step)
        jumped = self._jumped(kl, at.step)
        far = self.far.feed(kl is self.sequence and value >= 5 * limit, at.step)
        if held < self.options.records and jumped < 4:
            return None
        if far < self.options.records and self._paid():
            return None
        streak = self.high if held >= self.options.records else self.jump
        reward = self.reward
        lost = reward.count > 5 and reward.ema10 < reward.start
        severity = Severity.CRITICAL if extreme >= 5 and lost else Severity.WARNING
        if not reward.count and kl is not self.kto:
            severity = Severity.INFO
        level = kl.median(5)
        reward_text = f", the reward from {reward.start:.3g} to {reward.ema20:.3g}" if reward.count else ""
        return Verdict(
            severity=severity,
            message=f"the KL to the reference rose from {min(kl.first, kl.start):.3g} to {level:.3g} nats "
            f"{'a token' if kl is self.token else 'a completion'}{reward_text}",
            evidence={
                "kl": [kl.first, kl.baseline, level],
                "limit": limit if math.isfinite(limit) else None,
                "reward_mean": [reward.start, reward.ema20],
            },
            onset=streak.since,
            confidence=0.9 if extreme >= 5 else 0.75,
        )

    def _limit(self, kl: Track) -> float:
        options = self.options
        if kl is self.kto:
            return math.inf
        if kl is self.sequence:
            length = self.context.number("response_length") or 0.0
            own = options.times * max(min(kl.first, kl.start), 0.0)
            return max(options.sequence_limit, 0.02 * length, own)
        # TRL loads the reference from where the policy came from; an adapter may have been trained before.
        whole = self.context.model_class is not None and not self.context.model_class.startswith("Peft")
        same = whole and self.context.algorithm in GROUPED
        limit: float = options.first_floor if same else max(options.first_floor, options.times * kl.first)
        if kl.baseline is not None:
            limit = min(limit, max(options.floor, options.times * kl.baseline))
        return limit

    def _jumped(self, kl: Track, step: int) -> int:
        """Records in a row at ten times the median of the 50 before the first of them."""
        floor = self.options.floor if kl is self.token else 1.0
        if kl.count < 20 or kl.last < floor:
            return self.jump.feed(False, step)
        if not self.jump.count:
            self.before = kl.median(50)
        return self.jump.feed(kl.last >= self.options.jump * max(self.before, 0.0), step)

    def _paid(self) -> bool:
        reward = self.reward
        if self.kto.count and not self.token.count:
            return self.loss.count > 5 and self.loss.ema10 < self.loss.start
        if not reward.count:
            return False
        spread = max(self.spread.ema50, self.spread.start, self.spread.first)
        unit = max(reward.noise, spread, 0.05 * (reward.high - reward.low), 1e-9)
        paid = reward.rise >= self.options.gain * unit or at_ceiling(reward) or improving(reward, sd=2.0)
        return paid and not falls(reward)

    def causes(self) -> list[Cause]:
        beta = self.context.number("beta")
        return [
            Cause(
                "the learning rate is too high",
                (LOWER_RATE, Remedy("set `max_grad_norm` to 0.2", down_to=0.2)),
                0.7,
            ),
            Cause(
                "the KL penalty is too small to hold the policy",
                (
                    Remedy("set `beta` to 0.04", up_to=0.04, verl="raise actor.kl_loss_coef, from 0.001"),
                    Remedy("raise `kl_coef`", scale=4),
                ),
                0.6 if beta is not None and beta < 0.02 else 0.4,
            ),
            Cause(
                "generation and training disagree about the probabilities, so updates go astray",
                (Remedy("see sampling-mismatch: compare the log-probabilities of one prompt in both"),),
                0.65 if self.mismatch.count and self.mismatch.ema10 > 3 * self.mismatch.start else 0.1,
            ),
        ]
