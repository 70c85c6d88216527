"""Owns the metric keys of verl; two keys of one training log share a name only as listed below.

Read from the sources of verl 0.9.1 and, for older keys, from copies of 2024 and 2025. A step of verl is an
iteration: one rollout and all updates on it. Scores, rewards and advantages have the prefix `critic/` even
without a critic.

One quantity can have two keys: the entropy before (`actor/entropy`) and during (`actor/entropy_loss`) the
update, the KL to the reference in the reward (`critic/kl`, now `actor/reward_kl_penalty`) and in the
loss (`actor/kl_loss`). Few logs have both, and `measure` keeps the second one's own key.

Validation (`val-core/...`) compares samples in its own ways and keeps its keys. So do the times of single
phases.
"""

from collections.abc import Mapping

from rldk.metrics.dialects import Dialect, first_reading

__all__ = ["VERL"]

Names = Mapping[str, str]


def _as_is(*keys: str) -> dict[str, str]:
    return {key: key for key in keys}


def _bounds(prefix: str, name: str) -> dict[str, str]:
    return {f"{prefix}/{bound}": f"{name}_{bound}" for bound in ("mean", "min", "max")}


_TRAINER: Names = {
    "training/global_step": "iterations",
    "training/epoch": "epoch",
    # Rewards.
    **_bounds("critic/score", "reward"),
    **_bounds("critic/rewards", "rlhf_reward"),
    **_bounds("critic/advantages", "advantage_token"),
    **_bounds("critic/returns", "return_token"),
    # The policy.
    "actor/entropy": "entropy_mean",
    "actor/entropy_loss": "entropy_mean",
    "actor/kl_loss": "kl_mean",
    "actor/reward_kl_penalty": "kl_mean",
    "critic/kl": "kl_mean",
    "actor/kl_coef": "kl_coef",
    "actor/reward_kl_penalty_coeff": "kl_coef",
    "critic/kl_coeff": "kl_coef",
    "actor/ppo_kl": "approx_kl_mean",
    "actor/pg_clipfrac": "clip_frac",
    "actor/pg_clipfrac_lower": "dual_clip_frac",
    "actor/pg_loss": "surrogate_loss_mean",
    "actor/grad_norm": "grad_norm",
    "actor/lr": "lr",
    # Trainer against rollout engine.
    "training/rollout_probs_diff_mean": "sampling_prob_difference_mean",
    "training/rollout_probs_diff_max": "sampling_prob_difference_max",
    "training/rollout_probs_diff_std": "sampling_prob_difference_std",
    "training/rollout_probs_diff_valid": "sampling_prob_difference_valid",
    "training/rollout_actor_probs_pearson_corr": "sampling_prob_correlation",
    "rollout_corr/kl": "sampling_kl_mean",
    "rollout_corr/k3_kl": "sampling_kl_k3_mean",
    "rollout_corr/chi2_token": "sampling_chi2_token",
    "rollout_corr/rollout_is_mean": "importance_sampling_ratio_mean",
    "rollout_corr/rollout_is_std": "importance_sampling_ratio_std",
    "rollout_corr/rollout_is_eff_sample_size": "importance_sampling_effective_frac",
    "rollout_corr/rollout_rs_masked_fraction": "importance_rejected_frac",
    **_as_is("rollout_corr/{statistic}"),
    # Lengths.
    **_bounds("response_length", "completion_length"),
    "response_length/clip_ratio": "truncated_frac",
    **_bounds("response_length_non_aborted", "completion_length_nonempty"),
    "response_length_non_aborted/clip_ratio": "truncated_nonempty_frac",
    "response/aborted_ratio": "empty_completion_frac",
    **_bounds("prompt_length", "prompt_length"),
    "prompt_length/clip_ratio": "prompt_limit_frac",
    **_bounds("num_turns", "turns"),
    **_bounds("tool_call_counts", "tool_calls"),
    **_as_is("global_seqlen/{statistic}"),
    # Validation, and time and memory.
    **_as_is("val-core/{statistic}", "val-aux/{statistic}", "val/test_score/{data}"),
    "timing_s/step": "iteration_time",
    "timing_s/gen": "generation_time",
    **_as_is("timing_s/{phase}", "timing_per_token_ms/{phase}", "perf/time_per_step"),
    "perf/total_num_tokens": "iteration_tokens",
    "perf/throughput": "tokens_per_second_per_gpu",
    "perf/mfu/actor": "actor_mfu",
    "mfu/actor": "actor_mfu",  # until 2025
    "perf/mfu/actor_infer": "actor_inference_mfu",
    "perf/max_memory_allocated_gb": "memory_allocated_peak",
    "perf/max_memory_reserved_gb": "memory_reserved_peak",
    "perf/cpu_memory_used_gb": "cpu_memory_used",
}
_CRITIC: Names = {
    **_bounds("critic/values", "value"),
    "critic/vf_explained_var": "value_explained_variance",
    "critic/vf_loss": "value_loss_mean",
    "critic/vf_clipfrac": "value_clip_frac",
    "critic/vpred_mean": "value_prediction_mean",
    "critic/grad_norm": "critic_grad_norm",
    "critic/lr": "critic_lr",
    "perf/mfu/critic": "critic_mfu",
    "mfu/critic": "critic_mfu",
}
_SFT: Names = {
    "train/loss": "loss",
    "train/grad_norm": "grad_norm",
    "train/lr": "lr",
    "train/mfu": "actor_mfu",
    "train/global_tokens": "iteration_tokens",
    **_as_is("train/total_tokens(B)", "val/loss"),
}

# Without a critic, the keys do not separate GRPO from RLOO, REINFORCE++ and similar algorithms.
_TABLES: dict[str, Names] = {
    "ppo": {**_TRAINER, **_CRITIC},
    "sft": _SFT,
    "trainer": _TRAINER,
}

VERL = Dialect(
    name="verl", names=first_reading(_TABLES.values()), by_algorithm=_TABLES, title="verl", version="0.9.1"
)
"""verl."""
