"""Statements about completions and their rewards.

Invariant: a statement holds of the rows alone. Rows without the metrics of a statement say nothing.
"""

import math

from rldk.health.text import plain
from rldk.report.rows.short_log import ShortLog, everywhere, is_zero, percent, span, statement
from rldk.report.text import counted, listed, number

__all__: list[str] = []

NAMES = 4
"""Most functions that a statement names."""
RANDOM = 4.0
"""Entropy in nats above that of any language model that writes text: published runs begin at 0.1 to 2.7."""
FAR = 5.0
"""KL per token, in nats, at which a policy no longer writes what its reference would."""
VALIDATIONS = ("val/test_score/", "val-core/")
"""Prefixes of verl's scores of a validation."""


@statement("truncated*", "completion_length*", "reward_mean")
def all_cut(rows: ShortLog) -> str | None:
    """Completions that are cut at the limit."""
    cut = rows.of("truncated_frac|truncated_nonempty_frac|length_limit_frac")
    if not cut or min(cut) < 0.5:
        return None
    if min(cut) < 1:
        return f"{percent(cut)} of the completions are cut at the limit, before they can give an answer."
    lengths = rows.of("completion_length_min") + rows.of("completion_length_max")
    if lengths and min(lengths) == max(lengths):
        return (
            f"Every completion is cut: shortest, longest and mean length are {lengths[0]:,.0f} tokens, "
            f"{everywhere(rows)}. None ends, so no answer at the end can be rewarded."
        )
    return f"Every completion is cut, {everywhere(rows)}: none ends by itself."


@statement("contain_eos_frac", "completion_length*")
def no_eos(rows: ShortLog) -> str | None:
    """Completions without an end token."""
    if not is_zero(rows.of("contain_eos_frac")):
        return None
    return f"No completion holds an end token, {everywhere(rows)}."


@statement("reward*", "frac_reward_zero_std", "loss", "grad_norm")
def no_spread(rows: ShortLog) -> str | None:
    """Completions that all score alike."""
    spread, reward = rows.of("reward_std|reward_group_std_mean"), rows.of("reward_mean")
    if not is_zero(spread) or not reward:
        return None
    none = (
        ""
        if any(reward)
        else " No completion earns anything: read some, and what the function makes of them."
    )
    varied = {name: max(values) for name, values in rows.matching("rewards/", "/std").items() if any(values)}
    name = max(varied, key=varied.__getitem__, default="")
    apart = (
        f" The spread of {plain(name)} (up to {number(varied[name])}) is over the whole batch: it "
        "differs from "
        "prompt to prompt, and not within a group."
        if name
        else ""
    )
    return (
        f"All completions score alike (reward {span(reward)}, spread 0) {everywhere(rows)}: "
        f"every advantage is 0, and these prompts teach nothing.{none}{apart}"
    )


@statement("advantage*", "grad_norm", "reward_std", "loss")
def no_advantage(rows: ShortLog) -> str | None:
    """Advantages that are all 0."""
    ends = rows.of("advantage_token_min") + rows.of("advantage_token_max")
    if not is_zero(ends):
        return None
    return (
        f"Smallest and largest advantage are 0 to the printed digits, {everywhere(rows)}: "
        "every group of the batch scores alike, and next to nothing is learned from it."
    )


@statement("rewards/*")
def one_value(rows: ShortLog) -> str | None:
    """Reward functions that always return one value."""
    if len(rows.rows) < 2:
        return None
    spreads = rows.matching("rewards/", "/std")
    held = {
        name: values[0]
        for name, values in rows.matching("rewards/", "/mean").items()
        if len(values) > 1 and min(values) == max(values) and not any(spreads.get(name, ()))
    }
    names = [f"{plain(name)} ({number(value)})" for name, value in held.items()]
    if not names:
        return None
    if all(value >= 1 for value in held.values()):
        return (
            f"One value {everywhere(rows)}: {listed(names[:NAMES])}. All completions earn it, or it is a "
            "default: it teaches nothing."
        )
    return (
        f"One value {everywhere(rows)}: {listed(names[:NAMES])}. A mean that never moves is a default, "
        "a pattern that never matches, or a task that all solve; print what the function gets and returns."
    )


