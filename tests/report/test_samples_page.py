"""Samples on a page: what is told of each, and that no text does more than stand there."""

import io
import json
import math
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from rldk.doctor.sample_evidence import SampleEvidence
from rldk.report.samples_page import HEAD, TAIL, as_markdown, as_object, print_samples
from rldk.runs import Sample

HOSTILE = (
    "\x1b[2J\x1b[31mred\x1b]0;title\x07 \u202eltr \u2066x [bold]markup[/bold] [link=file:///x]y[/link] "
    "\x00\x08\x7f\x9b31m :smile: ``` @everyone <script>alert(1)</script> | # *x*\r\nnext"
)
hostile = st.text(
    st.characters(codec="utf-8") | st.sampled_from("\x1b\x00\x08\x9b\u202e\u2066\u200b[]`<@\r\n\t"),
    max_size=400,
)


def sample(completion="an answer", **changes):
    given = {"step": 1_200, "prompt": "a question", "rewards": {"accuracy": 0.5}, "reward": 0.5}
    return Sample(completion=completion, **(given | changes))


def page(*samples, width=80, full=False, why="", end=False, more="", terminal=False):
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=terminal, color_system=None, highlight=False)
    print_samples(
        console, "the title", [SampleEvidence(one, why, end) for one in samples], full=full, more=more
    )
    return out.getvalue()


def markdown(*samples, full=False, why=""):
    return as_markdown("the title", [SampleEvidence(one, why, end=False) for one in samples], full=full)


def test_all_that_is_known_of_a_sample_is_told():
    told = page(
        sample(
            phase="eval",
            rewards={"accuracy": 1.0, "format": None},
            reward=1.25,
            length=512,
            end="cut",
            why=("best", "cut"),
            group=3,
            index=17,
            cut_chars=1_234,
        ),
        why="cut at 512 tokens",
        more="More of them.",
        width=100,
    )
    assert told.splitlines()[0] == "the title"
    assert "step 1,200 (eval) · reward 1.25 · accuracy 1 · format none ──" in told
    assert "  cut at 512 tokens\n" in told
    about = " ".join(told.split())
    assert "512 tokens, cut at the limit; kept as the best of its step and a cut completion;" in about
    assert "completion 17, prompt 3; 1,234 characters not recorded" in about
    assert "prompt: a question\n" in told
    assert "\n    an answer\n" in told
    assert told.endswith("\nMore of them.\n")


def test_what_is_not_known_is_not_told():
    told = page(sample(rewards={}, reward=None))
    assert "step 1,200 ──" in told
    assert "  9 characters\n" in told
    for word in ("reward", "None", "kept", "tokens", "prompt 0"):
        assert word not in told
    # One function whose value is the reward is told once.
    assert "step 1,200 · accuracy 0.5 ──" in page(sample())
    assert "reward 1 · accuracy 0.5 ──" in page(sample(reward=1.0))
    assert "advantage -1.5" in page(sample(advantage=-1.5))


def test_of_a_conversation_the_last_question_is_shown():
    chat = [{"role": "user", "content": "first"}, {"role": "user", "content": "second " * 100}]
    told = page(sample([{"role": "assistant", "content": "yes"}], prompt=chat))
    assert "prompt (after 1 message): second second" in told
    assert "[…]" in told
    assert "first" not in told
    assert "\n    yes\n" in told


def test_of_a_long_completion_begin_and_end_are_shown_and_what_is_missing_is_marked():
    text = f"begins-{'x' * 5_000}-ends"
    told = page(sample(text))
    assert "begins-xxx" in told
    assert "xxx-ends" in told
    (left_out,) = re.findall(r"\[… ([\d,]+) characters left out: --full shows them …\]", told)
    assert int(left_out.replace(",", "")) == len(text) - HEAD - TAIL
    assert told.count("x") < HEAD + TAIL + 10
    whole = page(sample(text), full=True)
    assert whole.count("x") == 5_000
    assert "not shown" not in whole
    # Where the end is what matters, more of it is there.
    ending = page(sample("".join(f"{number:05}" for number in range(1_000))), end=True)
    assert len(ending.partition("…]")[2]) > 2 * len(ending.partition("[…")[0]) / 2


