"""Owns the canonical metrics: one name a quantity, and one true sentence on what it measures.

Unless a sentence says otherwise, a logged value is the mean, over the batches since the last
record, of what the sentence describes for one batch, across all processes. In the sentences,
0.23 and 1.16 are the versions of TRL whose sources were read; other versions are not claimed. The
versions that were read of other trainers stand in their dialects.
"""

from typing import Literal

import msgspec

__all__ = ["METRICS", "Direction", "Metric"]

Direction = Literal["up", "down", "none"]


class Metric(msgspec.Struct, frozen=True):
    """A quantity that a trainer logs."""

    name: str
    """Its name in every log; a part in braces stands for any text. One with a slash is a trainer's own
    key, kept because nothing else is quite the same quantity."""

    unit: str
    """One short word: `nats`, `tokens`, `fraction`, `score`, `seconds`, `count`, ..."""

    direction: Direction
    """Where a healthy run is expected to move it; `none` where neither is good in itself."""

    meaning: str
    """What is averaged over what, in one sentence, and for whom it is nonsense."""


_ROWS = (
    # Any trainer.
    Metric("loss", "loss", "down",
        "Mean training loss over the steps since the last record, where a NaN loss may have been "
        "replaced by zero or an average (OpenRLHF: of the last micro-batch, SB3's PPO: of the last "
        "minibatch), and no measure of progress in GRPO, PPO and their kin."),
    Metric("grad_norm", "norm", "none",
        "Global norm of the policy's gradient before clipping, of the last step of the window only "
        "(verl: mean over the updates of an iteration)."),
    Metric("lr", "1/step", "none",
        "Learning rate that the scheduler reports for the first parameter group, of the last step "
        "of the window only, whatever the optimizer was really given (verl: mean over the updates of an "
        "iteration)."),
    Metric("epoch", "epochs", "none",
        "Passes over the training data so far, with fractions; in PPO, episodes over data size; "
        "in verl, whole passes done."),
    Metric("num_tokens", "tokens", "none",
        "Tokens consumed in training so far by all processes, prompt and completion without "
        "padding, which restarts at zero on a resume of SFT, DPO, KTO or the reward trainer."),
    Metric("num_input_tokens_seen", "tokens", "none",
        "Input tokens that the Trainer counted so far over all processes, with or without padding "
        "as `include_num_input_tokens_seen` says."),
    Metric("train_runtime", "seconds", "none",
        "Wall-clock time since training began (SB3: in whole seconds, since this call of `learn`)."),
    Metric("train_samples_per_second", "samples/s", "up",
        "Training samples per second of wall-clock time, as the Trainer counts samples."),
    Metric("train_steps_per_second", "steps/s", "up",
        "Optimizer steps per second of wall-clock time, over the whole training."),
    Metric("train_tokens_per_second", "tokens/s", "up",
        "Input tokens per second of wall-clock time, since training began or was resumed."),
    Metric("train_loss", "loss", "down",
        "Training loss averaged over all steps, which stays finite when single losses were NaN."),
    Metric("total_flos", "flops", "none",
        "Floating-point operations so far, as estimated from parameters and input tokens."),
    Metric("runtime", "seconds", "none", "Wall-clock time that one evaluation took."),
    Metric("samples_per_second", "samples/s", "up", "Evaluated samples per second."),
    Metric("steps_per_second", "steps/s", "up", "Evaluated batches per second."),
    Metric("model_preparation_time", "seconds", "none",
        "Time spent to wrap and place the model before an evaluation without a training."),
    Metric("step_time", "seconds", "down",
        "Time inside the training steps of one optimizer step, generation and rewards included, "
        "the optimizer and the callbacks not."),
    Metric("step_wall_time", "seconds", "down",
        "Wall-clock time from the end of one optimizer step to the end of the next."),
    Metric("aux_loss", "loss", "none",
        "Load-balancing loss of the router of a mixture of experts, before its coefficient."),
    # Rewards of an online algorithm.
    Metric("reward_mean", "score", "up",
        "Mean over the completions of the batch of the reward that the task gives, summed over "
        "the reward functions with their weights, before a KL penalty (RLOO in 0.23: after it and "
        "after clipping) and after the penalty for a missing EOS where one is set."),
    Metric("reward_std", "score", "none",
        "Spread of the rewards: in TRL 1.16 the standard deviation over all completions of the "
        "batch, in 0.23 and ms-swift (under `scale_rewards` group or none) and in AsyncGRPO the mean of the "
        "standard deviations within the groups of one prompt, which is smaller."),
    Metric("reward_min", "score", "none", "Lowest reward of a completion in the batch."),
    Metric("reward_max", "score", "none", "Highest reward of a completion in the batch."),
    Metric("reward_group_std_mean", "score", "none",
        "Mean over the groups of one prompt of the standard deviation of the rewards within."),
    Metric("rewards/{function}/mean", "score", "up",
        "Mean of what one reward function returned, unweighted, over the completions that it "
        "scored, those with None or NaN left out."),
    Metric("rewards/{function}/std", "score", "none",
        "Standard deviation of what one reward function returned, unweighted, over all completions "
        "of the batch that it scored."),
    Metric("frac_reward_zero_std", "fraction", "down",
        "Share of completions whose group (whole batch, where rewards are scaled by batch) has "
        "rewards without spread, within 1e-8, and so no advantage, which a solved task shows as "
        "well as a hopeless one."),
    Metric("advantage_mean", "score", "none",
        "Mean over the completions of the reward less the estimated optimal value of the prompt."),
    Metric("optimal_value_mean", "score", "none",
        "Mean over the prompts of the optimal value estimated once, before training (A2PO)."),
    Metric("implicit_reward_mean", "score", "none",
        "Mean over the completions of beta2 times the log-ratio of policy to reference, summed "
        "over the tokens (A2PO)."),
    Metric("non_score_reward_mean", "score", "none",
        "Mean over the completions of the KL penalty, minus its coefficient times the KL summed "
        "over the tokens."),
    Metric("rlhf_reward_mean", "score", "up",
        "Mean over the completions of the score plus the KL penalty, that is, what is maximised (verl "
        "without a KL penalty in the reward: the score itself)."),
    Metric("rlhf_reward_min", "score", "none",
        "Lowest score plus KL penalty of a completion in the batch."),
    Metric("rlhf_reward_max", "score", "none",
        "Highest score plus KL penalty of a completion in the batch."),
    Metric("score_mean", "score", "up",
        "Mean over the completions of the score that dynamic sampling goes by, where the reward "
        "function gives one besides the reward (OpenRLHF)."),
    Metric("shaped_return_mean", "score", "none",
        "Mean over the completions of what the advantages are made from, the reward less the "
        "baseline of its group and the KL penalty, near zero wherever there is a baseline "
        "(OpenRLHF)."),
    Metric("advantage_token_mean", "score", "none",
        "Mean advantage of a completion token, after normalisation (verl)."),
    Metric("advantage_token_min", "score", "none",
        "Lowest advantage of a completion token, after normalisation (verl)."),
    Metric("advantage_token_max", "score", "none",
        "Highest advantage of a completion token, after normalisation (verl)."),
    Metric("return_token_mean", "score", "none",
        "Mean over the completion tokens of the return from the token on, which without a critic "
        "is the advantage (verl)."),
    Metric("return_token_min", "score", "none",
        "Lowest return from a completion token on (verl)."),
    Metric("return_token_max", "score", "none",
        "Highest return from a completion token on (verl)."),
    Metric("episode_reward_mean", "score", "up",
        "Mean undiscounted sum of the rewards of an episode in the environment, over the last 100 "
        "episodes unless `stats_window_size` says otherwise (SB3)."),
    Metric("success_frac", "fraction", "up",
        "Share of the last episodes, as in `episode_reward_mean`, that the environment calls a "
        "success (SB3)."),
    Metric("dynamic_sampling_kept_frac", "fraction", "none",
        "Share of prompts whose samples dynamic sampling kept (OpenRLHF)."),
    Metric("pair_reward_margin_mean", "score", "none",
        "Mean over the pairs of the better completion's reward less the worse one's, which is "
        "never negative (online DPO)."),
    Metric("opponent_reward_mean", "score", "none",
        "Mean reward of the completions that the policy's own are compared with: of the reference "
        "in XPO, of the mixture in Nash-MD."),
    Metric("opponent_reward_margin_mean", "score", "up",
        "Mean reward of the policy's completions less that of the reference's (XPO)."),
    Metric("win_probability_mean", "fraction", "up",
        "Mean probability, given by the judge or the rewards, that the policy's completion is "
        "preferred to the mixture's (Nash-MD)."),
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
    # Losses by part, and the critic.
    Metric("policy_loss", "loss", "none",
        "GRPO loss with its KL term before the entropy bonus is taken off and before the division "
        "by accumulation steps, logged only with an entropy bonus."),
    Metric("surrogate_loss_mean", "loss", "none",
        "Clipped surrogate loss without value, KL or entropy term, mean over the completion tokens "
        "(verl, OpenRLHF: as `loss_agg_mode` or its like says; SB3: over the environment's steps) "
        "and over the minibatches of all epochs."),
    Metric("policy_gradient_loss_mean", "loss", "none",
        "Minus the advantage times the log-probability of the action, mean over the steps, with no "
        "ratio and no clipping (A2C of SB3)."),
    Metric("policy_objective_mean", "score", "none",
        "Surrogate objective that TRPO maximises: advantage times ratio, mean over the steps "
        "(SB3)."),
    Metric("line_search_success_frac", "fraction", "up",
        "Share of policy updates for which the line search found a step (TRPO of SB3)."),
    Metric("actor_loss_mean", "loss", "none",
        "Minus the value that the critics give the policy's actions, with the entropy term in SAC, "
        "mean over the updates since the last record (SB3)."),
    Metric("q_loss_mean", "loss", "down",
        "Error of the Q functions against their target, summed over them (SAC: half of it), mean "
        "over the updates since the last record (SB3)."),
    Metric("ptx_loss", "nats", "down",
        "Cross-entropy on pretraining text that is mixed into PPO, before its coefficient "
        "(OpenRLHF)."),
    Metric("loss_running_mean", "loss", "down",
        "Mean of the loss over the micro-batches of the step, in older versions its moving average "
        "with weight 0.1 (OpenRLHF)."),
    Metric("predict_loss", "loss", "none", "Loss over the data that a prediction ran on."),
    Metric("value_loss_mean", "loss", "down",
        "Half the squared error of the value head against the returns, the clipped or unclipped "
        "error whichever is larger, mean over tokens, before its coefficient (PPO)."),
    Metric("value_squared_error_mean", "loss", "down",
        "Squared error of the values, clipped where `value_clip_range` is set, against the returns, "
        "not halved, mean over the environment's steps (SB3)."),
    Metric("value_explained_variance", "ratio", "up",
        "One less the variance of the returns' difference from the values over the variance of the "
        "returns, with the values before the update, so one is perfect and below zero is worse "
        "than a constant."),
    Metric("value_mean", "score", "none",
        "Mean over the completion tokens of the critic's value, before the update (verl)."),
    Metric("value_min", "score", "none",
        "Lowest value that the critic gives a completion token, before the update (verl)."),
    Metric("value_max", "score", "none",
        "Highest value that the critic gives a completion token, before the update (verl)."),
    Metric("value_prediction_mean", "score", "none",
        "Mean over the completion tokens of the critic's value, in the update."),
    Metric("critic_grad_norm", "norm", "none",
        "Global norm of the critic's gradient before clipping, mean over the updates of an "
        "iteration."),
    Metric("critic_lr", "1/step", "none",
        "Learning rate of the critic, mean over the updates of an iteration."),
    Metric("value_clip_frac", "fraction", "none",
        "Share of tokens at which the clipped error of the value function was the larger, about "
        "the critic and not the policy (PPO)."),
    Metric("dpo_loss_mean", "loss", "down",
        "DPO part of the XPO loss, mean over the pairs."),
    Metric("xpo_loss_mean", "loss", "none",
        "Exploration part of the XPO loss, alpha times the policy's log-probability of the "
        "reference's completion, mean over the prompts."),
    Metric("nash_score_mean", "loss", "none",
        "REINFORCE term of Nash-MD, win probability less one half times the log-probability of the "
        "completion, mean over the prompts."),
    Metric("distillation_loss", "loss", "down",
        "Loss of the student against its own better-informed self (SDFT, SDPO)."),
    Metric("teacher_logp_difference_mean", "nats", "down",
        "Mean over the trained tokens of the absolute difference between the student's "
        "log-probability and the one from the teacher server (SDFT, SDPO)."),
    Metric("nll_loss", "nats", "down",
        "Cross-entropy of the chosen completion's tokens, prompt left out; constant zero in CPO "
        "with `cpo_alpha` 0, and in DPO logged by 0.23 only."),
    Metric("nll_loss_with_prompt", "nats", "down",
        "Cross-entropy over all tokens of the chosen sequence, prompt and completion (ORPO)."),
    Metric("token_accuracy_mean", "fraction", "up",
        "Share of labelled tokens, in DPO those of the chosen completions only, that are the "
        "model's most likely next token, zero as well where no token is labelled."),
    Metric("sequence_accuracy_mean", "fraction", "up",
        "Share of sequences whose labelled tokens all are the model's most likely ones (ms-swift)."),
    # Preferences.
    Metric("rewards_chosen", "score", "none",
        "Implicit reward of the chosen completions: beta times the log-ratio of policy to "
        "reference summed over the tokens (DPO with ipo in 0.23: mean over them)."),
    Metric("rewards_rejected", "score", "none",
        "Implicit reward of the rejected completions, computed as `rewards_chosen`."),
    Metric("rewards_margins", "score", "up",
        "Mean implicit reward of the chosen less that of the rejected completions, by pairs, or "
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
    # Settings that move, and counts.
    Metric("beta", "coefficient", "none", "Weight of the reference model at this step."),
    Metric("xpo_alpha", "coefficient", "none", "Weight of XPO's exploration term at this step."),
    Metric("mixture_coef", "coefficient", "none",
        "Share of the reference in the mixture that Nash-MD generates opponents with."),
    Metric("episodes", "count", "none", "Completions generated for training so far (PPO)."),
    Metric("episodes_per_second", "1/s", "up",
        "Completions so far over the wall-clock time since training began, rounded down (PPO)."),
    Metric("steps_done", "steps", "none", "Optimizer steps so far (LLaMA-Factory)."),
    Metric("steps_planned", "steps", "none", "Optimizer steps of the whole run (LLaMA-Factory)."),
    Metric("progress_percent", "percent", "none",
        "Optimizer steps so far over those of the whole run (LLaMA-Factory)."),
    Metric("iterations", "count", "none",
        "Rounds of a rollout and the updates on it so far (SB3: in this call of `learn`)."),
    Metric("updates", "count", "none",
        "Gradient steps so far, in PPO passes over a rollout (SB3)."),
    Metric("environment_steps", "steps", "none",
        "Steps in the environment so far, over all its copies (SB3)."),
    Metric("environment_episodes", "count", "none", "Episodes in the environment so far (SB3)."),
    # Time, speed and memory by iteration or so far.
    Metric("iteration_time", "seconds", "down",
        "Time of an iteration: generation, rewards and all updates, and what else the trainer does "
        "in it, such as validation in older versions (verl)."),
    Metric("perf/time_per_step", "seconds", "down",
        "The same number as `iteration_time`, which verl logs twice."),
    Metric("generation_time", "seconds", "down", "Time to generate a rollout (verl)."),
    Metric("timing_s/{phase}", "seconds", "none",
        "Time of one phase of an iteration, named by its key (verl)."),
    Metric("timing_per_token_ms/{phase}", "milliseconds", "none",
        "Time of one phase of an iteration over its tokens (verl)."),
    Metric("timing/{phase}", "seconds", "none",
        "Time of one phase of an iteration, named by its key (OpenRLHF)."),
    Metric("step_wall_time_so_far", "seconds", "down",
        "Wall-clock time since training began over the optimizer steps done in it (ms-swift)."),
    Metric("train_steps_per_second_so_far", "steps/s", "up",
        "Optimizer steps since training began over the wall-clock time of them (ms-swift)."),
    Metric("tokens_per_second_so_far", "tokens/s", "up",
        "Input tokens so far, those before a resume as well, over the wall-clock time since "
        "training began or was resumed (LLaMA-Factory)."),
    Metric("tokens_per_second_per_gpu", "tokens/s", "up",
        "Tokens of an iteration, prompts and completions, over its time and the number of GPUs "
        "(verl)."),
    Metric("environment_steps_per_second", "steps/s", "up",
        "Steps in the environment over wall-clock time, since this call of `learn`, rounded down "
        "(SB3)."),
    Metric("iteration_tokens", "tokens", "none",
        "Tokens of one iteration, prompts and completions, in SFT of one step (verl)."),
    Metric("train/total_tokens(B)", "billions", "none",
        "Tokens trained on so far (SFT of verl)."),
    Metric("actor_mfu", "fraction", "up",
        "Floating-point operations of the policy's update per second over what the GPUs promise, "
        "as estimated (verl)."),
    Metric("actor_inference_mfu", "fraction", "up",
        "The same as `actor_mfu`, of the pass that takes the log-probabilities (verl)."),
    Metric("critic_mfu", "fraction", "up",
        "The same as `actor_mfu`, of the critic's update (verl)."),
    Metric("memory_allocated_peak", "GiB", "none",
        "Most memory that tensors took on a GPU so far."),
    Metric("memory_reserved_peak", "GiB", "none",
        "Most memory that the allocator held on a GPU so far."),
    Metric("cpu_memory_used", "GiB", "none", "Memory in use on the machine (verl)."),
    # What keeps the trainer's own key: statistics of a rollout, and evaluations.
    Metric("rollout/reward_mean", "score", "up",
        "The same as `reward_mean`, over all samples of the rollout, before the batches for the "
        "updates are made (OpenRLHF)."),
    Metric("rollout/response_length_mean", "tokens", "none",
        "The same as `completion_length_mean`, over all samples of the rollout (OpenRLHF)."),
    Metric("rollout/truncated_rate", "fraction", "down",
        "The same as `truncated_frac`, over all samples of the rollout (OpenRLHF)."),
    Metric("rollout/num_samples", "count", "none", "Samples of the rollout (OpenRLHF)."),
    Metric("val-core/{statistic}", "score", "up",
        "Main score of a validation, by data source, variable and way to choose among samples, such "
        "as the mean or the best of n (verl)."),
    Metric("val-aux/{statistic}", "mixed", "none",
        "Any other statistic of a validation, as in `val-core/{statistic}` (verl)."),
    Metric("val/test_score/{data}", "score", "up",
        "Mean score in a validation, by data source (verl until 2025)."),
    Metric("val/loss", "loss", "down", "Mean loss over the validation data (SFT of verl)."),
    Metric("eval/mean_reward", "score", "up",
        "Mean sum of the rewards of an episode, over the episodes of one evaluation (SB3)."),
    Metric("eval/mean_ep_length", "steps", "none",
        "Mean length of an episode, over the episodes of one evaluation (SB3)."),
    Metric("eval/success_rate", "fraction", "up",
        "Share of the episodes of one evaluation that the environment calls a success (SB3)."),
    # Asynchronous generation.
    Metric("staleness_mean", "versions", "down",
        "Weight updates between the policy that generated a sample and the one it is used by, mean "
        "over the samples of the window."),
    Metric("staleness_max", "versions", "down",
        "Most weight updates that any sample of the window was behind."),
    Metric("dropped_stale_samples", "count", "down",
        "Samples thrown away in the window because they were too far behind."),
    Metric("rollout_queue_size_mean", "count", "none",
        "Scored samples that wait in the queue when the trainer takes one, mean over the takes."),
    Metric("time_in_queue_mean", "seconds", "down",
        "Time from scoring a sample to its use, mean over the samples of the window."),
    Metric("forward_backward_time", "seconds", "down",
        "Time in forward and backward passes of one optimizer step."),
    Metric("rollout_wait_time", "seconds", "down",
        "Time of one optimizer step that the trainer stood still for want of samples."),
    Metric("weight_sync_time", "seconds", "down",
        "Time of one transfer of the weights to the generation server."),
    Metric("samples_per_step", "count", "none", "Samples in one optimizer step."),
    Metric("trained_tokens_per_step", "tokens", "none",
        "Tokens in one optimizer step that the loss is taken over."),
)  # fmt: skip

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ROWS}
"""Every canonical metric by its name."""
