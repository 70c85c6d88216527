"""`observe_rewards`: reward functions that tell the callback what they do.

Invariant: a wrapped function is called as it was, returns the very object that the function returned and
raises what it raised; TRL finds the same name, signature and kind (synchronous or not) as without it.
"""

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch

from rldk.recording.completion_stats import Ends
from rldk.recording.guard import Guard
from rldk.recording.reward_observer import Call, RewardObserver, observer_of

__all__ = ["ends_of", "observe_rewards"]

T = TypeVar("T")

_guard = Guard()
"""Takes what goes wrong where no observer is known yet."""


def observe_rewards(reward_funcs: T) -> T:
    """Wrap TRL reward functions so that an `RLDKCallback` of the same trainer records what they do.

    Functions, lambdas, partials, callable objects and bound methods, synchronous or not, are wrapped; model
    names and reward models are left as they are, and so is what is wrapped already. Without an
    `RLDKCallback` in the trainer nothing is recorded. A copy in another process is the bare function.

    Args:
        reward_funcs: what a trainer's `reward_funcs` takes: one of these, or a list of them.

    Returns:
        The same, wrapped; a list is a new list.

    Example:
        ```python
        from rldk.integrations.trl import RLDKCallback, observe_rewards

        rewards = observe_rewards([accuracy, format])
        trainer = GRPOTrainer(..., reward_funcs=rewards, callbacks=[RLDKCallback()])
        ```
    """
    if isinstance(reward_funcs, list | tuple):
        size = len(reward_funcs)
        wrapped = [_wrapped(one, (index, size)) for index, one in enumerate(reward_funcs)]
        return cast("T", wrapped if isinstance(reward_funcs, list) else tuple(wrapped))
    return cast("T", _wrapped(reward_funcs, None))


def ends_of(args: Any, model: Any, processing_class: Any, *, all_counted: bool) -> Ends:
    """How a completion can end, as the tokenizer, the model's generation config and the arguments say.

    Args:
        args: the training arguments.
        model: the model, wrapped or not.
        processing_class: the tokenizer, or a processor that holds one.
        all_counted: whether the trainer counts every end token of the generation config, as TRL 1.16
            does, or the tokenizer's alone, as TRL 0.23 does.
    """
    tokenizer = getattr(processing_class, "tokenizer", processing_class)
    own = _ids(getattr(tokenizer, "eos_token_id", None))
    pad = getattr(tokenizer, "pad_token_id", None)
    for _ in range(4):  # DDP, PEFT and compiled models hold the model that has the config
        if hasattr(model, "generation_config"):
            break
        model = getattr(model, "module", getattr(model, "_orig_mod", model))
    declared = own | _ids(getattr(getattr(model, "generation_config", None), "eos_token_id", None))
    generation_kwargs = getattr(
        args, "generation_kwargs", None
    )  # generation stops at these, and TRL knows none
    known = declared | _ids(
        generation_kwargs.get("eos_token_id") if isinstance(generation_kwargs, dict) else None
    )
    limit = getattr(args, "max_completion_length", None) or getattr(args, "max_new_tokens", None)
    return Ends(
        known=known,
        trainers=declared if all_counted else own,
        pad=pad if isinstance(pad, int) else None,
        limit=limit if isinstance(limit, int) else None,
    )


class _ObservedFunction:
    """A reward function under observation: an object, since TRL's asynchronous GRPO pickles its functions."""

    def __init__(self, function: Callable[..., Any], position: tuple[int, int] | None) -> None:
        self._rldk_function = function
        self._rldk_position = position
        functools.update_wrapper(self, function, updated=())
        self.__name__ = _name_of(function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the function does."""
        observer, call = self._rldk_begin(kwargs)
        if observer is None or call is None:
            return self._rldk_function(*args, **kwargs)
        try:
            output = self._rldk_function(*args, **kwargs)
        except BaseException as error:
            observer.finish(call, error=error)
            raise
        observer.finish(call, output)
        return output

    def __getattr__(self, name: str) -> Any:
        """What else the function has; by its code object `inspect` knows an asynchronous one."""
        return getattr(self.__dict__["_rldk_function"], name)

    def __reduce__(self) -> str | tuple[Callable[..., Any], tuple[Any, ...]]:
        name = getattr(self, "__qualname__", "")
        if getattr(sys.modules.get(self.__module__), name, None) is self:
            return str(name)  # used as a decorator: it is what stands under that name
        return _bare, (self._rldk_function,)

    def _rldk_begin(self, inputs: dict[str, Any]) -> tuple[RewardObserver | None, Call | None]:
        try:
            observer = observer_of(inputs.get("trainer_state"))
            if observer is None or "completions" not in inputs:
                return None, None
            index, of = self._rldk_position or (None, None)
            of = _functions_of(inputs) or of
            return observer, observer.begin(self, self.__name__, index, of, inputs)
        except Exception as error:
            _guard.caught("observing a reward function", error)
            return None, None


class _ObservedAsyncFunction(_ObservedFunction):
    """The same of an asynchronous reward function, which TRL 1 awaits in a thread of its own."""

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the function does."""
        observer, call = self._rldk_begin(kwargs)
        if observer is None or call is None:
            return await self._rldk_function(*args, **kwargs)
        try:
            output = await self._rldk_function(*args, **kwargs)
        except BaseException as error:
            observer.finish(call, error=error)
            raise
        observer.finish(call, output)
        return output


def _wrapped(function: Any, position: tuple[int, int] | None) -> Any:
    """`function` under observation, or itself where it is none that TRL calls."""
    if isinstance(function, _ObservedFunction):
        return function if position is None else type(function)(function._rldk_function, position)  # noqa: SLF001
    if isinstance(function, str | type | torch.nn.Module) or not callable(function):
        return function
    kind = _ObservedAsyncFunction if _is_async(function) else _ObservedFunction
    return kind(function, position)


def _is_async(function: Any) -> bool:
    """As TRL tells it (1.16, `is_async_callable`)."""
    function = _unwrapped(function)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(function.__call__)


def _name_of(function: Any) -> str:
    """As TRL tells it (1.16, `get_callable_name`)."""
    function = _unwrapped(function)
    return str(getattr(function, "__name__", type(function).__name__))


def _unwrapped(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _bare(function: Any) -> Any:
    """What a copy of an observed function is: another process has no callback to tell."""
    return function


def _functions_of(inputs: dict[str, Any]) -> int | None:
    """How many reward functions the trainer calls: TRL 1.16 may add those of environments, and hands each a
    method of the trainer. None where it hands over none.
    """
    functions = getattr(getattr(inputs.get("log_metric"), "__self__", None), "reward_funcs", None)
    return len(functions) if isinstance(functions, list) else None


def _ids(value: Any) -> frozenset[int]:
    """Token ids from one, a list of them, or None."""
    values = value if isinstance(value, list | tuple) else [value]
    return frozenset(one for one in values if isinstance(one, int))
