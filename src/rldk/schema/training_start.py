"""What a trainer held when the training began: its parameters, its optimizer, its first labels.

Owns the struct of `start` in an attempt of `{run_id}_run.json`. Invariant: what could not be known is None,
never 0.
"""

import msgspec

__all__ = ["FirstLabels", "TrainingStart"]


class FirstLabels(msgspec.Struct, frozen=True, kw_only=True):
    """The labels of some sequences, as the trainer's collator makes them."""

    sequences: int
    """Sequences that were read; those that the length limit cuts are left out."""
    counted: int
    """Labels that count in the loss: in supervised data those that are not -100."""
    ends: int
    """How many of these are an end token."""


class TrainingStart(msgspec.Struct, frozen=True, kw_only=True):
    """What the trainer held when the training began; None: not known, as where the model is sharded."""

    parameters: int | None = None
    """Parameters of the model."""
    trainable: int | None = None
    """Parameters that require a gradient."""
    optimized: int | None = None
    """Parameters that require a gradient and that the optimizer holds."""
    in_reference: int | None = None
    """Parameters that require a gradient and that the reference model shares; None without such a model."""
    optimizer: str | None = None
    """Class of the optimizer."""
    learning_rate: float | None = None
    """The highest learning rate of the optimizer's groups, before a schedule scales it."""
    adapter: str | None = None
    """Type of the PEFT adapter, such as `LORA`; None without one."""
    labels: FirstLabels | None = None
    """Labels of the first sequences, in SFT, DPO and KTO."""
