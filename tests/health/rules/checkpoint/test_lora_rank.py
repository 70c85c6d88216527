"""CKP006 lora-rank: runs on which it must speak, and runs on which it must be silent."""

import pytest

from health.rules.checkpoint.common import adapter, facts, found


@pytest.mark.parametrize(
    ("step", "r", "stable", "words"),
    [
        (100, 16, 1.05, "unused"),
        (100, 16, 14.0, "whole rank"),
        (100, 16, 4.0, None),
        (100, 1, 1.0, None),
        (100, 4, 1.05, None),
        (10, 16, 1.05, None),
    ],
)
def test_a_rank_is_told_once_it_is_far_from_what_is_used(step, r, stable, words):
    one = found("lora-rank", facts(step, kind="adapter", adapter=adapter(r=r, stable_rank=stable, zero_b=0)))
    assert (one is not None) == bool(words)
    if words:
        assert words in one.message
