"""The setup family: what the configuration alone shows, before the first step."""

from rldk.health.rule import Rule
from rldk.health.rules.setup.beyond_context import BeyondContext
from rldk.health.rules.setup.biased_sampling import BiasedSampling
from rldk.health.rules.setup.eos_never_learned import EosNeverLearned
from rldk.health.rules.setup.few_generations import FewGenerations
from rldk.health.rules.setup.hidden_non_finite import HiddenNonFinite
from rldk.health.rules.setup.high_learning_rate import HighLearningRate
from rldk.health.rules.setup.length_bias import LengthBias
from rldk.health.rules.setup.low_lora_rate import LowLoraRate
from rldk.health.rules.setup.masked_truncation import MaskedTruncation
from rldk.health.rules.setup.nothing_trained import NothingTrained
from rldk.health.rules.setup.rows_cut import RowsCut
from rldk.health.rules.setup.sampling_temperature import SamplingTemperature
from rldk.health.rules.setup.shared_reference import SharedReference
from rldk.health.rules.setup.sparse_logging import SparseLogging
from rldk.health.rules.setup.uncovered_eos import UncoveredEos

__all__ = ["RULES"]

RULES: tuple[type[Rule], ...] = (
    EosNeverLearned,
    UncoveredEos,
    BeyondContext,
    BiasedSampling,
    FewGenerations,
    LowLoraRate,
    HiddenNonFinite,
    SparseLogging,
    MaskedTruncation,
    LengthBias,
    RowsCut,
    NothingTrained,
    SamplingTemperature,
    HighLearningRate,
    SharedReference,
)
"""The rules of the family, by code."""
