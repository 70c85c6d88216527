"""Where in a training a stack is: in generation, in which reward function, in a collective, saving.

Invariant: names of functions, modules and files alone are looked at; no stack is too deep.
"""

from collections.abc import Sequence
from pathlib import PurePath
from types import FrameType, TracebackType
from typing import NamedTuple

import msgspec

__all__ = [
    "Frame",
    "StackLocation",
    "error_of_training",
    "frames_of_error",
    "frames_of_thread",
    "inside_training",
    "is_training",
    "locate",
    "locate_in_loop",
    "training_frames",
]

MOST_FRAMES = 5_000
"""Frames of a stack that are looked at, the innermost ones."""
SCORING = frozenset({"_calculate_rewards", "_calculate_rewards_from_functions"})
"""Methods of TRL trainers (0.23 to 1.16) that call the reward functions."""
PLUMBING = (
    "trl.trainer",
    "trl.extras",
    "trl.experimental",
    "rldk",
    "accelerate",
    "torch",
    "asyncio",
    "concurrent",
)
"""Modules whose frames may lie between the trainer and a reward function, which may be of `trl.rewards`."""
SAVING = frozenset(
    {
        "_save_checkpoint",
        "save_model",
        "_save_optimizer_and_scheduler",
        "save_pretrained",
        "push_to_hub",
        "_push_from_checkpoint",
        "_finish_current_push",
    }
)
LOADING = frozenset(
    {
        "_load_best_model",
        "_load_from_checkpoint",
        "from_pretrained",
        "load_dataset",
        "snapshot_download",
        "hf_hub_download",
    }
)
"""Functions that read or download models and data: also within a reward function, at its first call."""
TRAINERS = ("transformers", "trl")
"""Whose evaluation is a training's; a reward function may be called so too."""
TRAINING = ("_inner_training_loop", "train")
"""Methods of trainers that are on the stack for as long as a training goes on."""
EVALUATING = frozenset({"evaluate", "_evaluate", "evaluation_loop", "prediction_loop"})
HANDLER = "transformers.trainer_callback"
CALLING = "call_event"
"""The method of transformers' `CallbackHandler` that calls the callbacks."""
COMPILING = ("torch._dynamo", "torch._inductor", "triton.compiler")
COLLECTIVE = "a collective of the ranks"
_OWN = ((("eval", "valid", "test"), "an evaluation"), (("save",), "a save"), (("generate",), "generation"))
"""What the functions of a user's own loop do whose names begin so."""
_LAUNCHERS = ("torch.distributed.run", "torch.distributed.launch", "torch.distributed.elastic")
_MODULES = (
    (("torch.distributed", "accelerate.utils.operations"), COLLECTIVE),
    (("torch.utils.data",), "the data loader"),
    (("vllm", "transformers.generation", "trl.generation"), "generation"),
    (("torch.autograd",), "the backward pass"),
    (("torch.optim",), "the optimizer"),
)
"""Modules -> what a stack that passes through them is busy with."""


class Frame(NamedTuple):
    """One entry of a stack."""

    function: str
    """Qualified name."""
    module: str
    file: str
    line: int

    @property
    def name(self) -> str:
        """The function's own name."""
        return self.function.rpartition(".")[2]

    def within(self, modules: Sequence[str]) -> bool:
        """Whether it is of one of these modules, or of one below."""
        return any(f"{self.module}.".startswith(f"{module}.") for module in modules)

    def __str__(self) -> str:
        return f"{self.function} ({PurePath(self.file).name}:{self.line})"


class StackLocation(msgspec.Struct, frozen=True, kw_only=True):
    """Where a stack is."""

    where: str | None = None
    """The innermost frame: `function (file.py:12)`."""
    activity: str | None = None
    """`generation`, `the reward function f (rewards.py:3)`, `a collective of the ranks`, ..."""
    during: str | None = None
    """`an evaluation`, `a save`, `a load`, `a compilation`, `the callback X`, `generation`: slow in a healthy
    run too."""

    def __str__(self) -> str:
        parts = [
            f"in {self.activity}" if self.activity else "",
            f"during {self.during}" if self.during else "",
        ]
        return " ".join(part for part in parts if part) or (
            f"in {self.where}" if self.where else "nowhere known"
        )


def frames_of_error(traceback: TracebackType | None) -> list[Frame]:
    """The stack of an exception, the innermost frame last."""
    frames: list[Frame] = []
    while traceback is not None:
        frames.append(_frame(traceback.tb_frame, traceback.tb_lineno))
        traceback = traceback.tb_next
    return frames[-MOST_FRAMES:]


