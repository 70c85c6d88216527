"""The reward family: whether the reward teaches anything, and whether it is the right one."""

from rldk.health.rule import Rule
from rldk.health.rules.reward.dead_reward import DeadReward
from rldk.health.rules.reward.dead_reward_component import DeadRewardComponent
from rldk.health.rules.reward.dominant_reward_component import DominantRewardComponent
from rldk.health.rules.reward.missing_rewards import MissingRewards
from rldk.health.rules.reward.no_learning import NoLearning
from rldk.health.rules.reward.proxy_divergence import ProxyDivergence
from rldk.health.rules.reward.reward_collapse import RewardCollapse
from rldk.health.rules.reward.reward_function_errors import RewardFunctionErrors
from rldk.health.rules.reward.reward_length_correlation import RewardLengthCorrelation
from rldk.health.rules.reward.slow_reward import SlowReward
from rldk.health.rules.reward.zero_advantage import ZeroAdvantage

__all__ = ["RULES"]

RULES: tuple[type[Rule], ...] = (
    ZeroAdvantage,
    DeadReward,
    NoLearning,
    DeadRewardComponent,
    DominantRewardComponent,
    ProxyDivergence,
    RewardCollapse,
    MissingRewards,
    RewardFunctionErrors,
    SlowReward,
    RewardLengthCorrelation,
)
"""The rules of the family, by code."""
