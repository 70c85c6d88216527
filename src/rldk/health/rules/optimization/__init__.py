"""The optimization family: losses, gradients and learning rates that end learning."""

from rldk.health.rule import Rule
from rldk.health.rules.optimization.divergence import Divergence
from rldk.health.rules.optimization.gradient_creep import GradientCreep
from rldk.health.rules.optimization.gradient_spike import GradientSpike
from rldk.health.rules.optimization.labels_masked import LabelsMasked
from rldk.health.rules.optimization.learning_rate_jump import LearningRateJump
from rldk.health.rules.optimization.non_finite import NonFinite
from rldk.health.rules.optimization.overfitting import Overfitting
from rldk.health.rules.optimization.zero_gradient import ZeroGradient
from rldk.health.rules.optimization.zero_learning_rate import ZeroLearningRate

__all__ = ["RULES"]

RULES: tuple[type[Rule], ...] = (
    NonFinite,
    GradientSpike,
    GradientCreep,
    ZeroGradient,
    Divergence,
    LabelsMasked,
    Overfitting,
    ZeroLearningRate,
    LearningRateJump,
)
"""The rules of the family, by code."""
