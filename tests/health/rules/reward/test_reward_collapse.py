"""REW007 reward-collapse: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from health.rules.reward.common import flat, learning
from rldk.testing import found, line, noise

N = 200
SEEDS = range(8)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_collapse_is_named_within_records_of_its_onset(seed):
    series = np.concatenate([learning(seed, records=120), flat(0.05, seed, 0.03, 60)])
    finding = found({"reward_mean": series}, "reward-collapse")
    assert finding.severity == "critical"
    assert 118 <= finding.onset_step <= 130
    assert finding.first_step <= 140
    assert finding.last_good_step < finding.onset_step


def test_half_of_the_gain_lost_is_a_warning():
    series = np.concatenate([learning(records=120), flat(0.42, sd=0.04, records=80)])
    assert found({"reward_mean": series}, "reward-collapse").severity == "warning"


@pytest.mark.parametrize("heavy", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_noise_is_no_collapse(seed, heavy):
    series = noise(1000, 0.3, seed=seed, rho=0.3, heavy=heavy)
    finding = found({"reward_mean": series}, "reward-collapse")
    assert finding is None or finding.severity == "info"


@pytest.mark.parametrize("seed", range(40))
def test_noise_that_is_alike_from_record_to_record_is_no_collapse_in_a_short_log(seed):
    series = {
        "reward_mean": 0.4 + noise(40, 0.1, seed=seed, rho=0.6, heavy=True),
        "reward_std": flat(0.3, seed, 0.02, 40),
    }
    finding = found(series, "reward-collapse")
    assert finding is None or finding.severity == "info"


def test_a_dip_that_recovers_is_told_as_info():
    series = np.concatenate([learning(records=120), flat(0.3, records=25), flat(0.8, records=60)])
    finding = found({"reward_mean": series}, "reward-collapse")
    assert finding is None or finding.severity == "info"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_fall_of_the_reward_alone_is_a_warning_about_the_data(seed):
    """Prompts sorted by difficulty: the policy does what it did, and is right less often."""
    series = np.concatenate([learning(seed, records=120), line(0.8, 0.0, 120)]) + noise(240, 0.02, seed=seed)
    policy = {
        "kl_mean": line(0.0, 0.05, 240),
        "entropy_mean": line(0.6, 0.5, 240) + noise(240, 0.04, seed=seed + 1),
        "completion_length_mean": 120 + noise(240, 10, seed=seed + 2),
        "grad_norm": 0.5 * np.exp(noise(240, 0.3, seed=seed + 3)),
    }
    told = found({"reward_mean": series, **policy}, "reward-collapse")
    assert told.severity == "warning"
    assert told.causes[0].startswith("data, curriculum")
    policy["kl_mean"] = np.append(line(0.0, 0.02, 120), line(0.02, 3.0, 120))
    assert found({"reward_mean": series, **policy}, "reward-collapse").severity == "critical"


@pytest.mark.parametrize("records", [40, 200])
def test_a_collapse_in_the_first_ten_records_is_named(records):
    """A rate that is too high shows at steps 2 to 5: there is no best mean to fall from."""
    reward = np.concatenate([[0.42, 0.38, 0.3, 0.1], np.full(records - 4, 0.01)])
    columns = {"reward_mean": reward, "reward_std": np.sqrt(reward * (1 - reward))}
    finding = found(columns, "reward-collapse")
    assert finding.severity == "warning"
    assert finding.first_step <= 35
    assert (
        found({"reward_mean": flat(0.4, sd=0.08), "reward_std": np.full(N, 0.45)}, "reward-collapse") is None
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_a_decay_over_a_hundred_records_is_named(seed):
    series = np.concatenate([learning(seed, records=120), line(0.8, 0.2, 120) + noise(120, 0.05, seed=seed)])
    assert found({"reward_mean": series}, "reward-collapse").severity in ("warning", "critical")


@pytest.mark.parametrize("seed", SEEDS)
def test_one_step_down_while_the_policy_stands_is_other_prompts(seed):
    reward = learning(seed, records=N)
    reward[3 * N // 4 :] -= 0.4
    policy = {
        "kl_mean": np.full(N, 0.02),
        "entropy_mean": 0.6 + noise(N, 0.02, seed=seed),
        "grad_norm": 0.5 * np.exp(noise(N, 0.2, seed=seed)),
    }
    finding = found({"reward_mean": reward, **policy}, "reward-collapse")
    assert finding is None or finding.severity == "info"
    reward[3 * N // 4 :] -= 0.4  # no prompts, but a reward that is gone
    assert found({"reward_mean": reward, **policy}, "reward-collapse").severity == "warning"


@pytest.mark.parametrize(("scale", "offset"), [(10.0, 5.0), (0.01, 0.0), (1.0, -2.0)])
def test_the_unit_of_the_reward_decides_nothing(scale, offset):
    series = np.concatenate([learning(records=120), flat(0.42, sd=0.04, records=80)])
    plain, other = (
        found({"reward_mean": one}, "reward-collapse") for one in (series, scale * series + offset)
    )
    assert (plain.severity, plain.first_step) == (other.severity, other.first_step)


def harder(fall, length, gradient=1.0):
    """A curriculum: from record 60 on the prompts are harder."""
    level = np.concatenate([np.full(60, 0.9), np.full(60, fall)])
    return {
        "reward_mean": level + noise(120, 0.03),
        "reward_std": np.full(120, 0.3),
        "completion_length_mean": np.concatenate([np.full(60, 5.0), np.full(60, length)]) + noise(120, 0.05),
        "grad_norm": np.concatenate([np.ones(60), np.full(60, gradient)]),
    }


def test_a_fall_with_the_length_of_the_answers_is_of_the_prompts():
    assert found(harder(0.4, 7.0), "reward-collapse").severity == "info"
    for alarm in (harder(0.4, 5.0), harder(0.4, 7.0, gradient=4.0)):
        assert found(alarm, "reward-collapse").severity != "info"


def test_a_collapse_at_once_is_named_where_no_spread_is_logged():
    series = np.concatenate([[0.7, 0.55, 0.3], np.zeros(60)])
    assert found({"reward_mean": series}, "reward-collapse", algorithm="online_dpo").severity == "warning"


def test_a_best_of_few_records_gives_way_to_one_that_is_surer():
    reward = np.concatenate([flat(0.84, 3, 0.12, 90), flat(0.25, 3, 0.12, 18), flat(0.8, 3, 0.12, 60)])
    reward[:12] += 0.05 * np.resize([1, -1], 12) + 0.02
    finding = found({"reward_mean": reward}, "reward-collapse")
    assert finding is not None
