"""SET001 eos-never-learned: the model cannot learn to stop: no end token is among the trained labels.

Invariant: sequences that the length limit cuts prove nothing and do not count.
"""

from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Severity, Verdict
from rldk.health.rules.setup.common import SetupRule

__all__ = ["EosNeverLearned"]

PREFERENCES = frozenset({"dpo", "kto"})
LEAST = 2
"""Whole sequences below which nothing is concluded."""


class EosNeverLearned(SetupRule):
    """The model cannot learn to stop: no end token is among the trained labels.

    ## What it looks for
    Labels that count in the loss, without an end token among them.

    ## Why it matters
    The tuned model never ends its answers; in later RL all completions are cut.

    ## How it decides
    When the training begins, the callback reads eight rows, evenly spaced over the data, as the trainer's
    collator makes them. It draws no random number and takes no batch. Rows that the length limit cuts do not
    count. If at least two are whole, and the tokenizer's EOS and the end tokens of the generation
    configuration occur in none: warning in supervised fine-tuning; info in DPO and KTO, which mostly start
    from a model that knows how to end.

    Collators of TRL and transformers for text are read, over data of the datasets library. Where the user
    makes rows or batches by a function, or all rows have one length, as chunks of a long text have, rldk
    lists the rule as not checked.

    ## What looks alike but is healthy
    A padding token that equals EOS: from TRL 0.17 on, SFT no longer masks EOS because of that.

    ## What to do
    Use another token for padding, and a chat template that ends answers with EOS.

    ## Sources
    trl#1623, trl#3091, trl#3200, trl#6357, trl#696, trl#2059; alignment-handbook#127.
    """

    code, name, severity = "SET001", "eos-never-learned", Severity.WARNING
    algorithms = frozenset({"sft", "gkd"}) | PREFERENCES

    def checkable(self) -> str | None:
        labels = self.context.start.labels
        if labels is None or labels.sequences < LEAST or not labels.counted:
            return "look at the labels of one batch: at least one EOS must not be -100; no log holds them"
        return None

    def inspect(self) -> Verdict | None:
        labels = self.context.start.labels
        if labels is None or labels.ends > 0:
            return None
        return Verdict(
            severity=Severity.INFO if self.context.algorithm in PREFERENCES else Severity.WARNING,
            message=f"the model does not learn to stop: no end token is among the {labels.counted:,} labels "
            f"that count in {labels.sequences} whole sequences",
            evidence={"sequences": labels.sequences, "labels": labels.counted, "ends": 0},
            confidence=0.85,
        )

    def causes(self) -> list[Cause]:
        masks_answers = self.context.option("assistant_only_loss") is True
        return [
            Cause(
                "the template's mark of the answers ends before their EOS",
                (Remedy('move the EOS before "{% endgeneration %}" in the chat template'),),
                0.9 if masks_answers else 0.0,
            ),
            Cause(
                "the padding token is the EOS, and the collator masks padding",
                (
                    Remedy("set `pad_token` to another token than the EOS"),
                    Remedy('set "tokenizer.pad_token" to another token than the EOS'),
                ),
                0.6,
            ),
            Cause(
                "the chat template ends answers with another token than the tokenizer's EOS",
                (
                    Remedy("set `eos_token` to the token that ends an answer"),
                    Remedy('set "tokenizer.eos_token" to the token that ends an answer'),
                ),
                0.6,
            ),
        ]
