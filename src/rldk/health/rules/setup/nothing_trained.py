"""SET013 nothing-trained: no parameter is trained, because none requires a gradient or is in the optimizer.

Invariant: it is silent where a framework shards or copies parameters, because their numbers are not known.
"""

from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Severity, Verdict
from rldk.health.rules.setup.common import START, SetupRule

__all__ = ["NothingTrained"]


class NothingTrained(SetupRule):
    """No parameter is trained: none requires a gradient, or the optimizer holds none that does.

    ## What it looks for
    The number of parameters that require a gradient, and how many of these the optimizer holds.

    ## Why it matters
    If either number is 0, no step changes the model. The trainer may run to its end all the same: with
    gradient checkpointing, the default of TRL, there is a loss to differentiate even in a frozen adapter.

    ## How it decides
    The callback counts parameters once, when the training begins, before the first step. Either number is 0:
    critical. It does not count under DeepSpeed, FSDP, Megatron or tensor parallelism, or with an optimizer
    that may hold copies or placeholders: only optimizers of torch, bitsandbytes and transformers are judged.
    If the model is frozen but the optimizer holds other parameters that require a gradient, the rule is
    silent, because the training is of something else.

    ## What looks alike but is healthy
    A model whose layers are unfrozen one after the other: the first ones are in the optimizer already.

    ## What to do
    Load the adapter with `is_trainable=True`; apply `get_peft_model` before the optimizer is made.

    ## Sources
    PEFT loads an adapter frozen unless `is_trainable=True`; trl#1311, trl#701.
    """

    code, name, severity = "SET013", "nothing-trained", Severity.CRITICAL

    def checkable(self) -> str | None:
        return START if self.context.start.trainable is None else None

    def inspect(self) -> Verdict | None:
        start = self.context.start
        trainable, optimized = start.trainable, start.optimized
        if trainable and (optimized is None or optimized > 0):
            return None
        if not trainable:
            message = f"none of the {start.parameters or 0:,} parameters of the model requires a gradient"
        else:
            message = (
                f"the optimizer ({start.optimizer}) holds none of the {trainable:,} parameters that require "
                "a gradient"
            )
        return Verdict(
            severity=Severity.CRITICAL,
            message=f"{message}: no step changes the model",
            evidence={"parameters": start.parameters, "trainable": trainable, "optimized": optimized},
            confidence=0.95,
        )

    def causes(self) -> list[Cause]:
        is_frozen = not self.context.start.trainable
        has_adapter = self.context.start.adapter is not None
        return [
            Cause(
                "the adapter was loaded for inference, which freezes it",
                (Remedy('load it with "PeftModel.from_pretrained(model, path, is_trainable=True)"'),),
                0.9 if is_frozen and has_adapter else 0.0,
            ),
            Cause(
                "every parameter was frozen",
                (
                    Remedy('set "requires_grad" of the parameters to train, before the trainer is made'),
                    Remedy('pass a "peft_config" to the trainer'),
                ),
                0.8 if is_frozen else 0.0,
            ),
            Cause(
                "the adapter was added after the optimizer was made",
                (
                    Remedy('apply "get_peft_model" first, and make the optimizer from its parameters'),
                    Remedy('leave out "optimizers=" and let the trainer make the optimizer'),
                ),
                0.9 if has_adapter and not is_frozen else 0.0,
            ),
            Cause(
                "the optimizer was made from the parameters of another model, as of a copy",
                (Remedy('leave out "optimizers=" and let the trainer make the optimizer'),),
                0.0 if is_frozen else 0.6,
            ),
        ]
