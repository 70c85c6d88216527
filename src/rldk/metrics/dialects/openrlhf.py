"""Owns the metric keys of OpenRLHF; two keys of one training log never share a name.

Read from the sources of OpenRLHF 0.11.2, and of earlier versions for KTO and `ptx_loss`. W&B and
TensorBoard have `train/` before each key, the console does not.

DPO and the reward model log different quantities under the same keys: implicit rewards, and scores. Keys
cannot separate the two, so `detect` reads both as DPO. The metrics of evaluations keep their keys.
"""

from collections.abc import Mapping

from rldk.metrics.dialects import Dialect, first_reading

__all__ = ["OPENRLHF"]

Names = Mapping[str, str]


def _as_is(*keys: str) -> dict[str, str]:
    return {key: key for key in keys}


_TRAINER: Names = {"loss_mean": "loss_running_mean", **_as_is("lr", "grad_norm", "aux_loss")}
_PPO: Names = {
    "policy_loss": "surrogate_loss_mean",
    "actor_lr": "lr",
    "actor_grad_norm": "grad_norm",
    "entropy_loss": "entropy_mean",
    "kl": "kl_mean",
    "logprobs_diff": "logp_reference_difference_mean",
    "ppo_kl": "approx_kl_mean",
    "ppo_clip_ratio": "clip_frac",
    "vllm_kl": "sampling_kl_mean",
    "is_filter_ratio": "importance_filtered_frac",
    "reward": "reward_mean",
    "score": "score_mean",
    "group_reward_std": "reward_group_std_mean",
    "return": "shaped_return_mean",
    "response_length": "completion_length_mean",
    "total_length": "sequence_length_mean",
    "truncated": "truncated_frac",
    "response_clip_ratio": "length_limit_frac",
    "critic_loss": "value_loss_mean",
    "values": "value_prediction_mean",
    **_as_is("critic_lr", "critic_grad_norm", "ptx_loss"),
    "dynamic_filtering_pass_rate": "dynamic_sampling_kept_frac",
    # Over all samples of the rollout, also samples that no batch of the update used.
    "rollout/reward_std": "reward_std",
    **_as_is("rollout/reward_mean", "rollout/response_length_mean", "rollout/truncated_rate"),
    **_as_is("rollout/num_samples", "timing/{phase}"),
}
_SFT: Names = {**_TRAINER, "gpt_loss": "loss"}
_DPO: Names = {
    **_TRAINER,
    "loss": "loss",
    "acc": "rewards_accuracies",
    "acc_mean": "rewards_accuracies_running_mean",
    "chosen_reward": "rewards_chosen",
    "reject_reward": "rewards_rejected",
    "nll_loss": "nll_loss",
}
_REWARD: Names = {
    **_TRAINER,
    "loss": "loss",
    "acc": "reward_model_accuracy",
    "acc_mean": "reward_model_accuracy_running_mean",
    "chosen_reward": "reward_model_chosen_mean",
    "reject_reward": "reward_model_rejected_mean",
}
_KTO: Names = {
    **_TRAINER,
    "kto_loss": "loss",
    "chosen_reward": "rewards_chosen",
    "reject_reward": "rewards_rejected",
    "kl": "kl_reference_point_mean",
}


def _in_every_log(names: Names) -> Names:
    return {**names, **{f"train/{key}": name for key, name in names.items()}}


_TABLES: dict[str, Names] = {
    "ppo": _in_every_log(_PPO),
    "dpo": _in_every_log(_DPO),
    "reward": _in_every_log(_REWARD),
    "sft": _in_every_log(_SFT),
    "kto": _in_every_log(_KTO),
    "trainer": _in_every_log(_TRAINER),
}

OPENRLHF = Dialect(
    name="openrlhf",
    names=first_reading(_TABLES.values()),
    by_algorithm=_TABLES,
    title="OpenRLHF",
    version="0.11.2",
)
"""OpenRLHF."""
