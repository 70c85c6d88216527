"""How far an attacked training has come: a file that it and its attacker map into memory.

Invariant: a mark survives the death of the training that made it, at whatever moment.
"""

import mmap
import struct
from pathlib import Path

STARTED, BEGINS, TRAINS, SAVES, ENDS, RETURNED = range(1, 7)
"""Stages: the script runs, `on_train_begin`, steps, a save, `on_train_end`, the training has returned."""
_NAME = "marks.bin"
_HEAD = struct.Struct("<iiii")
_LOSS = struct.Struct("<d")
MOST_STEPS = 4_000
"""Steps for which there is room."""


class Marks:
    """The marks in a folder; made where there are none.

    Attributes are the stage, the last step whose log has returned to the trainer from every callback, the
    number of these steps in this process, and the number of its saves that began.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / _NAME
        size = _HEAD.size + MOST_STEPS * _LOSS.size
        if not path.exists():
            path.write_bytes(bytes(size))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), size)

    @property
    def stage(self) -> int:
        """Where the process is; 0 before it marked anything."""
        return self._head()[0]

    @property
    def step(self) -> int:
        """The last step whose log has returned; 0 where none has."""
        return self._head()[1]

    @property
    def steps(self) -> int:
        """How many of them this process has done."""
        return self._head()[2]

    @property
    def saves(self) -> int:
        """How many saves this process has begun."""
        return self._head()[3]

    def reset(self) -> None:
        """Before a process starts: nothing is done."""
        self._set(0, 0, 0, 0)

    def set_stage(self, stage: int) -> None:
        """Mark where the process is."""
        _, *rest = self._head()
        self._set(stage, *rest)

    def begin_save(self) -> None:
        """Mark that a save begins."""
        _, step, steps, saves = self._head()
        self._set(SAVES, step, steps, saves + 1)

    def end_step(self, step: int, loss: float) -> None:
        """Mark that the log of a step has returned."""
        _LOSS.pack_into(self._map, _HEAD.size + step * _LOSS.size, loss)
        stage, _, steps, saves = self._head()
        self._set(stage, step, steps + 1, saves)

    def loss(self, step: int) -> float:
        """What was logged last as the loss of a step."""
        return _LOSS.unpack_from(self._map, _HEAD.size + step * _LOSS.size)[0]

    def _head(self) -> tuple[int, ...]:
        return _HEAD.unpack_from(self._map)

    def _set(self, *head: int) -> None:
        _HEAD.pack_into(self._map, 0, *head)
