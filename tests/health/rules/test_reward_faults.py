"""Faulty reward functions, as `observe_rewards` sees them: where a rule speaks and where it is silent."""

import numpy as np
import pytest

from health.series import diagnosis, found, noise

N = 80


def observed(name, *, missing=0.0, errors=0.0, infinite=0.0, seconds=0.01, calls=1.0):
    """The metrics of an observed function; a number stands for a constant column."""
    values = {
        "calls": calls,
        "missing_frac": missing,
        "errors": errors,
        "nonfinite_frac": infinite,
        "seconds": seconds,
    }
    return {f"reward_functions/{name}/{kind}": np.zeros(N) + value for kind, value in values.items()}


def logged(*names):
    """What TRL logs of functions."""
    columns = {"reward_mean": 0.5 + noise(N, 0.05)}
    for name in names:
        columns |= {f"rewards/{name}/mean": 0.5 + noise(N, 0.05), f"rewards/{name}/std": np.full(N, 0.2)}
    return columns


def share(level, seed=0):
    return (level + noise(N, 0.05, seed=seed)).clip(0, 1)


# missing-rewards


@pytest.mark.parametrize(
    "unscored", [{"samples/unscored_frac": share(0.4)}, {}], ids=["whole", "partly seen"]
)
def test_rows_without_a_reward_are_named_although_the_log_shows_nothing(unscored):
    columns = logged("solve") | observed("solve", missing=share(0.4)) | unscored
    finding = found(columns, "missing-rewards")
    assert finding.severity == "warning"
    assert "solve to 4" in finding.message
    assert finding.first_step == 20
    assert finding.onset_step == 1


def test_rows_that_another_function_scores_are_information():
    columns = (
        logged("math", "code") | observed("math", missing=share(0.5)) | observed("code", missing=share(0.5))
    )
    finding = found(columns | {"samples/unscored_frac": np.zeros(N)}, "missing-rewards")
    assert finding.severity == "info"
    bare = found(columns | {"samples/unscored_frac": share(0.35)}, "missing-rewards")
    assert bare.severity == "warning"
    assert "got no reward from any function" in bare.message


def test_beside_a_reward_model_that_is_not_seen_missing_rewards_are_information():
    columns = logged("solve", "a-reward-model") | observed("solve", missing=share(0.5))
    assert found(columns, "missing-rewards").severity == "info"


@pytest.mark.parametrize(
    "missing",
    [
        share(0.1),
        np.where(np.arange(N) % 20 == 7, 1.0, 0.0),
        np.where(np.arange(N) < 15, 0.5, 0.0),
        np.zeros(N),
    ],
    ids=["few", "now and then", "at the start", "none"],
)
def test_few_missing_rewards_are_no_fault(missing):
    columns = logged("solve") | observed("solve", missing=missing) | {"samples/unscored_frac": missing}
    assert found(columns, "missing-rewards") is None


# reward-function-errors


def test_a_failed_call_and_an_infinity_are_named_at_once():
    once = np.where(np.arange(N) == 70, 1.0, 0.0)
    finding = found(logged("a", "b") | observed("a", errors=once) | observed("b"), "reward-function-errors")
    assert (finding.severity, finding.first_step) == ("warning", 71)
    assert "a failed, or gave a wrong number of values, in 1 of 1 calls" in finding.message
    assert "b" not in finding.evidence
    finding = found(logged("a") | observed("a", infinite=once / 8), "reward-function-errors")
    assert "a gave an infinity to 0.12 of the completions" in finding.message


def test_functions_that_work_are_not_named():
    assert found(logged("a") | observed("a", missing=0.9), "reward-function-errors") is None


# slow-reward


def test_functions_that_take_most_of_the_time_are_told():
    columns = logged("judge", "fast") | observed("judge", seconds=4.0) | observed("fast")
    finding = found(columns | {"reward_time_frac": share(0.6)}, "slow-reward")
    assert finding.severity == "info"
    assert "the slowest is judge, 4 s a step" in finding.message
    assert finding.first_step <= 25


@pytest.mark.parametrize(
    ("busy", "seconds"),
    [(share(0.1), 4.0), (share(0.6), 0.02), (np.where(np.arange(N) % 10 == 0, 0.9, 0.05), 4.0)],
    ids=["a small part", "of very short steps", "now and then"],
)
def test_functions_that_do_not_hold_up_the_training_are_not_told(busy, seconds):
    columns = logged("judge") | observed("judge", seconds=seconds) | {"reward_time_frac": busy}
    assert found(columns, "slow-reward") is None


def test_without_an_observer_it_is_said_how_to_have_one():
    not_checked = {one.rule: one.how for one in diagnosis(logged("a")).not_checked}
    for rule in ("reward-function-errors", "slow-reward"):
        assert "reward_funcs=observe_rewards(...)" in not_checked[rule]
    assert "missing-rewards" not in not_checked


def test_a_bounded_number_of_functions_is_watched():
    columns = logged("a")
    for number in range(50):
        columns |= observed(f"f{number}", missing=0.5)
    finding = found(columns, "missing-rewards")
    assert len([name for name in finding.evidence if name.endswith("missing_frac")]) == 32
