"""The preference family: training on pairs, and reward models."""

from rldk.health.rule import Rule
from rldk.health.rules.preference.likelihood_displacement import LikelihoodDisplacement
from rldk.health.rules.preference.margin_collapse import MarginCollapse
from rldk.health.rules.preference.preference_saturated import PreferenceSaturated
from rldk.health.rules.preference.reward_model_at_chance import RewardModelAtChance
from rldk.health.rules.preference.swapped_preferences import SwappedPreferences

__all__ = ["RULES"]

RULES: tuple[type[Rule], ...] = (
    LikelihoodDisplacement,
    PreferenceSaturated,
    RewardModelAtChance,
    SwappedPreferences,
    MarginCollapse,
)
"""The rules of the family, by code."""
