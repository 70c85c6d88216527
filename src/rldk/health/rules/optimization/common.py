"""What rules of the optimization family share: which runs have a loss that measures progress."""

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
TINY = 1e-12


def is_offline(algorithm: str | None, chart: Chart) -> bool:
    """Whether the run trains on given sequences, by its algorithm or else by what it logs."""
    return algorithm in LOSS_IS_PROGRESS or (algorithm is None and chart.holds(OFFLINE_METRICS))
