"""Owns the metric keys of TRL from 0.23 on; two keys of one training log never share a name.

Read from the sources of TRL 0.23.1 and 1.16.0 (transformers 4.57.6 and 5.23). One key can hold different
quantities: KTO's `kl` is the reference point of its loss, AsyncGRPO's `kl` compares with the generating
policy, CPO's `rewards/*` have no reference model, ORPO's are averages over tokens, XPO's `logps/*` add policy
and reference. Such keys have their own canonical names there.

`TRL` is TRL 1; `TRL_0` is TRL before 1.0, and differs only where a key's meaning does. rldk does not know in
which version between 0.23.1 and 1.16.0 each meaning changed; 1.0 is a convention.

Two keys keep one name although their meaning moved between the versions: `reward_std` (of groups,
now of the batch) and the `reward` of RLOO (after the KL penalty, now before it). The entry in
`METRICS` says so.
"""

from collections.abc import Mapping

from rldk.metrics.dialects import Dialect, first_reading

__all__ = ["TRL", "TRL_0"]

Names = Mapping[str, str]


def _as_is(*keys: str) -> dict[str, str]:
    return {key: key for key in keys}


# Keys of transformers' own Trainer: records of training, of an evaluation (under `eval_`) and the
# summary at the end.
_TRAINER: Names = {
    "learning_rate": "lr",
    **_as_is("loss", "grad_norm", "epoch", "num_input_tokens_seen"),
    **_as_is("train_runtime", "train_samples_per_second", "train_steps_per_second"),
    **_as_is("train_tokens_per_second", "train_loss", "total_flos"),
    **_as_is("runtime", "samples_per_second", "steps_per_second", "model_preparation_time"),
}

_TOKENS: Names = _as_is("num_tokens")
_ENTROPY: Names = {"entropy": "entropy_mean"}
_TOKEN_ACCURACY: Names = {"mean_token_accuracy": "token_accuracy_mean"}
_AUX_LOSS: Names = _as_is("aux_loss")

_COMPLETIONS: Names = {
    "completions/mean_length": "completion_length_mean",
    "completions/min_length": "completion_length_min",
    "completions/max_length": "completion_length_max",
    "completions/clipped_ratio": "truncated_frac",
}
_TERMINATED: Names = {
    "completions/mean_terminated_length": "terminated_length_mean",
    "completions/min_terminated_length": "terminated_length_min",
    "completions/max_terminated_length": "terminated_length_max",
}
_TOOLS: Names = {
    "tools/call_frequency": "tool_calls_mean",
    "tools/failure_frequency": "tool_failure_frac",
}
_REWARDS: Names = {
    "reward": "reward_mean",
    "reward_std": "reward_std",
    **_as_is("rewards/{function}/mean", "rewards/{function}/std", "frac_reward_zero_std"),
}
_CLIPPING: Names = {
    "clip_ratio/region_mean": "clip_frac",
    "clip_ratio/low_mean": "clip_frac_low_mean",
    "clip_ratio/high_mean": "clip_frac_high_mean",
    "clip_ratio/low_min": "clip_frac_low_min",
    "clip_ratio/high_max": "clip_frac_high_max",
}
_CLIPPING_BY_RANK: Names = {
    "clip_ratio/low_min": "clip_frac_low_rank_min",
    "clip_ratio/high_max": "clip_frac_high_rank_max",
}

