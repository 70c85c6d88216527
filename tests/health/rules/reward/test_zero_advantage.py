"""REW001 zero-advantage: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from health.rules.reward.common import flat, learning
from rldk.testing import found, line

N = 200
SEEDS = range(8)


@pytest.mark.parametrize("seed", SEEDS)
def test_dead_groups_are_named_where_the_reward_is_low(seed):
    share = np.concatenate([flat(0.3, seed, 0.1, 50), flat(0.93, seed, 0.03, 100)]).clip(0, 1)
    reward = flat(0.15, seed, records=150)
    finding = found({"frac_reward_zero_std": share, "reward_mean": reward}, "zero-advantage")
    assert finding.severity == "warning"
    assert 45 <= finding.onset_step <= 60
    assert finding.first_step <= 85


def test_no_gradient_at_all_is_critical():
    columns = {
        "frac_reward_zero_std": np.ones(60),
        "reward_mean": np.concatenate([flat(0.1, records=5), np.zeros(55)]),
        "grad_norm": np.zeros(60),
    }
    assert found(columns, "zero-advantage").severity == "critical"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_solved_task_is_no_alarm(seed):
    share = np.concatenate([line(0.2, 0.95, 100), flat(0.95, seed, 0.02, 100)]).clip(0, 1)
    finding = found({"frac_reward_zero_std": share, "reward_mean": learning(seed)}, "zero-advantage")
    assert finding is None or finding.severity == "info"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_reward_that_rose_and_still_varies_between_prompts_is_not_solved(seed):
    """It stands at its best and no group has spread: some prompts are always right, others always wrong."""
    columns = {
        "frac_reward_zero_std": np.concatenate([flat(0.2, seed, 0.05, 60), np.ones(60)]),
        "reward_std": np.concatenate([flat(0.4, seed, 0.02, 60), np.zeros(60)]),
        "reward_mean": np.concatenate([line(0.2, 0.6, 60), np.full(60, 0.6)]) + flat(0.0, seed, 0.1, 120),
    }
    assert found(columns, "zero-advantage").severity == "warning"


def test_small_groups_are_expected_to_be_alike():
    """With two completions a prompt and a success rate of .1, .82 of the groups are alike by chance."""
    columns = {"frac_reward_zero_std": flat(0.82, sd=0.03), "reward_mean": flat(0.1, sd=0.02).clip(0, 1)}
    assert found(columns, "zero-advantage", options={"num_generations": 2}) is None
    assert found(columns, "zero-advantage", options={"num_generations": 16}).severity == "warning"


def test_pairs_of_completions_and_rewards_of_plus_and_minus_one_are_expected_to_be_alike():
    pairs = {"frac_reward_zero_std": flat(0.86, sd=0.05), "reward_mean": flat(0.3, sd=0.02)}
    assert found(pairs, "zero-advantage", options={"num_generations": 2}) is None
    signed = {"frac_reward_zero_std": flat(0.82, sd=0.03), "reward_mean": flat(-0.8, sd=0.02)}
    assert found(signed, "zero-advantage", options={"num_generations": 2}) is None
    assert found(signed, "zero-advantage", options={"num_generations": 16}).severity == "warning"


def test_a_value_that_the_run_has_is_not_suggested():
    columns = {"frac_reward_zero_std": flat(0.95, sd=0.02).clip(0, 1), "reward_mean": flat(0.1, sd=0.02)}
    few = found(columns, "zero-advantage", options={"num_generations": 8, "temperature": 0.5})
    many = found(columns, "zero-advantage", options={"num_generations": 16, "temperature": 1.0})
    assert "set `num_generations` to 16 (now 8)" in few.remedies
    assert "set `temperature` to 1.0 (now 0.5)" in few.remedies
    assert not [text for text in many.remedies if "num_generations" in text or "temperature" in text]


@pytest.mark.parametrize("seed", SEEDS)
def test_one_group_a_record_is_counted_as_one_group(seed):
    """The share is 0 or 1 then, and ten ones in a row are chance."""
    rng = np.random.default_rng(seed)
    columns = {
        "frac_reward_zero_std": (rng.random(400) < 0.6).astype(float),
        "reward_mean": flat(0.3, seed, 0.1, 400),
        "grad_norm": np.full(400, 0.5),
    }
    assert found(columns, "zero-advantage") is None
    columns["frac_reward_zero_std"] = np.ones(400)
    assert found(columns, "zero-advantage").severity == "warning"


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (10.0, 5.0), (0.01, -2.0)])
def test_a_high_reward_that_never_rose_is_not_solved(scale, offset):
    reward = scale * flat(0.88, sd=0.03) + offset
    columns = {
        "frac_reward_zero_std": flat(0.95, sd=0.02).clip(0, 1),
        "reward_mean": reward,
        "reward_std": np.full(N, 0.3 * scale),
    }
    assert found(columns, "zero-advantage").severity == "warning"


def test_a_reward_that_died_is_not_a_rare_success():
    """The best level says how many groups are alike by chance, not the level of the dead run."""
    reward = np.concatenate([flat(0.4, sd=0.05, records=60), flat(0.005, sd=0.002, records=140)])
    share = np.concatenate([flat(0.3, sd=0.05, records=60), flat(0.97, sd=0.01, records=140)])
    columns = {"frac_reward_zero_std": share.clip(0, 1), "reward_mean": reward}
    assert found(columns, "zero-advantage", options={"num_generations": 8}).severity == "warning"


def test_successes_that_are_rare_are_no_excuse_once_many_were_scored():
    reward = np.zeros(100)
    reward[[8, 40, 70]] = 1 / 32
    share = np.where(reward > 0, 0.75, 1.0)
    columns = {"frac_reward_zero_std": share, "reward_mean": reward}
    options = {"per_device_train_batch_size": 32, "num_generations": 8}
    finding = found(columns, "zero-advantage", options=options)
    assert finding.severity == "warning"
    assert finding.first_step >= 16  # 500 completions
