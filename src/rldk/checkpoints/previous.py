"""The previous checkpoint, to compare with: its files, its fingerprint, or both.

Invariant: it never takes a changed file for the one of its fingerprint. A file that is deleted during the
analysis costs the numbers of its tensors, not the analysis.
"""

import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from rldk.checkpoints.folder import progress_of, step_of
from rldk.checkpoints.layer_groups import Tensor
from rldk.checkpoints.safetensors import Entry
from rldk.checkpoints.scan import CutShortError, Scanner, TensorStats
from rldk.checkpoints.weights import Weights
from rldk.schema.checkpoint import MAX_NAMED, Comparison

__all__ = ["Fingerprint", "KnownTensor", "PreviousCheckpoint"]


class KnownTensor(NamedTuple):
    """The fingerprint of one tensor."""

    dtype: str
    shape: tuple[int, ...]
    crc: int
    """CRC-32 of its bytes."""


class Fingerprint(NamedTuple):
    """What remains of an analysed checkpoint, which may be deleted."""

    path: str
    step: int | None
    bytes: int
    """Size of its weights."""
    tensors: Mapping[str, KnownTensor]
    """Each tensor that was read."""


def _type(dtype: str, shape: tuple[int, ...]) -> str:
    """A tensor's type as text; no tensor of torch has more than 64 extents."""
    return f"{dtype[:20]} {[*shape[:64]]}{' and more' if len(shape) > 64 else ''}"


class PreviousCheckpoint:
    """The previous checkpoint.

    Args:
        path: its folder, or one file.
        remembered: its fingerprint, if it was analysed.
        base: whether it is the model from which the training started.
    """

    def __init__(self, path: str, remembered: Fingerprint | None = None, *, base: bool = False) -> None:
        self.path = os.path.abspath(path)
        self.base = base
        self._tensors = remembered.tensors if remembered else {}
        self._size = remembered.bytes if remembered else 0
        self.unmeasured: str | None = None
        """Why drift is not measured, as text."""
        self._weights: Weights | None = None
        try:
            self._weights = Weights(self.path)
        except OSError:
            self.unmeasured = f"{os.path.basename(self.path)} is no longer there"
        else:
            self._size = sum(part.bytes for part in self._weights.parts) or self._size
            if not self._weights.locations:
                self.unmeasured = f"{os.path.basename(self.path)} holds no weights that could be read"
        self.step = 0 if base else remembered.step if remembered else self._step()

    def _step(self) -> int | None:
        progress = progress_of(self.path)[0]
        return progress.step if progress and progress.step is not None else step_of(self.path)

    def measure(self, scanner: Scanner, fd: int, entry: Entry) -> tuple[TensorStats, Tensor]:
        """Read a tensor of the new checkpoint, and if possible the same tensor of this one.

        Raises:
            CutShortError, OSError: the new checkpoint's file cannot be read.
        """
        known = self._known(entry.name)
        alike = known == (entry.dtype, entry.shape)
        measured = self._both(scanner, fd, entry) if alike else None
        if measured is None:
            measured = scanner.measure(fd, entry)
        changed = measured.changed
        remembered = self._tensors.get(entry.name)
        if alike and changed is None and remembered is not None and remembered.crc == measured.crc:
            changed = 0
        measured = measured._replace(changed=changed)
        return measured, Tensor(entry.name, entry.elements, measured.squares, alike, changed, measured.moved)

    def _known(self, name: str) -> tuple[str, tuple[int, ...]] | None:
        if self._weights is not None and (location := self._weights.locations.get(name)) is not None:
            return location.entry.dtype, location.entry.shape
        remembered = self._tensors.get(name)
        return None if remembered is None else (remembered.dtype, remembered.shape)

    def _both(self, scanner: Scanner, fd: int, entry: Entry) -> TensorStats | None:
        """Measure both; None if one is unreadable: then `measure` reads the new one alone."""
        location = self._weights.locations.get(entry.name) if self._weights is not None else None
        if self._weights is None or location is None:
            return None
        try:
            return scanner.measure(fd, entry, (self._weights.descriptor(location.part), location.entry))
        except (CutShortError, OSError):
            self.unmeasured = f"{os.path.basename(self.path)} could not be read to the end"
            self._weights.locations.pop(entry.name)
            return None

    def comparison(
        self, step: int | None, rates: Iterable[tuple[int, float]], tensors: Mapping[str, KnownTensor]
    ) -> Comparison:
        """The facts without the sums.

        Args:
            step: of the new checkpoint.
            rates: each logged (step, learning rate).
            tensors: of the new checkpoint.
        """
        comparison = Comparison(path=self.path, step=self.step, base=self.base, unmeasured=self.unmeasured)
        comparison.bytes_before = self._size
        if step is not None and self.step is not None:
            comparison.steps = step - self.step
            since = [rate for at, rate in rates if self.step < at <= step]
            comparison.highest_lr = max(since, default=None)
        before = {*self._tensors, *(self._weights.locations if self._weights else ())}
        comparison.added = sorted(name[:200] for name in tensors.keys() - before)[:MAX_NAMED]
        comparison.removed = sorted(name[:200] for name in before - tensors.keys())[:MAX_NAMED]
        for name, now in tensors.items():
            was = self._known(name)
            if was is not None and was != (now.dtype, now.shape) and len(comparison.retyped) < MAX_NAMED:
                comparison.retyped.append(f"{name[:200]}: {_type(*was)} -> {_type(now.dtype, now.shape)}")
        return comparison

    def norms(self, scanner: Scanner, modules: Iterable[str]) -> dict[str, float]:
        """||W||_F of the weights of those modules that it has."""
        found: dict[str, float] = {}
        for module in modules if self._weights is not None else ():
            location = self._weights.locations.get(f"{module}.weight") if self._weights is not None else None
            if self._weights is None or location is None:
                continue
            try:
                measured = scanner.measure(self._weights.descriptor(location.part), location.entry)
            except (CutShortError, OSError):
                continue
            if measured.squares is not None:
                found[module] = measured.squares**0.5
        return found

    def close(self) -> None:
        """Close the open file."""
        if self._weights is not None:
            self._weights.close()
