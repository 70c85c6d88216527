"""Counting tokens: how many stand behind each train record.

Invariant: the counts are exact sums over all ranks, or None; they are derived from what the trainer
logs and from the number of micro-batches, never from the data.
"""

import math
from collections.abc import Mapping
from typing import Any

from rldk.integrations.trl.trainer_info import OFFLINE, algorithm

__all__ = ["TokenCounter"]


class TokenCounter:
    """Splits the growth of the trainer's token count into tokens read and tokens generated.

    Args:
        args: the training arguments; with `generation_batch_size` completions are counted.
        tokens_before: the trainer's count when the training starts (above 0 after a resume of GRPO or RLOO).
    """

    def __init__(self, args: Any, tokens_before: float) -> None:
        name = algorithm(args)
        self._offline = name in OFFLINE
        self._completions = getattr(args, "generation_batch_size", None)
        every = getattr(args, "steps_per_generation", None)
        # TRL generates at the micro-batches whose number is a multiple of this (grpo_trainer.py,
        # `_prepare_inputs`), counting from the start of the process.
        self._every = every * getattr(args, "num_iterations", 1) if every else None
        self._generations = 0
        # Trainers that generate keep their count in the state, which a resume restores; the others
        # count in the trainer, from 0.
        self._seen: float = 0 if self._offline else tokens_before
        self._seen_inputs = tokens_before

    def train_again(self, tokens_before: float) -> None:
        """The same trainer begins another training: its own counts go on, the state's is `tokens_before`."""
        if not self._offline:
            self._seen = tokens_before
        self._seen_inputs = tokens_before

    def window(self, logs: Mapping[Any, Any], micro_batches: int) -> tuple[int | None, int | None]:
        """`(tokens_in, tokens_out)` since the last record.

        Args:
            logs: what the trainer logs now.
            micro_batches: forward and backward passes since the trainer was made.
        """
        total = _finite(logs.get("num_tokens"))
        out = 0 if self._offline else self._generated(logs, micro_batches)
        if total is None:
            return self._inputs(logs, out), out
        grown, self._seen = total - self._seen, total
        return (None if out is None else max(round(grown) - out, 0)), out

    def _inputs(self, logs: Mapping[Any, Any], out: int | None) -> int | None:
        """Tokens read, where the trainer does not count all tokens itself."""
        inputs = _finite(logs.get("num_input_tokens_seen"))
        if inputs is not None:
            grown, self._seen_inputs = inputs - self._seen_inputs, inputs
            return max(round(grown), 0)
        return 0 if out == 0 and not self._offline else None  # without a completion, no prompt

    def _generated(self, logs: Mapping[Any, Any], micro_batches: int) -> int | None:
        """Tokens of the completions generated in the window: their mean length times their number."""
        if not self._every or not self._completions:
            return None
        before, self._generations = self._generations, -(-micro_batches // self._every)
        length = _finite(logs.get("completions/mean_length"))
        if length is None:
            return 0 if self._generations == before else None
        return round(length * int(self._completions) * (self._generations - before))


def _finite(value: Any) -> float | None:
    """`value` if it is a finite Python number."""
    if type(value) is float:
        return value if math.isfinite(value) else None
    try:
        return value if type(value) is int and math.isfinite(value) else None
    except OverflowError:
        return None
