"""Owns the metrics of preferences and of reward models.

One row per quantity, in the terms of `rldk.metrics.canonical`.
"""

from rldk.metrics.metric import Metric

__all__ = ["PREFERENCE_ROWS"]

PREFERENCE_ROWS = (
    # Preferences.
    Metric("rewards_chosen", "score", "none",
        "Implicit reward of the chosen completions: beta times the log-ratio of policy to "
        "reference summed over the tokens (DPO with ipo in 0.23: mean over them)."),
    Metric("rewards_rejected", "score", "none",
        "Implicit reward of the rejected completions, computed as `rewards_chosen`."),
    Metric("rewards_margins", "score", "up",
        "Mean implicit reward of the chosen less the rejected completions, by pairs, or "
        "between the two means in KTO and BCO, whose data has no pairs."),
    Metric("rewards_accuracies", "fraction", "up",
        "Share of pairs whose chosen completion has the strictly higher implicit reward, so zero "
        "while policy and reference are equal and zero for NaN (LLaMA-Factory with loss orpo or simpo: "
        "without a reference)."),
    Metric("rewards_accuracies_running_mean", "fraction", "up",
        "The same as `rewards_accuracies`, over the micro-batches of the step, in older versions a "
        "moving average (OpenRLHF)."),
    Metric("rewards_chosen_reference_free", "score", "none",
        "Beta times the policy's log-probability of the chosen completion, summed over the tokens "
        "(mean over them for losses ipo, simpo and tpo-l, a transform of it where CPO's `alpha` is "
        "set), with no reference in it (CPO, TPO)."),
    Metric("rewards_rejected_reference_free", "score", "none",
        "The same as `rewards_chosen_reference_free`, of the rejected completion."),
    Metric("rewards_margins_reference_free", "score", "up",
        "Mean over the pairs of the chosen less the rejected reference-free reward."),
    Metric("rewards_accuracies_reference_free", "fraction", "up",
        "Share of pairs whose chosen completion is the more likely one under the policy, which "
        "long completions lose where log-probabilities are summed (CPO, TPO)."),
    Metric("rewards_chosen_token_mean", "score", "none",
        "Beta times the policy's mean log-probability per token of the chosen completion, with no "
        "reference in it (ORPO)."),
    Metric("rewards_rejected_token_mean", "score", "none",
        "The same as `rewards_chosen_token_mean`, of the rejected completion."),
    Metric("rewards_margins_token_mean", "score", "up",
        "Mean over the pairs of the chosen less the rejected reward per token (ORPO)."),
    Metric("rewards_accuracies_token_mean", "fraction", "up",
        "Share of pairs whose chosen completion is the more likely one per token (ORPO)."),
    Metric("logps_chosen", "nats", "none",
        "Policy's log-probability of the chosen completion summed over its tokens, mean over the "
        "completions (per token for loss ipo in DPO 0.23, and for ipo, simpo and tpo-l in CPO and "
        "TPO)."),
    Metric("logps_rejected", "nats", "none",
        "The same as `logps_chosen`, of the rejected completion."),
    Metric("logps_chosen_token_mean", "nats", "none",
        "Policy's log-probability of the chosen completion as a mean over its tokens (ORPO)."),
    Metric("logps_rejected_token_mean", "nats", "none",
        "The same as `logps_chosen_token_mean`, of the rejected completion."),
    Metric("logps_chosen_policy_plus_reference", "nats", "none",
        "Log-probability of the chosen completion under the policy plus that under the reference, "
        "each summed over the tokens (XPO)."),
    Metric("logps_rejected_policy_plus_reference", "nats", "none",
        "The same as `logps_chosen_policy_plus_reference`, of the rejected completion."),
    Metric("logps_policy", "nats", "none",
        "Policy's log-probability of its own completions, summed over the tokens (Nash-MD)."),
    Metric("logps_reference", "nats", "none",
        "Reference's log-probability of the policy's completions, summed over the tokens "
        "(Nash-MD)."),
    Metric("logps_policy_reference_margin", "nats", "none",
        "`logps_policy` less `logps_reference`, which Nash-MD logs under the key of a margin of "
        "rewards."),
    Metric("logps_policy_above_reference_frac", "fraction", "none",
        "Share of the policy's completions that are likelier under it than under the reference, "
        "which Nash-MD logs under the key of an accuracy."),
    Metric("logits_chosen", "logit", "none",
        "Raw logit, mean over vocabulary and over the tokens of the chosen completions."),
    Metric("logits_rejected", "logit", "none",
        "Raw logit, mean over vocabulary and over the tokens of the rejected completions."),
    Metric("logits_chosen_sum", "logit", "none",
        "Raw logits of a chosen example, summed over vocabulary and all positions, prompt and "
        "padding included (KTO in 0.23, BCO)."),
    Metric("logits_rejected_sum", "logit", "none",
        "The same as `logits_chosen_sum`, of a rejected example."),
    Metric("logits_chosen_unmasked", "logit", "none",
        "Raw logit, mean over vocabulary and all positions of the chosen sequences, prompt and "
        "padding included (CPO, ORPO)."),
    Metric("logits_rejected_unmasked", "logit", "none",
        "The same as `logits_chosen_unmasked`, of the rejected sequences."),
    Metric("log_odds_ratio", "nats", "up",
        "Log-sigmoid of the log-odds by which chosen is likelier than rejected, mean over the "
        "pairs (ORPO)."),
    Metric("log_odds_chosen", "nats", "up",
        "Log-odds by which chosen is likelier than rejected, from mean log-probabilities per "
        "token, mean over the pairs (ORPO)."),
    Metric("reward_shift", "score", "none",
        "Running mean of all implicit rewards, which BCO subtracts from them."),
    # Reward models.
    Metric("reward_model_score_mean", "score", "none",
        "Mean score that the reward model gives, over chosen and rejected texts together."),
    Metric("reward_model_score_min", "score", "none",
        "Lowest score that the reward model gives in a batch, chosen or rejected."),
    Metric("reward_model_score_max", "score", "none",
        "Highest score that the reward model gives in a batch, chosen or rejected."),
    Metric("reward_model_chosen_mean", "score", "none",
        "Mean score that the reward model gives the chosen texts."),
    Metric("reward_model_rejected_mean", "score", "none",
        "Mean score that the reward model gives the rejected texts."),
    Metric("reward_model_centering_loss", "loss", "none",
        "Penalty for scores away from zero, its coefficient included (ms-swift)."),
    Metric("reward_model_margin_mean", "score", "up",
        "Mean over the pairs of the chosen text's score less the rejected one's."),
    Metric("reward_model_accuracy", "fraction", "up",
        "Share of pairs whose chosen text has the strictly higher score (0.23: evaluations only, "
        "pairs with equal scores left out)."),
    Metric("reward_model_accuracy_running_mean", "fraction", "up",
        "The same as `reward_model_accuracy`, over the micro-batches of the step, in older versions "
        "a moving average (OpenRLHF)."),
    Metric("process_label_accuracy", "fraction", "up",
        "Share of labelled positions, the ends of reasoning steps, whose label a process reward "
        "model predicts right."),
)  # fmt: skip
