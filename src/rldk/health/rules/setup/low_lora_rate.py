"""SET006 low-lora-rate: a LoRA adapter at the learning rate of full fine-tuning.

Invariant: it is info, since a low rate may be intended.
"""

from rldk.health.rule import Cause, Verdict
from rldk.health.rules.setup.common import SetupRule

__all__ = ["LowLoraRate"]


class LowLoraRate(SetupRule):
    """A LoRA adapter at the learning rate of full fine-tuning.

    ## What it looks for
    An adapter model and a learning rate of at most 2e-6.

    ## Why it matters
    LoRA needs about ten times the rate; at the default of GRPO the run looks alive and learns nothing.

    ## How it decides
    By the class of the model and `learning_rate`. Which modules are adapted is not known.

    ## What looks alike but is healthy
    A short second stage that is meant to move little.

    ## What to do
    Raise the learning rate tenfold, and adapt all linear layers.

    ## Sources
    TRL's "LoRA without regret": 1e-5 against 1e-6.
    """

    code, name = "SET006", "low-lora-rate"
    algorithms = frozenset({"grpo", "rloo", "ppo"})
    reads = ("learning_rate",)

    def inspect(self) -> Verdict | None:
        rate = self.context.number("learning_rate")
        if rate is None or not 0 < rate <= 2e-6 or not (self.context.model_class or "").startswith("Peft"):
            return None
        return self.info(
            f"the adapter trains at a learning rate of {rate:g}, which suits full fine-tuning",
            {"learning_rate": rate, "model_class": self.context.model_class},
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the learning rate is the default for full fine-tuning",
                (self.chart.step_size.higher(10),),
            )
        ]
