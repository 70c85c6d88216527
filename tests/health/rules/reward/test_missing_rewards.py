"""REW008 missing-rewards: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from events import event
from health.rules.reward.reward_faults_runs import logged, observed, share
from health.rules.reward.reward_functions_runs import function
from rldk.health import RULES, Monitor, RunContext, diagnose
from rldk.testing import found, judged, line, noise

N = 80


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


def test_a_bounded_number_of_functions_is_watched():
    columns = logged("a")
    for number in range(50):
        columns |= observed(f"f{number}", missing=0.5)
    finding = found(columns, "missing-rewards")
    assert len([name for name in finding.evidence if name.endswith("missing_frac")]) == 32


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


def test_a_column_that_is_empty_in_the_whole_run_is_no_reward():
    judge = Monitor(RunContext(algorithm=None), RULES)
    for step in range(1, 30):
        judge.feed(event(step, reward_mean=None, loss=1.0))
    assert [one.rule for one in diagnose(judge).findings if one.rule == "missing-rewards"] == []
