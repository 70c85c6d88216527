import json

import pytest
from click.testing import CliRunner

from events import event, record
from rldk.cli import main
from rldk.metrics import METRICS
from rldk.metrics.dialects.detect import DIALECTS
from rldk.report.metric_page import found_as, keys_of, quantile, rules_of
from stories import learning, write


def rldk(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_metric_is_told_with_its_keys_and_the_rules_that_use_it():
    page = rldk("explain", "truncated_frac").stdout
    assert page.startswith("truncated_frac: fraction; lower is better\n")
    assert "completions/clipped_ratio" in page
    assert "response_length/clip_ratio" in page
    assert "zero-advantage" in page
    assert "Is it normal that every completion is cut?" in page


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("completions/clipped_ratio", "truncated_frac"),
        ("actor/entropy", "entropy_mean"),
        ("eval_loss", "loss"),
        ("train/reward", "reward_mean"),
        ("rewards/my_own/mean", "rewards/{function}/mean"),
        ("learning_rate", "lr"),
    ],
)
def test_a_trainers_own_name_is_understood(name, metric):
    assert metric in [found.name for found in found_as(name)]
    assert metric in rldk("explain", name).stdout


def test_a_key_of_several_meanings_tells_them_all_or_the_one_of_the_run(tmp_path):
    page = rldk("explain", "kl").stdout
    assert "kl_mean (kl)" in page
    assert "kl_reference_point_mean (kl)" in page
    record(tmp_path, [event(step, kl_mean=0.1 * step) for step in range(1, 30)])
    one = rldk("explain", "kl", tmp_path).stdout
    assert "kl_mean (kl)" in one
    assert "kl_reference_point_mean" not in one


def test_every_metric_and_every_key_can_be_explained():
    for name in METRICS:
        assert found_as(name)
    for dialect in DIALECTS.values():
        for names in dialect.by_algorithm.values():
            for key, name in names.items():
                if name in METRICS:
                    assert name in [metric.name for metric in found_as(key)], key
    assert all(keys_of(metric) is not None for metric in METRICS.values())


def test_an_unknown_name_gets_the_nearest_ones_and_exit_2(tmp_path):
    result = rldk("explain", "rewrd_mean")
    assert result.exit_code == 2
    assert "reward_mean" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    write(tmp_path, learning())
    assert rldk("explain", "qqqqq", tmp_path).exit_code == 2


def test_with_a_run_it_tells_where_the_run_stands_and_whether_that_is_normal(tmp_path):
    write(tmp_path, learning())
    page = rldk("explain", "loss", tmp_path).stdout
    assert "loss: 120 records" in page
    assert "Is a loss near 0 normal?\n  Yes: " in page
    assert "Sources: trl#3452" in page
    spiked = rldk("explain", "grad_norm", tmp_path).stdout
    assert "highest   8 (step 60)" in spiked
    assert max(map(len, spiked.splitlines())) <= 80
    absent = rldk("explain", "kl_mean", tmp_path).stdout
    assert "does not log it" in absent
    assert "Yes: no record holds a KL, and beta is 0 here" in " ".join(absent.split())


def test_a_metric_of_the_runs_own_is_shown_by_its_numbers(tmp_path):
    rows = ({"step": s, "loss": 1 / s, "my/own": s * 1.5} for s in range(1, 30))
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = rldk("explain", "my/own", tmp_path / "log.jsonl").stdout
    assert "rldk does not know this metric" in page
    assert "median   22.5" in page


def test_values_that_are_not_finite_are_counted(tmp_path):
    record(tmp_path, [event(1, "train", ("nonfinite:loss=nan",), loss=None), event(2, loss=1.0)])
    assert "1 record, and 1 value not finite" in rldk("explain", "loss", tmp_path).stdout


def test_no_line_is_long_where_it_is_wide():
    page = CliRunner().invoke(main, ["explain", "kl_mean"], env={"COLUMNS": "200"}).stdout
    assert 60 < max(map(len, page.splitlines())) <= 100


@pytest.mark.parametrize("path", ["none", "empty"])
def test_a_run_that_cannot_be_read_is_one_line_and_exit_2(tmp_path, path):
    (tmp_path / "empty").touch()
    result = rldk("explain", "loss", tmp_path / path)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1


def test_quantiles_lie_between_the_values():
    assert [quantile([1.0, 2.0, 3.0], share) for share in (0, 0.25, 0.5, 1)] == [1, 1.5, 2, 3]
    assert quantile([5.0], 0.95) == 5.0


def test_rules_that_need_a_pattern_of_names_are_found():
    assert "dead-reward-component" in {rule.name for rule in rules_of("rewards/mine/std")}


def _log(path, **values):
    path.write_text("".join(json.dumps({"step": step, **values}) + "\n" for step in range(1, 31)))
    return path


def test_a_key_of_an_older_framework_is_found_in_its_run(tmp_path):
    values = {"loss": 0.1, "reward": 0.4, "reward_std": 0.2, "completion_length": 90.0, "kl": 0.01}
    path = _log(tmp_path / "log.jsonl", **values, **{"rewards/accuracy_reward": 0.5})
    page = rldk("explain", "rewards/accuracy_reward", path).stdout
    assert "This run does not log it" not in page
    assert "30 records" in page


def test_a_question_that_does_not_arise_is_left_out(tmp_path):
    path = _log(tmp_path / "log.jsonl", loss=0.1, reward=0.4, kl=0.01)
    page = rldk("explain", "kl_mean", path).stdout
    assert "Is a negative KL normal?" not in page
    assert "The KL is not below 0 in all 30 records" in page


def test_nothing_is_normal_under_a_critical_finding(tmp_path):
    healthy = _log(tmp_path / "healthy.jsonl", loss=0.001, reward=0.4, grad_norm=0.3)
    dead = _log(tmp_path / "dead.jsonl", loss=0.001, reward=0.4, grad_norm=float("nan"))
    assert "Yes: " in rldk("explain", "loss", healthy).stdout
    assert "Yes: " not in rldk("explain", "loss", dead).stdout
