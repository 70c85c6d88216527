"""CKP007 vocabulary-mismatch: embeddings, head, configuration and tokenizer disagree on the vocabulary.

Invariant: padding rows, tied heads, and tokens for images and sounds are normal.
"""

import re

from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Severity, Verdict
from rldk.health.rules.checkpoint.common import CheckpointRule, first_names
from rldk.schema.checkpoint import Analysis, Vocabulary

__all__ = ["VocabularyMismatch"]

_OTHER_SENSES = re.compile(r"image|audio|video|vision|speech|sound", re.IGNORECASE)


class VocabularyMismatch(CheckpointRule):
    """Embeddings, head, configuration and tokenizer disagree on the vocabulary.

    ## What it looks for
    Rows of the input embeddings and of the output head, `vocab_size` and `tie_word_embeddings` of
    `config.json`, and the ids of `tokenizer.json`.

    ## Why it matters
    A token without a row is an index error on the first text that holds it; on a GPU the error shows no line.
    Rows that do not fit the configuration cannot be loaded, and a missing head is initialised at random.

    ## How it decides
    A warning if: an added token has no row; head and embeddings, or embeddings and `vocab_size`, differ in
    rows; the head is missing although the weights are not tied; or the head is saved and differs although
    they are tied.

    ## What looks alike but is healthy
    More rows than tokens are padding. More embedding rows than head rows, where the head fits `vocab_size`,
    belong to tokens that the model does not predict (Mllama). A tied head is not saved. In a text-only model,
    tokens for images and sounds have no rows (Gemma 3).

    ## What to do
    Call `model.resize_token_embeddings(len(tokenizer))` before the trainer is built; with an adapter, save
    the embeddings too.

    ## Sources
    peft#2415, peft#1554, peft#1932; unsloth#978.
    """

    code, name, severity = "CKP007", "vocabulary-mismatch", Severity.WARNING

    def judge(self, found: Analysis) -> Verdict | None:
        sizes = found.vocabulary
        texts = _disagreements(sizes) if sizes is not None else []
        if sizes is None or not texts:
            return None
        return Verdict(
            severity=Severity.WARNING,
            message="; ".join(texts[:3]),
            evidence={
                "embedding_rows": sizes.embedding_rows,
                "head_rows": sizes.head_rows,
                "vocab_size": sizes.config_rows,
                "tokens": sizes.tokens,
                "tied": sizes.tied,
                "beyond": sizes.beyond,
            },
            confidence=0.9,
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "tokens were added to the tokenizer and not to the model",
                (Remedy('call "model.resize_token_embeddings(len(tokenizer))" before the trainer is built'),),
                0.6,
            ),
            Cause(
                "the tokenizer or the configuration belongs to another model than the weights",
                (Remedy("copy the tokenizer and the configuration of the trained model"),),
                0.4,
            ),
        ]


def _disagreements(sizes: Vocabulary) -> list[str]:
    rows, texts = sizes.embedding_rows or 0, []
    beyond = [token for token in sizes.beyond if not _OTHER_SENSES.search(token)]
    if beyond:
        texts.append(
            f"the embeddings have {rows:,} rows, the tokenizer {sizes.tokens:,}: "
            f"none for {first_names(beyond)}"
        )
    elif sizes.tokens is not None and sizes.tokens > rows and not sizes.beyond:
        texts.append(f"the embeddings have {rows:,} rows, the tokenizer {sizes.tokens:,} tokens")
    # Mllama embeds its image tokens too, and predicts none of them
    spare = sizes.head_rows is not None and sizes.head_rows == sizes.config_rows and sizes.head_rows < rows
    if sizes.head_rows is not None and sizes.head_rows != rows and not spare:
        texts.append(f"the embeddings have {rows:,} rows, the head {sizes.head_rows:,}")
    if sizes.config_rows is not None and sizes.config_rows != rows and not spare:
        texts.append(f"the embeddings have {rows:,} rows, config.json says {sizes.config_rows:,}")
    if sizes.tied is False and sizes.head_rows is None and sizes.needs_head:
        texts.append("the output head is missing, and config.json says that it is not tied to the embeddings")
    if sizes.tied and sizes.heads_equal is False and sizes.head_rows == rows:
        texts.append("config.json says that the head is tied to the embeddings, but the two differ")
    return texts
