"""Questions about the course of a run: its epochs, first step, closing summary, pace and amount of records.

Invariant: the answers are made of the run's History; without one there is no answer.
"""

from itertools import pairwise
from math import isfinite
from statistics import fmean, median

from rldk.health.normal.history import SPEEDS
from rldk.health.normal.question import Reply, RunFacts, does_not_arise, no, question, yes

__all__ = ["closing_loss", "enough", "epochs", "pace", "step_zero"]

SIDE = 10
"""Most records on each side of an epoch's beginning that are compared."""
STEP_DOWN = 0.1
"""Share of the loss by which it falls at once where rows come again that the model has memorised."""
ENOUGH = 20
"""Records from which rldk calls a run healthy."""
GOOD = 90
"""Records from which most rules find what a run suffers from."""
SLOW = 30.0
"""Seconds a step from which people ask what is slow."""


@question(
    "epoch-steps",
    "Is it normal that the loss steps where an epoch begins?",
    ("loss", "epoch"),
    source="LLaMA-Factory#7485, LLaMA-Factory#7543; fast.ai on learning from a single example",
)
def epochs(facts: RunFacts) -> Reply | None:
    """A loss that changes at once where an epoch begins."""
    if facts.reward.count:
        return None
    rows = facts.history.together("epoch", "loss")
    seams = [
        at
        for at, (before, after) in enumerate(pairwise(rows), 1)
        if int(after[1][0]) > int(before[1][0]) and int(after[1][0]) >= 1
    ]
    steps = []
    for begin, seam, end in zip([0, *seams], seams, [*seams[1:], len(rows)], strict=False):
        before = [values[1] for _, values in rows[max(begin, seam - SIDE) : seam]]
        after = [values[1] for _, values in rows[seam : min(end, seam + SIDE)]]
        if len(before) >= 3 and len(after) >= 3:
            steps.append((rows[seam][0], fmean(before), fmean(after)))
    if not steps:
        return None
    shown = "; ".join(
        f"at step {step:,} from {before:.3g} to {after:.3g}" for step, before, after in steps[:3]
    )
    texts = f"the loss changes where an epoch begins (means of at most {SIDE} records on each side): {shown}"
    changes = [(before - after) / abs(before) for _, before, after in steps if before]
    if not changes or max(map(abs, changes)) < STEP_DOWN:
        return does_not_arise(f"{texts}. That is no step.")
    if median(changes) > 0:
        return yes(
            True,
            f"{texts}. The model sees rows again that it has memorised, so the loss falls in a stair; "
            "between the "
            "stairs it is flat. It says nothing about new text: watch eval_loss, and stop after the "
            "epoch where "
            "that is lowest.",
        )
    return no(
        True,
        f"{texts}. A new epoch makes no row harder: look at a scheduler that starts again, a short last "
        "accumulation, or other data.",
    )


@question(
    "train-loss-zero",
    "Is a train_loss of 0 normal?",
    ("train_loss", "loss"),
    source="LLaMA-Factory#4278, transformers#13619",
)
def closing_loss(facts: RunFacts) -> Reply | None:
    """The closing mean of the loss."""
    loss = facts.history.closing.get("train_loss")
    if loss is None:
        return None
    if facts.grouped and abs(loss) < 0.1:
        return yes(
            False,
            f"train_loss, the mean of the whole training, is {loss:.3g}. Advantages are centred within "
            "each group, "
            "so the loss of this trainer is near 0 whatever is learned.",
        )
    if isfinite(loss) and loss != 0.0:
        return does_not_arise(f"train_loss, the mean of the whole training, is {loss:.3g}.")
    return no(
        True,
        f"train_loss, the mean of the whole training, is {loss:g}. The loss was NaN, which transformers "
        "adds up as "
        "0, or no token was trained. Look at grad_norm in trainer_state.json, decode the labels of one "
        "batch, "
        "and train in bf16.",
    )


