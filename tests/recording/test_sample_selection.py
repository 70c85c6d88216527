"""Which samples of a step are kept."""

from collections import Counter
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldk.recording.completion_stats import Batch, Ends
from rldk.recording.sample_selection import MAX_CHARS, SampleReservoir, clipped

ENDS = Ends(known=frozenset({1}), trainers=frozenset({1}), limit=4)


def add(chooser, rewards, ids=None, values=None, completions=None, ends=ENDS):
    completions = completions or [f"text {i}" for i in range(len(rewards))]
    one = Batch(["p"] * len(rewards), completions, ids, values or {"f": rewards}, ends)
    chooser.add(one, rewards)


def taken(rewards, count=4, **options):
    chooser = SampleReservoir(count, Random(0))
    add(chooser, rewards, **options)
    return chooser.take(7, "train")


def test_the_best_the_worst_and_others_by_chance():
    best, worst, *others = taken([0.1, 0.9, 0.5, 0.4, 0.3, 0.2])
    assert (best.index, best.reward, best.why, best.step, best.phase) == (1, 0.9, ("best",), 7, "train")
    assert (worst.index, worst.why) == (0, ("worst",))
    assert 1 <= len(others) <= 2
    assert all(one.why == ("random",) for one in others)


def test_what_is_odd_comes_before_chance():
    ids = [[5, 5, 1]] * 6 + [[5, 5, 5, 5]]
    values = {"f": [0.1, 0.9, None, 0.5, 0.5, 0.5, 0.5]}
    samples = taken([0.1, 0.9, None, 0.5, 0.5, 0.5, 0.5], ids=ids, values=values)
    assert [one.why for one in samples] == [("best",), ("worst",), ("missing",), ("cut",)]
    assert [one.index for one in samples] == [1, 0, 2, 6]
    assert samples[2].reward is None
    assert [one.end for one in samples] == ["eos", "eos", "eos", "cut"]
    assert samples[3].length == 4


def test_one_completion_may_be_kept_for_several_reasons():
    (sample,) = taken([0.5], ids=[[5, 5, 5, 5]])
    assert sample.why == ("cut",), "of one, none is the best"
    ends = Ends(known=frozenset({1, 2}), trainers=frozenset({1}), limit=4)
    one, other = taken([0.9, 0.1], ids=[[5, 2], [5, 1]], ends=ends)
    assert one.why == ("best", "ended-unseen")
    assert other.why == ("worst",)


def test_where_rewards_are_alike_or_unknown_none_is_the_best():
    assert {why for one in taken([0.5] * 6) for why in one.why} == {"random"}
    chooser = SampleReservoir(4, Random(0))
    chooser.add(Batch(None, ["a", "b"], None, {"f": None}, ENDS), None)
    samples = chooser.take(1, "eval")
    assert {why for one in samples for why in one.why} == {"random"}
    assert samples[0].rewards == {"f": None}
    assert samples[0].reward is None


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_no_more_are_kept_than_asked_for(count):
    chooser = SampleReservoir(count, Random(0))
    for _ in range(5):
        add(chooser, [0.1, 0.9, None, 0.5], ids=[[5, 5, 5, 5]] * 4)
    samples = chooser.take(1, "train")
    assert len(samples) <= count
    assert len({one.index for one in samples}) == len(samples)
    if count:
        assert samples[0].why[0] == "best"


def test_the_batches_of_a_step_are_one():
    chooser = SampleReservoir(4, Random(0))
    for reward in (0.2, 0.9, 0.4):
        add(chooser, [reward, 0.3])
    samples = chooser.take(1, "train")
    assert (samples[0].index, samples[0].group, samples[0].reward) == (2, 1, 0.9)
    assert (samples[1].index, samples[1].reward) == (0, 0.2)
    assert chooser.take(2, "train") == []


def test_chance_is_fair_over_batches_and_its_own():
    count = Counter()
    chooser = SampleReservoir(3, Random(0))
    for _ in range(3000):
        add(chooser, [0.5, 0.5])
        add(chooser, [0.5] * 6)
        count.update(one.index for one in chooser.take(1, "train"))
    assert set(count) == set(range(8))
    assert all(300 < number < 450 for number in count.values())  # 375 expected, 18 its deviation


def test_an_infinite_reward_is_none_in_the_sample():
    samples = taken([float("inf"), 0.5, 0.2])
    assert all(one.reward != float("inf") for one in samples)
    assert b"inf" not in msgspec.json.encode(samples).lower()


def test_of_a_long_text_head_and_tail_are_kept():
    text = "HEAD" + "x" * 10_000_000 + "TAIL"
    sample = taken([0.5], completions=[text])[0]
    assert sample.completion.startswith("HEADxx")
    assert sample.completion.endswith("xxTAIL")
    assert len(sample.completion) < MAX_CHARS + 60
    assert sample.cut_chars == len(text) - MAX_CHARS


def test_of_a_long_conversation_both_ends_are_kept():
    messages = [{"role": "user", "content": f"turn {i} " + "x" * 500} for i in range(100)]
    kept, left_out = clipped(messages)
    assert [one["content"][:8].strip() for one in kept[:2]] == ["turn 0 x", "turn 1 x"]
    assert kept[-1]["content"].startswith("turn 99")
    assert len(kept) == 20
    assert left_out > 40_000
    call = {"role": "assistant", "content": None, "tool_calls": [{"name": "add"}], "image": object()}
    assert clipped([call]) == ([{"role": "assistant", "content": "[{'name': 'add'}]"}], 0)
    assert clipped(object()) == ("<object>", 0)


@given(st.text(max_size=60), st.integers(2, 40))
def test_what_is_left_out_is_counted(text, limit):
    short, left_out = clipped(text, limit)
    assert (short == text) == (left_out == 0)
    if left_out:
        assert short.startswith(text[: limit // 2])
        assert short.endswith(text[len(text) - limit // 2 :])
        assert left_out == len(text) - limit
