"""Owns the metrics of what is optimised and of how fast: losses, preferences, reward models, time.

One row a quantity, in the words that `rldk.metrics.canonical` explains.
"""

from rldk.metrics.metric import Metric

__all__ = ["OBJECTIVE_ROWS"]

OBJECTIVE_ROWS = (
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
