"""What healthy runs show and no rule may call a fault: spikes, other units, other prompts, resumes.

Invariant: a pattern leaves the run as healthy as it was.
"""

from collections.abc import Callable
from typing import NamedTuple

import msgspec
import numpy as np

from injection.base import Base, filled, is_number
from injection.edit import ENTROPY, GRADIENT, KL, LENGTH, LOSS, RATE, REWARD, Edit, Row

MEAN_OF = 10
"""Steps of a record with `logging_steps=10`."""
LONG_ENOUGH = 200
"""Records from which one in ten still makes a log."""
NEVER_MEANS = {"epoch", "lr", "num_tokens", "grad_norm"}
"""What a Trainer logs as it is at the step, whatever `logging_steps`."""
REWARD_PARTS = ("reward_mean", "reward_min", "reward_max")


class Pattern(NamedTuple):
    """One way in which healthy runs look ill."""

    about: str
    put: Callable[[Edit], None]
    kinds: tuple[str, ...] = ("grpo", "dpo", "sft")
    least: int = 0
    """Train records that it needs."""

    def fits(self, base: Base) -> bool:
        """Whether it makes sense in the base."""
        return base.kind in self.kinds and len(base.train) >= self.least


def blips(edit: Edit) -> None:
    for name, times in ((KL, 100), (GRADIENT, 100), (LENGTH, 2), (ENTROPY, 1.5)):
        for at in edit.rng.choice(edit.count, 2, replace=False):
            _multiply(edit.train[at], name, times)


