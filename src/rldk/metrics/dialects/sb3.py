"""Owns the metric keys of Stable-Baselines3; two keys of one training log never share a name.

Read from the sources of Stable-Baselines3 2.9.2, and of sb3-contrib for TRPO. Its episodes belong to an
environment and are no completions, so it shares few names with other trainers. Its `clip_fraction` counts
both sides whatever the advantage, its `value_loss` is not halved, and its `entropy_loss` is minus the
entropy. The metrics of `EvalCallback` keep their keys.
"""

from collections.abc import Mapping

from rldk.metrics.dialects import Dialect, first_reading

__all__ = ["SB3"]

Names = Mapping[str, str]


def _as_is(*keys: str) -> dict[str, str]:
    return {key: key for key in keys}


_TRAINER: Names = {
    "rollout/ep_rew_mean": "episode_reward_mean",
    "rollout/ep_len_mean": "episode_length_mean",
    "rollout/success_rate": "success_frac",
    "time/total_timesteps": "environment_steps",
    "time/fps": "environment_steps_per_second",
    "time/time_elapsed": "train_runtime",
    "train/learning_rate": "lr",
    "train/n_updates": "updates",
    **_as_is("eval/mean_reward", "eval/mean_ep_length", "eval/success_rate"),
}
_ON_POLICY: Names = {
    **_TRAINER,
    "time/iterations": "iterations",
    "train/value_loss": "value_squared_error_mean",
    "train/explained_variance": "value_explained_variance",
    "train/std": "action_std_mean",
}
_OFF_POLICY: Names = {**_TRAINER, "time/episodes": "environment_episodes"}
_PPO: Names = {
    **_ON_POLICY,
    "train/loss": "loss",
    "train/policy_gradient_loss": "surrogate_loss_mean",
    "train/entropy_loss": "entropy_negative_mean",
    "train/approx_kl": "approx_kl_mean",
    "train/clip_fraction": "clip_two_sided_frac",
    "train/clip_range": "clip_range",
    "train/clip_range_vf": "value_clip_range",
}
_A2C: Names = {
    **_ON_POLICY,
    "train/policy_loss": "policy_gradient_loss_mean",
    "train/entropy_loss": "entropy_negative_mean",
}
_DQN: Names = {
    **_OFF_POLICY,
    "rollout/exploration_rate": "exploration_rate",
    "train/loss": "loss",
}
_TD3: Names = {
    **_OFF_POLICY,
    "train/actor_loss": "actor_loss_mean",
    "train/critic_loss": "q_loss_mean",
}
_SAC: Names = {
    **_TD3,
    "train/ent_coef": "entropy_coef",
    "train/ent_coef_loss": "entropy_coef_loss",
    "train/std": "action_std_mean",
}
_TRPO: Names = {
    **_ON_POLICY,
    "train/policy_objective": "policy_objective_mean",
    "train/kl_divergence_loss": "policy_update_kl_mean",
    "train/is_line_search_success": "line_search_success_frac",
}

_TABLES: dict[str, Names] = {
    "ppo": _PPO,
    "a2c": _A2C,
    "dqn": _DQN,
    "td3": _TD3,
    "sac": _SAC,
    "trpo": _TRPO,
    "trainer": _TRAINER,
}

SB3 = Dialect(
    name="sb3", names=first_reading(_TABLES.values()), by_algorithm=_TABLES, title="SB3", version="2.9.2"
)
"""Stable-Baselines3."""
