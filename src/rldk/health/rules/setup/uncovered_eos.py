"""SET002 uncovered-eos: the model ends its answers with a token that the trainer does not take for an end.

Invariant: as in `setup`.
"""

from rldk.health.rule import Severity
from rldk.health.rules.not_checkable import NotCheckable
from rldk.health.rules.setup.common import GENERATING

__all__ = ["UncoveredEos"]


class UncoveredEos(NotCheckable):
    """The model ends its answers with a token that the trainer does not take for an end.

    ## What it looks for
    EOS ids of the generation configuration other than that of the tokenizer.

    ## Why it matters
    The trainer takes whole answers for cut ones; with `mask_truncated_completions` it trains on none of them.

    ## How it decides
    It needs the tokenizer, which the record of a run does not hold: it is listed as not checked. While the
    run goes on, eos-mismatch tells it from lengths.

    ## What looks alike but is healthy
    A chat model with several EOS ids that always ends with the one of its tokenizer.

    ## What to do
    Set "tokenizer.eos_token" to the token that ends a turn, before the trainer is made.

    ## Sources
    trl#7039 (Phi-3.5: 97% taken for cut that had ended).
    """

    code, name, severity = "SET002", "uncovered-eos", Severity.WARNING
    algorithms = GENERATING
    missing = (
        "compare generation_config.eos_token_id with tokenizer.eos_token_id; the record holds no tokenizer"
    )
