"""The trainings of this process that a callback records now.

Invariant: the first callback of a trainer records its trainings, and no other one; what an exception ended is
ended here when its thread trains again.
"""

import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from transformers import TrainerState

from rldk.recording.stack_location import frames_of_thread, training_frames

__all__ = ["begin_training", "end_training", "is_training", "recorder_of"]


class _TrainingRecord(NamedTuple):
    """A training that has begun and not ended."""

    abandon: Callable[[], None]
    thread: int
    depth: int
    """Trainers that it is in: a callback of one training may train another."""
    state: TrainerState


class _EvaluationLog(threading.local):
    """The log that a callback of this thread recorded last outside a training, which all others get, too."""

    logs: Mapping[Any, Any] | None = None
    state = owner = 0  # their ids


_running: dict[int, _TrainingRecord] = {}
"""By the id of the callback."""
_recorded = _EvaluationLog()


def begin_training(owner: object, abandon: Callable[[], None], state: TrainerState) -> bool:
    """Note that a callback is to record a training; False where another one records it already.

    What another callback records of a training of this thread that is not around this one was ended by an
    exception that somebody caught: it is abandoned.

    Args:
        owner: the callback.
        abandon: ends what it records.
        state: the trainer's state, which is one of its own in each training.
    """
    here, depth = threading.get_ident(), training_frames(frames_of_thread(sys._getframe()))  # noqa: SLF001
    if not depth:
        return True
    others = [running for key, running in list(_running.items()) if key != id(owner)]
    if any(running.state is state for running in others):
        return False
    for running in others:
        if running.thread == here and running.depth >= depth:
            running.abandon()
    _running[id(owner)] = _TrainingRecord(abandon, here, depth, state)
    return True


def end_training(owner: object) -> None:
    """Note that a callback records no training any more."""
    _running.pop(id(owner), None)


def is_training(owner: object) -> bool:
    """Whether a training goes on that a callback records: none that an exception ended."""
    running = _running.get(id(owner))
    if running is None:
        return False
    depth = training_frames(frames_of_thread(sys._getframe()))  # noqa: SLF001 - the documented way to a frame
    return running.thread != threading.get_ident() or running.depth <= depth


def recorder_of(owner: object, state: TrainerState, logs: Mapping[Any, Any]) -> int | None:
    """The id of the callback of the trainer that has recorded this log of an evaluation.

    None where none has: then `owner` is to record it.
    """
    if _recorded.logs is logs and _recorded.state == id(state):
        return _recorded.owner
    _recorded.logs, _recorded.state, _recorded.owner = logs, id(state), id(owner)
    return None
