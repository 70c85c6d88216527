"""What rules of the preference family share: the metrics of accuracies and margins."""

__all__ = ["ACCURACY", "MARGIN"]

ACCURACY = "rewards_accuracies|rewards_accuracies_reference_free|rewards_accuracies_token_mean"
MARGIN = "rewards_margins|rewards_margins_reference_free|rewards_margins_token_mean"
