"""CKP004 lora-dead: a LoRA adapter changes nothing.

Invariant: an adapter that could not learn yet is not reported.
"""

from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, RuleOptions, Severity, Verdict
from rldk.health.rules.checkpoint.common import CheckpointRule
from rldk.schema.checkpoint import Analysis

__all__ = ["LoraDead", "LoraDeadOptions"]


class LoraDeadOptions(RuleOptions, frozen=True):
    """Thresholds of lora-dead."""

    steps: int = 5
    """Step from which zeros are reported."""


class LoraDead(CheckpointRule[LoraDeadOptions]):
    """A LoRA adapter changes nothing.

    ## What it looks for
    An adapter whose lora_B are all zeros, as they were at the start, or that holds no tensor at all.

    ## Why it matters
    The saved policy is the base model, whatever the log says.

    ## How it decides
    Every lora_B is zero at step 5 or later, after at least two steps with a logged learning rate above 0, if
    any was logged; or the file has no tensors: a warning.

    ## What looks alike but is healthy
    A save before any step, or during a warm-up at rate 0. Single modules that see no gradient.

    ## What to do
    Let the trainer wrap the model (`peft_config`), and save with `trainer.save_model()`.

    ## Sources
    peft#1402, peft#793; alpaca-lora#293 (an adapter of 443 bytes).
    """

    code, name, severity = "CKP004", "lora-dead", Severity.WARNING
    explained_by = (
        "nothing-trained",
        "zero-learning-rate",
    )

    def judge(self, found: Analysis) -> Verdict | None:
        adapter, progress = found.adapter, found.progress
        if adapter is None or any(part.fault for part in found.parts) or not found.parts:
            return None
        if not found.tensors:
            message = f"the adapter of {adapter.bytes:,} bytes holds no tensor"
        elif adapter.modules and adapter.zero_b == adapter.modules:
            updates = progress.updates if progress is not None else None
            if (found.step or 0) < self.options.steps or (updates is not None and updates < 2):
                return None
            message = f"all {adapter.modules} lora_B of the adapter are zeros at step {found.step}"
        else:
            return None
        return Verdict(
            severity=Severity.WARNING,
            message=f"{message}: it changes nothing",
            evidence={"modules": adapter.modules, "zero_b": adapter.zero_b, "bytes": adapter.bytes},
            confidence=0.9,
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the adapter gets no gradient: it is frozen, or gradient checkpointing cuts it off",
                (
                    Remedy('look at "model.print_trainable_parameters()"'),
                    Remedy('call "model.enable_input_require_grads()"'),
                ),
                0.6,
            ),
            Cause(
                "the saved state is not the trained one",
                (Remedy('save with "trainer.save_model()", never with a state dict that was taken before'),),
                0.4,
            ),
        ]
