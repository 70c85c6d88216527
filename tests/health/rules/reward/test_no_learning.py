"""REW003 no-learning: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from health.rows import evaluated, finding, trains
from health.rules.reward.common import flat, learning
from rldk.testing import found, line, noise

N = 200
SEEDS = range(8)


def test_most_flat_rewards_are_said():
    said = [found({"reward_mean": flat(-0.3, seed, 0.4, 300)}, "no-learning") for seed in range(20)]
    assert sum(one is not None for one in said) >= 15


@pytest.mark.parametrize("seed", SEEDS)
def test_a_learning_run_is_not_called_flat(seed):
    assert found({"reward_mean": learning(seed)}, "no-learning") is None
    assert found({"reward_mean": learning(seed, sd=0.3, records=400)}, "no-learning") is None


@pytest.mark.parametrize("offset", [-100.0, 100.0])
def test_a_reward_that_learns_far_from_zero_is_not_called_flat(offset):
    assert found({"reward_mean": learning(0) + offset}, "no-learning") is None


def test_a_plateau_that_ends_is_forgotten():
    late = np.concatenate([flat(0.2, records=150), line(0.2, 0.9, 60), flat(0.9, records=60)])
    assert found({"reward_mean": late}, "no-learning") is None


RATE = line(1e-6, 1e-8, 150)


def on_answers(losses, rate=RATE, loss=None):
    loss = 0.3 + noise(150, 0.05) if loss is None else loss
    return evaluated(trains(2, loss=loss, lr=rate), 15, loss=losses)


@pytest.mark.parametrize("algorithm", ["sft", "orpo"])
def test_evaluations_that_do_not_move_say_that_nothing_is_learned(algorithm):
    told = finding(on_answers([0.25] * 10), "no-learning", algorithm)
    assert told.severity == "info"
    assert "the same in every evaluation" in told.message


def test_a_fall_in_proportion_to_the_rate_is_a_rate_too_low():
    spent = np.cumsum(RATE)[14::15]
    told = finding(on_answers(0.25 - 0.01 * spent / spent[-1]), "no-learning", "sft")
    assert "in proportion to the learning rate" in told.message
    early = 0.25 - 0.01 * (1 - np.exp(-6 * spent / spent[-1]))  # what learns, learns most of it early
    assert finding(on_answers(early), "no-learning", "sft") is None


def test_answers_that_are_learned_are_silent():
    learned = on_answers(line(0.25, 0.15, 10), loss=line(0.3, 0.15, 150) + noise(150, 0.05))
    assert finding(learned, "no-learning", "sft") is None
    alone = trains(2, loss=0.3 + noise(150, 0.05), lr=RATE)  # without evaluations nothing is known
    assert finding(alone, "no-learning", "sft") is None
