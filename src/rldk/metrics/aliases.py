"""Owns the alternatives for each common quantity, such as the reward, the loss and the KL.

Invariant: of several metrics, separated by `|`, the first that a record holds counts.
"""

__all__ = ["ENTROPY", "KL", "LENGTH", "LOSS", "REWARD", "TRUNCATED"]

REWARD = "reward_mean|episode_reward_mean|score_mean|rlhf_reward_mean"
"""The goal of an online run: the task's own reward first, then a reward with a penalty in it."""
LOSS = "loss|dpo_loss_mean|loss_running_mean"
"""The goal of an offline run."""
KL = "kl_mean"
"""Distance to the reference, a mean over tokens."""
ENTROPY = "entropy_mean|entropy_padded_mean"
"""Entropy of the policy, a mean over tokens."""
LENGTH = "completion_length_mean"
"""Length of completions in tokens."""
TRUNCATED = "truncated_frac"
"""Share of completions that the length limit cut."""
