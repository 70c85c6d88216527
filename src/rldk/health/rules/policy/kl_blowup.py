"""POL001 kl-blowup: the policy runs away from its reference.

Invariant: the distance decides, in multiples of a limit. A reward that gains takes away most of the score,
and never all of it.
"""

import math

from rldk.health.context import GROUPED, ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import course
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.causes import changed_here, reused, temperature, too_fast
from rldk.health.rules.policy.common import KL_SEQUENCE
from rldk.health.tracks import BASELINE, Track
from rldk.health.trouble import MIDDLE_LAG, Trouble, size
from rldk.metrics.aliases import KL, LOSS, REWARD

__all__ = ["KLBlowup", "KLBlowupOptions"]

KL_REFERENCE = "kl_reference_point_mean"
PAID = 0.8
"""How much of the score a reward that gains takes away: a policy that learns moves away."""


class KLBlowupOptions(RuleOptions, frozen=True):
    """Thresholds of kl-blowup."""

    records: int = 6
    """Records in a row at which the median of 11 is above the limit."""
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
    absolute: float = 5.0
    """KL per token, in nats, that is a fault whatever the reward does, where it is four times the first."""


class KLBlowup(Rule[KLBlowupOptions]):
    """The policy runs away from its reference.

    ## What it looks for
    The KL between policy and reference, high for many records, and what the reward gained for it.

    ## Why it matters
    The policy forgets what it could do before; text degrades; the reward model's scores stop meaning
    anything.

    ## How it decides
    The median of eleven records is above the limit, for six records; or four records in a row are above ten
    times the median of the 50 before. The limit of a KL per token is five times the median of records 5 to
    25 and at least 0.5 nats, or five times the first record and at least 1 nat. Where GRPO or RLOO train a
    whole model, the reference is the policy's own start, so the limit from the first record is 1 nat. The
    limit of a KL summed over a completion (PPO, online DPO) is 10 nats, the top of the range in TRL's guide.
    KTO's reference point has a scale of its own: only the ten-fold jump counts, together with a loss above
    its start.

    The score is 1 at the limit and grows by 1 with each doubling; see [severity](../severity.md). A reward
    that gained since then takes away up to four fifths of it, because a policy that learns moves away. From
    a score of 1 on it is a warning, critical from 2 while the reward falls. Info where only the gain keeps
    it below. A KL above 5 nats a token, or 50 a completion, that is four times the first is a warning
    whatever the reward does.

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
    explained_by = ("high-learning-rate", "sampling-mismatch", "stale-rollout", "negative-kl")
    shown_by = ("before", "since")

    def start(self) -> None:
        self.token = self.chart.track(KL)
        self.sequence = self.chart.track(KL_SEQUENCE)
        self.kto = self.chart.track(KL_REFERENCE)
        self.reward = self.chart.track(REWARD)
        self.spread = self.chart.track("reward_std")
        self.loss = self.chart.track(LOSS)
        self.mismatch = self.chart.track("sampling_logp_difference_mean|sampling_prob_difference_mean")
        records, enough = self.options.records, self.enough
        self.far = Trouble(self.reward, records=records, discount=PAID, lag=MIDDLE_LAG, enough=enough)
        self.jump = Trouble(self.reward, records=4, discount=PAID)
        self.before, self.limit = math.inf, math.inf

    def observe(self, at: Observation) -> Verdict | None:
        kl = self.token if self.token.count else self.sequence if self.sequence.count else self.kto
        if kl.count <= BASELINE[1]:
            self.limit = self._limit(kl)
        level, options = kl.middle, self.options
        own = max(min(kl.first, kl.start), 0.0)
        absolute = options.absolute if kl is self.token else 5 * options.sequence_limit
        far = self.far.feed(
            size(level / self.limit),
            at.step,
            is_absolute=level >= max(absolute, 4 * own) and kl is not self.kto,
        )
        jump = self.jump.feed(self._jump(kl), at.step)
        self.score = max(self.far.score, self.jump.score)
        if far is None and jump is None:
            return None
        trouble = self.far if (far or 0) >= (jump or 0) else self.jump
        reward, then = self.reward, trouble.then
        paid = f", the reward {course(then.mean, reward.ema20)}" if then else ""
        return Verdict(
            severity=max(far or Severity.INFO, jump or Severity.INFO),
            message=f"the KL to the reference rose from {own:.3g} to {level:.3g} nats "
            f"{'a token' if kl is self.token else 'a completion'}{paid}",
            evidence={
                "kl": [kl.first, kl.baseline, level],
                "limit": self.limit if math.isfinite(self.limit) else None,
                "reward_mean": [then.mean, reward.ema20] if then else None,
            },
            onset=trouble.since,
            confidence=trouble.confidence,
            baseline=own,
            limit=self.limit if trouble is self.far else self.options.jump * self.before,
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

    def _jump(self, kl: Track) -> float:
        """The KL as a share of ten times the median of the 50 records before the jump."""
        if kl.count < 20 or kl.last < (self.options.floor if kl is self.token else 1.0):
            return 0.0
        if kl is self.kto and self.loss.ema10 <= self.loss.start:
            return 0.0
        if self.jump.effect < 1.0:
            if kl.last < 2.0 * kl.middle:
                return 0.0  # far from ten times the median before
            self.before = kl.median(50)
        least = self.options.jump * max(self.before, 0.0)
        return size(kl.last / least) if least > 0 else 0.0

    def causes(self) -> list[Cause]:
        beta = self.context.number("beta")
        trouble = self.far if self.far.since else self.jump
        return [
            too_fast(
                self.chart,
                "the learning rate is too high",
                0.7,
                trouble.since,
                Remedy("set `max_grad_norm` to 0.2", down_to=0.2),
            ),
            changed_here(self.chart, trouble.since, paid=trouble.benefit > 0),
            temperature(self.context),
            reused(self.context),
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
