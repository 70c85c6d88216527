"""The recorded sample: one completion with its prompt and rewards, and its JSON form.

Owns the schema that every line of `{run_id}_samples.jsonl` follows. Invariant: a value that was not observed
is None, never 0 and never empty.
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
"""Why rldk kept a sample. `best`, `worst`: for its reward; `random`: at random; `cut`: the length limit cut
it; `missing`: a reward function gave it no reward; `ended-unseen`: it ended on a token that the trainer does
not count as an end."""


class RecordedSample(msgspec.Struct, frozen=True, kw_only=True):
    """One completion of the policy as the reward functions saw it."""

    step: int
    """Step of the record that it belongs to: `global_step` once the step is done."""
    phase: Phase
    """`train` or `eval`."""
    group: int
    """Index of the prompt in the step, from 0; completions of one group answer the same prompt."""
    index: int
    """Index of the completion in the step, from 0, among the completions of the recording process."""
    prompt: Text
    """The prompt; the middle of a long text is left out."""
    completion: Text
    """The completion; the middle of a long text is left out, so that its end is kept."""
    rewards: dict[str, float | None]
    """The reward of each reward function, before weights. None where it returned None or NaN, raised, or
    returned something else than a number. An infinity is None too, because JSON has none."""
    reward: float | None = None
    """Their sum with the trainer's weights; None where no function gave a reward, or not all were
    observed."""
    length: int | None = None
    """Tokens of the completion, its end token included; None where the trainer passes no token ids."""
    end: End | None = None
    """How it ended; None where that cannot be known."""
    why: tuple[Why, ...] = ()
    """Why rldk kept the sample."""
    cut_chars: int = 0
    """Characters left out of prompt and completion."""
