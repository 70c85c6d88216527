"""Owns which canonical metrics stand for one question: what a run is after, how far it moved, and so on.

Invariant: of several metrics the first that a record holds is the one.
"""

__all__ = ["ENTROPY", "KL", "LENGTH", "LOSS", "REWARD", "TRUNCATED"]

REWARD = "reward_mean|episode_reward_mean|score_mean|rlhf_reward_mean"
"""What an online run is after; of several, the task's own before one with a penalty in it."""
LOSS = "loss|dpo_loss_mean|loss_running_mean"
"""What an offline run is after."""
KL = "kl_mean"
"""Distance to the reference, a mean over tokens."""
ENTROPY = "entropy_mean|entropy_padded_mean"
"""Entropy of the policy, a mean over tokens."""
LENGTH = "completion_length_mean"
"""Length of completions in tokens."""
TRUNCATED = "truncated_frac"
"""Share of completions that the length limit cut."""
