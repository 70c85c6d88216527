"""The observer of reward functions, told calls by hand."""

import gc
import weakref
from threading import Thread

import pytest

from rldk.metrics import metric_of
from rldk.recording.completion_stats import Ends
from rldk.recording.guard import Guard
from rldk.recording.reward_observer import RewardObserver, observer_of


class State:
    """Stands for a `TrainerState`, which cannot be hashed."""

    __hash__ = None


class Text(str):
    """A text that can be watched."""

    __slots__ = ("__weakref__",)


@pytest.fixture
def observer():
    one = RewardObserver(State(), Guard(), ends=Ends(known=frozenset({1}), limit=8))
    yield one
    assert one._guard.failures == 0


def call(observer, output, name="f", *, function=None, place=None, completions=None, error=None, **inputs):
    completions = completions if completions is not None else [f"{i}" for i in range(len(output))]
    told = observer.begin(
        function or name, name, *(place or (None, None)), {"completions": completions, **inputs}
    )
    observer.finish(told, output, error)
    return completions


def test_closed_it_holds_neither_the_state_nor_the_functions():
    class Judge:
        """A reward function that holds a model."""

    state, judge = State(), Judge()
    one = RewardObserver(state, Guard())
    call(one, [1.0], function=judge)
    one.drain("train", 1)
    one.close()
    assert observer_of(state) is None
    gone = weakref.ref(judge)
    del judge
    gc.collect()
    assert gone() is None


def test_it_is_found_by_the_state_while_somebody_holds_it():
    state, other = State(), State()
    one = RewardObserver(state, Guard())
    assert observer_of(state) is one
    assert observer_of(other) is None
    assert observer_of(None) is None
    del one
    gc.collect()
    assert observer_of(state) is None


def test_what_a_step_shows(observer):
    call(observer, [1.0, 1.0, None, 4.0], prompts=["p"] * 2 + ["q"] * 2, completion_ids=[[5, 1]] * 4)
    samples = observer.drain("train", 3)
    assert samples[0].step == 3
    assert samples[0].rewards == {"f": 4.0}
    metrics = observer.take("train")
    assert metrics["reward_functions/f/calls"] == 1
    assert metrics["reward_functions/f/errors"] == 0
    assert metrics["reward_functions/f/missing_frac"] == 0.25
    assert metrics["reward_functions/f/duplicate_frac"] == 1.0
    assert metrics["reward_functions/f/seconds"] > 0
    assert 0 < metrics["reward_time_frac"] <= 1
    assert metrics["samples/ended_frac"] == 1.0
    assert metrics["samples/unscored_frac"] == 0.25
    assert all(metric_of(name) is not None for name in metrics)
    assert observer.take("train") == {}
    assert observer.drain("train", 4) == []


def test_metrics_gather_over_steps_until_they_are_taken(observer):
    for step, missing in enumerate((0, 1, 2, 2)):
        if step != 1:  # a step that generates nothing
            call(observer, [None] * missing + [1.0] * (4 - missing))
        observer.drain("train", step)
    metrics = observer.take("train")
    assert metrics["reward_functions/f/calls"] == 3
    assert metrics["reward_functions/f/missing_frac"] == pytest.approx((0 + 0.5 + 0.5) / 3)


def test_steps_without_a_call_count_into_the_time_of_the_next(observer):
    observer.drain("train", 1)
    assert observer.take("train") == {}
    call(observer, [1.0])
    observer.drain("train", 2)
    assert observer._waiting["train"].steps == 2
    observer.take("train")
    assert observer._waiting["train"].steps == 0


def test_an_evaluation_is_told_apart(observer):
    for value in (1.0, 2.0):
        call(observer, [value, 0.0])
    samples = observer.drain("eval", 10)
    assert {one.phase for one in samples} == {"eval"}
    assert observer.take("train") == {}
    metrics = observer.take("eval")
    assert metrics["eval_reward_functions/f/calls"] == 2
    assert "eval_reward_time_frac" not in metrics
    assert all(metric_of(name) is not None for name in metrics)


def test_two_functions_of_one_name_are_told_apart(observer):
    for step in range(3):
        completions = call(observer, [1.0, 2.0], "f", function="first", place=(0, 2))
        call(observer, [None, 3.0], "f", function="second", place=(1, 2), completions=completions)
        samples = observer.drain("train", step)
        assert samples[0].rewards == {"f": 2.0, "f#2": 3.0}
        assert samples[0].reward == 5.0
        metrics = observer.take("train")
        assert metrics["reward_functions/f/missing_frac"] == 0.0
        assert metrics["reward_functions/f#2/missing_frac"] == 0.5