_RLOO: Names = {
    **_TRAINER,
    **_TOKENS,
    **_COMPLETIONS,
    **_TERMINATED,
    **_REWARDS,
    "kl": "kl_mean",
    **_ENTROPY,
    **_CLIPPING,
    **_AUX_LOSS,
    **_as_is("step_time"),
}
_GRPO: Names = {
    **_RLOO,
    **_TOOLS,
    # The only clipping metric of the Liger loss in 0.23; never together with `clip_ratio/*`.
    "clip_ratio": "clip_frac",
    "cispo_clip_ratio": "cispo_clip_frac",
    "vespo/phi_seq_mean": "vespo_weight_mean",
    **_as_is("policy_loss", "entropy_coef"),
    "sampling/sampling_logp_difference/mean": "sampling_logp_difference_mean",
    "sampling/sampling_logp_difference/max": "sampling_logp_difference_max",
    "sampling/importance_sampling_ratio/min": "importance_sampling_ratio_min",
    "sampling/importance_sampling_ratio/mean": "importance_sampling_ratio_mean",
    "sampling/importance_sampling_ratio/max": "importance_sampling_ratio_max",
}
_ASYNC_GRPO: Names = {
    **_TRAINER,
    **_COMPLETIONS,
    **_TOOLS,
    **_ENTROPY,
    **_CLIPPING,
    **_AUX_LOSS,
    "reward": "reward_mean",
    "reward_std": "reward_std",
    "rewards/{function}": "rewards/{function}/mean",
    "kl": "kl_rollout_mean",
    "ratio": "ratio_mean",
    "tools/loop_exhausted_frac": "tool_loop_exhausted_frac",
    "sample/staleness_mean": "staleness_mean",
    "sample/staleness_max": "staleness_max",
    "sample/dropped_stale_total": "dropped_stale_samples",
    "sample/rollout_queue_size": "rollout_queue_size_mean",
    "sample/time_in_queue_s": "time_in_queue_mean",
    "perf/step_s": "step_wall_time",
    "perf/fwd_bwd_s": "forward_backward_time",
    "perf/rollout_wait_s": "rollout_wait_time",
    "perf/weight_sync_s": "weight_sync_time",
    "batch/samples_per_step": "samples_per_step",
    "batch/trained_tokens_per_step": "trained_tokens_per_step",
}
_DISTILLATION: Names = {
    **_TRAINER,
    **_TOKENS,
    **_COMPLETIONS,
    **_TERMINATED,
    **_TOOLS,
    **_ENTROPY,
    **_as_is("step_time"),
}
_SELF_DISTILLATION: Names = {
    **_TRAINER,
    **_COMPLETIONS,
    **_TERMINATED,
    "self_distillation/distillation_loss": "distillation_loss",
    "self_distillation/server_logprob_abs_diff": "teacher_logp_difference_mean",
}
_SDPO: Names = {
    **_SELF_DISTILLATION,
    "self_distillation/reward_mean": "reward_mean",
    "self_distillation/reward_std": "reward_std",
    "self_distillation/reward_min": "reward_min",
    "self_distillation/reward_max": "reward_max",
    "self_distillation/group_reward_std_mean": "reward_group_std_mean",
    "self_distillation/rewards/{function}": "rewards/{function}/mean",
}
_A2PO: Names = {
    **_TRAINER,
    "reward": "reward_mean",
    "v_star": "optimal_value_mean",
    "implicit_reward": "implicit_reward_mean",
    "advantage": "advantage_mean",
}

_PREFERENCE_REWARDS: Names = {
    "rewards/chosen": "rewards_chosen",
    "rewards/rejected": "rewards_rejected",
    "rewards/margins": "rewards_margins",
    "rewards/accuracies": "rewards_accuracies",
}
_PREFERENCE_LOGPS: Names = {"logps/chosen": "logps_chosen", "logps/rejected": "logps_rejected"}
_PREFERENCE_LOGITS: Names = {"logits/chosen": "logits_chosen", "logits/rejected": "logits_rejected"}


def _suffixed(names: Names, suffix: str) -> Names:
    return {key: name + suffix for key, name in names.items()}


_SUMMED_LOGITS = _suffixed(_PREFERENCE_LOGITS, "_sum")
_UNMASKED_LOGITS = _suffixed(_PREFERENCE_LOGITS, "_unmasked")
_REFERENCE_FREE_REWARDS = _suffixed(_PREFERENCE_REWARDS, "_reference_free")

_SFT: Names = {**_TRAINER, **_TOKENS, **_ENTROPY, **_TOKEN_ACCURACY, **_AUX_LOSS}
_DPO: Names = {
    **_SFT,
    **_PREFERENCE_REWARDS,
    **_PREFERENCE_LOGPS,
    **_PREFERENCE_LOGITS,
    **_as_is("nll_loss"),
}
_UNPAIRED: Names = {
    **_TRAINER,
    "rewards/chosen": "rewards_chosen",
    "rewards/rejected": "rewards_rejected",
    "rewards/margins": "rewards_margins",
    **_PREFERENCE_LOGPS,
}
_KTO: Names = {
    **_UNPAIRED,
    **_PREFERENCE_LOGITS,
    **_TOKENS,
    **_ENTROPY,
    **_AUX_LOSS,
    "kl": "kl_reference_point_mean",
}
_BCO: Names = {**_UNPAIRED, **_SUMMED_LOGITS, "delta": "reward_shift"}
_CPO: Names = {
    **_TRAINER,
    **_REFERENCE_FREE_REWARDS,
    **_PREFERENCE_LOGPS,
    **_UNMASKED_LOGITS,
    **_as_is("nll_loss"),
}
_ORPO: Names = {
    **_TRAINER,
    **_suffixed(_PREFERENCE_REWARDS, "_token_mean"),
    **_suffixed(_PREFERENCE_LOGPS, "_token_mean"),
    **_UNMASKED_LOGITS,
    "nll_loss": "nll_loss_with_prompt",
    **_as_is("log_odds_ratio", "log_odds_chosen"),
}
_TPO: Names = {
    **_TRAINER,
    **_TOKENS,
    **_ENTROPY,
    **_TOKEN_ACCURACY,
    **_REFERENCE_FREE_REWARDS,
    **_PREFERENCE_LOGPS,
    **_PREFERENCE_LOGITS,
}
_REWARD: Names = {
    **_TRAINER,
    **_TOKENS,
    "mean_reward": "reward_model_score_mean",
    "min_reward": "reward_model_score_min",
    "max_reward": "reward_model_score_max",
    "margin": "reward_model_margin_mean",
    "accuracy": "reward_model_accuracy",
}
_PRM: Names = {**_TRAINER, "accuracy": "process_label_accuracy"}

