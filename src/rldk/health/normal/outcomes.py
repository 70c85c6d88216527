"""Questions about outcomes: rewards, preferences, completions.

Invariant: no answer where the run does not log the metrics of a question.
"""

from rldk.health.normal.question import DEAD, Reply, RunFacts, does_not_arise, no, question, yes
from rldk.health.reward_state import in_noise, solved

__all__ = ["chosen", "flat", "spread", "truncated"]


@question(
    "reward-std-zero",
    "Is a spread of the rewards of 0 normal?",
    ("reward_std", "reward_group_std_mean"),
    source="trl#3857, trl#5697",
)
def spread(facts: RunFacts) -> Reply | None:
    """Rewards without spread."""
    spread = facts.spread
    if not spread.count:
        return None
    level = spread.median(20)
    if level > DEAD:
        return does_not_arise(
            f"the spread of the rewards is {level:.2g} ({facts.latest(spread, 20)}), so completions differ "
            "and there is something to learn from.",
        )
    if solved(facts.reward):
        return yes(
            True,
            f"all completions score the same because the task is solved: {facts.learned}. "
            "There is nothing more to learn from these prompts.",
        )
    return no(
        True,
        f"all completions score the same, {facts.reward.last:.3g}, so every advantage is 0 and nothing is "
        "learned. The reward does not separate good completions from bad ones, or none succeeds.",
    )


@question(
    "chosen-falls",
    "Is it normal that the rewards of the chosen completions fall?",
    ("rewards_chosen", "rewards_chosen_reference_free", "logps_chosen"),
    source="arXiv 2402.13228 (DPO-Positive), arXiv 2410.08847 (likelihood displacement)",
)
def chosen(facts: RunFacts) -> Reply | None:
    """Rewards of the chosen completions that fall."""
    chosen, margins = facts.chosen, facts.margins
    if chosen.count < 5 or not margins.count:
        return None
    falls = chosen.ema10 < min(chosen.start, 0.0) and in_noise(chosen, chosen.start - chosen.ema10) >= 1
    course = (
        f"rewards_chosen went from {chosen.start:.3g} to {chosen.ema10:.3g} and the margin from "
        f"{margins.start:.3g} to {margins.ema10:.3g}"
    )
    if not falls:
        return does_not_arise(f"{course}. The chosen completions have not become less likely.")
    if margins.ema10 > max(margins.start, 0.0):
        return yes(
            True,
            f"{course}. DPO only widens the difference: both log-probabilities may fall, as long as those of "
            "the rejected completions fall faster. To keep the chosen texts likely, add an SFT term or "
            "stop earlier.",
        )
    return no(
        True,
        f"{course}: the chosen completions lose without the rejected ones losing more. Lower the learning "
        "rate, and check that chosen and rejected are not swapped.",
    )


@question(
    "groups-without-spread",
    "Is a high share of groups without spread normal?",
    ("frac_reward_zero_std",),
    source="trl#3857, trl#4764",
)
def flat(facts: RunFacts) -> Reply | None:
    """Groups without spread."""
    flat, reward = facts.flat, facts.reward
    if not flat.count or not reward.count:
        return None
    share = f"{flat.ema20:.0%} of the completions have a group without spread"
    if flat.ema20 < 0.5:
        return does_not_arise(
            f"{share} and teach nothing; the others do. With few generations and rewards of 0 and 1 a share "
            "like this is chance."
        )
    if solved(reward):
        return yes(
            True,
            f"{share}, because most groups succeed as a whole: {facts.learned}. The policy has "
            "learned these prompts; harder ones would teach more.",
        )
    return no(
        True,
        f"{share} and teach nothing, and the reward is not at its ceiling: {facts.learned}. Prompts are "
        "too hard or too easy, or the reward is too coarse.",
    )


@question(
    "all-clipped",
    "Is it normal that every completion is cut?",
    ("truncated_frac", "truncated_nonempty_frac"),
    source="trl#5697, trl#7039",
)
def truncated(facts: RunFacts) -> Reply | None:
    """Completions that are all cut."""
    cut, longest = facts.truncated, facts.length_max
    if not cut.count:
        return None
    if cut.ema10 < 0.95:
        return does_not_arise(
            f"{cut.ema10:.0%} of the completions are cut; the others end by themselves. The rule truncation "
            "judges whether such a share does harm."
        )
    share = f"{cut.ema10:.0%} of the completions do not end by themselves"
    cap = facts.context.number("max_completion_length")
    if cap is not None and longest.count and longest.ema10 < 0.9 * cap:
        return no(
            True,
            f"{share}, and yet the longest has {longest.ema10:.0f} tokens of {cap:.0f}: they do end, by a "
            "token that the trainer does not know. Set the tokenizer's eos_token to the one that ends a "
            "turn.",
        )
    if facts.rose():
        return yes(
            True,
            f"{share}, and still {facts.learned}. Where the reward can be earned within the limit this is "
            "harmless; answers at the end of a completion are lost: raise max_completion_length.",
        )
    return no(
        True,
        f"{share}, and {facts.learned}. Answers that are cut earn nothing: raise max_completion_length, or "
        "check that the model ever writes its EOS.",
    )
