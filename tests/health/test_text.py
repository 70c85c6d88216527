"""Texts of a log as they may be shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldk.health.text import literal, plain, sentence


@given(st.text() | st.just("\ud800\x1b[31m\n\t\x00\u202e"))
def test_plain_text_prints_as_it_is(text):
    shown = plain(text)
    assert shown.isprintable()
    shown.encode()


def test_sentences_begin_and_end_and_keep_names():
    assert sentence("the reward fell") == "The reward fell."
    assert sentence("reward_mean is 0") == "reward_mean is 0."
    assert sentence("`beta` is 0!") == "`beta` is 0!"
    assert sentence("") == "."


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<b>*bold*</b> | [a](b)", r"\<b\>\*bold\*\</b\> \| \[a\](b)"),
        ("reward_mean and _this_", r"reward_mean and \_this\_"),
        ("set `beta` of @me to `a b`", r"set `beta` of &#64;me to \`a b\`"),
        ("two\nlines", "two lines"),
    ],
)
def test_markdown_is_taken_literally_and_code_stays_code(text, shown):
    assert literal(text) == shown
