"""SET002 uncovered-eos: the model ends its answers with a token that the trainer does not count as an end.

Invariant: rldk records no tokenizer, so the rule is always listed as not checked, with a way to check by
hand.
"""

from rldk.health.rule import Severity
from rldk.health.rules.not_checkable import NotCheckable
from rldk.health.rules.setup.common import GENERATING

__all__ = ["UncoveredEos"]


class UncoveredEos(NotCheckable):
    """The model ends its answers with a token that the trainer does not count as an end.

    ## What it looks for
    EOS ids of the generation configuration other than the tokenizer's.

    ## Why it matters
    The trainer counts whole answers as cut; with `mask_truncated_completions` it trains on none of them.

    ## How it decides
    It needs the tokenizer, and the record of a run does not hold it: rldk lists the rule as not checked.
    During the run, eos-mismatch finds it by lengths.

    ## What looks alike but is healthy
    A chat model with several EOS ids that always ends with its tokenizer's.

    ## What to do
    Set "tokenizer.eos_token" to the token that ends a turn, before the trainer is made.

    ## Sources
    trl#7039 (Phi-3.5: 97% counted as cut that had ended).
    """

    code, name, severity = "SET002", "uncovered-eos", Severity.WARNING
    algorithms = GENERATING
    missing = (
        "compare generation_config.eos_token_id with tokenizer.eos_token_id; the record holds no tokenizer"
    )
