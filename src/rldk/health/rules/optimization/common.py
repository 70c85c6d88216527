"""What rules of the optimization family share: which runs have a loss that measures progress."""

from fnmatch import fnmatchcase

from rldk.health.context import OFFLINE
from rldk.health.tracks import Chart

__all__ = [
    "ACCURACY",
    "GRADIENT",
    "LOSS_IS_PROGRESS",
    "OFFLINE_METRICS",
    "PAIR_ACCURACY",
    "TINY",
    "is_offline",
    "is_supervised",
]

PAIR_ACCURACY = (
    "rewards_accuracies|rewards_accuracies_reference_free|rewards_accuracies_token_mean|reward_model_accuracy"
)
"""Share of pairs that the model ranks right."""
ACCURACY = f"{PAIR_ACCURACY}|token_accuracy_mean"
"""Share of pairs, or of labelled tokens, that the model gets right."""
OFFLINE_METRICS = (
    f"{ACCURACY}|rewards_margins*|reward_model_*|logps_chosen*|log_odds_*|kl_reference_point_mean"
)
"""Metrics that only offline training logs."""
LOSS_IS_PROGRESS = OFFLINE | {"trainer"}
GRADIENT = "grad_norm"
SUPERVISED = ("loss", "lr", GRADIENT)
"""What every supervised training with transformers logs."""
BESIDES = (
    *SUPERVISED,
    "epoch",
    "total_flos",
    "train_*",
    "num_input_tokens*",
    "eval_loss",
    "eval_runtime",
    "eval_*_per_second",
    "eval_token_accuracy_mean",
    "step_time",
)
"""What such a run logs at most: any other key may be that of another algorithm."""
TINY = 1e-12


def is_offline(algorithm: str | None, chart: Chart) -> bool:
    """Whether the run trains on given sequences, by its algorithm or else by what it logs."""
    if algorithm is not None:
        return algorithm in LOSS_IS_PROGRESS
    return chart.holds(OFFLINE_METRICS) or is_supervised(algorithm, chart)


def is_supervised(algorithm: str | None, chart: Chart) -> bool:
    """Whether a run of unknown algorithm is taken as sft: it logs a loss, a rate, a gradient and no more."""
    names = chart.known_names
    if algorithm is not None or not names.issuperset(SUPERVISED):
        return False
    return all(any(fnmatchcase(name, known) for known in BESIDES) for name in names)
