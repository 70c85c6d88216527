"""OPT007 overfitting: runs on which it must speak, and runs on which it must be silent."""

import pytest

from health.rows import evaluated, finding, trains
from health.rules.optimization.common import sft
from rldk.testing import line, noise

OVER = "overfitting"


def trains_only(rows):
    return [row for row in rows if row[1] == "train"]


def test_evaluations_that_rise_while_training_falls_are_a_warning():
    rows = evaluated(sft(line(2, 0.1, 80)), 10, loss=[2, 1.5, 1.3, 1.35, 1.4, 1.5, 1.6, 1.7])
    found = finding(rows, OVER, "sft")
    assert (found.severity, found.onset_step) == ("warning", 50)
    assert finding(trains_only(rows), OVER, "sft") is None


def test_a_rise_with_a_better_accuracy_is_information():
    rows = evaluated(
        trains(loss=line(0.7, 0.1, 80), rewards_margins=line(0, 4, 80)),
        10,
        loss=[0.6, 0.5, 0.45, 0.5, 0.52, 0.55, 0.6, 0.62],
        rewards_accuracies=[0.6, 0.65, 0.7, 0.72, 0.74, 0.75, 0.76, 0.78],
    )
    assert finding(rows, OVER, "dpo").severity == "info"


@pytest.mark.parametrize(
    "evaluations",
    [
        [2, 1.5, 1.3, 1.25, 1.2, 1.19, 1.18, 1.17],
        [2, 1.5, 1.3, 1.31, 1.29, 1.32, 1.3, 1.31],
        [3, 0.4, 0.083, 0.085, 0.0873, 0.088, 0.089, 0.09],
    ],
)
def test_evaluations_that_fall_or_waver_are_silent(evaluations):
    assert finding(evaluated(sft(line(2, 0.1, 80)), 10, loss=evaluations), OVER, "sft") is None


def test_an_evaluation_that_is_told_the_wrong_way_round_is_not_overfitting():
    rows = evaluated(
        trains(loss=line(0.7, 0.1, 80), rewards_margins=line(0, 4, 80)),
        10,
        loss=[0.8, 0.9, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0],
        rewards_accuracies=[0.1] * 8,
    )
    assert finding(rows, OVER, "dpo") is None


def test_pairs_that_were_told_right_and_no_longer_are_have_been_lost():
    rows = evaluated(
        trains(loss=line(0.7, 0.1, 80), rewards_margins=line(0, 4, 80)),
        10,
        loss=[0.6, 0.5, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6],
        rewards_accuracies=[0.7, 0.8, 0.7, 0.55, 0.45, 0.38, 0.32, 0.3],
    )
    assert finding(rows, OVER, "dpo").severity == "warning"


def test_a_plain_log_of_a_loss_is_taken_as_sft_and_one_with_other_keys_is_not():
    columns = {"loss": line(2, 0.1, 80), "lr": line(1e-5, 1e-7, 80), "grad_norm": line(2, 1, 80)}
    losses = [2, 1.5, 1.3, 1.35, 1.4, 1.5, 1.6, 1.7]
    found = finding(evaluated(trains(**columns), 10, loss=losses), OVER)
    assert (found.severity, "taken as sft" in found.message) == ("warning", True)
    columns["dpo_loss"] = columns["loss"]
    found = finding(evaluated(trains(**columns), 10, loss=losses), OVER)
    assert (found.severity, "taken as sft" in found.message) == ("info", False)


def test_a_loss_that_rose_by_half_is_a_warning_although_the_accuracy_rose():
    rows = evaluated(
        trains(loss=line(0.7, 0.1, 80), rewards_margins=line(0, 4, 80)),
        10,
        loss=[0.65, 0.64, 0.75, 0.9, 1.0, 1.1, 1.2, 1.24],
        rewards_accuracies=[0.56, 0.58, 0.6, 0.61, 0.62, 0.64, 0.65, 0.66],
    )
    assert finding(rows, OVER, "dpo").severity == "warning"


@pytest.mark.parametrize(
    ("evaluations", "severity"),
    [
        ([0.5, 0.501, 0.505, 0.508, 0.51, 0.512, 0.514, 0.515], "warning"),
        ([0.5, 0.501, 0.499, 0.508, 0.506, 0.512, 0.51, 0.515], None),  # not in order
        ([0.5, 0.4995, 0.499, 0.498, 0.4975, 0.497, 0.4965, 0.496], None),
    ],
)
def test_a_slow_rise_counts_where_each_evaluation_is_above_the_one_before(evaluations, severity):
    rows = evaluated(trains(loss=line(0.5, 0.488, 160) + noise(160, 0.002)), 20, loss=evaluations)
    found = finding(rows, OVER, "kto")
    assert (found and found.severity) == severity


@pytest.mark.parametrize(("share", "severity"), [(0.1, "warning"), (0.36, None), (1.2, None)])
def test_pairs_that_are_told_apart_in_training_only_are_learned_by_heart(share, severity):
    margins = line(0, 0.5, 160) + noise(160, 0.1)
    rows = evaluated(
        trains(loss=line(0.5, 0.45, 160), rewards_margins=margins),
        20,
        loss=line(0.5, 0.49, 8),
        rewards_margins=share * line(0.05, 0.5, 8),
    )
    found = finding(rows, OVER, "kto")
    assert (found and found.severity) == severity