_OBJECTIVE: Names = {
    "objective/kl": "kl_sequence_mean",
    "objective/entropy": "entropy_sequence_mean",
    "objective/non_score_reward": "non_score_reward_mean",
    "objective/rlhf_reward": "rlhf_reward_mean",
    "objective/scores": "reward_mean",
}
_ONLINE_DPO: Names = {
    **_TRAINER,
    **_OBJECTIVE,
    "objective/scores_margin": "pair_reward_margin_mean",
    **_PREFERENCE_REWARDS,
    **_PREFERENCE_LOGPS,
    "val/contain_eos_token": "contain_eos_frac",
    **_as_is("beta"),
}
_XPO: Names = {
    **_TRAINER,
    **_PREFERENCE_REWARDS,
    "loss/dpo": "dpo_loss_mean",
    "loss/xpo": "xpo_loss_mean",
    "objective/kl": "kl_sequence_mean",
    "objective/entropy": "entropy_sequence_mean",
    "objective/model_scores": "reward_mean",
    "objective/ref_scores": "opponent_reward_mean",
    "objective/scores_margin": "opponent_reward_margin_mean",
    "logps/chosen": "logps_chosen_policy_plus_reference",
    "logps/rejected": "logps_rejected_policy_plus_reference",
    "val/model_contain_eos_token": "contain_eos_frac",
    "val/ref_contain_eos_token": "opponent_contain_eos_frac",
    "alpha": "xpo_alpha",
    **_as_is("beta"),
}
_NASH_MD: Names = {
    **_TRAINER,
    "loss/score": "nash_score_mean",
    "loss/kl": "kl_sequence_mean",
    "objective/entropy": "entropy_sequence_mean",
    "logps/chosen": "logps_policy",
    "logps/rejected": "logps_reference",
    "rewards/chosen": "reward_mean",
    "rewards/rejected": "opponent_reward_mean",
    "rewards/probabilities": "win_probability_mean",
    "rewards/margins": "logps_policy_reference_margin",
    "rewards/accuracies": "logps_policy_above_reference_frac",
    "val/model_contain_eos_token": "contain_eos_frac",
    "val/ref_contain_eos_token": "opponent_contain_eos_frac",
    **_as_is("beta", "mixture_coef"),
}
_PPO: Names = {
    **_OBJECTIVE,
    "policy/approxkl_avg": "approx_kl_padded_mean",
    "policy/clipfrac_avg": "clip_frac",
    "policy/entropy_avg": "entropy_padded_mean",
    "loss/policy_avg": "surrogate_loss_mean",
    "loss/value_avg": "value_loss_mean",
    "val/clipfrac_avg": "value_clip_frac",
    "val/ratio": "ratio_padded_mean",
    "val/ratio_var": "ratio_batch_var",
    "val/num_eos_tokens": "eos_token_count",
    "eps": "episodes_per_second",
    "episode": "episodes",
    "lr": "lr",
    **_as_is("epoch"),
}

# In the order in which a key is read when the algorithm is not known.
_TABLES: dict[str, Names] = {
    "grpo": _GRPO,
    "gmpo": _GRPO,
    "rloo": _RLOO,
    "sft": _SFT,  # before dpo, which logs all keys of sft
    "dpo": _DPO,
    "reward": _REWARD,
    "kto": _KTO,
    "ppo": _PPO,
    "online_dpo": _ONLINE_DPO,
    "cpo": _CPO,
    "orpo": _ORPO,
    "tpo": _TPO,
    "bco": _BCO,
    "xpo": _XPO,
    "nash_md": _NASH_MD,
    "prm": _PRM,
    "gkd": _TRAINER,
    "distillation": _DISTILLATION,
    "server_distillation": _DISTILLATION,
    "sdft": _SELF_DISTILLATION,
    "sdpo": _SDPO,
    "a2po": _A2PO,
    "async_grpo": _ASYNC_GRPO,
    "trainer": _TRAINER,  # a plain transformers Trainer: any other key is the user's own
}
_TABLES_0: dict[str, Names] = {
    **_TABLES,
    "grpo": {**_GRPO, **_CLIPPING_BY_RANK},
    "rloo": {**_RLOO, **_CLIPPING_BY_RANK},
    "kto": {**_KTO, **_SUMMED_LOGITS},
}

TRL = Dialect(
    name="trl",
    names=first_reading(_TABLES.values()),
    by_algorithm=_TABLES,
    title="TRL",
    version="0.23 and 1.16",
)
"""TRL 1."""

TRL_0 = Dialect(name="trl-0", names=first_reading(_TABLES_0.values()), by_algorithm=_TABLES_0)
"""TRL before 1.0."""
