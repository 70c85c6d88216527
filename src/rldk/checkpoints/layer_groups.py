"""Sums over the tensors of a checkpoint: by part and layer, and over all that the previous checkpoint shares.

Invariant: a sum is unknown if one of its tensors is unknown.
"""

import math
from typing import NamedTuple

import msgspec

from rldk.schema.checkpoint import Comparison, Group

__all__ = ["LayerGroups", "Tensor", "group_of"]

MAX_GROUPS = 2000
"""Most separate groups; all further tensors share a last group."""


class Tensor(NamedTuple):
    """One tensor, measured."""

    name: str
    elements: int
    squares: float | None
    """Sum of the squares of its finite elements; None if it is no float."""
    compared: bool = False
    """Whether the previous checkpoint has it in the same dtype and shape."""
    changed: int | None = None
    """Elements that are not bit-equal to the previous ones; None if unknown."""
    moved: float | None = None
    """Sum of the squares of the differences; None if unknown."""


class _Sum(msgspec.Struct):
    tensors: int = 0
    elements: int = 0
    floats: int = 0
    squares: float = 0.0
    compared: int = 0
    equal: int = 0
    compared_elements: int = 0
    compared_squares: float = 0.0
    changed: int | None = 0
    moved: float | None = 0.0

    def add(self, tensor: Tensor) -> None:
        self.tensors += 1
        self.elements += tensor.elements
        if tensor.squares is not None:
            self.floats += 1
            self.squares += tensor.squares
        if not tensor.compared:
            return
        self.compared += 1
        self.equal += tensor.changed == 0
        self.compared_elements += tensor.elements
        self.changed = (
            None if self.changed is None or tensor.changed is None else self.changed + tensor.changed
        )
        if tensor.squares is not None:
            self.compared_squares += tensor.squares
            moved = 0.0 if tensor.changed == 0 else tensor.moved
            self.moved = None if self.moved is None or moved is None else self.moved + moved

    @property
    def unchanged(self) -> float | None:
        """The share of bit-equal elements among those compared."""
        if not self.compared_elements or self.changed is None:
            return None
        return 1.0 - self.changed / self.compared_elements

    @property
    def drift(self) -> float | None:
        """||dW|| / ||W|| of the compared elements."""
        if not self.compared_squares or self.moved is None:
            return None
        return math.sqrt(self.moved / self.compared_squares)


class LayerGroups:
    """The sums of one checkpoint."""

    def __init__(self) -> None:
        self._all = _Sum()
        self._groups: dict[str, _Sum] = {}

    def add(self, tensor: Tensor) -> None:
        """Count a tensor."""
        self._all.add(tensor)
        name = group_of(tensor.name)
        if name not in self._groups and len(self._groups) >= MAX_GROUPS:
            name = "others"
        self._groups.setdefault(name, _Sum()).add(tensor)

    def groups(self) -> list[Group]:
        """The sums by part and layer, in the order of their first tensors."""
        return [
            Group(
                name=name[:200],
                tensors=one.tensors,
                parameters=one.elements,
                norm=math.sqrt(one.squares) if one.floats else None,
                unchanged=one.unchanged,
                drift=one.drift,
            )
            for name, one in self._groups.items()
        ]

    def fill(self, compared: Comparison) -> None:
        """Add to the comparison the sums over all tensors that both checkpoints have."""
        total = self._all
        compared.tensors, compared.unchanged_tensors = total.compared, total.equal
        compared.unchanged, compared.drift = total.unchanged, total.drift


def group_of(tensor: str) -> str:
    """The part of a layer to which a tensor belongs, as `model.layers.3.mlp`; without layers, its module."""
    parts = tensor.removeprefix("base_model.model.").split(".")
    number = next((i for i, part in enumerate(parts) if part.isdigit()), None)
    if number is None:
        return ".".join(parts[:-1]) or tensor
    if number + 2 >= len(parts):
        return ".".join(parts[: number + 1])
    module = parts[number + 1]
    kind = "norms" if "norm" in module or module.startswith("ln_") else module
    return ".".join([*parts[: number + 1], kind])