def gradient_blip(edit: Edit) -> None:
    _multiply(edit.train[int(edit.rng.integers(edit.count // 4, edit.count))], GRADIENT, 1000)


def other_prompts(edit: Edit) -> None:
    half = (np.arange(edit.count) >= edit.count // 2).astype(float)
    known = edit.base.split(REWARD)
    if known is not None:
        edit.set_reward(edit.need(REWARD) - 2 * known.sd * half)
    edit.multiply(LENGTH, 1 + 0.3 * half)
    edit.multiply(ENTROPY, 1 + 0.1 * half)
    if edit.base.kind == "sft":
        edit.multiply(LOSS, 1 + 0.1 * half)


def in_other_units(times: float, offset: float) -> Callable[[Edit], None]:
    """The reward and its parts times a number, plus an offset that the components share."""

    def put(edit: Edit) -> None:
        parts = max(len(edit.components()), 1)
        for row in edit.rows:
            for name, value in row.values.items():
                if value is None:
                    continue
                plain = name.removeprefix("eval_")
                if plain in REWARD_PARTS:
                    row.values[name] = times * value + offset
                elif plain.startswith("rewards/") and plain.endswith("/mean"):
                    row.values[name] = times * value + offset / parts
                elif plain == "reward_std" or (plain.startswith("rewards/") and plain.endswith("/std")):
                    row.values[name] = times * value

    return put


def warmup(edit: Edit) -> None:
    rates = edit.get(RATE)
    if rates is not None:
        tenth = max(edit.count // 10, 2)
        rise = np.arange(edit.count) / tenth
        edit.put(RATE, np.where(rise < 1, np.minimum(rates, rates.max() * rise), rates))


def twice_the_noise(edit: Edit) -> None:
    reward = edit.base.split(REWARD)
    if reward is not None:
        edit.set_reward(reward.trend + 2 * reward.rest)
    for name in (GRADIENT, KL, ENTROPY, LENGTH, *(() if reward else (LOSS,))):
        values = edit.get(name)
        if values is not None:
            level = edit.split(name).trend
            safe = np.where(level > 0, level, 1.0)
            noisy = np.where((level > 0) & (values > 0), values * values / safe, values)
            edit.put(name, noisy, low=0.0 if values.min() >= 0 else -np.inf)


def every_tenth(edit: Edit) -> None:
    kept = {id(row) for row in edit.train[MEAN_OF - 1 :: MEAN_OF]}
    edit.rows = [row for row in edit.rows if row.record.phase != "train" or id(row) in kept]


def means_of_ten(edit: Edit) -> None:
    rows, block = [], list[Row]()
    for row in edit.rows:
        if row.record.phase != "train":
            rows.append(row)
            continue
        block.append(row)
        if len(block) == MEAN_OF:
            for name in set(row.values) - NEVER_MEANS:
                held = [one.values[name] for one in block if is_number(one.values.get(name))]
                if held:
                    row.values[name] = float(np.mean(np.array(held, dtype=float)))
            rows.append(row)
            block = []
    edit.rows = rows


def half_of_the_keys(edit: Edit) -> None:
    names = {name for row in edit.train for name in row.values}
    optional = sorted(names - {"epoch", LOSS, REWARD, RATE})
    dropped = set(edit.rng.choice(optional, len(optional) // 2, replace=False)) if optional else set()
    for row in edit.rows:
        for name in dropped & row.values.keys():
            del row.values[name]


def any_order(edit: Edit) -> None:
    for row in edit.rows:
        items = list(row.values.items())
        row.values.clear()
        row.values.update(items[at] for at in edit.rng.permutation(len(items)))


def duplicates(edit: Edit) -> None:
    twice = {id(row) for row in edit.train[19::20]}
    edit.rows = [again for row in edit.rows for again in ([row, row] if id(row) in twice else [row])]


def overlapping_resume(edit: Edit) -> None:
    first, last = int(0.45 * edit.count), int(0.6 * edit.count)
    again = [Row(msgspec.structs.replace(row.record), dict(row.values)) for row in edit.train[first:last]]
    for name in (REWARD, GRADIENT, ENTROPY, LENGTH, KL, LOSS):
        values = filled([row.values.get(name) for row in again])
        if values is None:
            continue
        for row, value in zip(again, edit.rng.permutation(values).tolist(), strict=True):
            if name in row.values:
                row.values[name] = value
    at = next(i for i, row in enumerate(edit.rows) if row is edit.train[last])
    edit.rows[at:at] = again


def _multiply(row: Row, name: str, times: float) -> None:
    value = row.values.get(name)
    if value is not None:
        row.values[name] = times * value


GRPO = ("grpo",)
PATTERNS = {
    "as-it-is": Pattern("The log as it is.", lambda _: None),
    "blips": Pattern("Single spikes of KL and gradient (x100), length (x2), entropy (x1.5).", blips),
    "gradient-blip": Pattern("One gradient norm a thousand times as large.", gradient_blip),
    "other-prompts": Pattern("Other prompts from the middle on: the reward is 2 sd lower.", other_prompts),
    "reward-x10-plus-5": Pattern("The reward times 10, plus 5.", in_other_units(10, 5), GRPO),
    "reward-x0.01": Pattern("The reward times 0.01.", in_other_units(0.01, 0), GRPO),
    "reward-minus-2": Pattern("The reward less 2.", in_other_units(1, -2), GRPO),
    "warm-up": Pattern("The learning rate rises over the first tenth.", warmup),
    "noise-x2": Pattern("Twice the noise in reward, gradient, KL, entropy and length.", twice_the_noise),
    "every-tenth": Pattern("Every tenth record alone.", every_tenth, least=LONG_ENOUGH),
    "means-of-ten": Pattern(
        "Means of ten records, as of `logging_steps=10`.", means_of_ten, least=LONG_ENOUGH
    ),
    "half-of-the-keys": Pattern("Half of the optional metrics are not logged.", half_of_the_keys),
    "any-order": Pattern("The metrics of a record in any order.", any_order),
    "duplicates": Pattern("Every twentieth record twice.", duplicates),
    "overlapping-resume": Pattern("A resume at 60% from 45%: steps stand twice.", overlapping_resume),
}
"""Every pattern by its name."""
