"""Owns the metrics of any trainer: the loss, the gradient, the learning rate, counts and time.

One row per quantity, in the terms of `rldk.metrics.canonical`.
"""

from rldk.metrics.metric import Metric

__all__ = ["TRAINER_ROWS"]

TRAINER_ROWS = (
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
)  # fmt: skip
