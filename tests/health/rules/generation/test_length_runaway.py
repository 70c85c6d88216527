"""GEN003 length-runaway: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from health.rules.generation.common import flat
from rldk.testing import found, judged, line, noise

SEEDS = range(6)


def growth(seed=0, to=1200, records=200):
    length = np.concatenate([np.full(60, 400.0), line(400, to, 80), np.full(records - 140, to)])
    return length * np.exp(noise(records, 0.05, seed=seed))


@pytest.mark.parametrize("seed", SEEDS)
def test_growth_without_reward_is_named(seed):
    finding = found(
        {"completion_length_mean": growth(seed), "reward_mean": flat(0.4, 200, seed)}, "length-runaway"
    )
    assert finding.severity == "warning"
    assert 62 <= finding.onset_step <= 90


@pytest.mark.parametrize("seed", SEEDS)
def test_growth_with_reward_is_no_alarm(seed):
    reward = np.concatenate([flat(0.2, 60, seed, 0.03), line(0.2, 0.6, 100), np.full(40, 0.6)])
    finding = found({"completion_length_mean": growth(seed), "reward_mean": reward}, "length-runaway")
    assert finding.severity == "info"


def test_what_was_learned_before_the_growth_does_not_pay_for_it():
    reward = np.concatenate([line(0.1, 0.5, 30), np.full(170, 0.5)]) + noise(200, 0.03)
    finding = found({"completion_length_mean": growth(), "reward_mean": reward}, "length-runaway")
    assert finding.severity == "warning"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_length_far_from_the_limit_that_doubles_is_named_where_nothing_pays_for_it(seed):
    columns = {"completion_length_mean": growth(seed), "reward_mean": flat(0.4, 200, seed)}
    finding = found(columns, "length-runaway", options={"max_completion_length": 8192})
    assert finding.severity == "warning"


def test_tenfold_length_is_named_whatever_it_earns():
    reward = np.concatenate([flat(0.2, 60, sd=0.03), line(0.2, 0.6, 100), np.full(40, 0.6)])
    columns = {"completion_length_mean": growth(to=6000), "reward_mean": reward}
    assert found(columns, "length-runaway").severity == "warning"


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("shift", [0.0, -50.0])
def test_no_unit_of_the_reward_decides(scale, shift):
    columns = {"completion_length_mean": growth(), "reward_mean": scale * flat(0.4, 200) + shift}
    assert found(columns, "length-runaway").severity == "warning"


@pytest.mark.parametrize("seed", SEEDS)
def test_length_and_reward_that_jump_at_one_record_are_other_prompts(seed):
    length = np.append(np.full(100, 120.0), np.full(100, 230.0)) * np.exp(noise(200, 0.08, seed=seed))
    reward = np.append(np.full(100, 0.8), np.full(100, 0.4)) + noise(200, 0.05, seed=seed + 9)
    columns = {"completion_length_mean": length, "reward_mean": reward}
    for records in (125, 150, 200):
        seen = {name: column[:records] for name, column in columns.items()}
        told = found(seen, "length-runaway")
        assert told is None or told.severity == "info"


def test_completions_that_become_empty_do_not_disable_the_rule():
    columns = {"completion_length_mean": np.concatenate([np.full(60, 400.0), np.zeros(60)])}
    monitor = judged(columns)
    assert [rule.name for rule in monitor.failed] == []
    assert "length-runaway" in {rule.name for rule in monitor.checked}