@statement("rewards/*", "reward_mean")
def format_only(rows: ShortLog) -> str | None:
    """One reward function that is near 1 beside one near 0."""
    functions = rows.matching("rewards/", "/mean")
    high = [name for name, values in functions.items() if min(values) >= 0.9 and max(values) <= 1]
    low = [name for name, values in functions.items() if min(values) >= 0 and max(values) <= 0.25]
    if not high or not low:
        return None
    texts = [f"{plain(name)} is {span(functions[name])}" for name in (high[0], low[0])]
    return (
        f"{texts[0]} while {texts[1]}: the first is earned nearly always, the second seldom. "
        "Read completions."
    )


@statement("completion*", "clip*", "truncated*", "loss")
def reused(rows: ShortLog) -> str | None:
    """Updates that use the completions of an earlier row again."""
    lengths = [row.get("completion_length_mean") is not None for row in rows.rows]
    count = lengths.count(False)
    updates = all(row.get("loss") is not None for row in rows.rows)
    if not updates or not count or not any(lengths):
        return None
    return (
        f"Of {counted(len(lengths), 'row')}, {count} without new completions: such an update uses "
        "the completions "
        "of the row before again."
    )


@statement("entropy*", "reward_mean")
def near_random(rows: ShortLog) -> str | None:
    """An entropy that no model has that writes text."""
    entropy = rows.of("entropy_mean")
    if not entropy or min(entropy) < RANDOM:
        return None
    return (
        f"The entropy is {span(entropy)} nats {everywhere(rows)}: like an even choice among "
        f"{math.exp(min(entropy)):,.0f} tokens at each position. Published runs begin at 0.1 to 2.7. Read "
        "completions."
    )


@statement("reward_mean", "val*")
def validation_knows(rows: ShortLog) -> str | None:
    """A validation that scores far above the rollouts of the same row."""
    for row in rows.rows:
        reward = row.get("reward_mean")
        scores = {
            name: value
            for name, value in row.items()
            if value is not None and name.startswith(VALIDATIONS) and math.isfinite(value)
        }
        if reward is None or not scores or not 0 <= reward < 0.2:
            continue
        name, score = max(scores.items(), key=lambda item: item[1])
        if score >= 5 * max(reward, 0.01):
            return (
                f"In one row the rollouts earn {number(reward)} and the validation scores "
                f"{number(score)} ({plain(name)}): the weights can do it. Look at the rollout: its "
                "temperature, its limit, and whether its engine has the same weights."
            )
    return None


@statement("kl_mean", "grad_norm")
def at_the_reference(rows: ShortLog) -> str | None:
    """A KL of exactly 0 beside a gradient."""
    kl, gradient = rows.of("kl_mean"), rows.of("grad_norm")
    if not is_zero(kl) or len(kl) < 5 or not gradient or min(gradient) <= 0:
        return None
    return (
        f"The KL is exactly 0 {everywhere(rows)} beside a gradient norm of {span(gradient)}: the policy is "
        "still its reference. Print the trainable parameters; a reference that is the policy itself does "
        "this too."
    )


@statement("reward_mean", "kl_mean", "completion_length*")
def reward_lost_to_kl(rows: ShortLog) -> str | None:
    """A reward that falls while the KL rises beyond what a reference can mean."""
    reward, kl = rows.of("reward_mean"), rows.of("kl_mean")
    if len(reward) < 3 or len(kl) != len(reward):
        return None
    top = max(range(len(reward)), key=reward.__getitem__)
    if reward[top] <= 0 or reward[-1] > 0.5 * reward[top] or kl[-1] < FAR or kl[-1] < 10 * max(kl[top], 0.0):
        return None
    lengths = rows.of("completion_length_mean")
    shorter = (
        f", and completions go from {number(lengths[0])} to {number(lengths[-1])} tokens" if lengths else ""
    )
    return (
        f"The reward falls from {number(reward[top])} in row {top + 1} to {number(reward[-1])} in the "
        "last, while "
        f"the KL rises from {number(kl[top])} to {number(kl[-1])}{shorter}: the policy has left its "
        "reference "
        "and writes noise. Go back before the fall, lower the learning rate, and raise beta."
    )
