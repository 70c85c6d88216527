"""Analyses checkpoints: compares each with the previous checkpoint, a tensor at a time.

Between two saves it keeps a fingerprint of the last one, never its bytes or an open file. Invariant: whatever
a folder holds, the result is an `Analysis`: facts, which the rules judge.
"""

import os
import re
import time
from typing import Any

from rldk.checkpoints.folder import best_of, is_of_trainer, progress_of, size_of, state_of, step_of
from rldk.checkpoints.layer_groups import LayerGroups, Tensor
from rldk.checkpoints.lora import Pairs, adapter_of, config_of
from rldk.checkpoints.optimizer import optimizer_of
from rldk.checkpoints.previous import Fingerprint, KnownTensor, PreviousCheckpoint
from rldk.checkpoints.safe_open import read_json
from rldk.checkpoints.safetensors import Entry
from rldk.checkpoints.scan import CutShortError, Scanner, TensorStats
from rldk.checkpoints.vocabulary import TokensCache, vocabulary_of
from rldk.checkpoints.weights import Weights
from rldk.doctor.good_checkpoint import last_checkpoint
from rldk.schema.checkpoint import MAX_NAMED, Analysis, NonFiniteTensor

__all__ = ["Analyst", "analyse"]

Path = str | os.PathLike[str]

_UNROUTED = ("num_experts", "num_local_experts", "n_routed_experts", "vision_config", "audio_config")
"""Keys of a config.json that show parts of the model that a batch may not use."""
_UNROUTED_PARTS = re.compile(r"(?:^|\.)(?:experts|visual|(?:vision|audio)_\w+)\.")
"""The same in names of tensors, as an adapter has no config.json."""
_STATE = re.compile(r"(?:optimizer|scheduler|rng_state|random_states|scaler|sampler).*\.(?:pt|pth|bin|pkl)")
"""Files of a training's state, as the Trainer or accelerate names them (`accelerate.utils.constants`)."""
_OF_MODELS = ("generation_config.json", "tokenizer_config.json", "tokenizer.json")
"""Files that transformers writes only with a config.json in the same folder."""


def analyse(path: Path, previous: Path | None = None, *, base: Path | None = None) -> Analysis:
    """The facts of one checkpoint; for the arguments see `Analyst`."""
    return Analyst(base).analyse(path, previous)


