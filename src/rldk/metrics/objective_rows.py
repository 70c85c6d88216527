"""Owns the metrics of the objective: losses by part, and the critic.

One row per quantity, in the terms of `rldk.metrics.canonical`.
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
)  # fmt: skip
