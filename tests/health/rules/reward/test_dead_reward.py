"""REW002 dead-reward: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from health.rules.reward.common import flat
from rldk.testing import found, line

SPARSE = {"reward_mean": np.zeros(31), "reward_std": np.zeros(31), "grad_norm": np.zeros(31)}
SPARSE["frac_reward_zero_std"] = np.ones(31)


@pytest.mark.parametrize("level", [0.0, 1.0, -3.5])
def test_one_reward_from_the_start_is_named(level):
    finding = found({"reward_mean": np.full(70, level), "reward_std": np.zeros(70)}, "dead-reward")
    assert (finding.severity, finding.onset_step, finding.first_step) == ("critical", 1, 10)


@pytest.mark.parametrize("batch", [{}, {"per_device_train_batch_size": 8, "world_size": 2}])
def test_a_sparse_reward_that_was_not_met_yet_is_a_warning(batch):
    for rule in ("dead-reward", "zero-gradient", "zero-advantage"):
        told = found(SPARSE, rule, options=batch)
        assert told is None or told.severity == "warning", rule
    few = {name: column[:20] for name, column in SPARSE.items()}
    assert found(few, "zero-gradient", options=batch) is None
    assert found(few, "dead-reward", options=batch).severity == "warning"


def test_after_500_completions_it_is_critical():
    batch = {"per_device_train_batch_size": 32}
    for rule in ("dead-reward", "zero-gradient", "zero-advantage"):
        assert found(SPARSE, rule, options=batch).severity == "critical", rule
    again = {**batch, "num_iterations": 4}
    assert found(SPARSE, "dead-reward", options=again).severity == "warning"


def test_a_reward_that_is_centred_in_each_batch_is_not_dead():
    columns = {"reward_mean": np.zeros(120), "grad_norm": np.full(120, 0.3)}
    assert found(columns, "dead-reward") is None
    columns["grad_norm"] = np.zeros(120)
    assert found(columns, "dead-reward").severity == "warning"


def test_few_completions_are_not_enough_to_be_certain():
    columns = {"reward_mean": np.zeros(40)}
    options = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 1}
    assert found(columns, "dead-reward", options=options).severity == "warning"


def test_a_reward_that_moved_once_or_varies_within_the_batch_is_not_dead():
    moved = np.zeros(40)
    moved[3] = 0.125
    assert found({"reward_mean": moved}, "dead-reward") is None
    assert found({"reward_mean": np.zeros(40), "reward_std": np.full(40, 0.3)}, "dead-reward") is None


def test_a_solved_task_is_not_dead():
    solved = np.concatenate([line(0, 1, 30), np.ones(60)])
    assert found({"reward_mean": solved, "reward_std": np.zeros(90)}, "dead-reward") is None


def test_a_reward_that_becomes_one_for_all_between_two_records_is_named():
    before = {"reward_mean": flat(0.6, records=40), "reward_std": flat(0.45, records=40, sd=0.02)}
    after = {"reward_mean": np.ones(30), "reward_std": np.zeros(30)}
    lenient = {name: np.concatenate([before[name], after[name]]) for name in before}
    finding = found(lenient, "dead-reward")
    assert (finding.severity, finding.onset_step) == ("warning", 42)


def test_a_task_that_is_solved_by_degrees_is_not_dead():
    mean = np.concatenate([line(0.6, 1.0, 40), np.ones(30)])
    assert found({"reward_mean": mean, "reward_std": np.sqrt(mean * (1 - mean))}, "dead-reward") is None