@pytest.mark.parametrize(
    ("places", "weights", "reward"),
    [
        ([(1, 2), (0, 2)], [10.0, 1.0], 12.0),  # called second, first of the list: 1.0 * 10 + 2.0
        ([(0, 2), (1, 2)], None, 3.0),
        ([None, None], None, 3.0),
        ([None, None], [10.0, 1.0], None),  # which is which?
        ([(0, 3), (1, 3)], None, None),  # a reward model is the third
        ([(0, 2), (1, 2)], [1.0], None),
    ],
)
def test_the_reward_is_summed_where_all_of_it_was_seen(places, weights, reward):
    observer = RewardObserver(State(), Guard(), weights=weights)
    completions = call(observer, [2.0, 0.0], "a", place=places[0])
    call(observer, [1.0, 0.0], "b", place=places[1], completions=completions)
    samples = observer.drain("train", 1)
    assert max((one.reward for one in samples if one.index == 0), default=None) == reward or reward is None
    assert all((one.reward is None) == (reward is None) for one in samples)


@pytest.mark.parametrize(
    ("output", "errors", "told"),
    [
        ([1.0], 1, "f returned 1 values for 2 completions"),
        ([1.0, 2.0, 3.0], 1, "f returned 3 values for 2 completions"),
        (["1", "2"], 1, "f returned what are no numbers"),
        ([{}, object()], 1, "f returned what are no numbers"),
        ((value for value in (1.0, 2.0)), 0, None),
        (None, 0, None),
        (object(), 0, None),
        ((1.0, 2.0), 0, None),
    ],
    ids=["too few", "too many", "texts", "no numbers", "generator", "None", "object", "tuple"],
)
def test_whatever_a_function_returns(observer, output, errors, told):
    call(observer, output, completions=["a", "b"])
    samples = observer.drain("train", 1)
    metrics = observer.take("train")
    assert metrics["reward_functions/f/errors"] == errors
    assert observer.last_error == told
    assert ("reward_functions/f/missing_frac" in metrics) == (output == (1.0, 2.0))
    assert samples
    if not isinstance(output, list | tuple | None):
        assert not hasattr(output, "gi_frame") or list(output) == [1.0, 2.0], "a generator is left whole"


def test_an_exception_is_counted(observer):
    call(observer, None, completions=["a"], error=ValueError("no"))
    assert observer.last_error == "f raised ValueError"
    observer.drain("train", 1)
    assert observer.take("train")["reward_functions/f/errors"] == 1


def test_no_text_is_held_longer_than_its_batch(observer):
    watched = []
    for step in range(5):
        completions = [Text(f"{step} {i}") for i in range(8)]
        watched += [weakref.ref(one) for one in completions]
        call(observer, [float(i) for i in range(8)], completions=completions, prompts=completions)
        del completions
    gc.collect()
    assert sum(ref() is not None for ref in watched[:-8]) <= 4, "the samples that may be kept"
    observer.drain("train", 1)
    gc.collect()
    assert all(ref() is None for ref in watched)


def test_functions_may_run_in_threads(observer):
    completions = ["a", "b"]

    def run(name):
        for _ in range(200):
            call(observer, [1.0, 2.0], name, completions=completions)

    threads = [Thread(target=run, args=(f"f{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    observer.drain("train", 1)
    metrics = observer.take("train")
    assert [metrics[f"reward_functions/f{i}/calls"] for i in range(4)] == [200] * 4


def test_time_is_counted_once_where_functions_run_together(observer):
    completions = ["a"]
    calls = [observer.begin(name, name, None, None, {"completions": completions}) for name in "ab"]
    for one, began, ended in zip(calls, (0.0, 1.0), (3.0, 4.0), strict=True):
        observer.finish(one, [1.0])
        one.began, one.ended = began, ended
    observer._reduce()
    assert observer._now.busy == 4.0
    assert observer._now.seconds == {"a": 3.0, "b": 3.0}


def test_what_goes_wrong_in_here_is_the_guards():
    guard = Guard()
    observer = RewardObserver(State(), guard)
    assert observer.begin("f", "f", None, None, {"completions": 3}) is None
    assert guard.failures == 1
    assert observer.begin("f", "f", None, None, {"completions": []}) is None
    call(observer, [1.0], completions=[object()], prompts=5)
    assert len(observer.drain("train", 1)) <= 1
    observer.finish(None)
    assert guard.failures == 3


def test_huge_rewards_leave_only_finite_metrics(observer):
    call(observer, [1e308, -1e308, 1e308], prompts=["p"] * 3)
    observer.drain("train", 1)
    metrics = observer.take("train")
    assert "reward_functions/f/group_std_mean" not in metrics
    assert metrics["reward_functions/f/nonfinite_frac"] == 0.0


def test_of_calls_that_were_not_observed_no_times_are_told():
    one = RewardObserver(State(), Guard(), are_timed=False)
    call(one, [1.0, 0.0])
    one.drain("train", 1)
    assert one.step_seconds is None
    names = one.take("train").keys()
    assert "reward_functions/f/errors" in names
    assert not [name for name in names if name.endswith(("/calls", "/seconds", "reward_time_frac"))]
