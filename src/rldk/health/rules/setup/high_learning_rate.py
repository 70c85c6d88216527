"""SET015 high-learning-rate: the learning rate is absurd for this trainer and a model of this size.

Invariant: it is silent where optimizer, size of the model or kind of adapter are not known, and for models
below ten million parameters, which bear far higher rates.
"""

from rldk.health.context import PAIRS
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, RuleOptions, Severity, Verdict
from rldk.health.rules.setup.common import START, SetupRule

__all__ = ["HighLearningRate", "HighLearningRateOptions", "pretraining_rate"]

SUPERVISED = frozenset({"sft", "gkd", "reward", "prm"})
POLICY = frozenset({"grpo", "rloo", "ppo", "async_grpo", "nash_md"}) | PAIRS
ADAM = ("adam", "lamb")
"""How the names of Adam's kin begin or end; their steps have the size of the rate."""
UNUSUAL = ("schedulefree", "galore", "adalomo", "lomo", "adamini", "apollo")
"""Optimizers with Adam in their name whose rates have another scale."""
LION = "lion"


class HighLearningRateOptions(RuleOptions, frozen=True):
    """Thresholds of high-learning-rate."""

    supervised: float = 10.0
    """Multiple of the pretraining rate, in supervised fine-tuning and reward models."""
    policy: float = 1.0
    """The same where the model is moved away from a reference: preferences and online trainers."""
    adapter: float = 10.0
    """By how much more LoRA, or a model that is mostly frozen, permits."""
    highest: float = 0.02
    """No adapter permits more than this."""
    least_parameters: int = 10_000_000
    """Parameters of the smallest model that is judged."""


class HighLearningRate(SetupRule[HighLearningRateOptions]):
    """The learning rate is absurd for this trainer and a model of this size.

    ## What it looks for
    The rate of the optimizer's groups, above anything that models of this size are trained with.

    ## Why it matters
    At such a rate the first steps destroy what the model knows, and no later step brings it back.

    ## How it decides
    Measure is the rate at which a model of n parameters is pretrained, about 0.001 (n / 100 million)^-0.3.
    The rate is more than 10 times that in supervised fine-tuning and in reward models, or more than that at
    all in preference and online trainers, which are to stay near a reference: warning. LoRA, and a model of
    which less than half is trained, permits ten times more, but never more than 0.02. Lion permits a third.

    Only Adam, its variants and Lion are judged, whose steps have the size of the rate. Models below ten
    million parameters, other adapters than LoRA (soft prompts train at 0.03 and more) and runs whose
    optimizer or size is not known are not judged.

    ## What looks alike but is healthy
    SGD and Adafactor, whose rates have another scale; tiny models; soft prompts.

    ## What to do
    Lower the learning rate to that of a published recipe for this trainer.

    ## Sources
    Pretraining: GPT-3 (arXiv 2005.14165, table 2.1: 6e-4 at 125M to 6e-5 at 175B) and Llama 3 (arXiv
    2407.21783: 3e-4 at 8B, 1.5e-4 at 70B, 8e-5 at 405B) lie within a factor of 2.5 of the formula. Policies:
    DPO (arXiv 2305.18290) 1e-6; defaults of TRL 1e-6. LoRA: ten times full fine-tuning ("LoRA without
    regret"). Lion: 3 to 10 times below Adam (arXiv 2302.06675). LLaMA-Factory#2810 (a rate of 0.05).
    """

    code, name, severity = "SET015", "high-learning-rate", Severity.WARNING
    algorithms = SUPERVISED | POLICY

    def checkable(self) -> str | None:
        start = self.context.start
        is_known = start.learning_rate is not None and start.parameters is not None
        return None if is_known else START

    def inspect(self) -> Verdict | None:
        start, options = self.context.start, self.options
        rate, size, algorithm = start.learning_rate, start.parameters, self.context.algorithm
        if rate is None or size is None or algorithm is None or size < options.least_parameters:
            return None
        if start.adapter not in (None, "LORA"):
            return None
        optimizer = (start.optimizer or "").lower()
        is_lion = optimizer.endswith(LION) or optimizer.startswith(LION)
        is_adam = any(name in optimizer for name in ADAM) and not any(name in optimizer for name in UNUSUAL)
        if not (is_adam or is_lion):
            return None
        pretraining = pretraining_rate(size)
        limit = pretraining * (options.supervised if algorithm in SUPERVISED else options.policy)
        is_partial = start.adapter is not None or 2 * (start.trainable or 0) < size
        if is_partial:
            limit = min(limit * options.adapter, options.highest)
        if is_lion:
            limit /= 3
        if rate <= limit:
            return None
        part = f"the {start.adapter} adapter of a" if start.adapter else "a part of a" if is_partial else "a"
        return Verdict(
            severity=Severity.WARNING,
            message=f"the learning rate is {rate:g} for {part} model of {_millions(size)} parameters: "
            f"{rate / limit:,.1f} times the highest that {algorithm} bears (about {limit:.1g}; such models "
            f"are pretrained at about {pretraining:.1g})",
            evidence={
                "learning_rate": rate,
                "limit": limit,
                "parameters": size,
                "optimizer": start.optimizer,
                "adapter": start.adapter,
            },
            confidence=0.85,
        )

    def causes(self) -> list[Cause]:
        start = self.context.start
        is_option = start.learning_rate == self.context.number("learning_rate")
        policy = self.context.algorithm not in SUPERVISED
        usual = (1e-6 if policy else 2e-5) * (10 if start.adapter else 1)
        remedy = (
            Remedy(f"lower `learning_rate` to about {usual:g}", down_to=usual)
            if is_option
            else Remedy(f"lower the rate of the optimizer that the trainer was given to about {usual:g}")
        )
        return [Cause("the rate is one for training from scratch, or a slip of a digit", (remedy,), 0.9)]


def pretraining_rate(parameters: int) -> float:
    """The peak rate at which a transformer of this size is pretrained with Adam, within a factor of 2.5."""
    return float(1e-3 * (parameters / 1e8) ** -0.3)


def _millions(size: int) -> str:
    return f"{size / 1e9:.3g} billion" if size >= 1e9 else f"{size / 1e6:.3g} million"
