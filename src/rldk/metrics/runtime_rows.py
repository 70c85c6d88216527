"""Owns the metrics of the runtime: settings that change, time, rollouts, asynchronous generation.

One row per quantity, in the terms of `rldk.metrics.canonical`.
"""

from rldk.metrics.metric import Metric

__all__ = ["RUNTIME_ROWS"]

RUNTIME_ROWS = (
    # Settings that change, and counts.
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
        "Time of an iteration: generation, rewards, all updates, and other work of the trainer in it, "
        "such as validation in older versions (verl)."),
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
        "Estimated floating-point operations per second of the policy's update, as a share of the GPUs' "
        "peak (verl)."),
    Metric("actor_inference_mfu", "fraction", "up",
        "The same as `actor_mfu`, of the pass that takes the log-probabilities (verl)."),
    Metric("critic_mfu", "fraction", "up",
        "The same as `actor_mfu`, of the critic's update (verl)."),
    Metric("memory_allocated_peak", "GiB", "none",
        "Most memory that tensors took on a GPU so far."),
    Metric("memory_reserved_peak", "GiB", "none",
        "Most memory that the allocator held on a GPU so far."),
    Metric("cpu_memory_used", "GiB", "none", "Memory in use on the machine (verl)."),
    # Quantities under the trainer's own key: statistics of a rollout, and evaluations.
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
        "Weight updates between the policy that generated a sample and the policy that trains on it, mean "
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
        "Time of one optimizer step in which the trainer waited for samples."),
    Metric("weight_sync_time", "seconds", "down",
        "Time of one transfer of the weights to the generation server."),
    Metric("samples_per_step", "count", "none", "Samples in one optimizer step."),
    Metric("trained_tokens_per_step", "tokens", "none",
        "Tokens in one optimizer step that the loss is taken over."),
)  # fmt: skip
