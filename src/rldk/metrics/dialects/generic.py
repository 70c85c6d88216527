"""Owns the metric keys that people use for common quantities in their own training loops.

Invariant: only names with one common meaning are here. `kl` is the mean KL to the reference per token;
`accuracy` is missing, because it may be the accuracy of anything. Other keys keep the user's names.
"""

from rldk.metrics.dialects import Dialect

__all__ = ["GENERIC", "dialect_of"]

_SYNONYMS = {
    "reward_mean": ("reward", "rewards", "mean_reward", "reward/mean"),
    "reward_std": ("std_reward", "reward/std"),
    "reward_min": ("min_reward", "reward/min"),
    "reward_max": ("max_reward", "reward/max"),
    "advantage_mean": ("advantage", "advantages", "mean_advantage"),
    "kl_mean": ("kl", "mean_kl", "kl_div", "kl_divergence"),
    "approx_kl_mean": ("approx_kl", "ppo_kl"),
    "entropy_mean": ("entropy", "mean_entropy", "policy_entropy"),
    "clip_frac": ("clipfrac", "clip_fraction", "clip_ratio"),
    "ratio_mean": ("ratio", "mean_ratio"),
    "loss": ("total_loss",),
    "policy_loss": ("pg_loss", "actor_loss"),
    "value_loss_mean": ("value_loss", "critic_loss", "vf_loss"),
    "value_explained_variance": ("explained_variance",),
    "lr": ("learning_rate",),
    "grad_norm": ("gradient_norm", "grad/norm"),
    "completion_length_mean": (
        *("completion_length", "mean_completion_length", "response_length", "mean_response_length"),
        "completion_length/mean",
        "response_length/mean",
    ),
    "truncated_frac": ("clipped_ratio", "truncation_rate", "truncated_ratio"),
    "success_frac": ("success_rate",),
}
"""Canonical name -> its other common names."""
_NAMES = {key: name for name, keys in _SYNONYMS.items() for key in (name, *keys)}
GENERIC = Dialect(
    name="generic",
    names=_NAMES
    | {f"train/{key}": name for key, name in _NAMES.items()}
    | {f"eval/{key}": f"eval_{name}" for key, name in _NAMES.items()},
)
"""The keys of a training loop without a framework."""


def dialect_of(dialect: Dialect | None, algorithm: str | None) -> Dialect:
    """Returns what knows the keys of a loop: the dialect's table of the algorithm, and the generic one."""
    if dialect is None:
        return GENERIC
    names = dialect.by_algorithm.get(algorithm or "", dialect.names)
    return Dialect(name=dialect.name, names={**GENERIC.names, **names})
