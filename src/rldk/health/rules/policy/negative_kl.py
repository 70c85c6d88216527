"""POL002 negative-kl: the mean KL goes below 0: sampling settings break the estimator, and the policy is
paid for it.

Invariant: only a mean that is below 0 by more than its noise is reported.
"""

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.policy.common import KL_SEQUENCE
from rldk.health.tracks import Streak
from rldk.metrics.aliases import KL

__all__ = ["NegativeKL", "NegativeKLOptions"]


class NegativeKLOptions(RuleOptions, frozen=True):
    """Thresholds of negative-kl."""

    sequence: float = 1.0
    """How far below 0 a KL summed over a completion is reported."""
    token: float = 0.05
    """How far below 0 a KL per token is reported."""
    records: int = 10
    """Records in a row."""


class NegativeKL(Rule[NegativeKLOptions]):
    """The mean KL goes below 0: sampling settings break the estimator, and the policy is paid for it.

    ## What it looks for
    A mean KL between policy and reference below 0 by more than its noise. A true KL is never negative; the k1
    estimate of PPO, online DPO and RLOO can be, where completions are not samples of the policy.

    ## Why it matters
    The penalty becomes a reward: the policy learns to make it more negative.

    ## How it decides
    The mean of ten records is at least three standard errors below 0, for ten records in a row. Summed over a
    completion: below -1 warning, below -5 critical, below -0.1 info. Per token: below -0.05 warning, below
    -0.5 critical. The k3 estimate of GRPO cannot be negative; -1e-9 is rounding.

    ## What looks alike but is healthy
    Small negative values are noise of the estimator and go away (a maintainer in trl#925).

    ## What to do
    Sample from the policy as it is: no `top_k`, `top_p` or `min_p`, no suppressed EOS, dropout off.

    ## Sources
    trl#235, trl#239, trl#925, trl#1857, trl#351; LlamaFactory#664; TRL how_to_train.
    """

    code, name, severity = "POL002", "negative-kl", Severity.CRITICAL
    needs = (f"{KL}|{KL_SEQUENCE}",)
    algorithms = ONLINE
    enable = "train with beta > 0 (kl_coef in PPO): without a reference there is no KL"
    answers = ("negative-kl",)

    def start(self) -> None:
        self.token = self.chart.track(KL)
        self.sequence = self.chart.track(KL_SEQUENCE)
        self.below = Streak()

    def observe(self, at: Observation) -> Verdict | None:
        per_token = self.token.count > 0
        kl = self.token if per_token else self.sequence
        least = self.options.token if per_token else self.options.sequence
        threshold = least if per_token else 0.1 * least
        level = kl.ema10
        if level > -threshold:
            self.below.feed(False, at.step)
            return None
        held = self.below.feed(level <= -kl.noise, at.step)
        if held < self.options.records:
            return None
        severity = Severity.INFO
        if level <= -least:
            severity = Severity.CRITICAL if level <= -(10 if per_token else 5) * least else Severity.WARNING
        return Verdict(
            severity=severity,
            message=f"the mean KL to the reference is {level:.3g} nats "
            f"{'a token' if per_token else 'a completion'}, below 0 since step {self.below.since}: it cannot "
            "be negative if completions are samples of the policy",
            evidence={"kl": level, "noise": kl.noise, "records": held},
            onset=self.below.since,
            confidence=0.9 if severity is Severity.CRITICAL else 0.7,
            limit=-threshold,
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "completions are drawn from another distribution than the policy's",
                (
                    Remedy("set `top_p` to 1.0 and sample from all tokens", up_to=1.0),
                    Remedy("set `top_k=0`"),
                    Remedy("remove any minimum length and any ban of EOS from generation"),
                ),
                0.7,
            ),
            Cause(
                "dropout is on in the policy or in the reference",
                (Remedy("set `disable_dropout=True`"),),
                0.4,
            ),
            Cause(
                "the k1 estimate is used as a penalty, which can be negative",
                (Remedy("set `kl_estimator='k3'`"),),
                0.3,
            ),
        ]
