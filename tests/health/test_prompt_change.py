"""PromptChange: what moves with the length of the answers, and what does not."""

import numpy as np
import pytest

from rldk.health.prompt_change import PromptChange
from rldk.health.tracks import Track
from rldk.testing import line, noise


def moved(reward, length, gradient):
    tracks = [Track() for _ in range(3)]
    change = PromptChange(*tracks)
    for step, values in enumerate(zip(reward, length, gradient, strict=True), 1):
        for track, value in zip(tracks, values, strict=True):
            track.push(step, float(value))
        change.feed()
    return change


STEP = np.concatenate([np.full(30, 0.9), np.full(30, 0.4)])
LONGER = np.concatenate([np.full(30, 5.0), np.full(30, 7.0)])


def test_a_fall_where_the_lengths_leap_is_counted_once():
    change = moved(STEP, LONGER + noise(60, 0.1), np.ones(60))
    assert change.moved == pytest.approx(-0.5)
    change.reset()
    assert change.moved == 0.0


@pytest.mark.parametrize(
    ("length", "gradient"),
    [
        (np.full(60, 5.0), np.ones(60)),
        (np.concatenate([np.full(25, 5.0), line(5, 7, 12), np.full(23, 7.0)]) + noise(60, 0.1), np.ones(60)),
        (LONGER, np.where(np.arange(60) >= 30, 5.0, 1.0)),
    ],
    ids=["the same length", "by degrees", "with larger gradients"],
)
def test_what_a_policy_does_is_not_of_the_prompts(length, gradient):
    assert moved(STEP, length, gradient).moved == 0.0


def test_series_that_miss_records_are_left_out():
    change = PromptChange(Track(), Track(), Track())
    change.feed()
    assert change.moved == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_noise_seldom_leaps(seed):
    change = moved(noise(500, 0.1, seed=seed), 20 + noise(500, 2, seed=seed + 50), np.ones(500))
    assert abs(change.moved) <= 0.3


@pytest.mark.parametrize("length", [0.0, 5.0])
def test_lengths_that_are_all_alike_are_no_leap(length):
    assert moved(STEP, np.full(60, length), np.ones(60)).moved == 0.0