def frames_of_thread(frame: FrameType | None) -> list[Frame]:
    """The stack of a running thread (`sys._current_frames`), the innermost frame last.

    Where our signal handler interrupted it, it ends there.
    """
    frames: list[Frame] = []
    while frame is not None and len(frames) < MOST_FRAMES:
        frames.append(_frame(frame, frame.f_lineno or 0))
        if frame.f_code.co_qualname == "ExitHooks._handle":
            frames.clear()
        frame = frame.f_back
    return frames[::-1]


def _frame(frame: FrameType, line: int) -> Frame:
    code = frame.f_code
    return Frame(code.co_qualname, str(frame.f_globals.get("__name__", "")), code.co_filename, line)


def training_frames(frames: Sequence[Frame]) -> int:
    """How many frames are a trainer's training loop: more of them, where one training is within another."""
    return sum(map(_is_training, frames))


def _is_training(frame: Frame) -> bool:
    return frame.name in TRAINING and frame.within(TRAINERS)


def is_training(frame: FrameType | None) -> bool:
    """Whether a stack is within the training loop of a trainer."""
    return training_frames(frames_of_thread(frame)) > 0


def inside_training(frames: Sequence[Frame], depth: int) -> Sequence[Frame]:
    """The frames from the `depth`-th training frame on; all, where `depth` is 0.

    Empty where there are fewer: that training is over, although one around it may go on.
    """
    if depth == 0:
        return frames
    loops = [i for i, frame in enumerate(frames) if _is_training(frame)]
    return frames[loops[depth - 1] :] if len(loops) >= depth else ()


def error_of_training(error: BaseException) -> BaseException | None:
    """The exception that came out of a trainer's training loop: this one, or one that led to it."""
    seen: set[int] = set()
    waiting = [error]
    while waiting and len(seen) < MOST_FRAMES:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        if training_frames(frames_of_error(one.__traceback__)):
            return one
        waiting += [inner for inner in (one.__cause__, one.__context__) if inner is not None]
    return None


def locate_in_loop(frames: Sequence[Frame], function: tuple[str, str]) -> StackLocation | None:
    """Where a stack is within a loop of the user's own; None where the loop is not on it.

    The user's evaluation, save or generation is known by the name of its function alone. A collective that a
    stack waits in is none of these: another rank may never come.

    Args:
        frames: the stack, its innermost frame last.
        function: qualified name and file of the function that holds the loop.
    """
    starts = [i for i, frame in enumerate(frames) if (frame.function, frame.file) == function]
    if not starts:
        return None
    location = locate(frames)
    if location.during is not None or location.activity == COLLECTIVE:
        return location
    called = (frame.name.lstrip("_") for frame in frames[starts[-1] + 1 :])
    during = next((what for name in called for prefixes, what in _OWN if name.startswith(prefixes)), None)
    activity = None if location.activity == during else location.activity
    return msgspec.structs.replace(location, during=during, activity=activity)


def locate(frames: Sequence[Frame]) -> StackLocation:
    """Where a stack is, its innermost frame last."""
    if not frames:
        return StackLocation()
    during = None
    for index, frame in enumerate(frames):
        if frame.name == CALLING and frame.within((HANDLER,)):
            during = _callback(frames[index + 1 :]) or during
        elif frame.name in SAVING:
            during = "a save"
        elif frame.name in LOADING:
            during = "a load"
        elif frame.name in EVALUATING and frame.within(TRAINERS):
            during = "an evaluation"
        elif frame.within(COMPILING):
            during = "a compilation"
    return StackLocation(where=str(frames[-1]), activity=_reward(frames) or _activity(frames), during=during)


def _callback(called: Sequence[Frame]) -> str | None:
    """The callback whose hook the trainer called, by class; None for rldk's own, which do not wait."""
    if not called or called[0].within(("rldk",)):
        return None
    hook = next((frame for frame in called if frame.name.startswith("on_")), called[0])  # not its decorator
    owner = hook.function.rpartition(".")[0].rpartition("<locals>.")[2]
    return f"the callback {owner or hook.name}"


def _reward(frames: Sequence[Frame]) -> str | None:
    """The reward function that a stack is in."""
    scoring = next((i for i in range(len(frames) - 1, -1, -1) if frames[i].name in SCORING), None)
    if scoring is None:
        return None
    inner = frames[scoring + 1 :]
    function = next((f for f in inner if f.module != "contextlib" and not f.within(PLUMBING)), None)
    if function is None:
        return "the scoring of completions"
    last = [f for f in inner if f.file == function.file][-1]
    name = function.function.rpartition("<locals>.")[2]
    return f"the reward function {name} ({PurePath(last.file).name}:{last.line})"


def _activity(frames: Sequence[Frame]) -> str | None:
    """What the innermost frame that tells is busy with."""
    for frame in reversed(frames):
        if frame.within(_LAUNCHERS):
            continue
        for modules, activity in _MODULES:
            if frame.within(modules):
                return activity
        if frame.name in ("_generate", "_generate_single_turn"):
            return "generation"
    return None
