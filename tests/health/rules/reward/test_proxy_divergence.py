"""REW006 proxy-divergence: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from health.rows import evaluated, finding, trains
from health.rules.reward.reward_functions_runs import function
from rldk.testing import diagnosis, found, line, noise

N = 160
RISING = line(0.2, 0.9, N) + noise(N, 0.04)
HACKED = np.concatenate([line(0.3, 0.6, 60), line(0.6, 0.1, N - 60)]) + noise(N, 0.04, seed=2)


def hacking(truth, name="rewards/accuracy/mean"):
    return {"reward_mean": RISING, name: truth}


def test_reward_up_and_truth_down_is_named():
    finding = found(hacking(HACKED), "proxy-divergence", truth_metric="rewards/accuracy/mean")
    assert finding.severity == "warning"
    assert 50 <= finding.onset_step <= 75
    assert finding.first_step <= 110


@pytest.mark.parametrize("seed", range(8))
def test_a_truth_that_rises_or_stands_is_no_divergence(seed):
    for truth in (line(0.3, 0.8, N), np.full(N, 0.5)):
        columns = hacking(truth + noise(N, 0.05, seed=seed, rho=0.3))
        assert found(columns, "proxy-divergence", truth_metric="rewards/accuracy/mean") is None


def test_both_falling_is_no_divergence():
    columns = {"reward_mean": HACKED, "truth": HACKED}
    assert found(columns, "proxy-divergence", truth_metric="truth") is None


def test_a_function_of_weight_0_is_taken_for_the_truth():
    columns = (
        {"reward_mean": RISING}
        | function("proxy", RISING, np.full(N, 0.2))
        | function("truth", HACKED, np.full(N, 0.2))
    )
    finding = found(columns, "proxy-divergence", options={"reward_weights": [1.0, 0.0]})
    assert "rewards/truth/mean" in finding.message


@pytest.mark.parametrize("seed", range(8))
def test_an_evaluation_that_falls_while_the_reward_rises_needs_no_configuration(seed):
    rows = trains(reward_mean=RISING, reward_std=np.full(N, 0.4))
    falls = np.concatenate([line(0.4, 0.6, 5), line(0.58, 0.3, 11)]) + noise(16, 0.02, seed=seed)
    named = finding(evaluated(rows, 10, reward_mean=falls), "proxy-divergence", "grpo")
    assert named.severity == "warning"
    assert "eval_reward_mean" in named.message
    stands = 0.5 + noise(16, 0.02, seed=seed)
    assert finding(evaluated(rows, 10, reward_mean=stands), "proxy-divergence", "grpo") is None


@pytest.mark.parametrize("rho", [0.0, 0.6])
@pytest.mark.parametrize("seed", range(6))
def test_evaluations_that_are_only_noise_are_no_divergence(seed, rho):
    rows = trains(reward_mean=0.5 + noise(300, 0.05, seed=seed, rho=rho))
    series = {f"reward_{one}": 0.5 + noise(30, 0.05, seed=100 + 10 * seed + one, rho=rho) for one in range(4)}
    assert finding(evaluated(rows, 10, **series), "proxy-divergence", "grpo") is None


def test_a_fall_that_lasts_a_tenth_of_a_short_log_is_enough():
    truth = np.concatenate([line(0.3, 0.5, 20), line(0.5, 0.0, 20)]) + noise(40, 0.03, seed=3)
    proxy = line(0.3, 1.4, 40) + noise(40, 0.03, seed=4)
    columns = {"reward_mean": truth + proxy}
    columns |= function("truth", truth, np.full(40, 0.45)) | function("proxy", proxy, np.full(40, 0.45))
    assert found(columns, "proxy-divergence").severity == "warning"


def test_an_evaluation_that_falls_with_the_reward_is_no_divergence():
    rows = trains(reward_mean=RISING[::-1], reward_std=np.full(N, 0.4))
    falls = line(0.7, 0.3, 16) + noise(16, 0.02)
    assert finding(evaluated(rows, 10, reward_mean=falls), "proxy-divergence", "grpo") is None


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_a_function_that_falls_while_the_total_rises_needs_no_weight(scale):
    columns = {"reward_mean": scale * RISING}
    columns |= function("style", scale * RISING, np.full(N, 0.2 * scale))
    columns |= function("answer", scale * HACKED, np.full(N, 0.4 * scale))
    named = found(columns, "proxy-divergence")
    assert named.severity == "warning"
    assert "rewards/answer/mean" in named.message


def test_what_the_policy_had_from_the_start_may_be_traded():
    """A penalty of length that answers begin to earn: the weights of the user want that."""
    penalty = line(0.0, -0.2, N) + noise(N, 0.03, seed=3)
    columns = {"reward_mean": RISING}
    columns |= function("answer", RISING, np.full(N, 0.4)) | function("overlong", penalty, np.full(N, 0.4))
    told = found(columns, "proxy-divergence")
    assert told is None or told.severity == "info"


def test_a_function_that_stands_while_another_is_learned_is_information():
    columns = {"reward_mean": RISING}
    columns |= function("format", RISING, np.full(N, 0.45))
    columns |= function("accuracy", 0.25 + noise(N, 0.03, seed=4), np.full(N, 0.43))
    told = found(columns, "proxy-divergence")
    assert told.severity == "info"
    assert "only `rewards/format/mean` is learned" in told.message


def test_a_function_that_stands_at_its_top_has_nothing_to_learn():
    rng = np.random.default_rng(0)
    solved = rng.binomial(32, 0.97, N) / 32
    other = line(0.2, 0.9, N) + noise(N, 0.04)
    columns = {"reward_mean": solved + other}
    columns |= function("solved", solved, np.sqrt(solved * (1 - solved))) | function(
        "other", other, np.full(N, 0.4)
    )
    assert found(columns, "proxy-divergence") is None
    half = rng.binomial(32, 0.5, N) / 32
    columns |= function("solved", half, np.sqrt(half * (1 - half))) | {"reward_mean": half + other}
    assert found(columns, "proxy-divergence").severity == "info"


def test_without_a_truth_it_is_not_checked_and_says_what_to_name():
    (unchecked,) = [
        one for one in diagnosis({"reward_mean": RISING}).not_checked if one.rule == "proxy-divergence"
    ]
    assert "truth_metric" in unchecked.how


@pytest.mark.parametrize(("left", "severity"), [(0.0, "warning"), (0.35, None)])
def test_a_function_that_is_gone_within_ten_records_is_named(left, severity):
    exact = np.concatenate([line(0.45, left, 8), np.full(92, left)])
    spread = np.sqrt(exact * (1 - exact))
    rows = trains(
        **{
            "reward_mean": np.concatenate([line(0.2, 0.8, 20), np.full(80, 0.8)]) + noise(100, 0.03),
            "rewards/exact/mean": exact,
            "rewards/exact/std": spread,
            "rewards/other/mean": np.concatenate([line(0.2, 0.8, 20), np.full(80, 0.8)]),
            "rewards/other/std": np.full(100, 0.3),
        }
    )
    found = finding(rows, "proxy-divergence", "grpo", options={"per_device_train_batch_size": 96})
    alarm = found.severity if found is not None and found.severity != "info" else None
    assert alarm == severity
