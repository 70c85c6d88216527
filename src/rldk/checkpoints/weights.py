"""Finds the tensors of one checkpoint folder, in all of its files.

Owns the descriptors. Invariant: at most one file is open at a time, so that a checkpoint which the trainer
deletes gives its space back to the disk.
"""

import os
from itertools import islice
from typing import NamedTuple

from rldk.checkpoints.folder import Contents, contents_of
from rldk.checkpoints.safe_open import opened
from rldk.checkpoints.safetensors import Entry, Header
from rldk.checkpoints.state_dict import read_tensors
from rldk.schema.checkpoint import MAX_NAMED, Part

__all__ = ["TensorLocation", "Weights"]


MAX_TENSORS = 400_000
"""Tensors of one checkpoint that it examines; each takes about 1 kB and 20 us, whatever its size."""


class TensorLocation(NamedTuple):
    """Where a tensor is."""

    part: str
    """File name."""
    entry: Entry


class Weights:
    """The files of weights of a folder, or one file.

    Args:
        path: a folder, or one file of safetensors or of `torch.save`.

    Raises:
        OSError: the folder cannot be listed.
    """

    def __init__(self, path: str) -> None:
        single = os.path.isfile(path)
        self.folder = os.path.dirname(os.path.abspath(path)) if single else path
        """Where the files are."""
        self.names = frozenset([os.path.basename(path)] if single else os.listdir(path))
        """The names of the files there at the beginning."""
        self.contents = _alone(path) if single else contents_of(path, self.names)
        """The files of weights among them."""
        self.parts: list[Part] = []
        """Each file of weights, with its fault."""
        self.notes: list[str] = list(self.contents.notes)
        """What it did not examine."""
        self.locations: dict[str, TensorLocation] = {}
        """The location of each tensor, in the order of the files."""
        self.vanished: list[str] = []
        """Files that exist and could not be opened."""
        self._open: tuple[str, int] | None = None
        for name in self.contents.parts:
            self._look(name)

    def _look(self, name: str) -> None:
        try:
            fd = self.descriptor(name)
            size = os.fstat(fd).st_size
            header = read_tensors(fd, size, name)
        except FileNotFoundError:
            self.vanished.append(name)
            return
        except OSError as error:
            header, size = Header(unread=f"it cannot be read ({error.strerror or error})"), 0
        if len(self.locations) + len(header.entries) > MAX_TENSORS:
            header = Header(unread=f"rldk examines {MAX_TENSORS:,} tensors of a checkpoint: not this file")
        if header.unread:
            self.notes.append(f"{name}: {header.unread}")
        self.parts.append(Part(name=name, bytes=size, tensors=len(header.entries), fault=header.fault))
        self.locations.update((entry.name, TensorLocation(name, entry)) for entry in header.entries)

    def descriptor(self, name: str) -> int:
        """A descriptor of a file; the next call closes it.

        Raises:
            OSError: the file cannot be opened.
        """
        if self._open is not None and self._open[0] == name:
            return self._open[1]
        self.close()
        self._open = name, opened(os.path.join(self.folder, name))
        return self._open[1]

    def close(self) -> None:
        """Close the open file."""
        held, self._open = self._open, None
        if held is not None:
            os.close(held[1])

    def misplaced(self) -> list[str]:
        """The first tensors that the index promises and the file lacks, as text."""
        read = {part.name for part in self.parts if part.fault is None and part.tensors}
        missing = (
            f"{tensor[:100]} is not in {file}, where the index has it"
            for tensor, file in self.contents.files_of_tensors.items()
            if file in read and (tensor not in self.locations or self.locations[tensor].part != file)
        )
        return list(islice(missing, MAX_NAMED))

    def has_vanished(self) -> bool:
        """Whether a file has been deleted since the beginning."""
        if self.vanished:
            return True
        return any(not os.path.lexists(os.path.join(self.folder, name)) for name in self.names)


def _alone(path: str) -> Contents:
    name = os.path.basename(path)
    return Contents("adapter" if name.startswith("adapter") else "model", [name])
