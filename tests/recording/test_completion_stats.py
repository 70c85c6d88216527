"""What a batch of completions says."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldk.recording.completion_stats import Batch, Ends, function_facts, numbers, text_facts, total_rewards

EOS, TURN, PAD = 1, 2, 0
ENDS = Ends(known=frozenset({EOS, TURN}), trainers=frozenset({EOS}), pad=PAD, limit=6)


def batch(completions, ids=None, prompts=None, values=None, ends=ENDS):
    return Batch(prompts, completions, ids, values or {}, ends)


def texts(completions, **options):
    return {
        name.removeprefix("samples/"): value
        for name, value in text_facts(batch(completions, **options)).items()
    }


def test_how_each_completion_ended():
    ids = [
        [5, 6, EOS],
        [5, 6, TURN],
        [5, TURN, PAD, PAD, PAD, PAD],  # TRL 0.23 hands over what it fills up
        [5, TURN, 7, 8, 9, 9],  # and lets the model write on
        [5, 6, 7, 8, 9, 9],
        [5, 6, 7],
        [],
    ]
    one = batch(["x"] * 7, ids)
    assert one.ends == ["eos", "eos", "eos", "eos", "cut", "other", "other"]
    assert one.lengths == [3, 3, 2, 6, 6, 3, 0]
    assert one.unseen == [False, True, True, True, False, False, False]
    facts = texts(["x"] * 7, ids=ids)
    assert facts["ended_frac"] == pytest.approx(4 / 7)
    assert facts["trainer_ended_frac"] == pytest.approx(1 / 7)
    assert facts["cut_frac"] == pytest.approx(1 / 7)


def test_a_padding_of_end_tokens_is_an_end():
    """Qwen's padding is one of the end tokens of its generation config."""
    ends = Ends(known=frozenset({EOS, PAD}), trainers=frozenset({EOS}), pad=PAD, limit=6)
    one = batch(["x"] * 3, [[5, 6, PAD, PAD, PAD, PAD], [5, 6, EOS], [5, 6, 7, 8, 9, PAD]], ends=ends)
    assert one.lengths == [3, 3, 6]
    assert one.ends == ["eos"] * 3
    assert one.unseen == [True, False, True]


def test_of_several_turns_the_last_one_counts():
    turns = [{"role": "assistant", "content": "a"}, {"role": "tool", "content": "b"}]
    assert batch([turns], [[5, TURN, 7, 8, 9, 9]]).ends == ["cut"]
    assert batch([turns[:1]], [[5, TURN, 7, 8, 9, 9]]).ends == ["eos"]


def test_what_cannot_be_known_is_absent():
    facts = texts(["a", "b"])
    assert facts == {"empty_frac": 0.0}
    assert "ended_frac" not in texts(["a", "b"], ids=[[1], [2]], ends=Ends())
    assert batch(["a", "b"], ids=[[1]]).lengths is None
    assert batch(["a", "b"], ids=(np.array([1]), np.array([2]))).lengths is None


def test_copies_count_within_the_group_of_one_prompt():
    completions = ["4", "4", "5", "4", "4", "6"]
    prompts = ["p", "p", "p", "q", "r", "r"]
    assert texts(completions, prompts=prompts)["duplicate_frac"] == pytest.approx(2 / 5)
    assert "duplicate_frac" not in texts(completions, prompts=list("abcdef"))
    assert batch(completions, prompts=prompts * 2).groups == list(range(6)), (
        "prompts that do not fit are none"
    )


def test_groups_need_not_lie_together():
    """Online DPO hands over all prompts twice."""
    assert batch(["a", "b", "c", "d"], prompts=["p", "q"] * 2).groups == [0, 1, 0, 1]


def test_messages_are_the_same_where_their_words_are():
    def said(text):
        return [{"role": "assistant", "content": text}]

    def parts(text):
        return [
            {
                "role": "assistant",
                "content": [{"type": "text", "text": text}],
            }
        ]

    facts = texts([said("a"), parts("a"), said("b"), said("")], prompts=[said("?")] * 4)
    assert facts["duplicate_frac"] == 0.5
    assert facts["empty_frac"] == 0.25


def test_pictures_are_never_taken_for_the_same():
    """The prompts of two pictures have the same words: `Describe it.`"""
    words = {"type": "text", "text": "Describe it."}

    def prompt(picture):
        return [{"role": "user", "content": [picture, words]}]

    first, second = {"type": "image"}, {"type": "image"}
    one = batch(["a"] * 3, prompts=[prompt(first), prompt(second), prompt(first)])
    assert one.groups == [0, 1, 0]


def test_repetition_is_the_share_of_4_grams_that_stood_there_before():
    fresh = list(range(100, 140))
    loop = [7, 8, 9, 10] * 10
    assert texts(["x"], ids=[fresh])["repetition_frac"] == 0.0
    assert texts(["x"], ids=[loop])["repetition_frac"] == pytest.approx(1 - 4 / 37)
    assert texts(["x"] * 2, ids=[fresh, loop])["repetition_frac"] == pytest.approx((1 - 4 / 37) / 2)
    assert "repetition_frac" not in texts(["x"], ids=[[7, 7, 7, 7, 7]]), "too short to say"
    assert texts(["x"], ids=[[*range(1000), *[5] * 600]])["repetition_frac"] == pytest.approx(1 - 1 / 509)


def test_the_values_of_a_function():
    facts = function_facts([1.0, 1.0, None, 3.0, math.inf, 5.0], [0, 0, 0, 0, 1, 1])
    assert facts == {
        "missing_frac": pytest.approx(1 / 6),
        "nonfinite_frac": pytest.approx(1 / 6),
        "group_std_mean": pytest.approx(np.std([1, 1, 3], ddof=1)),
        "duplicate_frac": pytest.approx(2 / 3),
    }
    assert set(function_facts([1.0, None], [0, 1])) == {"missing_frac", "nonfinite_frac"}


def test_rows_that_no_function_scored():
    values = {"a": [1.0, None, None], "b": [None, None, 2.0]}
    assert texts(["x"] * 3, values=values)["unscored_frac"] == pytest.approx(1 / 3)
    assert "unscored_frac" not in texts(["x"] * 3, values=values | {"c": None})
    assert total_rewards([[1.0, None, None], [None, None, 2.0]], [1.0, 0.5]) == [1.0, None, 1.0]


class Elsewhere:
    """A number on an accelerator."""

    class device:  # noqa: N801
        type = "cuda"

    def __float__(self):
        raise AssertionError("it was waited for")


def test_what_functions_return_is_read_as_numbers():
    assert numbers([1, 2.5, None, math.nan, True, np.float32(0.5), [3.0]]) == [
        1.0,
        2.5,
        None,
        None,
        1.0,
        0.5,
        3.0,
    ]
    assert numbers([1.0, Elsewhere()]) is None
    for odd in (["1.0"], [{}], [[1.0, 2.0]], [1j], [10**400]):
        with pytest.raises((TypeError, ValueError, OverflowError)):
            numbers(odd)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("pqr"),
            st.text(max_size=3),
            st.lists(st.integers(0, 9), max_size=40),
            st.none() | st.floats(allow_nan=False),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_shares_are_shares(rows):
    prompts, completions, ids, values = (list(column) for column in zip(*rows, strict=True))
    one = batch(completions, ids, prompts, {"f": values})
    facts = text_facts(one) | function_facts(values, one.groups)
    for name, value in facts.items():
        assert name == "group_std_mean" or 0.0 <= value <= 1.0, name
    assert facts["missing_frac"] == facts["samples/unscored_frac"]
