"""GEN001 truncation: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from health.rules.generation.common import flat, learning
from rldk.testing import found, line, noise

SEEDS = range(6)


def share(*parts, seed=0, sd=0.03):
    series = np.concatenate(parts)
    return (series + noise(len(series), sd, seed=seed)).clip(0, 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_rise_without_reward_is_named(seed):
    cut = share(np.full(60, 0.02), line(0.02, 0.7, 20), np.full(120, 0.7), seed=seed)
    finding = found({"truncated_frac": cut, "reward_mean": flat(0.3, 200, seed)}, "truncation")
    assert finding.severity == "warning"
    assert 63 <= finding.onset_step <= 85
    assert finding.first_step <= 90


@pytest.mark.parametrize("seed", SEEDS)
def test_base_models_learn_to_stop(seed):
    cut = share(np.ones(5), line(1, 0.05, 40), np.full(55, 0.05), seed=seed)
    finding = found({"truncated_frac": cut, "reward_mean": learning(seed, records=100)}, "truncation")
    assert finding is None or finding.severity == "info"


@pytest.mark.parametrize(("share_cut", "severities"), [(0.85, (None, "info")), (1.0, ("warning",))])
def test_a_short_budget_under_which_the_reward_learns_is_an_alarm_only_if_all_is_cut(share_cut, severities):
    reward = np.concatenate([line(0.2, 0.6, 40), np.full(80, 0.6)]) + noise(120, 0.05)
    columns = {
        "truncated_frac": np.full(120, share_cut),
        "completion_length_min": np.full(120, 16 if share_cut == 1 else 5),
        "completion_length_max": np.full(120, 16),
        "reward_mean": reward,
    }
    finding = found(columns, "truncation")
    assert (finding and finding.severity) in severities


def test_all_cut_and_no_reward_is_critical():
    columns = {
        "truncated_frac": np.ones(100),
        "completion_length_min": np.full(100, 256),
        "completion_length_max": np.full(100, 256),
        "reward_mean": flat(0.1, 100, sd=0.02),
    }
    assert found(columns, "truncation").severity == "critical"


def test_a_collapse_at_record_three_is_named_soon():
    cut = share(np.full(3, 0.05), np.full(37, 1.0), sd=0.0)
    reward = np.concatenate([np.full(3, 0.9), line(0.4, 0.0, 5), np.zeros(32)])
    finding = found({"truncated_frac": cut, "reward_mean": reward}, "truncation")
    assert finding.severity == "critical"
    assert finding.onset_step <= 5
    assert finding.first_step <= 15


def test_where_nearly_all_is_cut_in_the_end_a_good_reward_is_no_excuse():
    cut = share(np.full(20, 0.1), line(0.1, 1.0, 30), np.full(60, 0.98))
    assert (
        found({"truncated_frac": cut, "reward_mean": flat(0.9, 110, sd=0.03)}, "truncation").severity
        == "warning"
    )


def test_a_burst_that_recovers_is_no_alarm():
    cut = share(np.full(40, 0.03), np.full(3, 0.6), np.full(57, 0.03))
    assert found({"truncated_frac": cut, "reward_mean": flat(0.5, 100)}, "truncation") is None


@pytest.mark.parametrize("level", [0.05, 0.12, 0.2])
def test_a_low_level_is_no_fault(level):
    assert found({"truncated_frac": flat(level, 150), "reward_mean": flat(0.3, 150)}, "truncation") is None


def test_records_of_ten_steps_are_counted_too():
    cut = share(np.full(5, 0.02), line(0.02, 1.0, 5), np.full(20, 1.0))
    finding = found({"truncated_frac": cut, "reward_mean": flat(0.3, 30)}, "truncation", spacing=10)
    assert finding.severity in ("warning", "critical")


def test_a_level_needs_fewer_records_where_each_is_a_mean_of_many_steps():
    columns = {"truncated_frac": share(np.full(25, 0.57)), "reward_mean": flat(0.3, 25)}
    assert found(columns, "truncation", spacing=10).severity == "warning"
    assert found(columns, "truncation") is None
