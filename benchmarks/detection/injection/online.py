"""Faults of GRPO and RLOO: what is done to a log at a magnitude, and what moves with it.

`mode` says what the reward does meanwhile: `Edit.move_reward`.

Invariant: a fault changes an Edit from its onset on; made anew from the start are only two reward functions,
sampling differences and evaluations, which few logs hold.
"""

from collections.abc import Callable

import numpy as np

from injection.base import Series
from injection.edit import (
    CLIPPED,
    ENTROPY,
    GRADIENT,
    KL,
    LENGTH,
    LOSS,
    REWARD,
    REWARD_STD,
    STEP_TIME,
    TRUNCATED,
    ZERO_STD,
    Edit,
)

Fault = Callable[[Edit, float], None]
LENGTHS = (
    LENGTH,
    "completion_length_max",
    "completion_length_min",
    "terminated_length_mean",
    "terminated_length_max",
    "terminated_length_min",
)
LOSS_PER_KL = 0.04
"""beta of the TRL that put the KL into the loss by default."""
STEP_SECONDS = 5.0
"""A step of a real training takes seconds; a toy's is brought to so many."""


def kl(mode: str) -> Fault:
    """Nats a token are added to the KL."""

    def put(edit: Edit, nats: float) -> None:
        added = nats * edit.ramp**1.5 * edit.wobble(KL, 0.9)
        edit.put(KL, edit.need(KL) + added)
        if edit.base.holds(LOSS):
            edit.put(LOSS, edit.need(LOSS) + LOSS_PER_KL * added)
        if nats >= 1:
            edit.multiply(ENTROPY, 1 - 0.2 * edit.ramp)
            edit.multiply(GRADIENT, 1 + 0.5 * edit.ramp)
        edit.move_reward(mode)

    return put


def entropy_decay(mode: str) -> Fault:
    """The entropy falls to a share; completions of a group grow alike."""

    def put(edit: Edit, share: float) -> None:
        alike = 0.4 * (1 - share) * edit.ramp
        edit.multiply(ENTROPY, share**edit.ramp)
        zero = edit.get(ZERO_STD)
        if zero is not None:
            edit.put(ZERO_STD, zero + alike * (1 - zero), high=1.0)
        edit.multiply(REWARD_STD, 1 - alike)
        edit.move_reward(mode)

    return put


def entropy_explosion(mode: str) -> Fault:
    """The entropy rises so many times, to that of random tokens at most."""

    def put(edit: Edit, times: float) -> None:
        edit.multiply(ENTROPY, times**edit.ramp, high=11.0)
        edit.move_reward(mode)

    return put


def length(mode: str) -> Fault:
    """All lengths change so many times, and the step time with them."""

    def put(edit: Edit, times: float) -> None:
        for name in LENGTHS:
            edit.multiply(name, times**edit.ramp, low=1.0)
        edit.multiply(STEP_TIME, 1 + 0.7 * (times**edit.ramp - 1))
        edit.move_reward(mode)

    return put


def truncation(mode: str) -> Fault:
    """A share of the completions that ended are cut at the longest length."""

    def put(edit: Edit, share: float) -> None:
        cut, lengths, rest = edit.need(TRUNCATED), edit.need(LENGTH), edit.split(TRUNCATED).rest
        longest = edit.get("completion_length_max")
        longest = np.full(edit.count, lengths.max()) if longest is None else np.maximum(longest, lengths)
        of_rest = share * edit.ramp
        noise = 0.0 if share > 0.95 else 0.3 * of_rest * rest
        edit.put(TRUNCATED, cut + of_rest * (1 - cut) + noise, 0.0, 1.0)
        edit.put(LENGTH, lengths + of_rest * (longest - lengths))
        edit.move_reward(mode)

    return put


def gradient_creep(mode: str) -> Fault:
    """The gradient norm grows so many times by the end."""

    def put(edit: Edit, times: float) -> None:
        edit.multiply(GRADIENT, times**edit.to_end)
        edit.move_reward(mode)

    return put


