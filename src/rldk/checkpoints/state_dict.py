"""Reads the tensors of a state dict in a file of `torch.save`, as a `Header` like that of a safetensors file.

Invariant: it calls a file damaged only if torch could not load it either, and does not examine a file without
state dicts.
"""

import os
from typing import Any

from rldk.checkpoints.dtypes import FLOATS
from rldk.checkpoints.pickles import TensorStandIn
from rldk.checkpoints.safe_open import UnreadableError
from rldk.checkpoints.safetensors import Entry, Header, read_header
from rldk.checkpoints.torch_file import TorchFile, open_torch

__all__ = ["TORCH_SUFFIXES", "read_tensors"]

TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")
"""Usual names of files of `torch.save`."""
ZIP = b"PK\x03\x04"
"""First bytes of a zip with content, as `torch.save` writes it since torch 1.6."""
EMPTY = "cut short: it is empty"


def read_tensors(fd: int, size: int, name: str) -> Header:
    """The tensors of an open file; its name and its first bytes show the format.

    Args:
        fd: the file.
        size: its bytes.
        name: its name.

    Raises:
        OSError: the disk cannot read it.
    """
    first = os.pread(fd, 9, 0)
    if name.endswith(".safetensors") or (first[8:] == b"{" and not name.endswith(TORCH_SUFFIXES)):
        return read_header(fd, size)
    if name.endswith(TORCH_SUFFIXES) and not first:
        return Header(fault=EMPTY)
    if first[: len(ZIP)] != ZIP:
        return Header(unread="it is neither a safetensors file nor a zip of torch.save")
    try:
        return _header(open_torch(fd))
    except UnreadableError as error:
        # a zip with another suffix may be of another program
        if error.damaged and name.endswith(TORCH_SUFFIXES):
            return Header(fault=str(error))
        return Header(unread=str(error))


def _header(file: TorchFile) -> Header:
    """The tensors of all state dicts in a file.

    Raises:
        UnreadableError: there is no state dict, or the file lacks the bytes of a tensor.
    """
    entries = []
    for name, tensor in _named(file.content).items():
        entry = file.entry(tensor)
        if entry is not None:
            entries.append(entry._replace(name=name, shape=tensor.shape))
        elif tensor.contiguous:
            raise UnreadableError(f"cut short: it lacks the bytes of {name[:100]}", damaged=True)
    if not entries:
        raise UnreadableError("it holds no state dict of a model", damaged=False)
    return Header(_apart(entries))


def _named(content: Any) -> dict[str, TensorStandIn]:
    """The tensors of a state dict, or of the state dicts in a dict, such as under `model`.

    A single state dict keeps the names of its tensors; with several, each name begins with the key.
    """
    if _is_state_dict(content):
        return _tensors(content)
    if not isinstance(content, dict):
        return {}
    held: dict[str, dict[str, TensorStandIn]] = {}
    seen: set[int] = set()
    for key, one in content.items():
        # in a hostile file, each key may lead to the same large dict, or be a long text
        if isinstance(key, str) and id(one) not in seen and _is_state_dict(one):
            held[key[:200]] = _tensors(one)
        seen.add(id(one))
    if len(held) == 1:
        return next(iter(held.values()))
    return {f"{key}.{name}": tensor for key, tensors in held.items() for name, tensor in tensors.items()}


def _is_state_dict(content: Any) -> bool:
    """Whether it maps texts to tensors, one of them of floats; a random state has no floats."""
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        return False
    tensors = _tensors(content)
    # a module's `get_extra_state` may add other values
    others = [key for key in content if key not in tensors and not key.endswith("_extra_state")]
    return not others and any(tensor.dtype in FLOATS for tensor in tensors.values())


def _tensors(content: dict[str, Any]) -> dict[str, TensorStandIn]:
    return {name: one for name, one in content.items() if isinstance(one, TensorStandIn)}


def _apart(entries: list[Entry]) -> list[Entry]:
    """The tensors by offset, without those that share bytes with an earlier one, such as a tied head."""
    apart: list[Entry] = []
    for entry in sorted(entries, key=lambda entry: entry.start):
        if not apart or entry.start >= apart[-1].end:
            apart.append(entry)
    return apart
