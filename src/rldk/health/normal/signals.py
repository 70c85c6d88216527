"""Questions about single signals: rates, functions with one value, zeros, values that are not finite.

Invariant: the answers are made of the run's History; without one there is no answer.
"""

from rldk.health.normal.question import DEAD, Reply, RunFacts, does_not_arise, no, question, yes
from rldk.health.text import plain

__all__ = [
    "constant",
    "gradient_zero",
    "negative_chosen",
    "no_end",
    "now_and_then",
    "rate",
    "reference_point",
]

MANY = 3
"""Records from which a value that never changes says something."""
RARE = 0.1
"""Share of records up to which a value that is not finite is rare."""


@question(
    "reference-point-zero",
    "Is it normal that KTO's kl is 0?",
    ("kl_reference_point_mean", "kl_mean"),
    source="HALOs#24; KTO (arXiv 2402.01306)",
)
def reference_point(facts: RunFacts) -> Reply | None:
    """KTO's reference point."""
    point = facts.history.of("kl_reference_point_mean")
    if not point:
        return None
    zeros = sum(value == 0 for value in point)
    course = f"the reference point is {point[0]:.3g} in the first record and {point[-1]:.3g} in the last"
    if not zeros:
        return does_not_arise(f"{course}, and 0 in none of {len(point):,} records.")
    return yes(
        True,
        f"{course}; it is 0 in {zeros:,} of {len(point):,} records. KTO's kl is no distance, but a "
        "reference point "
        "that is clamped at 0. It is 0 where mismatched answers have become less likely, which is what "
        "training does to them. Watch rewards_chosen, rewards_rejected and the margin instead.",
    )


@question(
    "chosen-negative",
    "Is it normal that the rewards of the chosen completions are negative?",
    ("rewards_chosen",),
    source="arXiv 2404.12358 (from r to Q*), arXiv 2410.08847 (likelihood displacement)",
)
def negative_chosen(facts: RunFacts) -> Reply | None:
    """Rewards of the chosen completions below 0."""
    rows = facts.history.together("rewards_chosen", "rewards_rejected")
    if not rows:
        return None
    (chosen, rejected), latest = rows[0][1], rows[-MANY:]
    now = [sum(values[at] for _, values in latest) / len(latest) for at in (0, 1)]
    course = (
        f"the reward of the chosen went from {chosen:.3g} to {now[0]:.3g}, that of the rejected from "
        f"{rejected:.3g} to {now[1]:.3g} (first record, and mean of the latest {len(latest)})"
    )
    if now[0] >= 0:
        return does_not_arise(f"{course}. The chosen are not below 0.")
    if now[0] > now[1]:
        return yes(
            True,
            f"{course}. An implicit reward says how much likelier a text has become than under the "
            "reference. Both "
            "may fall, as long as the margin grows, and here it is positive. To keep the chosen texts "
            "likely, add an "
            "SFT term (rpo_alpha), or stop earlier.",
        )
    return no(
        True,
        f"{course}: the chosen have fallen as far as the rejected. Check that the two are not swapped, "
        "and lower "
        "the learning rate.",
    )


@question(
    "rate-not-mine",
    "Is it normal that the logged learning rate or gradient norm is not mine?",
    ("lr", "grad_norm"),
    source="transformers#31707, trl#1638",
)
def rate(facts: RunFacts) -> Reply | None:
    """A rate that never moves with a gradient of 0, or with steps that were skipped."""
    history = facts.history
    rates, gradients, losses = history.of("lr"), history.of("grad_norm"), history.of("loss")
    if len(rates) < MANY:
        return None
    held = len(set(rates)) == 1
    skipped = history.broken("grad_norm")
    course = (
        f"the rate is {rates[0]:.3g} in the first record and {rates[-1]:.3g} in the last of {len(rates):,}"
    )
    if held and skipped and len(skipped) >= 0.9 * len(rates):
        return no(
            True,
            f"{course}, and the gradient norm is not finite in {len(skipped):,} of them. A loss scaler "
            "skipped these "
            "steps, and the schedule moves only with a step that is taken: nothing is trained. Use bf16.",
        )
    if held and len(gradients) >= MANY and not any(gradients) and _falls(losses) and not facts.reward.count:
        return yes(
            True,
            f"{course}, and the gradient norm is 0 in all of them while the loss goes from "
            f"{losses[0]:.3g} to "
            f"{losses[-1]:.3g}. A layer-wise optimizer (GaLore, LOMO) steps inside the backward pass; "
            "the trainer "
            "holds a dummy optimizer and logs placeholders. Judge by loss and evaluation.",
        )
    return does_not_arise(f"{course}, between {min(rates):.3g} and {max(rates):.3g}.")


