"""POL009 reference-mismatch: at the first record policy and reference already differ.

Invariant: the first five records decide, and the finding stays for the whole run.
"""

from rldk.health.context import OFFLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.common import EXCERPT
from rldk.metrics.aliases import KL

__all__ = ["ReferenceMismatch", "ReferenceMismatchOptions"]

CHOSEN = "rewards_chosen"
MULTIPLE = 1e-3
"""Relative difference of two ratios of reward and log-probability that rounding explains."""


class ReferenceMismatchOptions(RuleOptions, frozen=True):
    """Thresholds of reference-mismatch."""

    kl: float = 0.05
    """First KL per token, in nats, at step 1, above which it is reported."""
    later_kl: float = 0.3
    """Median KL of the first five records, where the first record covers several steps."""
    reward: float = 0.1
    """First implicit reward of the chosen completions, at beta 0.1."""


class ReferenceMismatch(Rule[ReferenceMismatchOptions]):
    """At the first record policy and reference already differ.

    ## What it looks for
    The first KL to the reference, or the first implicit reward of the chosen completions: both are 0 where
    policy and reference are the same model.

    ## Why it matters
    The penalty pulls the policy towards another model than the one that training began with. It may be
    intended.

    ## How it decides
    At step 1: an implicit reward beyond 0.1 (times beta / 0.1 where beta is known) or a KL above 0.05 per
    token. Where log-probabilities are logged, the second record must show that the reward is no multiple of
    them, as it is in losses without a reference (ORPO, SimPO, CPO). A first record of several steps already
    contains updates: then the median KL of the first five must be above 0.3 and not rise. Info.

    ## What looks alike but is healthy
    It is common and often intended. Ten of 18 public GRPO logs begin with a KL of 0.3 to 12: the policy has
    an adapter from fine-tuning, and the reference is the base model.

    ## What to do
    Merge the adapter first, or load it as the reference too; turn dropout off; compute reference
    log-probabilities again if they were stored.

    ## Sources
    ms-swift#6910; trl#1193; LlamaFactory#8974; public logs.
    """

    code, name, severity = "POL009", "reference-mismatch", Severity.INFO
    needs = (f"{KL}|{CHOSEN}",)
    enable = "train with a reference, and set logging_steps=1"
    when_over = "keep"

    def checkable(self) -> str | None:
        return EXCERPT if self.context.is_excerpt else None

    def start(self) -> None:
        self.kl = self.chart.track(KL)
        self.chosen = self.chart.track(CHOSEN)
        self.margins = self.chart.track("rewards_margins")
        self.logps = self.chart.track("logps_chosen")
        self.found: Verdict | None = None
        self.records = 0
        self.begin = 0

    def observe(self, at: Observation) -> Verdict | None:
        self.records += 1
        if self.records == 1:
            self.begin = at.step
        if self.records <= 5 and self.found is None:
            self.found = self._look()
        return self.found

    def _look(self) -> Verdict | None:
        if self.context.algorithm in OFFLINE:
            beta = self.context.number("beta")
            limit = self.options.reward * (beta / 0.1 if beta else 1.0)
            due = 2 if self.logps.count else 1
            if self.records != due or self.begin > 1 or abs(self.chosen.first) <= limit:
                return None
            has_learned = self.margins.first > abs(self.chosen.first)  # so it is no beginning
            if not self.chosen.count or has_learned or self._is_multiple():
                return None
            return self._verdict("implicit reward of the chosen completions", self.chosen.first, limit)
        kl = self.kl
        if self.begin <= 1:
            differs = self.records == 1 and kl.count and kl.first > self.options.kl
            return self._verdict("KL", kl.first, self.options.kl) if differs else None
        if self.records < 5 or kl.count < 5:
            return None
        level = kl.median(5)
        steady = level > self.options.later_kl and kl.last <= 1.5 * kl.first and kl.low > 0.3 * level
        return self._verdict("KL", level, self.options.later_kl) if steady else None

    def _is_multiple(self) -> bool:
        """Whether the reward is a multiple of the log-probability: then no reference is in it."""
        if self.logps.count < 2 or not self.logps.first or not self.logps.last:
            return False
        before, now = self.chosen.first / self.logps.first, self.chosen.last / self.logps.last
        return abs(before - now) <= MULTIPLE * abs(before)

    def _verdict(self, what: str, value: float, limit: float) -> Verdict:
        return Verdict(
            severity=Severity.INFO,
            message=f"policy and reference differ from the start ({what} {value:.3g}): that may be intended",
            evidence={what: value, "step": self.begin},
            onset=self.begin,
            confidence=0.8,
            baseline=0.0,
            limit=limit,
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the policy begins as a fine-tuned adapter whose reference is the base model",
                (Remedy("merge the adapter first, or load it a second time as the reference"),),
                0.7,
            ),
            Cause(
                "dropout is on in the policy or in the reference",
                (Remedy("set `disable_dropout=True`"),),
                0.3,
            ),
            Cause(
                "stored log-probabilities come from another model",
                (Remedy("compute the reference log-probabilities again"),),
                0.6 if self.context.option("precompute_ref_log_probs") else 0.2,
            ),
        ]
