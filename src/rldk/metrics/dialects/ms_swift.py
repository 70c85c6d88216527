"""Owns the metric keys of ms-swift: TRL's, and some of its own; two keys of one log never share a name.

Read from the sources of ms-swift 4.6.0. Its trainers derive from TRL's trainers and log as they do, with two
exceptions. GRPO counts clipping by process, as TRL did before 1.0. The `rewards/chosen` of the reward model
are scores, and not the implicit rewards that DPO logs under that key.
"""

from collections.abc import Mapping

from rldk.metrics.dialects import Dialect, first_reading
from rldk.metrics.dialects.trl import TRL, TRL_0

__all__ = ["MS_SWIFT"]

Names = Mapping[str, str]

_OWN: Names = {
    "memory(GiB)": "memory_reserved_peak",
    "train_speed(iter/s)": "train_steps_per_second_so_far",  # until 2025
    "train_speed(s/it)": "step_wall_time_so_far",
}
_ACCURACY: Names = {"token_acc": "token_accuracy_mean", "seq_acc": "sequence_accuracy_mean"}
_TRAINER: Names = {**TRL.by_algorithm["trainer"], **_OWN}
_GRPO: Names = {
    **TRL_0.by_algorithm["grpo"],
    **_OWN,
    "entropy/mean": "entropy_mean",
    "entropy/max": "entropy_completion_max",
    "entropy/min": "entropy_completion_min",
    "entropy/threshold": "entropy_threshold",
    "num_turns": "turns_mean",
    "rollout_correction/kl": "sampling_kl_mean",
    "rollout_correction/k3_kl": "sampling_kl_k3_mean",
    "rollout_correction/{statistic}": "rollout_corr/{statistic}",
}
_REWARD: Names = {
    **_TRAINER,
    "rewards/chosen": "reward_model_chosen_mean",
    "rewards/rejected": "reward_model_rejected_mean",
    "rewards/margins": "reward_model_margin_mean",
    "rewards/accuracies": "reward_model_accuracy",
    "center_rewards_loss": "reward_model_centering_loss",
}


def _as_trl(algorithm: str) -> Names:
    return {**TRL.by_algorithm[algorithm], **_OWN}


# A log of DPO has `logps/*` as well, so the reward model goes first.
_TABLES: dict[str, Names] = {
    "grpo": _GRPO,
    "reward": _REWARD,
    "dpo": _as_trl("dpo"),
    "sft": {**_as_trl("sft"), **_ACCURACY},
    "kto": _as_trl("kto"),
    "ppo": _as_trl("ppo"),
    "cpo": _as_trl("cpo"),
    "orpo": _as_trl("orpo"),
    "gkd": _TRAINER,
    "trainer": _TRAINER,
}
_READINGS = (_GRPO, _TABLES["dpo"], *_TABLES.values())

MS_SWIFT = Dialect(
    name="ms-swift", names=first_reading(_READINGS), by_algorithm=_TABLES, title="ms-swift", version="4.6.0"
)
"""ms-swift."""
