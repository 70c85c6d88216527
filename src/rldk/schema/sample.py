"""The recorded sample: one completion with its prompt and rewards, and its JSON form.

Owns the schema that every line of `{run_id}_samples.jsonl` follows. Invariant: what was not observed is
None, never 0 and never empty.
"""

from typing import Any, Literal

import msgspec

from rldk.schema.event import Phase

__all__ = ["End", "RecordedSample", "Text", "Why"]

Text = str | list[dict[str, Any]]
"""Plain text, or the messages of a conversation: `[{"role": "user", "content": "..."}]`."""
End = Literal["eos", "cut", "other"]
"""How a completion ended: on an end token, at the length limit, or otherwise (a stop string, an abort)."""
Why = Literal["best", "worst", "random", "cut", "missing", "ended-unseen"]
"""What a sample was kept for: its reward, by chance, because the length limit cut it, because a reward
function gave it none, or because it ended on a token that the trainer does not count as an end."""


class RecordedSample(msgspec.Struct, frozen=True, kw_only=True):
    """One completion of the policy as the reward functions saw it."""

    step: int
    """Step of the record that it belongs to: `global_step` once the step is done."""
    phase: Phase
    """`train` or `eval`."""
    group: int
    """Which prompt of the step, counted from 0: completions of one group answer the same prompt."""
    index: int
    """Which completion of the step, counted from 0, among those of the process that recorded it."""
    prompt: Text
    """What the policy was asked; the middle of a long text is left out."""
    completion: Text
    """What it wrote; the middle of a long text is left out, so that its end is there."""
    rewards: dict[str, float | None]
    """What each reward function gave, before weights; None where it gave None or NaN, where it failed and
    where its answer could not be read. An infinity is None too: JSON has none."""
    reward: float | None = None
    """Their sum with the trainer's weights; None where no function gave one, or not all could be seen."""
    length: int | None = None
    """Tokens of the completion, its end token included; None where the trainer gives no ids."""
    end: End | None = None
    """How it ended; None where that cannot be known."""
    why: tuple[Why, ...] = ()
    """What it was kept for."""
    cut_chars: int = 0
    """Characters left out of prompt and completion."""