def gradient_spikes(mode: str) -> Fault:
    """Every twelfth gradient norm is so many times as large, half of them for two records."""

    def put(edit: Edit, times: float) -> None:
        factor = np.ones(edit.count)
        period = max(min(12, (edit.count - edit.onset) // 4), 3)
        for at in range(edit.onset, edit.count, period):
            factor[at] = times ** (1 + edit.rng.normal(0, 0.1))
            if edit.rng.random() < 0.5 and at + 1 < edit.count:
                factor[at + 1] = times**0.5
        edit.multiply(GRADIENT, factor)
        edit.move_reward(mode)

    return put


def reward_falls(shape: str) -> Fault:
    """The reward loses a share of its gain (of four standard deviations, where that is more)."""

    def put(edit: Edit, share: float) -> None:
        known = edit.split(REWARD)
        gained = float(known.trend[edit.onset] - known.trend[0])
        records = max(3, min(5, (edit.count - edit.onset) // 4))
        at_once = np.clip((np.arange(edit.count) - edit.onset + 1) / records, 0, 1)
        ramp = edit.to_end if shape == "decay" else at_once
        edit.shift_reward(-share * max(gained, 4 * known.sd) * ramp)
        if shape == "collapse" and share >= 0.5:
            edit.multiply(GRADIENT, 1 + share * ramp)
            edit.multiply(ENTROPY, 1 + 0.3 * share * ramp)

    return put


def no_learning(edit: Edit, share: float) -> None:
    """A share of the trend of the reward is left."""
    known = edit.split(REWARD)
    edit.set_reward(known.trend[0] + share * (known.trend - known.trend[0]) + known.rest)


def zero_advantage(mode: str) -> Fault:
    """A share of the groups has one reward: the lowest, the highest, or one that stands."""

    def put(edit: Edit, share: float) -> None:
        zero, rest = edit.need(ZERO_STD), edit.split(ZERO_STD).rest
        noise = 0.0 if share > 0.95 else 0.3 * share * edit.ramp * rest
        groups = np.clip(np.maximum(zero, zero + edit.ramp * (share - zero)) + noise, 0.0, 1.0)
        edit.put(ZERO_STD, groups)
        left = np.where(groups >= 1, 0.0, np.clip((1 - groups) / np.maximum(1 - zero, 0.05), 0.0, 1.0))
        edit.multiply(GRADIENT, np.sqrt(left))
        edit.multiply(REWARD_STD, left)
        if mode == "flat":
            edit.move_reward("flat")
            return
        old = edit.need(REWARD)
        is_share = old.min() >= 0 and old.max() <= 1 + 1e-9
        goal = old.min() if mode == "unsolvable" else 1.0 if is_share else old.max()
        edit.set_reward(old + share * edit.ramp * (goal - old))

    return put


def off_policy(mode: str) -> Fault:
    """A share of the tokens is clipped in addition."""

    def put(edit: Edit, share: float) -> None:
        for name in (CLIPPED, "clip_frac_high_mean"):
            values = edit.get(name)
            if values is not None:
                edit.put(name, values + share * edit.ramp * np.exp(edit.gauss(0.25)), high=0.99)
        edit.move_reward(mode)

    return put


def sampling_mismatch(mode: str) -> Fault:
    """The log-probabilities of the sampler and of the trainer differ by so many nats."""

    def put(edit: Edit, nats: float) -> None:
        rise = nats * edit.ramp * np.exp(edit.gauss(0.15))
        difference, ratio = "sampling_logp_difference_mean", "importance_sampling_ratio_mean"
        before = edit.get(difference)
        edit.add(difference, rise + (0.006 * edit.wobble(ENTROPY, 0.4) if before is None else before))
        if edit.get(ratio) is None:
            edit.add(ratio, 1 - np.minimum(0.5 * rise, 0.6))
        edit.move_reward(mode)

    return put


def slow_steps(edit: Edit, times: float) -> None:
    """A step takes so many times as long."""
    seconds = edit.need(STEP_TIME)
    usual = float(np.median(seconds))
    real = STEP_SECONDS / usual if usual < 1 else 1.0
    edit.put(STEP_TIME, seconds * real * times**edit.ramp, since=0)


def component_stuck(edit: Edit, gain: float) -> None:
    """The accuracy stands, the format gains so much."""
    _two_components(edit, np.full(edit.count, 0.25), 0.3 + gain * edit.ramp)


def component_falls(edit: Edit, share: float) -> None:
    """The accuracy loses a share of what it reached, while the format gains more."""
    rising = 0.3 + 0.2 * np.arange(edit.count) / max(edit.onset, 1)
    accuracy = np.where(edit.step > 0, 0.5 * (1 - share * edit.to_end), rising)
    _two_components(edit, accuracy, np.minimum(0.3 + (0.3 + 0.5 * share) * edit.ramp, 1.0))


def _two_components(edit: Edit, accuracy: Series, formatted: Series) -> None:
    """Two reward functions in place of the log's own, each with the log's noise."""
    for row in edit.train:
        for name in [name for name in row.values if name.startswith("rewards/")]:
            del row.values[name]
    spread = np.sqrt(np.maximum(4 * formatted * (1 - formatted), 0.0))
    a = np.clip(accuracy + 0.04 * edit.noise(REWARD), 0, 1)
    f = np.clip(formatted + 0.05 * edit.noise(ENTROPY) * spread, 0, 1)
    for name, values in (("accuracy_reward", a), ("format_reward", f)):
        edit.add(f"rewards/{name}/mean", values)
        edit.add(f"rewards/{name}/std", np.sqrt(values * (1 - values)))
    edit.add(REWARD, a + f)


def evaluation_falls(edit: Edit, share: float) -> None:
    """The reward of evaluations loses a share of its level, while the train reward rises."""
    known = edit.split(REWARD)
    held = known.trend[np.minimum(np.arange(edit.count), edit.onset)]
    scale = max(abs(float(known.trend[edit.onset])), 4 * known.sd)
    edit.move_reward("paid")
    edit.evaluations(reward_mean=held - share * scale * edit.to_end + edit.gauss(0.5 * known.sd))


def null_reward(edit: Edit, every: float) -> None:
    """Every so many records the reward is None."""
    for row in edit.train[edit.onset :: int(every)]:
        for name in (REWARD, *edit.components()):
            row.values[name] = None
