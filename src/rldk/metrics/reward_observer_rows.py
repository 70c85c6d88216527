"""Owns the metrics of the observed reward functions and of their completions (`observe_rewards`).

Each covers only rank 0, the process that records. `rldk.recording.completion_stats` computes them.
"""

from rldk.metrics.metric import Metric

__all__ = ["REWARD_OBSERVER_ROWS"]

REWARD_OBSERVER_ROWS = (
    # Each reward function.
    Metric("reward_functions/{function}/calls", "count", "none",
        "Number of times that the trainer called one reward function since the last record."),
    Metric("reward_functions/{function}/seconds", "seconds", "down",
        "Wall-clock time that one reward function took, a mean over the steps since the last record, those "
        "without a call counted in; of an evaluation, in all of it."),
    Metric("reward_functions/{function}/errors", "count", "down",
        "Number of calls since the last record in which one reward function raised, or returned too few "
        "values, too many values, or values that are not numbers."),
    Metric("reward_functions/{function}/missing_frac", "fraction", "down",
        "Share of completions to which one reward function gave None or NaN, which TRL 1.16 leaves out of "
        "the mean and 0.23 counts as 0."),
    Metric("reward_functions/{function}/nonfinite_frac", "fraction", "down",
        "Share of completions to which one reward function gave an infinity."),
    Metric("reward_functions/{function}/group_std_mean", "score", "none",
        "Mean over the groups of one prompt of the standard deviation of one reward function's rewards."),
    Metric("reward_functions/{function}/duplicate_frac", "fraction", "none",
        "Share of completions to which one reward function gave the same reward as to another completion of "
        "the same prompt."),
    Metric("reward_time_frac", "fraction", "down",
        "Share of the wall-clock time of the steps in which at least one observed reward function ran, "
        "time between the steps counted in, evaluations left out."),
    # The completions.
    Metric("samples/duplicate_frac", "fraction", "down",
        "Share of completions with the same text as another completion of the same prompt."),
    Metric("samples/repetition_frac", "fraction", "down",
        "Mean over at most 8 completions of a batch of the share of 4-grams, among the last 512 tokens, that "
        "repeat an earlier one; completions of fewer than 16 tokens are left out."),
    Metric("samples/ended_frac", "fraction", "up",
        "Share of completions that hold an end token of the tokenizer or of the generation config; of several "
        "turns, that end on one."),
    Metric("samples/trainer_ended_frac", "fraction", "up",
        "Share of completions that end on a token which the trainer counts as an end: in 0.23 the "
        "tokenizer's alone."),
    Metric("samples/cut_frac", "fraction", "down",
        "Share of completions as long as `max_completion_length` without an end token."),
    Metric("samples/empty_frac", "fraction", "down",
        "Share of completions without a visible character."),
    Metric("samples/unscored_frac", "fraction", "down",
        "Share of completions to which no reward function gave a number, where all of them are observed."),
)  # fmt: skip
