"""Tracks: streaming statistics against the plain definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldk.health.tracks import BASELINE, BLOCK, MIDDLE, WINDOW, Chart, Streak, Track
from rldk.testing import line, noise

values = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300)


def filled(series):
    track = Track()
    for step, value in enumerate(series):
        track.push(step, value)
    return track


@given(values)
def test_extremes_counts_and_windows(series):
    track = filled(series)
    assert track.count == len(series)
    assert (track.low, track.high) == (min(series), max(series))
    assert (track.first, track.last, track.step) == (series[0], series[-1], len(series) - 1)
    assert track.tail(WINDOW) == series[-WINDOW:]
    assert track.median() == pytest.approx(np.median(series[-WINDOW:]))
    assert track.mean(20) == pytest.approx(np.mean(series[-20:]), abs=1e-6)
    assert track.lowest <= track.best


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=10))
def test_a_mean_of_few_records_is_their_plain_mean(series):
    assert filled(series).ema10 == pytest.approx(np.mean(series), rel=1e-6, abs=1e-6)


@given(values)
def test_the_baseline_is_the_median_of_its_records(series):
    baseline = filled(series).baseline
    if len(series) < BASELINE[1]:
        assert baseline is None
    else:
        assert baseline == pytest.approx(np.median(series[slice(*BASELINE)]))


def test_an_exponential_mean_forgets_the_beginning():
    assert filled([1e6] + [1.0] * 300).ema20 == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize("slope", [0.0, 0.05])
def test_noise_is_the_standard_deviation_whatever_the_trend(slope):
    rng = np.random.default_rng(0)
    noise = [filled(rng.normal(0, 2, 400) + slope * np.arange(400)).noise for _ in range(20)]
    assert np.mean(noise) == pytest.approx(2, rel=0.1)


def test_the_middle_is_a_median_that_single_records_do_not_move():
    track = filled([1.0] * 5 + [900.0])
    assert track.middle == 1.0
    track.push(7, 1.0)
    assert track.middle == 1.0
    assert filled([1.0] * 20 + [5.0] * 6).middle == 5.0


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, 7.0]), min_size=1, max_size=60), st.sets(st.integers(1, 60)))
def test_the_middle_is_the_median_of_the_newest_whenever_it_was_asked_before(series, asked):
    track = Track()
    for step, value in enumerate(series, 1):
        track.push(step, value)
        if step in asked or step == len(series):
            newest = sorted(series[max(step - MIDDLE, 0) : step])
            assert track.middle == newest[len(newest) // 2]


@pytest.mark.parametrize("begin", range(40, 45))
@pytest.mark.parametrize("every", [BLOCK, 2 * BLOCK, 7])
def test_the_error_is_that_of_the_newest_records_whenever_it_was_asked_before(begin, every):
    series, track = noise(180, 1.0), Track()
    for step, value in enumerate(series, 1):
        track.push(step, value)
        if step >= begin and (step - begin) % every == 0:
            assert track.error(20) == filled(series[:step]).error(20)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6])
def test_the_error_of_a_mean_is_right_whatever_the_autocorrelation(rho):
    """Of independent records it is what theory says; of correlated ones the true error, within a third."""
    means, errors = [], []
    for seed in range(200):
        track = filled(noise(100, 1.0, seed=seed, rho=rho))
        means.append(np.mean(track.tail(20)))
        errors.append(track.error(20))
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.35)


def test_a_trend_is_no_error():
    climbed = filled(line(0, 2, 100) + noise(100, 0.1)).error(20)
    assert climbed < 1.5 * filled(noise(100, 0.1)).error(20)


def test_a_series_that_stands_still_has_an_error_all_the_same():
    assert filled([*line(0, 1, 50), *([1.0] * 100)]).error(20) > 0
    assert filled([0.5]).error(20) > 0


def test_gain_is_the_change_of_the_smoothed_series():
    track = filled([0.0] * 60 + [1.0] * 60)
    assert track.gain(60) == pytest.approx(1.0, abs=0.01)
    assert track.gain(10) == pytest.approx(0.0, abs=0.01)
    assert track.gain(10_000) == pytest.approx(track.ema20 - track.trail[0])


def test_a_series_that_two_ask_for_is_kept_once_and_takes_the_first_name():
    chart = Chart()
    assert chart.track("a|b") is chart.track("a|b")
    chart.track("c")
    assert [key for key, _ in chart.feeders(["b", "a", "x"])] == ["a"]
    assert [key for key, _ in chart.feeders(["b"])] == ["b"]
    assert all(chart.holds(need) for need in ("x", "q|b", "*"))
    assert not chart.holds("q")
    assert [chart.held(need) for need in ("x", "q|b", "[ab]", "q")] == [["x"], ["b"], ["a", "b"], []]


def test_a_streak_counts_records_in_a_row_and_keeps_the_first_step():
    streak = Streak()
    assert [streak.feed(holds, step) for step, holds in enumerate([False, True, True, False, True])] == [
        0,
        1,
        2,
        0,
        1,
    ]
    assert streak.since == 4
