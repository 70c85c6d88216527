import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldk.runs.texts import GAP, asked, excerpt, written

CHAT = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "first"},
    {"role": "assistant", "content": "yes"},
    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "second"}]},
    {"role": "assistant", "content": "prefilled"},
]


def test_the_last_message_of_the_user_is_what_was_asked():
    assert asked(CHAT) == "second"
    assert asked("plain") == "plain"
    assert asked([{"role": "system", "content": "alone"}]) == "alone"
    assert asked([]) == ""


def test_a_completion_of_several_messages_says_who_speaks():
    assert written("plain") == "plain"
    assert written([{"role": "assistant", "content": "one"}]) == "one"
    assert written(CHAT[1:3]) == "user: first\nassistant: yes"
    call = {"role": "assistant", "content": None, "tool_calls": [{"name": "f"}]}
    assert written([call]) == "[{'name': 'f'}]"
    assert written([call | {"content": "so"}]) == "so [{'name': 'f'}]"
    assert written([]) == ""


@pytest.mark.parametrize(
    "message", [{}, {"content": 5}, {"content": ["x", None]}, {"role": None, "content": {}}]
)
def test_strange_messages_are_texts(message):
    assert isinstance(written([message, message]), str)
    assert isinstance(asked([message]), str)


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
