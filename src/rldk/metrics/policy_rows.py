"""Owns the metrics of a policy: distances, clipping, entropy, completions.

One row per quantity, in the terms of `rldk.metrics.canonical`.
"""

from rldk.metrics.metric import Metric

__all__ = ["POLICY_ROWS"]

POLICY_ROWS = (
    # Distance between policies.
    Metric("kl_mean", "nats", "none",
        "Mean over the completion tokens, padding left out, of the KL estimate between policy and "
        "reference: k3 in GRPO, never negative, and k1 in RLOO, which may be, as configured in verl "
        "and OpenRLHF; absent (OpenRLHF: zero) without a reference."),
    Metric("kl_coef", "coefficient", "none",
        "Coefficient of the KL to the reference, in the loss or in the reward (verl)."),
    Metric("logp_reference_difference_mean", "nats", "none",
        "Mean over the completion tokens of the policy's log-probability less the reference's, "
        "the k1 estimate of their KL whatever estimator `kl_mean` uses (OpenRLHF)."),
    Metric("approx_kl_mean", "nats", "none",
        "Mean over the trained tokens, or over the environment's steps, of the KL estimate between "
        "the policy before and in the update, with no reference model in it: k1 in verl and "
        "OpenRLHF, which may be negative, k3 in SB3."),
    Metric("policy_update_kl_mean", "nats", "none",
        "Exact KL between the action distributions before and after the update, mean over the "
        "steps (TRPO of SB3)."),
    Metric("kl_rollout_mean", "nats", "none",
        "Mean over the trained tokens of the k3 estimate between the policy and the older policy "
        "that generated them, with no reference model in it (AsyncGRPO)."),
    Metric("kl_sequence_mean", "nats", "none",
        "Mean over the completions of the KL estimate between policy and reference summed over the "
        "tokens, so it grows with length, and in online DPO padding after EOS is summed too."),
    Metric("kl_reference_point_mean", "nats", "none",
        "KTO's reference point: the log-ratio of policy to reference summed over the tokens of "
        "mismatched completions, mean over the batch, clamped at zero from below, zero where the "
        "loss does without."),
    Metric("approx_kl_padded_mean", "nats", "none",
        "Half the squared change of the log-probability since generation, mean over all positions, "
        "where padding counts as zero, and over the minibatches of all epochs (PPO)."),
    Metric("ratio_mean", "ratio", "none",
        "Mean over the trained tokens of the probability ratio of the policy to the one that "
        "generated."),
    Metric("ratio_padded_mean", "ratio", "none",
        "Mean of the probability ratio of the policy to the one that generated over all positions, "
        "where padding counts as one (PPO)."),
    Metric("ratio_batch_var", "ratio", "none",
        "Variance, between the micro-batches of all epochs and processes, of their mean ratio, not "
        "of the ratios of tokens, and NaN where there is a single micro-batch (PPO)."),
    Metric("clip_frac", "fraction", "none",
        "Share of completion tokens (of sequences in RLOO and under sequence-level importance "
        "sampling) whose ratio left the clip range on the side that the advantage pushes to, zero "
        "by construction at one update a batch."),
    Metric("clip_frac_low_mean", "fraction", "none",
        "Share of tokens or sequences, as in `clip_frac`, with a negative advantage and a ratio "
        "below the clip range."),
    Metric("clip_frac_high_mean", "fraction", "none",
        "Share of tokens or sequences, as in `clip_frac`, with a positive advantage and a ratio "
        "above the clip range."),
    Metric("clip_frac_low_min", "fraction", "none",
        "Lowest, over the sequences of a batch, of the sequence's share of tokens clipped below, "
        "which is zero as soon as one sequence is not clipped."),
    Metric("clip_frac_high_max", "fraction", "none",
        "Highest, over the sequences of a batch, of the sequence's share of tokens clipped above."),
    Metric("clip_frac_low_rank_min", "fraction", "none",
        "Lowest, over the processes, of a process's share clipped below, equal to "
        "`clip_frac_low_mean` on one process (TRL 0.23)."),
    Metric("clip_frac_high_rank_max", "fraction", "none",
        "Highest, over the processes, of a process's share clipped above, equal to "
        "`clip_frac_high_mean` on one process (TRL 0.23)."),
    Metric("dual_clip_frac", "fraction", "none",
        "Share of completion tokens with a negative advantage whose loss was bounded by the second, "
        "upper clip of dual-clip PPO (verl)."),
    Metric("clip_two_sided_frac", "fraction", "none",
        "Share of steps whose ratio left the clip range on either side, whatever the advantage, so "
        "never less than `clip_frac` would be (SB3)."),
    Metric("clip_range", "ratio", "none", "Half-width of the clip range at this update (SB3)."),
    Metric("value_clip_range", "score", "none",
        "Most that a value may move in this update (SB3)."),
    Metric("cispo_clip_frac", "fraction", "none",
        "Share of completion tokens with a positive advantage whose ratio is above the cap of the "
        "importance weight, logged by loss type cispo in place of `clip_frac`."),
    Metric("vespo_weight_mean", "ratio", "none",
        "Mean of the sequence weight phi that loss type vespo gives in place of clipping."),
    Metric("sampling_logp_difference_mean", "nats", "down",
        "Mean over the completion tokens of the absolute difference between the log-probability "
        "that vLLM sampled with and the trainer's own for the same weights (GRPO with vLLM only)."),
    Metric("sampling_logp_difference_max", "nats", "down",
        "Largest, over the completion tokens of the batch, of the absolute difference that "
        "`sampling_logp_difference_mean` averages."),
    Metric("sampling_prob_difference_mean", "probability", "down",
        "Mean over the completion tokens of the absolute difference between the probability, not "
        "its logarithm, that the rollout engine sampled with and the trainer's own (verl)."),
    Metric("sampling_prob_difference_max", "probability", "down",
        "Largest of the differences that `sampling_prob_difference_mean` averages (verl)."),
    Metric("sampling_prob_difference_std", "probability", "down",
        "Standard deviation of the differences that `sampling_prob_difference_mean` averages "
        "(verl)."),
    Metric("sampling_prob_difference_valid", "flag", "none",
        "Whether there was any token to compare probabilities on (verl)."),
    Metric("sampling_prob_correlation", "correlation", "up",
        "Pearson correlation, over the completion tokens, of the rollout engine's probabilities "
        "with the trainer's (verl)."),
    Metric("sampling_kl_mean", "nats", "none",
        "Mean over the completion tokens of the rollout engine's log-probability less the "
        "trainer's, the k1 estimate of their KL, which may be negative."),
    Metric("sampling_kl_k3_mean", "nats", "down",
        "Mean over the completion tokens of the k3 estimate of the KL between rollout engine and "
        "trainer, never negative."),
    Metric("sampling_chi2_token", "divergence", "down",
        "Chi-squared divergence of trainer from rollout engine: the mean over the completion "
        "tokens of their squared probability ratio, less one (verl)."),
    Metric("importance_sampling_ratio_mean", "ratio", "none",
        "Mean correction ratio of trainer to vLLM probability, after its truncation or masking, "
        "over tokens or sequences as the mode says."),
    Metric("importance_sampling_ratio_min", "ratio", "none",
        "Lowest correction ratio of trainer to vLLM probability in the batch, zero where a token "
        "or sequence was masked."),
    Metric("importance_sampling_ratio_max", "ratio", "none",
        "Highest correction ratio of trainer to vLLM probability in the batch, after truncation."),
    Metric("importance_sampling_ratio_std", "ratio", "down",
        "Standard deviation of the correction ratios of trainer to rollout engine (verl)."),
    Metric("importance_sampling_effective_frac", "fraction", "up",
        "Effective sample size of the correction ratios as a share of the samples: one over the "
        "mean of their squares, where their mean is one (verl)."),
    Metric("importance_rejected_frac", "fraction", "down",
        "Share of completion tokens that rejection sampling masked out for their distance between "
        "rollout engine and trainer (verl)."),
    Metric("importance_filtered_frac", "fraction", "down",
        "Share of tokens, or of sequences, whose distance between rollout engine and trainer was "
        "out of bounds, so that they were masked or their ratio clipped (OpenRLHF)."),
    Metric("rollout_corr/{statistic}", "mixed", "none",
        "Another statistic of the distance between rollout engine and trainer, named by its key."),
    # Entropy.
    Metric("entropy_mean", "nats", "none",
        "Mean over the completion or labelled tokens, padding left out, of the exact entropy of "
        "the policy's next-token distribution; SFT in 0.23 includes the prompt, and for sampled "
        "completions it depends on temperature (verl and OpenRLHF average as their loss does, "
        "ms-swift by completions)."),
    Metric("entropy_completion_max", "nats", "none",
        "Highest, over the completions of a batch, of the completion's mean entropy (ms-swift)."),
    Metric("entropy_completion_min", "nats", "none",
        "Lowest, over the completions of a batch, of the completion's mean entropy (ms-swift)."),
    Metric("entropy_threshold", "nats", "none",
        "Entropy below which the tokens of a batch are left out of the loss (ms-swift)."),
    Metric("entropy_negative_mean", "nats", "none",
        "Minus the mean entropy of the policy's actions, as a term of the loss that is minimised, "
        "by one sample where it has no closed form, and never positive for discrete actions (SB3)."),
    Metric("action_std_mean", "std", "none",
        "Mean standard deviation of continuous actions (SB3)."),
    Metric("exploration_rate", "probability", "none",
        "Probability of a random action in place of the policy's (DQN of SB3)."),
    Metric("entropy_sequence_mean", "nats", "none",
        "Mean over the completions of minus the log-probability summed over the tokens, a "
        "one-sample estimate that grows with length; each padded position counts -1 in PPO and "
        "its log-probability in online DPO."),
    Metric("entropy_padded_mean", "nats", "none",
        "Mean of the exact next-token entropy over all positions, padding included, so that it "
        "moves with the completion length (PPO)."),
    Metric("entropy_coef", "coefficient", "none",
        "Coefficient of the entropy bonus for the next step (SAC: mean over the last updates), "
        "constant unless it is adaptive."),
    Metric("entropy_coef_loss", "loss", "none",
        "Loss that adapts `entropy_coef` to its target entropy (SAC of SB3)."),
    # Completions.
    Metric("completion_length_mean", "tokens", "none",
        "Mean length of the completions of the batch, EOS included, cut ones included."),
    Metric("completion_length_min", "tokens", "none",
        "Length of the shortest completion of a batch, mean over the batches of the window (in "
        "AsyncGRPO the least of the window)."),
    Metric("completion_length_max", "tokens", "none",
        "Length of the longest completion of a batch, mean over the batches of the window (in "
        "AsyncGRPO the greatest of the window)."),
    Metric("terminated_length_mean", "tokens", "none",
        "Mean length of the completions that ended by EOS, zero where none did."),
    Metric("terminated_length_min", "tokens", "none",
        "Length of the shortest completion that ended by EOS, zero where none did."),
    Metric("terminated_length_max", "tokens", "none",
        "Length of the longest completion that ended by EOS, zero where none did."),
    Metric("truncated_frac", "fraction", "down",
        "Share of completions without an EOS that the trainer knows (1.16: that do not end on EOS "
        "or padding), cut by the length limit or ended by a token it does not know (verl: as long as "
        "the limit, OpenRLHF: stopped by it)."),
    Metric("length_limit_frac", "fraction", "down",
        "Share of samples that reach the length limit, of prompt and completion together, in older "
        "versions of the completion (OpenRLHF)."),
    Metric("completion_length_nonempty_mean", "tokens", "none",
        "Mean length of the completions that are not empty (verl)."),
    Metric("completion_length_nonempty_min", "tokens", "none",
        "Length of the shortest completion that is not empty (verl)."),
    Metric("completion_length_nonempty_max", "tokens", "none",
        "Length of the longest completion that is not empty (verl)."),
    Metric("truncated_nonempty_frac", "fraction", "down",
        "Share, of the completions that are not empty, of those as long as the limit (verl)."),
    Metric("empty_completion_frac", "fraction", "down",
        "Share of completions without a token, which were aborted (verl)."),
    Metric("sequence_length_mean", "tokens", "none",
        "Mean length of prompt and completion together."),
    Metric("prompt_length_mean", "tokens", "none", "Mean length of the prompts of the batch."),
    Metric("prompt_length_min", "tokens", "none", "Length of the shortest prompt of the batch."),
    Metric("prompt_length_max", "tokens", "none", "Length of the longest prompt of the batch."),
    Metric("prompt_limit_frac", "fraction", "none",
        "Share of prompts as long as the limit, or as the longest the batch is padded to (verl)."),
    Metric("turns_mean", "count", "none", "Mean number of turns of a conversation."),
    Metric("turns_min", "count", "none", "Fewest turns of a conversation in the batch."),
    Metric("turns_max", "count", "none", "Most turns of a conversation in the batch."),
    Metric("global_seqlen/{statistic}", "tokens", "none",
        "Tokens that fall to a process, before or after they are balanced between the processes "
        "(verl)."),
    Metric("episode_length_mean", "steps", "none",
        "Mean length of an episode in the environment, over the episodes that "
        "`episode_reward_mean` averages (SB3)."),
    Metric("contain_eos_frac", "fraction", "up",
        "Share of the policy's completions that contain the EOS token, on the logging process only "
        "in online DPO."),
    Metric("opponent_contain_eos_frac", "fraction", "none",
        "Share of the reference's (XPO) or mixture's (Nash-MD) completions with an EOS token."),
    Metric("eos_token_count", "count", "none",
        "EOS tokens in the raw responses of the last batch, several in one response counted each, "
        "on the logging process only (PPO)."),
    Metric("tool_calls_mean", "count", "none", "Tool calls per completion."),
    Metric("tool_calls_min", "count", "none", "Fewest tool calls of a completion in the batch."),
    Metric("tool_calls_max", "count", "none", "Most tool calls of a completion in the batch."),
    Metric("tool_failure_frac", "fraction", "down",
        "Share of tool calls that failed, zero where there were no calls."),
    Metric("tool_loop_exhausted_frac", "fraction", "down",
        "Share of conversations cut off because they used up the allowed rounds of tool calls."),
)  # fmt: skip
