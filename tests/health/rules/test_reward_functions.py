"""Rules of single reward functions and of reward hacking."""

import numpy as np
import pytest

from events import event
from health.series import diagnosis, found, judged, line, noise
from rldk.health import diagnose

N = 160


def function(name, mean, std):
    return {f"rewards/{name}/mean": mean, f"rewards/{name}/std": std}


def two(first, second):
    return (
        {"reward_mean": line(0.1, 0.8, N) + noise(N, 0.05)} | function("a", *first) | function("b", *second)
    )


LIVELY = (line(0.1, 0.8, N) + noise(N, 0.05), 0.3 + noise(N, 0.02, seed=1))
DEAD = (np.zeros(N), np.zeros(N))
SOLVED = (
    np.concatenate([line(0, 1, 50), np.ones(N - 50)]),
    np.concatenate([line(0.5, 0, 50), np.zeros(N - 50)]),
)


def test_a_function_that_never_pays_beside_one_that_does():
    finding = found(two(LIVELY, DEAD), "dead-reward-component")
    assert finding.severity == "info"
    assert "b (always 0)" in finding.message
    assert "a (" not in finding.message


@pytest.mark.parametrize("columns", [two(LIVELY, SOLVED), two(DEAD, DEAD), two(LIVELY, LIVELY)], ids=str)
def test_a_solved_function_and_two_alike_are_not_called_dead(columns):
    assert found(columns, "dead-reward-component") is None


def test_a_function_that_owns_the_spread():
    loud = (line(0, 8, N) + noise(N), 5 + noise(N, 0.2))
    assert "a owns" in found(two(loud, LIVELY), "dominant-reward-component").message
    assert found(two(LIVELY, LIVELY), "dominant-reward-component") is None
    assert found(two(loud, SOLVED), "dominant-reward-component") is None
    weighted = found(two(loud, LIVELY), "dominant-reward-component", options={"reward_weights": [0.05, 1.0]})
    assert weighted is None


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


def test_without_a_truth_it_is_not_checked_and_says_what_to_name():
    (unchecked,) = [
        one for one in diagnosis({"reward_mean": RISING}).not_checked if one.rule == "proxy-divergence"
    ]
    assert "truth_metric" in unchecked.how


def test_a_total_that_is_no_number_is_named_at_once():
    reward = line(0.2, 0.4, 10)
    reward[6] = np.nan
    finding = found({"reward_mean": reward}, "missing-rewards")
    assert (finding.severity, finding.first_step) == ("warning", 7)


def test_the_only_function_that_often_gives_nothing():
    mean = 0.5 + noise(60, 0.05)
    mean[::3] = np.nan
    columns = {"reward_mean": np.full(60, 0.5) + noise(60, 0.05)} | function("solve", mean, np.full(60, 0.2))
    assert found(columns, "missing-rewards").severity == "warning"
    columns |= function("other", np.full(60, 0.3), np.full(60, 0.2))
    assert found(columns, "missing-rewards").severity == "info"


def test_a_function_that_gives_nothing_once_is_not_named():
    mean = 0.5 + noise(60, 0.05)
    mean[7] = np.nan
    columns = {"reward_mean": np.full(60, 0.5) + noise(60, 0.05)} | function("solve", mean, np.full(60, 0.2))
    assert found(columns, "missing-rewards") is None


def test_length_that_drives_the_reward_is_said():
    length = line(50, 150, N) + noise(N, 15)
    columns = {"completion_length_mean": length, "reward_mean": length / 200 + noise(N, 0.02, seed=3)}
    finding = found(columns, "reward-length-correlation")
    assert finding.severity == "info"
    assert finding.evidence["correlation"] > 0.8


def test_two_series_that_rise_by_themselves_are_not_correlated():
    columns = {"completion_length_mean": line(50, 150, N) + noise(N, 15, seed=9), "reward_mean": RISING}
    assert found(columns, "reward-length-correlation") is None


def test_missing_rewards_knows_functions_by_name_and_a_bounded_number():
    monitor = judged({"reward_mean": [0.1]})
    for step in range(2, 60):
        keys = {f"rewards/f{step}_{i}/{kind}": None for i in range(4) for kind in ("mean", "std")}
        monitor.feed(event(step, "train", tuple(f"nonfinite:{key}=nan" for key in keys), **keys))
    (rule,) = (rule for rule in monitor.rules if rule.name == "missing-rewards")
    assert len(rule.recent) <= 32
    assert len(rule.first) <= 32
    changing = judged({"reward_mean": [0.5]})
    for step in range(2, 40):
        name, value = ("a", 1.0) if step % 2 else ("b", None)
        notes = () if step % 2 else ("nonfinite:rewards/b/mean=nan", "nonfinite:rewards/b/std=nan")
        keys = {f"rewards/{name}/mean": value, f"rewards/{name}/std": value}
        changing.feed(event(step, "train", notes, **keys))
    told = {one.rule: one for one in diagnose(changing).findings}
    assert "rewards/b/mean" in told["missing-rewards"].message
