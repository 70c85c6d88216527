"""CKP007 vocabulary-mismatch: runs on which it must speak, and runs on which it must be silent."""

import pytest

from health.rules.checkpoint.common import facts, found
from rldk.schema.checkpoint import Vocabulary


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, None),
        ({"tokens": 280}, None),
        ({"tokens": 301, "beyond": ["<think>"]}, "none for <think>"),
        ({"tokens": 301, "beyond": ["<image_soft_token>"]}, None),
        ({"tokens": 400}, "400 tokens"),
        ({"head_rows": 300, "heads_equal": False}, "the two differ"),
        ({"head_rows": 300, "heads_equal": False, "tied": False}, None),
        ({"head_rows": 290, "tied": False}, "the head 290"),
        ({"tied": False, "needs_head": True}, "the output head is missing"),
        ({"tied": False}, None),
        ({"tied": None, "needs_head": True}, None),
        ({"config_rows": 512}, "config.json says 512"),
        ({"head_rows": 290, "config_rows": 290, "tied": False}, None),  # Mllama: no image is predicted
        ({"head_rows": 310, "config_rows": 310, "tied": False}, "the head 310"),
        ({"head_rows": 290, "config_rows": 280, "tied": False}, "the head 290"),
    ],
)
def test_what_disagrees_on_the_vocabulary(changes, words):
    fitting = {"embeddings": "e", "embedding_rows": 300, "config_rows": 300, "tied": True, "tokens": 300}
    one = found("vocabulary-mismatch", facts(vocabulary=Vocabulary(**(fitting | changes))))
    assert (one is not None) == bool(words)
    if words:
        assert words in one.message
