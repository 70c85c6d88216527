"""Splits a log of a loop into the part of the training and the part of an evaluation, and reads its step.

Invariant: it decides by the keys alone and loses none; it reads no number, so it never waits for a device.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from rldk.metrics.dialects import Dialect

__all__ = ["LogParts", "accelerator_of", "whole"]

_EVALUATION = ("eval_", "eval/")
_VALIDATION = ("val_", "val/", "valid_", "valid/", "test_", "test/")
"""Prefixes that mean an evaluation too, unless the dialect knows the key as something else."""
_PROGRESS = frozenset({"epoch", "num_tokens", "num_input_tokens_seen"})
"""Metrics of a training's progress; loops log them with an evaluation too."""


class LogParts:
    """Splits a log into the part of the training and the part of an evaluation.

    Args:
        dialect: knows the keys of the loop.

    Example:
        >>> from rldk.metrics.dialects.generic import GENERIC
        >>> parts = LogParts(GENERIC)
        >>> parts.of({"loss": 1.0, "val/loss": 2.0})
        ({'loss': 1.0}, {'val/loss': 2.0})
        >>> parts.of({"eval_loss": 2.0, "tokens": 5})
        (None, {'eval_loss': 2.0, 'tokens': 5})
        >>> parts.name_in_evaluation("val/reward")
        'eval_reward_mean'
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._canonical = dialect.reader()
        self._keys: Callable[[tuple[Any, ...]], frozenset[str]] = lru_cache(maxsize=64)(self._evaluation_keys)
        self._train_keys: tuple[Any, ...] = ()  # of the last log that was of the training alone

    def of(self, logs: Mapping[Any, Any]) -> tuple[Mapping[Any, Any] | None, Mapping[Any, Any] | None]:
        """The part of the training, and the part of an evaluation; None for an empty part.

        A log with keys of an evaluation and no known train metric belongs to the evaluation as a whole.
        """
        names = (*logs,)
        try:
            if names == self._train_keys:
                return logs, None
            keys = self._keys(names)
        except Exception:  # a key that is no string may compare in any way
            keys = self._evaluation_keys(names)
        if not keys:
            self._train_keys = names
            return logs, None
        if len(keys) == len(logs):
            return None, logs
        return (
            {key: value for key, value in logs.items() if key not in keys},
            {key: value for key, value in logs.items() if key in keys},
        )

    def name_in_evaluation(self, key: str) -> str:
        """The canonical name of a key of an evaluation: `val/reward` is `eval_reward_mean`."""
        prefix = next((one for one in _VALIDATION if key.startswith(one)), None)
        if prefix is None or self._dialect.knows(key):
            return self._canonical(key)
        return self._canonical(f"eval_{key[len(prefix) :]}")

    def _evaluation_keys(self, keys: tuple[Any, ...]) -> frozenset[str]:
        texts = frozenset(key for key in keys if isinstance(key, str))
        found = frozenset(filter(self._is_evaluation, texts))
        if not found or any(map(self._is_train_metric, texts - found)):
            return found
        return texts

    def _is_evaluation(self, key: str) -> bool:
        """A dialect may know `val/ratio` as a metric of the training."""
        return key.startswith(_EVALUATION) or (key.startswith(_VALIDATION) and self._canonical(key) == key)

    def _is_train_metric(self, key: str) -> bool:
        return self._dialect.knows(key) and self._canonical(key) not in _PROGRESS


def accelerator_of(values: Any) -> str | None:
    """The accelerator that a tensor is on, or the first of a list of them; None where it is none."""
    first = values[0] if isinstance(values, list | tuple) and values else values
    device = getattr(getattr(first, "device", None), "type", "cpu")
    return None if device == "cpu" else str(device)


def whole(given: Any) -> int:
    """The step, given as another type than int.

    Raises:
        TypeError, ValueError: it is no step, or it is on a device, which rldk does not read.
    """
    if accelerator_of(given) is not None:
        raise TypeError("the step is on a device: give an int")
    if (step := int(given)) < 0:
        raise ValueError(f"the step {step} is below 0")
    return step
