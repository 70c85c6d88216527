"""Owns the metrics of the rewards of an online algorithm.

One row per quantity, in the terms of `rldk.metrics.canonical`.
"""

from rldk.metrics.metric import Metric

__all__ = ["REWARD_ROWS"]

REWARD_ROWS = (
    # Rewards of an online algorithm.
    Metric("reward_mean", "score", "up",
        "Mean over the completions of the batch of the reward that the task gives, summed over "
        "the reward functions with their weights, before a KL penalty (RLOO in 0.23: after it and "
        "after clipping) and after the penalty for a missing EOS where one is set."),
    Metric("reward_std", "score", "none",
        "Spread of the rewards: in TRL 1.16 the standard deviation over all completions of the "
        "batch, in 0.23 and ms-swift (under `scale_rewards` group or none) and in AsyncGRPO the mean of the "
        "standard deviations within the groups of one prompt, which is smaller."),
    Metric("reward_min", "score", "none", "Lowest reward of a completion in the batch."),
    Metric("reward_max", "score", "none", "Highest reward of a completion in the batch."),
    Metric("reward_group_std_mean", "score", "none",
        "Mean over the groups of one prompt of the standard deviation of the rewards within."),
    Metric("rewards/{function}/mean", "score", "up",
        "Mean of what one reward function returned, unweighted, over the completions that it "
        "scored, those with None or NaN left out."),
    Metric("rewards/{function}/std", "score", "none",
        "Standard deviation of what one reward function returned, unweighted, over all completions "
        "of the batch that it scored."),
    Metric("frac_reward_zero_std", "fraction", "down",
        "Share of completions whose group (whole batch, where rewards are scaled by batch) has "
        "rewards without spread, within 1e-8, and so no advantage, which a solved task shows as "
        "well as a hopeless one."),
    Metric("advantage_mean", "score", "none",
        "Mean over the completions of the reward less the estimated optimal value of the prompt."),
    Metric("optimal_value_mean", "score", "none",
        "Mean over the prompts of the optimal value estimated once, before training (A2PO)."),
    Metric("implicit_reward_mean", "score", "none",
        "Mean over the completions of beta2 times the log-ratio of policy to reference, summed "
        "over the tokens (A2PO)."),
    Metric("non_score_reward_mean", "score", "none",
        "Mean over the completions of the KL penalty, minus its coefficient times the KL summed "
        "over the tokens."),
    Metric("rlhf_reward_mean", "score", "up",
        "Mean over the completions of the maximised sum of score and KL penalty (verl "
        "without a KL penalty in the reward: the score itself)."),
    Metric("rlhf_reward_min", "score", "none",
        "Lowest score plus KL penalty of a completion in the batch."),
    Metric("rlhf_reward_max", "score", "none",
        "Highest score plus KL penalty of a completion in the batch."),
    Metric("score_mean", "score", "up",
        "Mean over the completions of the score by which dynamic sampling selects prompts, where the "
        "reward function returns a score in addition to the reward (OpenRLHF)."),
    Metric("shaped_return_mean", "score", "none",
        "Mean over the completions of the return behind the advantages, the reward less the "
        "baseline of its group and the KL penalty, near zero wherever there is a baseline "
        "(OpenRLHF)."),
    Metric("advantage_token_mean", "score", "none",
        "Mean advantage of a completion token, after normalisation (verl)."),
    Metric("advantage_token_min", "score", "none",
        "Lowest advantage of a completion token, after normalisation (verl)."),
    Metric("advantage_token_max", "score", "none",
        "Highest advantage of a completion token, after normalisation (verl)."),
    Metric("return_token_mean", "score", "none",
        "Mean over the completion tokens of the return from the token on, which without a critic "
        "is the advantage (verl)."),
    Metric("return_token_min", "score", "none",
        "Lowest return from a completion token on (verl)."),
    Metric("return_token_max", "score", "none",
        "Highest return from a completion token on (verl)."),
    Metric("episode_reward_mean", "score", "up",
        "Mean undiscounted sum of the rewards of an episode in the environment, over the last 100 "
        "episodes unless `stats_window_size` says otherwise (SB3)."),
    Metric("success_frac", "fraction", "up",
        "Share of the last episodes, as in `episode_reward_mean`, that the environment calls a "
        "success (SB3)."),
    Metric("dynamic_sampling_kept_frac", "fraction", "none",
        "Share of prompts whose samples dynamic sampling kept (OpenRLHF)."),
    Metric("pair_reward_margin_mean", "score", "none",
        "Mean over the pairs of the better completion's reward less the worse one's, which is "
        "never negative (online DPO)."),
    Metric("opponent_reward_mean", "score", "none",
        "Mean reward of the completions that the policy's own are compared with: of the reference "
        "in XPO, of the mixture in Nash-MD."),
    Metric("opponent_reward_margin_mean", "score", "up",
        "Mean reward of the policy's completions less the mean of the reference's (XPO)."),
    Metric("win_probability_mean", "fraction", "up",
        "Mean probability, given by the judge or the rewards, that the policy's completion is "
        "preferred to the mixture's (Nash-MD)."),
)  # fmt: skip
