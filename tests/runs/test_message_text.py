import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldk.runs.message_text import GAP, completion_text, excerpt, last_user_text

CHAT = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "first"},
    {"role": "assistant", "content": "yes"},
    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "second"}]},
    {"role": "assistant", "content": "prefilled"},
]


def test_the_last_message_of_the_user_is_what_was_asked():
    assert last_user_text(CHAT) == "second"
    assert last_user_text("plain") == "plain"
    assert last_user_text([{"role": "system", "content": "alone"}]) == "alone"
    assert last_user_text([]) == ""


def test_a_completion_of_several_messages_says_who_speaks():
    assert completion_text("plain") == "plain"
    assert completion_text([{"role": "assistant", "content": "one"}]) == "one"
    assert completion_text(CHAT[1:3]) == "user: first\nassistant: yes"
    call = {"role": "assistant", "content": None, "tool_calls": [{"name": "f"}]}
    assert completion_text([call]) == "[{'name': 'f'}]"
    assert completion_text([call | {"content": "so"}]) == "so [{'name': 'f'}]"
    assert completion_text([]) == ""


@pytest.mark.parametrize(
    "message", [{}, {"content": 5}, {"content": ["x", None]}, {"role": None, "content": {}}]
)
def test_strange_messages_are_texts(message):
    assert isinstance(completion_text([message, message]), str)
    assert isinstance(last_user_text([message]), str)


@given(text=st.text(), most=st.integers(20, 200), end=st.booleans())
def test_an_excerpt_is_short_and_marks_what_is_missing(text, most, end):
    short = excerpt(text, most, end=end)
    assert len(short) <= most
    assert (GAP.strip() in short) or short == text.strip()


def test_an_excerpt_keeps_the_end_and_unless_the_end_is_asked_for_the_beginning():
    text = f"begin {'x' * 500} finish"
    assert excerpt(text, 50).startswith("begin x")
    for end in (False, True):
        assert excerpt(text, 50, end=end).endswith("x finish")
    assert excerpt(text, 50, end=True).startswith("[…] x")