@question(
    "step-zero",
    "Why is step 0 different?",
    ("epoch", "reward_mean", "eval_reward_mean", "eval_loss"),
    source="verl#2060",
)
def step_zero(facts: RunFacts) -> Reply | None:
    """A record at step 0 that holds only an evaluation."""
    history = facts.history
    if not history.has_steps or 0 not in history.evaluations or not history.train:
        return None
    if history.train[0][0] == 0:
        return None
    return yes(
        True,
        "step 0 holds only an evaluation, which runs before the first update (verl: "
        "trainer.val_before_train). "
        f"The first update is step {history.train[0][0]:,}. Compare later evaluations with that of step "
        "0: it "
        "is the model that the training began with.",
    )


@question(
    "slow",
    "What is slow?",
    (*SPEEDS, "train_steps_per_second_so_far", "generation_time"),
    source="verl, performance tuning guide; TRL, speeding up training",
)
def pace(facts: RunFacts) -> Reply | None:
    """The time of a step, and its largest part."""
    history = facts.history
    seconds = next((values for name in SPEEDS if (values := history.of(name))), [])
    seconds = seconds or [1 / rate for rate in history.of("train_steps_per_second_so_far") if rate]
    if not seconds:
        return None
    usual = median(seconds[-ENOUGH:])
    count = min(len(seconds), ENOUGH)
    window = f"median of the latest {count} records" if count > 1 else "the only record"
    parts = {
        name.removeprefix("timing_s/"): median(values[-ENOUGH:])
        for name in [*history.names("timing_s/"), "generation_time"]
        if (values := history.of(name)) and name != "timing_s/step"
    }
    largest = sorted(parts.items(), key=lambda part: -part[1])[:3]
    if largest and largest[0][1] <= usual:
        spelled = ", ".join(f"{name} {value:.3g} s" for name, value in largest)
        return does_not_arise(
            f"a step takes {usual:.3g} s ({window}); its largest parts are {spelled}. To be faster, "
            "begin with "
            f"{largest[0][0]}."
        )
    words = f"a step takes {usual:.3g} s ({window})"
    if usual < SLOW:
        return does_not_arise(f"{words}. The log does not hold its parts.")
    lengths = history.of("completion_length_mean")
    generates = (
        f" Completions have {median(lengths[-ENOUGH:]):.0f} tokens: generation is the first suspect "
        "(vLLM, shorter "
        "limits)."
        if lengths
        else " Without generation the first suspects are memory that is nearly full, a padded batch and "
        "data loading."
    )
    return does_not_arise(
        f"{words}. The log does not hold its parts.{generates} Record with rldk to see them."
    )


@question(
    "enough",
    "Is this enough to judge, and what do you need from me?",
    ("epoch",),
    source="docs/detection.md",
)
def enough(facts: RunFacts) -> Reply | None:
    """The number of records, and what is missing."""
    history = facts.history
    count = len(history.train)
    if not (count or history.evaluations or history.closing):
        return None
    if not count:
        return no(
            True,
            "the log holds no train record. Give trainer_state.json of a checkpoint, or the console log.",
        )
    goal = facts.reward.count or facts.loss.count
    lacking = [
        text
        for text, missing in (
            ("a reward or a loss", not goal),
            ("grad_norm", not facts.gradient.count),
            ("the learning rate", not history.of("lr")),
            ("its first records (it begins in the middle)", history.is_excerpt),
            ("its steps", not history.has_steps),
        )
        if missing
    ]
    lacks = f" It lacks {' and '.join(lacking)}." if lacking else ""
    amount = f"the log holds {count:,} train record{'s' if count > 1 else ''}"
    if count < ENOUGH:
        return no(
            True, f"{amount}, and most rules need {ENOUGH}.{lacks} Give checkpoint-*/trainer_state.json."
        )
    if count < GOOD or lacking:
        return yes(
            False,
            f"{amount}. From {ENOUGH} on rldk judges; with {GOOD} and more it finds faults that are "
            f"milder.{lacks}",
        )
    return yes(False, f"{amount}, which is enough for every rule whose metrics it holds.")
