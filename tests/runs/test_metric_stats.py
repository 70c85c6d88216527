"""Statistics in one pass."""

import json
import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldk.runs.metric_stats import MetricStats


def summary(values):
    found = MetricStats()
    for value in values:
        found.add(value)
    return found


@given(st.lists(st.floats(-1e6, 1e6) | st.integers(-(10**6), 10**6), min_size=2))
def test_it_agrees_with_the_statistics_of_the_standard_library(values):
    found = summary(values)
    assert found.count == len(values)
    assert found.mean == pytest.approx(statistics.fmean(values), abs=1e-6)
    assert found.std == pytest.approx(statistics.stdev(values), abs=1e-4)
    assert (found.min, found.max) == (min(values), max(values))
    assert (found.first, found.last) == (values[0], values[-1])
    assert found.nonfinite == 0


@given(
    st.lists(st.none() | st.floats() | st.integers() | st.sampled_from([1e308, -1e308, 10**400, -(2**70)]))
)
def test_any_values_give_strict_json_and_finite_figures(values):
    found = summary(values)
    json.dumps(found.to_dict(), allow_nan=False)
    assert found.count + found.nonfinite == len(values)


def test_what_is_not_finite_is_counted_and_enters_nothing_else():
    found = summary([math.nan, 1.0, None, 3.0, math.inf, -math.inf])
    assert found.to_dict() == {
        "count": 2,
        "mean": 2.0,
        "std": pytest.approx(math.sqrt(2)),
        "min": 1.0,
        "max": 3.0,
        "first": 1.0,
        "last": 3.0,
        "nonfinite": 4,
    }


def test_without_a_finite_value_nothing_is_invented():
    assert summary([None, math.nan]).to_dict() == {
        "count": 0,
        "mean": None,
        "std": None,
        "min": None,
        "max": None,
        "first": None,
        "last": None,
        "nonfinite": 2,
    }


def test_one_value_has_no_deviation():
    assert summary([5]).to_dict()["std"] is None


def test_values_that_differ_little_from_a_large_mean_do_not_cancel():
    assert summary([1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16]).std == pytest.approx(math.sqrt(30))


def test_values_as_far_apart_as_floats_can_be_have_a_mean():
    found = summary([1.5e308, -1.5e308])
    assert found.mean == 0.0
    assert found.std is None
