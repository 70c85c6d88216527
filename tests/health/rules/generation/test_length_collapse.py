"""GEN004 length-collapse: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from health.rules.generation.common import flat, learning
from rldk.testing import found, line, noise

SEEDS = range(6)


@pytest.mark.parametrize("seed", SEEDS)
def test_answers_of_nothing_are_named(seed):
    length = np.concatenate([np.full(7, 150.0), np.full(33, 3.5)]) * np.exp(noise(40, 0.1, seed=seed))
    reward = np.concatenate([np.full(7, 0.85), np.zeros(33)]) + noise(40, 0.02, seed=seed)
    finding = found({"completion_length_mean": length, "reward_mean": reward}, "length-collapse")
    assert finding.severity == "warning"
    assert 7 <= finding.onset_step <= 10
    assert finding.first_step <= 20


def test_brevity_that_pays_is_no_alarm():
    length = np.concatenate([np.full(30, 200.0), line(200, 20, 50), np.full(40, 20.0)])
    columns = {"completion_length_mean": length, "reward_mean": learning(records=120)}
    assert found(columns, "length-collapse").severity == "info"


def test_what_was_learned_before_is_no_excuse_for_answers_of_nothing():
    length = np.concatenate([np.full(80, 200.0), line(200, 6, 20), np.full(60, 6.0)])
    reward = np.concatenate([line(0.1, 0.8, 60), np.full(100, 0.8)]) + noise(160, 0.03)
    finding = found({"completion_length_mean": length, "reward_mean": reward}, "length-collapse")
    assert finding.severity == "warning"
    assert 80 <= finding.onset_step <= 95


def test_short_answers_from_the_start_are_the_task():
    columns = {"completion_length_mean": flat(2, 100, sd=0.3), "reward_mean": flat(0.3, 100)}
    assert found(columns, "length-collapse") is None