class Analyst:
    """Analyses the checkpoints of one run, one after the other. For one thread.

    Args:
        base: folder of the model from which the training started: the first checkpoint is compared with it,
            and the update of an adapter is measured against it. None: not known.
    """

    def __init__(self, base: Path | None = None) -> None:
        self.last: Fingerprint | None = None
        """The fingerprint of the newest checkpoint that was read to the end."""
        self._base = None if base is None else os.fspath(base)
        self._base_norms: dict[str, float] | None = None
        self._scanner = Scanner()
        self._tokens = TokensCache()

    @property
    def bytes_read(self) -> int:
        """Bytes of tensors read so far. Another thread may call this."""
        return self._scanner.bytes_read

    def analyse(self, path: Path, previous: Path | None = None) -> Analysis:
        """The facts of a checkpoint.

        Args:
            path: a checkpoint's folder, or one file of safetensors or of `torch.save`.
            previous: the checkpoint before it; None: the last analysed one, if its step is lower, else the
                base model. If it is deleted, its fingerprint shows which tensors changed.
        """
        started, read = time.perf_counter(), self._scanner.bytes_read
        folder = os.path.abspath(os.fspath(path))
        found = Analysis(path=folder, step=step_of(folder))
        try:
            weights = Weights(folder)
        except OSError as error:
            found.gone = f"{folder} cannot be read ({error.strerror or error})"
            return found
        known: dict[str, KnownTensor] = {}
        try:
            known = self._fill(found, weights, None if previous is None else os.fspath(previous))
        except OSError as error:
            found.notes.append(f"{error.filename or folder} cannot be read ({error.strerror or error})")
        finally:
            weights.close()
        if weights.has_vanished():
            found.gone = f"{folder} was deleted while it was read"
        elif known:
            self.last = Fingerprint(folder, found.step, found.bytes, known)
        found.seconds = round(time.perf_counter() - started, 3)
        found.bytes_read = self._scanner.bytes_read - read
        return found

    def follow(self, path: Path, step: int) -> Analysis:
        """The facts of a new checkpoint of `step`, compared with the previous checkpoint.

        The previous checkpoint is the last analysed. For the first of a process, or after the training
        resumed from an earlier step, it is the newest in the same folder with a lower step.
        """
        last, before = self.last, None
        if last is None or last.step is None or last.step >= step:
            before = last_checkpoint(os.path.dirname(os.path.abspath(os.fspath(path))), step - 1)
        found = self.analyse(path, before)
        if found.step is None:
            found.step = step
        return found

    def _fill(self, found: Analysis, weights: Weights, previous: str | None) -> dict[str, KnownTensor]:
        """Add all facts to the analysis, and return what it keeps of each tensor."""
        folder = weights.folder
        found.kind, found.parts, found.notes = weights.contents.kind, weights.parts, weights.notes
        found.faults = [*weights.contents.faults, *weights.misplaced()]
        found.progress, rates, best = progress_of(folder)
        found.best = best_of(folder, best)
        if found.progress is not None and found.progress.step is not None:
            found.step = found.progress.step
        if found.progress is not None and found.progress.unread:
            found.notes.append(f"trainer_state.json: {found.progress.unread}")
        before = self._before(found, previous)
        known: dict[str, KnownTensor] = {}
        lora_config = config_of(os.path.join(folder, weights.contents.below))
        pairs, tally = (
            Pairs(measuring=found.kind == "adapter" and not lora_config.of_parameters),
            LayerGroups(),
        )
        try:
            self._read(found, weights, before, known, pairs, tally)
            if before is not None:
                found.compared = before.comparison(found.step, rates, known)
                tally.fill(found.compared)
        finally:
            if before is not None:
                before.close()
        found.groups = tally.groups()
        if found.kind == "adapter":
            found.adapter = adapter_of(lora_config, pairs, weights.locations, found.bytes, self._norms(pairs))
            found.notes += pairs.notes()
        self._add_small_files(found, weights, known)
        return known

    def _before(self, found: Analysis, previous: str | None) -> PreviousCheckpoint | None:
        """The checkpoint to compare with."""
        last, step = self.last, found.step
        if previous is not None:
            known = last is not None and os.path.abspath(previous) == last.path
            return PreviousCheckpoint(previous, last if known else None)
        if last is not None and (last.step is None or step is None or last.step < step):
            return PreviousCheckpoint(last.path, last)
        if self._base is None or found.kind == "adapter":  # an adapter shares no tensor with it
            return None
        return PreviousCheckpoint(self._base, base=True)

    def _read(
        self,
        found: Analysis,
        weights: Weights,
        before: PreviousCheckpoint | None,
        known: dict[str, KnownTensor],
        pairs: Pairs,
        tally: LayerGroups,
    ) -> None:
        """Measure every tensor, one file at a time."""
        entries: dict[str, list[Entry]] = {}
        for location in weights.locations.values():
            entries.setdefault(location.part, []).append(location.entry)
        for part in found.parts:
            try:
                fd = weights.descriptor(part.name)
                for entry in entries.get(part.name, ()):
                    measured = self._measure(fd, entry, before, tally)
                    known[entry.name] = KnownTensor(entry.dtype, entry.shape, measured.crc)
                    _count(found, entry, measured)
                    self._pair(fd, entry, measured, pairs)
            except CutShortError:
                part.fault = part.fault or "cut short while it was read"
            except OSError as error:
                found.notes.append(f"{part.name}: it cannot be read ({error.strerror or error})")
        found.tensors, found.parameters = len(weights.locations), sum(found.dtypes.values())
        found.bytes = sum(part.bytes for part in found.parts)

    def _measure(
        self, fd: int, entry: Entry, before: PreviousCheckpoint | None, tally: LayerGroups
    ) -> TensorStats:
        if before is not None:
            measured, tensor = before.measure(self._scanner, fd, entry)
        else:
            measured = self._scanner.measure(fd, entry)
            tensor = Tensor(entry.name, entry.elements, measured.squares)
        tally.add(tensor)
        return measured

    def _pair(self, fd: int, entry: Entry, measured: TensorStats, pairs: Pairs) -> None:
        zero = measured.squares == 0 and not (measured.nan or measured.inf)
        if pairs.meet(entry.name, entry.shape, zero=zero):
            values = self._scanner.load(fd, entry)
            if values is not None:
                pairs.add(entry.name, values)

    def _add_small_files(self, found: Analysis, weights: Weights, known: dict[str, KnownTensor]) -> None:
        """Examine the other files in the folder."""
        folder, names = weights.folder, set(weights.names)
        entries = [location.entry for location in weights.locations.values()]
        crcs = {name: one.crc for name, one in known.items()}
        alone = not os.path.samefile(folder, found.path)  # then other missing files are no fault of it
        if not alone:
            found.vocabulary = vocabulary_of(folder, entries, crcs, self._tokens)
        config, unread = read_json(os.path.join(folder, "config.json"), dict[str, Any])
        is_unrouted = config is not None and any(key in config for key in _UNROUTED)
        found.experts = is_unrouted or any(map(_UNROUTED_PARTS.search, weights.locations))
        if unread is not None:
            (found.faults if unread.damaged else found.notes).append(f"config.json: {unread.why}")
        if found.kind == "adapter":
            if not alone and "adapter_config.json" not in names and not weights.contents.below:
                found.config_missing = "adapter_config.json"
        elif (
            not alone
            and found.kind == "model"
            and "config.json" not in names
            and not names.isdisjoint(_OF_MODELS)
        ):
            found.config_missing = "config.json"
        if alone:
            found.progress = found.best = None
        else:
            found.optimizer = optimizer_of(folder, self._scanner)
            if is_of_trainer(names):
                found.state, found.missing = state_of(os.listdir(folder))
            elif states := sorted(filter(_STATE.fullmatch, names)):
                found.notes.append(
                    f"{', '.join(states[:MAX_NAMED])}: the training's state in another layout than "
                    "that of transformers' Trainer; rldk cannot tell whether it is complete"
                )
        found.bytes_on_disk = found.bytes if alone else size_of(folder)
        found.resumable = _resumable(found)

    def _norms(self, pairs: Pairs) -> dict[str, float]:
        """||W||_F of the adapted modules of the base model, read once."""
        if self._base is None or not pairs.done:
            return {}
        if self._base_norms is None:
            base = PreviousCheckpoint(self._base, base=True)
            self._base_norms = base.norms(self._scanner, pairs.modules())
            base.close()
        return self._base_norms