def test_a_text_of_many_lines_is_short_too_and_keeps_its_lines():
    text = "\n".join(f"line {number}" for number in range(10_000))
    told = page(sample(text)).splitlines()
    assert len(told) < 30
    assert "    line 1" in told
    assert "    line 9999" in told
    assert page(sample("a\n\n  b")).splitlines()[-3:] == ["    a", "", "      b"]


def test_a_completion_of_nothing_is_shown_as_nothing():
    assert "    (nothing)\n" in page(sample(""))
    assert "(nothing)" in markdown(sample(""))


def test_ten_megabytes_are_a_short_page():
    assert len(page(sample("word " * 2_000_000))) < 3_000
    assert len(page(sample(("y" * 80 + "\n") * 125_000))) < 3_000


def cannot_do_anything(text):
    """No control character, no override of direction; every character prints."""
    assert all(c == "\n" or c.isprintable() for c in text)
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs") for c in text.replace("\n", ""))


@pytest.mark.parametrize("terminal", [True, False])
def test_hostile_texts_stand_there_and_nothing_else(terminal):
    one = sample(HOSTILE, prompt=HOSTILE, rewards={HOSTILE: 1.0}, reward=2.0)
    told = page(one, why=HOSTILE, width=120, terminal=terminal)
    if not terminal:
        cannot_do_anything(told)
    for part in ("\\x1b[2J", "[bold]markup[/bold]", "[link=file:///x]", ":smile:", "\\x00"):
        assert part in told
    assert "\x1b[2J" not in told
    assert "\u202e" not in told


@given(text=hostile, prompt=hostile, name=hostile, full=st.booleans())
def test_any_text_stands_there_and_nothing_else(text, prompt, name, full):
    one = sample(text, prompt=[{"role": "user", "content": prompt}], rewards={name: 1.0}, reward=2.0)
    told = page(one, full=full)
    cannot_do_anything(told)
    assert max(map(cell_len, told.splitlines())) <= 80
    cannot_do_anything(markdown(one, full=full))
    json.dumps(as_object(SampleEvidence(one, "", end=False), None), allow_nan=False).encode()


@given(text=hostile)
def test_in_markdown_a_text_does_not_leave_its_block(text):
    lines = markdown(sample(text + "\n```\n# heading\n````"), full=True).splitlines()
    opening = next(line for line in lines if line.endswith("text") and line.startswith("```"))
    fence = opening.removesuffix("text")
    assert len(fence) >= 5
    inside = lines[lines.index(opening) + 1 : -1]
    assert lines[-1] == fence
    assert not any(line.strip().startswith(fence) for line in inside)
    assert "# heading" in inside


def test_markdown_says_the_same():
    told = markdown(
        sample("one\ntwo", rewards={"my_f": 1.0}, reward=2.0, prompt="a <b> @you"), why="cut *here*"
    )
    assert told == (
        "### the title\n\n#### step 1,200 · reward 2 · my_f 1\n\n**cut \\*here\\***\n\n7 characters\n\n"
        "> prompt: a \\<b\\> &#64;you\n\n```text\none\ntwo\n```\n"
    )


def test_an_object_is_strict_json_and_whole():
    one = sample(
        "x" * 9_000, rewards={"f": math.inf}, extra={"note": math.nan, "raw": b"\xff"}, why=("best",)
    )
    told = as_object(SampleEvidence(one, "cut", end=True), "truncation")
    assert json.loads(json.dumps(told, allow_nan=False)) == {
        "step": 1_200,
        "prompt": "a question",
        "completion": "x" * 9_000,
        "rewards": {"f": "inf"},
        "advantage": None,
        "extra": {"note": "nan", "raw": "/w=="},
        "phase": "train",
        "group": None,
        "index": None,
        "reward": 0.5,
        "length": None,
        "end": None,
        "why": ["best"],
        "cut_chars": 0,
        "finding": "truncation",
        "shows": "cut",
    }
    assert "finding" not in as_object(SampleEvidence(one, "", end=False), None)
