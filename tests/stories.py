"""Runs that a doctor is shown: made by hand, the same each time."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from events import event, record
from rldk.schema.event import Event
from rldk.schema.files import RunFiles

GRPO = {
    "beta": 0.0,
    "learning_rate": 1e-5,
    "max_completion_length": 256,
    "num_generations": 8,
    "temperature": 1.0,
}


def learning(records: int = 120) -> Iterator[Event]:
    """GRPO that learns: the loss near 0, nothing clipped, one spike of the gradient."""
    chance = random.Random(0)
    for step in range(1, records + 1):
        share = min(step / 100, 1.0)
        yield event(
            step,
            loss=chance.gauss(0, 3e-4),
            grad_norm=8.0 if step == 60 else abs(chance.gauss(0.5, 0.1)),
            lr=1e-5,
            reward_mean=0.2 + 0.5 * share + chance.gauss(0, 0.03),
            reward_std=0.2,
            frac_reward_zero_std=0.1,
            entropy_mean=1.2 - 0.3 * share,
            completion_length_mean=120 + chance.gauss(0, 5),
            truncated_frac=0.02,
            clip_frac=0.0,
        )


def collapsing(records: int = 300, begin: int = 150) -> Iterator[Event]:
    """GRPO whose completions run into the limit from step `begin` on, and then its reward is gone."""
    chance = random.Random(1)
    for step in range(1, records + 1):
        late = step - begin
        good = 0.2 + 0.6 * min(step / 100, 1.0)
        yield event(
            step,
            loss=chance.gauss(0, 3e-4),
            grad_norm=abs(chance.gauss(0.5, 0.1)),
            lr=1e-5,
            reward_mean=(good if late < 15 else max(good - 0.03 * (late - 15), 0.05)) + chance.gauss(0, 0.02),
            reward_std=0.2,
            frac_reward_zero_std=0.1,
            entropy_mean=1.2,
            completion_length_mean=120 if late < 0 else 250,
            truncated_frac=0.02 if late < 0 else 0.97,
            clip_frac=0.0,
        )


def write(
    folder: Path,
    events: Iterator[Event],
    run_id: str = "run",
    *,
    algorithm: str = "grpo",
    options: dict[str, Any] | None = None,
    end: str | None = "completed",
) -> RunFiles:
    """The run on disk, with what `RLDKCallback` writes beside it."""
    files = record(folder, events, run_id)
    info: dict[str, Any] = {
        "run_id": run_id,
        "attempts": [{"algorithm": algorithm, "args": GRPO if options is None else options}],
    }
    if end is not None:
        info["end"] = {"how": end}
    files.run.write_bytes(msgspec.json.encode(info))
    return files