def _count(found: Analysis, entry: Entry, measured: TensorStats) -> None:
    """Record what a tensor is, and its faults."""
    found.dtypes[entry.dtype] = found.dtypes.get(entry.dtype, 0) + entry.elements
    if not entry.elements:
        found.empty_tensors += 1
        if len(found.empty) < MAX_NAMED:
            found.empty.append(entry.name[:200])
    if measured.nan or measured.inf:
        nonfinite = NonFiniteTensor(
            name=entry.name[:200],
            nan=measured.nan,
            inf=measured.inf,
            elements=entry.elements,
            lowest=measured.nan == 0 and measured.lowest == measured.inf,
            zeros=measured.squares == 0 and measured.inf < entry.elements,
            unchanged=None if measured.changed is None else measured.changed == 0,
        )
        found.non_finite_tensors += 1
        found.masks += nonfinite.mask
        found.non_finite.append(nonfinite)
        found.non_finite.sort(key=lambda one: (one.mask, one.lasting))  # each layer has its masks
        del found.non_finite[MAX_NAMED:]


def _resumable(found: Analysis) -> bool:
    progress, optimizer = found.progress, found.optimizer
    whole = bool(found.parts) and not (found.damaged or found.config_missing)
    readable = progress is not None and progress.fault is None
    return whole and readable and found.state == "whole" and not (optimizer and optimizer.fault)
