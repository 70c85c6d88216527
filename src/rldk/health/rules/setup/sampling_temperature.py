"""SET014 sampling-temperature: completions are sampled far from temperature 1, or not as they are scored.

Invariant: it says what the trainer does at this temperature, and no temperature near 1 is reported.
"""

from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, RuleOptions, Severity, Verdict
from rldk.health.rules.setup.common import SetupRule

__all__ = ["SamplingTemperature", "SamplingTemperatureOptions"]

SCALED = frozenset({"grpo", "rloo", "ppo", "async_grpo"})
"""Trainers that divide the logits by the temperature before they score what they sampled."""
UNSCALED = frozenset({"online_dpo", "nash_md", "xpo"})
"""Trainers that score what they sampled at temperature 1."""
COLD = frozenset(
    {"zero-advantage", "entropy-collapse", "duplicate-completions", "zero-gradient", "no-learning"}
)
HOT = frozenset(
    {"entropy-explosion", "broken-start", "truncation", "dead-reward", "zero-advantage", "no-learning"}
)


class SamplingTemperatureOptions(RuleOptions, frozen=True):
    """Thresholds of sampling-temperature."""

    cold: float = 0.3
    """Temperature from which on downwards sampling hardly explores."""
    hot: float = 2.0
    """Temperature from which on upwards samples are mostly noise."""
    mismatch: float = 1.25
    """Ratio of the temperatures of sampling and scoring that is reported."""


class SamplingTemperature(SetupRule[SamplingTemperatureOptions]):
    """Completions are sampled at a temperature far from 1, or at another one than they are scored at.

    ## What it looks for
    `temperature`, and a temperature in `generation_kwargs`, which replaces it in sampling alone.

    ## Why it matters
    Cold: the completions of a prompt are nearly the same, so that they score the same and teach nothing. Hot:
    they are mostly noise, which no reward function finds right.

    ## How it decides
    The temperature of sampling is at most 0.3, or at least 2: warning. GRPO, RLOO and PPO of TRL divide the
    logits by `temperature` when they score completions too, so their ratios are right. But entropy and KL are
    those of the cooled or heated policy, and the model that is used later at temperature 1 is another one.
    Online DPO and its kin score at temperature 1, so at such a temperature what is sampled is not from the
    policy that is scored.

    Where GRPO, RLOO and PPO sample at another temperature than `temperature`, by a factor of 1.25, a warning
    too: they score completions of a policy that did not write them. How a loop of
    your own scores is not known.

    ## What looks alike but is healthy
    0.6 to 1.5, which published recipes train at. Evaluation at a low temperature.

    ## What to do
    Sample at 1; if the completions are too much alike, raise it to 1.2.

    ## Sources
    TRL 0.23.1 (`logits / self.temperature`) and 1.16 (`add_fused_lm_head(..., temperature)`). Trained with
    this fault on purpose in benchmarks/detection: at 0.1 and 0.15 groups lose their spread, and at 2.5 and 3
    next to nothing is right. DeepSeek-R1 and DAPO sample at 1, POLARIS at 1.4 to 1.5.
    """

    code, name, severity = "SET014", "sampling-temperature", Severity.WARNING
    algorithms = SCALED | UNSCALED
    reads = ("temperature",)

    def start(self) -> None:
        options = self.context.options
        self.scoring = self.context.number("temperature")
        replaced = options.get("generation_kwargs")
        given = replaced.get("temperature") if isinstance(replaced, dict) else None
        is_number = isinstance(given, int | float) and not isinstance(given, bool)
        self.is_trl = self.context.dialect in (None, "trl")
        self.is_replaced = is_number and self.is_trl and self.context.algorithm in SCALED
        self.sampling = float(given) if self.is_replaced and given is not None else self.scoring

    def inspect(self) -> Verdict | None:
        sampling, scoring, options = self.sampling, self.scoring, self.options
        if sampling is None or scoring is None or sampling <= 0 or scoring <= 0:
            return None
        evidence = {"temperature": sampling, "scored_at": scoring}
        if self.is_replaced and max(sampling / scoring, scoring / sampling) >= options.mismatch:
            return self._warning(
                f"completions are sampled at temperature {sampling:g} and scored at {scoring:g}: their "
                "log-probabilities are not those of the policy that wrote them",
                evidence,
            )
        if options.cold < sampling < options.hot:
            return None
        effect = (
            "the completions of a prompt will be nearly the same, so there is little to compare"
            if sampling <= options.cold
            else "the completions will be mostly noise, so there is little to reward"
        )
        if not self.is_trl:  # how another trainer scores is not known
            scored = ""
            del evidence["scored_at"]
        elif self.context.algorithm in UNSCALED:
            scored = "; they are scored at temperature 1, so as those of another policy"
            evidence["scored_at"] = 1.0
        else:
            scored = f"; entropy and KL are those of the policy at {sampling:g} too, not at 1"
        return self._warning(
            f"completions are sampled at temperature {sampling:g}: {effect}{scored}", evidence
        )

    def explains(self, rule: str) -> bool:
        if self.sampling is None or self.options.cold < self.sampling < self.options.hot:
            return False
        return rule in (COLD if self.sampling <= self.options.cold else HOT)

    def _warning(self, message: str, evidence: dict[str, float]) -> Verdict:
        return Verdict(severity=Severity.WARNING, message=message, evidence=evidence, confidence=0.85)

    def causes(self) -> list[Cause]:
        if self.is_replaced:
            return [
                Cause(
                    "`generation_kwargs` replaces the temperature in sampling alone",
                    (Remedy("set `temperature`, and leave it out of `generation_kwargs`"),),
                    0.9,
                )
            ]
        return [
            Cause(
                "`temperature` was set for inference, or to force variety",
                (Remedy("set `temperature=1.0`", own_loop="sample at temperature 1"),),
                0.9,
            )
        ]