def _falls(losses: list[float]) -> bool:
    third = max(len(losses) // 3, 1)
    return len(losses) >= MANY and sum(losses[-third:]) < 0.98 * sum(losses[:third])


@question(
    "constant-function",
    "Is it normal that a reward function always gives one value?",
    ("rewards/{function}/mean",),
    source="train-deepseek-r1#4, VLM-R1#44",
)
def constant(facts: RunFacts) -> Reply | None:
    """Reward functions with one value in all records."""
    history = facts.history
    held: list[str] = []
    others: list[str] = []
    dead = False
    for name in history.names("rewards/"):
        function, _, last = name.removeprefix("rewards/").rpartition("/")
        values = history.of(name)
        if last != "mean" or not values:
            continue
        if len(values) > 1 and min(values) == max(values) and not any(history.of(f"rewards/{function}/std")):
            held.append(f"{plain(function)} is {values[0]:.4g} in all {len(values):,} records")
            dead = dead or values[0] <= 0 or values[0] < 0.9
        else:
            others.append(f"{plain(function)} {values[0]:.3g} to {values[-1]:.3g}")
    if not held:
        course = f"first and last record: {', '.join(others[:4])}. " if others else ""
        return does_not_arise(f"{course}No function gives one value only.") if others else None
    moving = f" The others move ({', '.join(others[:3])})." if others else ""
    if not dead:
        return yes(
            True,
            f"{'; '.join(held[:4])}: the task of this function is solved, or its value is a default. It "
            "teaches "
            f"nothing any more.{moving}",
        )
    return no(
        True,
        f"{'; '.join(held[:4])}. A score of completions varies. One value for all of them is a default "
        "(0.5 where "
        "an answer cannot be parsed), a pattern that never matches, or a column that never arrives. "
        "Print what "
        f"the function gets and returns for three completions.{moving}",
    )


@question(
    "no-eos",
    "Is it normal that no completion ends, and all are equally long?",
    ("contain_eos_frac", "completion_length_mean", "completion_length_max", "truncated_frac"),
    source="trl#5697, ms-swift#9261",
)
def no_end(facts: RunFacts) -> Reply | None:
    """Completions without an end that have one length."""
    history = facts.history
    ends, cut = history.of("contain_eos_frac"), history.of("truncated_frac")
    shortest, longest = history.of("completion_length_min"), history.of("completion_length_max")
    lengths = [*shortest, *longest] if shortest else []
    even = bool(lengths) and min(lengths) == max(lengths)
    endless = (bool(ends) and not any(ends)) or (bool(cut) and min(cut) >= 1)
    if not (ends or cut):
        return None
    if not endless:
        share = (
            f"{min(cut):.0%} to {max(cut):.0%} of the completions are cut" if cut else "some completions end"
        )
        return does_not_arise(f"{share}, over {len(cut or ends):,} records.")
    same = f"; shortest and longest have {lengths[0]:,.0f} tokens" if even else ""
    return no(
        True,
        f"no completion ends{same} ({len(cut or ends):,} records with completions). Raise the limit once, to "
        "twice its size. "
        "If all are as long again, the model never writes its end token: check eos_token and the chat "
        "template, "
        "and that training kept the end token among the labels.",
    )


@question(
    "nan-now-and-then",
    "Is it normal that the KL or a clip ratio is NaN now and then?",
    ("kl_mean", "clip_frac", "clip_two_sided_frac"),
    source="trl#1473, trl#5902",
)
def now_and_then(facts: RunFacts) -> Reply | None:
    """A KL or a clip ratio that is not finite in some records."""
    history = facts.history
    counts = {name: history.broken(name) for name in ("kl_mean", "clip_frac", "clip_two_sided_frac")}
    broken = {name: steps for name, steps in counts.items() if steps}
    if not broken:
        return None
    total = len(history.train)
    spelled = ", ".join(
        f"{name} in {len(steps):,} of {total:,} records (first at step {steps[0]:,})"
        for name, steps in broken.items()
    )
    if history.broken("grad_norm") or history.broken("loss"):
        return no(True, f"not finite: {spelled}, and loss or gradient norm too. The weights may be lost.")
    if max(map(len, broken.values())) <= max(RARE * total, 1) or len(facts.history.of("grad_norm")):
        return yes(
            True,
            f"not finite: {spelled}, while loss and gradient norm stay finite. It is a mean over no "
            "token: a batch "
            "whose completions are all masked or empty. The weights are whole. Often, it wastes batches: "
            "look at "
            "truncation and at the mask.",
        )
    return no(
        True, f"not finite: {spelled}, and no gradient norm is logged to show that the weights are whole."
    )


@question(
    "gradient-zero",
    "Is it normal that the gradient is 0 although rewards vary?",
    ("grad_norm",),
    source="trl#3857, unsloth#3471, trl#6700",
)
def gradient_zero(facts: RunFacts) -> Reply | None:
    """A gradient of 0 with a spread of the rewards."""
    rows = facts.history.together("grad_norm", "reward_std")
    zeros = [(step, values[1]) for step, values in rows if abs(values[0]) < DEAD]
    varied = [spread for _, spread in zeros if spread > DEAD]
    if not rows:
        return None
    counted = f"the gradient norm is 0 in {len(zeros):,} of {len(rows):,} records"
    if not varied:
        return does_not_arise(
            f"{counted}, and rewards vary in none of these." if zeros else f"{counted} that hold a spread."
        )
    cut = facts.history.of("truncated_frac")
    masked = (
        "Most completions are cut, and mask_truncated_completions=True takes such out of the loss: raise "
        "max_completion_length, or turn the mask off."
        if cut and sum(cut) / len(cut) > 0.5
        else "Print the trainable parameters (PEFT: is_trainable=True), and check enable_input_require_grads "
        "with gradient checkpointing."
    )
    if len(varied) <= RARE * len(rows):
        return yes(
            True, f"{counted}, {len(varied):,} of them with a spread: a few batches do that by rounding."
        )
    return no(
        True,
        f"{counted}, and in {len(varied):,} of these the rewards vary (spread up to {max(varied):.3g}). "
        "An advantage "
        f"without a gradient means that no trained token or parameter is reached. {masked}",
    )
