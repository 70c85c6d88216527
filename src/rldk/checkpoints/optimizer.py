"""Examines the optimizer and the scheduler of a checkpoint: can they resume from it?

Invariant: an unknown kind of optimizer is reported as not examined, never as faulty.
"""

import os
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

import numpy as np

from rldk.checkpoints.dtypes import FLOATS
from rldk.checkpoints.pickles import TensorStandIn
from rldk.checkpoints.safe_open import TimeLimit, UnreadableError, finite, integer, opened
from rldk.checkpoints.scan import CutShortError, Scanner
from rldk.checkpoints.torch_file import TorchFile, open_torch
from rldk.schema.checkpoint import MAX_NAMED, NonFiniteTensor, Optimizer

__all__ = ["optimizer_of"]

MAX_SCHEDULER = 4_000_000
"""Bytes of `scheduler.pt`, which usually has one or two kilobytes."""
MAX_VALUES = 500_000
"""Values of the state that it examines: an Adam whose pickle has 16 MB has 220,000."""
MAX_GROUPS = 100_000
"""Groups of parameters; usually one or two, and at most one for each parameter."""
CHECK_EVERY = 1024
"""Parameters of a group between two checks of the time."""


def optimizer_of(folder: str, scanner: Scanner) -> Optimizer | None:
    """The facts of `optimizer.pt` (`optimizer.bin` of FSDP) and `scheduler.pt`; None if both are missing.

    Raises:
        OSError: they cannot be read from the disk.
    """
    found = Optimizer()
    names = set(os.listdir(folder))
    name = next((name for name in ("optimizer.pt", "optimizer.bin") if name in names), None)
    if name is None and "scheduler.pt" not in names:
        return None
    if name is not None:
        _examine(os.path.join(folder, name), found, scanner)
    else:
        found.unread = "there is no optimizer.pt"
    if "scheduler.pt" in names:
        _schedule(os.path.join(folder, "scheduler.pt"), found)
    return found


def _examine(path: str, found: Optimizer, scanner: Scanner) -> None:
    fd = opened(path)
    try:
        limit = TimeLimit()
        file = open_torch(fd, limit)
        _groups(file.content, found, limit)
        _state(fd, file, found, scanner)
    except UnreadableError as error:
        if error.damaged:
            found.fault = str(error)
        else:
            found.unread = str(error)
    except CutShortError:
        found.fault = "cut short while it was read"
    finally:
        os.close(fd)


def _groups(content: Any, found: Optimizer, limit: TimeLimit) -> None:
    """Reads `param_groups` of `torch.optim.Optimizer.state_dict`; in a hostile file all may be one list."""
    groups = content.get("param_groups") if isinstance(content, dict) else None
    if not isinstance(groups, list) or not isinstance(content.get("state"), dict):
        raise UnreadableError("it is no state of a torch.optim.Optimizer", damaged=False)
    if len(groups) > MAX_GROUPS:
        raise UnreadableError(f"it has more than {MAX_GROUPS:,} groups of parameters", damaged=False)
    parameters: set[Any] = set()
    for group in groups:
        limit.check()
        if isinstance(group, dict) and isinstance(params := group.get("params"), list):
            for first in range(0, len(params), CHECK_EVERY):
                limit.check()
                some = params[first : first + CHECK_EVERY]
                parameters.update(param for param in some if isinstance(param, int | str))
            found.moments = found.moments or "betas" in group
            if finite(group.get("lr")) is not None:
                found.lr.append(float(group["lr"]))
    found.parameters = len(parameters)
    for count, param in enumerate(parameters):
        if count % CHECK_EVERY == 0:
            limit.check()
        found.without_state += not content["state"].get(param)


def _state(fd: int, file: TorchFile, found: Optimizer, scanner: Scanner) -> None:
    """Reads the counters and the tensors of the state.

    It reads each byte of a file once: further tensors that share it are not read.
    """
    steps: list[int] = []
    left = os.fstat(fd).st_size
    for count, (param, what, value) in enumerate(_values(file.content["state"])):
        if count >= MAX_VALUES:
            raise UnreadableError(f"its state has more than {MAX_VALUES:,} values", damaged=False)
        if what == "step":
            step = _step(fd, file, value, scanner)
            if step is not None:
                steps.append(step)
            continue
        if not isinstance(value, TensorStandIn) or value.dtype not in FLOATS:
            continue
        entry = file.entry(value)
        if entry is None:
            raise UnreadableError("cut short: it lacks the bytes of some tensors", damaged=True)
        left -= entry.end - entry.start
        if left < 0:
            raise UnreadableError("its tensors share their bytes: not all are examined", damaged=False)
        measured = scanner.measure(fd, entry)
        if (measured.nan or measured.inf) and len(found.non_finite) < MAX_NAMED:
            found.non_finite.append(
                NonFiniteTensor(
                    name=f"{param}.{what}"[:200],
                    nan=measured.nan,
                    inf=measured.inf,
                    elements=value.elements,
                )
            )
    if steps:
        found.fewest_steps, found.most_steps = min(steps), max(steps)


def _values(state: Mapping[Any, Any]) -> Iterator[tuple[Any, str, Any]]:
    for param, held in state.items():
        if not isinstance(held, dict) or not held:
            yield param, "", None  # counts as any other
        else:
            for what, value in held.items():
                yield param, str(what), value


def _step(fd: int, file: TorchFile, value: Any, scanner: Scanner) -> int | None:
    """A step counter: a number, or a tensor of one float or integer."""
    if (number := finite(value)) is not None:
        return integer(int(number))
    if not isinstance(value, TensorStandIn) or value.elements != 1:
        return None
    entry = file.entry(value)
    if entry is None:
        raise UnreadableError("cut short: it lacks the bytes of a step counter", damaged=True)
    if value.dtype in FLOATS:
        loaded = scanner.load(fd, entry)
        number = float(loaded.ravel()[0]) if loaded is not None else None
    else:
        raw = os.pread(fd, entry.end - entry.start, entry.start)
        if len(raw) < entry.end - entry.start:
            raise CutShortError
        number = float(np.frombuffer(raw, f"<i{len(raw)}")[0])
    return integer(int(number)) if number is not None and isfinite(number) else None


def _schedule(path: str, found: Optimizer) -> None:
    """Reads `_last_lr` of `torch.optim.lr_scheduler.LRScheduler.state_dict`: the rates of the next step."""
    fd = opened(path)
    try:
        if os.fstat(fd).st_size > MAX_SCHEDULER:
            return
        content = open_torch(fd).content
    except UnreadableError as error:
        found.scheduler_fault = str(error) if error.damaged else None
        return
    finally:
        os.close(fd)
    if isinstance(content, dict):
        rates = content.get("_last_lr")
        if isinstance(rates, list):
            found.scheduled_lr = [float(rate) for rate in rates[:MAX_GROUPS] if finite(rate) is not None]
        found.plateau = "patience" in content  # ReduceLROnPlateau
