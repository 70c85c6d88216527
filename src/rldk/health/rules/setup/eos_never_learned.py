"""SET001 eos-never-learned: the model cannot learn to stop: the end of the answer is not among the trained
labels.

Invariant: rldk sees no labels, so the rule is always listed as not checked, with a way to check by hand.
"""

from rldk.health.rule import Severity
from rldk.health.rules.not_checkable import NotCheckable

__all__ = ["EosNeverLearned"]


class EosNeverLearned(NotCheckable):
    """The model cannot learn to stop: the end of the answer is not among the trained labels.

    ## What it looks for
    EOS tokens whose label is -100 in the first batch of supervised fine-tuning.

    ## Why it matters
    The tuned model never ends its answers; in later RL all completions are cut.

    ## How it decides
    It needs the labels of a batch, and no log holds them: rldk lists the rule as not checked.

    ## What looks alike but is healthy
    A padding token that equals EOS: from TRL 0.17 on, SFT no longer masks EOS because of that.

    ## What to do
    Use another token for padding, and a chat template that ends answers with EOS.

    ## Sources
    trl#1623, trl#3091, trl#3200, trl#6357, trl#696, trl#2059; alignment-handbook#127.
    """

    code, name, severity = "SET001", "eos-never-learned", Severity.WARNING
    algorithms = frozenset({"sft", "gkd"})
    missing = "look at the labels of one batch: at least one EOS must not be -100; no log holds them"
