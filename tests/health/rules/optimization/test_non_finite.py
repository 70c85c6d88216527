"""OPT001 non-finite: runs on which it must speak, and runs on which it must be silent."""

from math import inf, nan

import pytest

from health.rows import finding, trains
from health.run_ends import NAN, STEP, end, found
from rldk.health import Monitor, Observation, RunContext, diagnose
from rldk.health.rules.optimization.non_finite import NonFinite

RULE = "non-finite"


def dpo(records=10, **odd):
    """A short DPO log; `odd` gives {record: value} by metric."""
    columns = {
        "loss": [0.69 - 0.01 * i for i in range(records)],
        "grad_norm": [1.0] * records,
        "rewards_margins": [0.1 * i for i in range(records)],
        "logps_chosen": [-100.0] * records,
        "entropy_mean": [1.5] * records,
    }
    for name, changes in odd.items():
        column = list(columns.get(name, [1.0] * records))
        for record, value in changes.items():
            column[record] = value
        columns[name] = column
    return trains(**columns)


def from_record(record, value=nan, records=10):
    return dict.fromkeys(range(record, records), value)


@pytest.mark.parametrize("algorithm", ["dpo", "sft", None])
def test_nan_weights_are_critical_at_the_second_record(algorithm):
    rows = dpo(
        4, loss={2: 0.0, 3: 0.0}, grad_norm=from_record(2, records=4), entropy_mean=from_record(2, records=4)
    )
    found = finding(rows, RULE, algorithm)
    assert (found.severity, found.onset_step, found.first_step) == ("critical", 3, 3)


def test_nan_from_the_first_record_on_is_critical():
    rows = dpo(3, loss=dict.fromkeys(range(3), 0.0), grad_norm=from_record(0, records=3))
    assert finding(rows, RULE, "dpo").severity == "critical"


def test_one_value_is_information_and_stays_so():
    found = finding(dpo(40, grad_norm={20: inf}), RULE, "dpo", options={"fp16": False})
    assert (found.severity, found.onset_step) == ("info", 21)


def test_two_in_ten_are_critical_and_two_far_apart_are_not():
    assert finding(dpo(30, loss={20: nan, 26: inf}), RULE, "sft").severity == "critical"
    assert finding(dpo(60, loss={20: nan, 45: inf}), RULE, "sft").severity == "info"


def test_what_is_over_is_told_as_information():
    assert finding(dpo(60, loss={20: nan, 26: inf}), RULE, "sft").severity == "info"


def test_gradients_that_were_nan_three_times_are_a_warning_that_lasts():
    for at in ((20, 21, 22), (20, 30, 40)):
        lost = dict.fromkeys(at, nan)
        rows = dpo(90, grad_norm=lost, loss=dict.fromkeys(at, 0.0))
        found = finding(rows, RULE, "grpo")
        assert found.severity != "info"
        assert found.onset_step == 21
    skipped = dpo(90, grad_norm=dict.fromkeys((20, 40, 60), inf))
    assert finding(skipped, RULE, "sft", options={"fp16": True}).severity == "info"


def test_a_rate_is_no_cause_of_what_fails_in_the_first_records_or_of_a_metric_alone():
    first = dpo(4, loss=dict.fromkeys(range(4), 0.0), grad_norm=from_record(0, records=4))
    late = dpo(30, loss=from_record(20, 0.0, 30), grad_norm=from_record(20, records=30))
    metric = dpo(30, kl_mean=from_record(20, records=30))
    texts = [" ".join(finding(rows, RULE, "dpo").causes) for rows in (first, late, metric)]
    assert ["updates are too large" in text for text in texts] == [False, True, False]
    assert "the weights are fine" in texts[2]


def test_the_search_of_an_fp16_scaler_is_no_alarm():
    rows = dpo(40, grad_norm={0: inf, 1: nan, 2: inf})
    for options in ({"fp16": True}, {}):
        assert finding(rows, RULE, "sft", options=options).severity == "info"


def test_a_scaler_that_finds_no_scale_is_an_alarm():
    rows = dpo(20, grad_norm=dict.fromkeys(range(12, 20), inf))
    assert finding(rows, RULE, "sft", options={"fp16": True}).severity == "critical"


def test_averages_of_dpo_that_are_nan_now_and_then_are_information_at_most():
    rows = dpo(60, rewards_margins={20: nan, 24: nan}, logps_chosen={24: nan})
    assert finding(rows, RULE, "dpo").severity == "info"


@pytest.mark.parametrize(
    "name",
    [
        "ratio_batch_var",
        "value_explained_variance",
        "rewards/format/mean",
        "rewards/format/std",
        "reward_std",
        "sampling_prob_correlation",
    ],
)
def test_what_is_undefined_by_construction_is_silent(name):
    assert finding(dpo(30, **{name: dict.fromkeys(range(5, 30), nan)}), RULE, "ppo") is None


def test_a_series_that_is_nan_from_the_start_is_silent():
    assert finding(dpo(30, something=dict.fromkeys(range(30), nan)), RULE, "ppo") is None


def test_an_infinite_reward_is_named_even_where_nan_would_be_excused():
    rows = dpo(30, **{"rewards/right/mean": {10: inf, 12: inf}, "reward_mean": {10: inf, 12: inf}})
    found = finding(rows[:14], RULE, "grpo")
    assert found.severity == "critical"
    assert "reward function" in found.causes[0]


def test_none_is_no_value_and_no_fault():
    assert finding(dpo(30, **{"rewards/right/mean": dict.fromkeys(range(30))}), RULE, "grpo") is None


def test_nan_evaluations_and_summaries_count():
    rows = [*dpo(4), (4, "eval", {"eval_loss": nan}), (5, "eval", {"eval_loss": nan})]
    assert finding(rows, RULE, "sft").severity == "critical"
    rows = [*dpo(3), (4, "train", {"loss": nan}), (4, "summary", {"train_loss": nan})]
    assert finding(rows, RULE, "sft").severity == "critical"
    assert finding([*dpo(30), (30, "summary", {"train_loss": nan})], RULE, "sft").severity == "info"


def test_two_infinite_series_in_the_last_record_are_a_warning():
    assert finding(dpo(20, grad_norm={19: nan}, kl_mean={19: inf}), RULE, "grpo").severity == "warning"


def test_a_loss_that_drops_to_zero_in_a_log_without_gradients_is_a_hidden_nan():
    rows = trains(loss=[2.0, 1.9, 0.0, 0.0, 0.0], lr=[1e-5] * 5)
    found = finding(rows, RULE, "sft")
    assert (found.severity, found.onset_step) == ("warning", 3)
    assert finding(rows, RULE, None).severity == "info"
    assert finding(rows, RULE, "grpo") is None
    rounded = trains(loss=[0.01, 0.001, 0.0001, 0.0, 0.0, 0.0], lr=[1e-5] * 6)
    assert finding(rounded, RULE, "sft") is None


def test_an_infinite_reward_is_named_also_where_it_was_so_from_the_start():
    rows = trains(reward_mean=[float("inf")] * 4, grad_norm=[1.0] * 4, loss=[0.1] * 4)
    assert finding(rows, "non-finite", "grpo").severity == "critical"


@pytest.mark.parametrize("records", [5, 8, 20])
def test_a_scaler_that_looks_for_its_scale_at_the_start_is_information(records):
    rows = dpo(60, grad_norm=dict.fromkeys(range(records), inf))
    for seen in (records, 60):
        found = finding(rows[:seen], RULE, "sft", options={"fp16": True})
        assert found is None or found.severity == "info"
    late = dpo(30, grad_norm=dict.fromkeys(range(10, 18), inf))
    assert finding(late[:18], RULE, "sft", options={"fp16": True}).severity == "critical"
    never = dpo(40, grad_norm=dict.fromkeys(range(40), inf))
    assert finding(never, RULE, "sft", options={"fp16": True}).severity == "critical"


def test_nan_weights_that_no_log_shows_are_found_at_the_end():
    one = found(at=end("exception", NAN, activity="generation"))[RULE]
    assert (one.severity, one.onset_step, one.last_good_step) == ("critical", STEP, STEP - 1)
    assert "whose log was still healthy" in one.message


def test_nan_weights_that_a_log_showed_are_critical_and_not_told_twice():
    shown = Observation(STEP, "log", {"loss": 0.1, "logps_chosen": nan})
    assert found(shown, at=end("completed"))[RULE].severity == "info"
    one = found(shown, at=end("exception", NAN))[RULE]
    assert one.severity == "critical"
    assert one.message == "not finite: logps_chosen nan"


@pytest.mark.parametrize(("step", "onset"), [(STEP - 10, STEP - 10), (STEP - 11, STEP)])
def test_nan_weights_are_not_taken_for_an_overflow_that_was_over(step, onset):
    """It is over after ten records without; the end opens the incident again, and it begins there."""
    monitor = Monitor(RunContext(algorithm="grpo", dialect="trl"), [NonFinite])
    for now in range(1, STEP):
        monitor.observe(Observation(now, "log", {"loss": 0.1, "grad_norm": inf if now == step else 1.0}))
    monitor.observe(end("exception", NAN, activity="generation"))
    (one,) = diagnose(monitor).findings
    assert (one.severity, one.onset_step, one.last_good_step) == ("critical", onset, onset - 1)


@pytest.mark.parametrize("at", [end("exception", "ValueError: boom"), end("completed"), end()])
def test_another_end_says_nothing_of_the_weights(at):
    assert RULE not in found(at=at)


def test_the_end_of_a_run_without_records_is_no_check():
    monitor = Monitor(RunContext(), [NonFinite])
    monitor.observe(end("completed"))
    assert [one.rule for one in diagnose(monitor).not_checked] == [RULE]


def test_the_end_does_not_close_what_the_last_record_showed():
    monitor = Monitor(RunContext(), [NonFinite])
    for loss in [0.1, nan, nan, *[0.1] * 9]:  # an incident is over after ten records without
        monitor.observe(Observation(STEP, "log", {"loss": loss}))
    monitor.observe(end("completed"))
    assert diagnose(monitor).status == "critical"


def test_the_records_that_are_counted_are_those_of_the_run():
    rows = dpo(3, grad_norm=from_record(0, records=3), entropy_mean=from_record(0, records=3))
    assert "in 3 of 3 records" in finding(rows, RULE, "dpo").message


def test_a_loss_that_stays_finite_shows_that_the_steps_were_skipped():
    skipped = trains(loss=[2.6, 2.5, 2.4, 2.3], grad_norm=[3.0, 2.9, nan, nan])
    assert "skipped" in finding(skipped, RULE, "sft").causes[0]
    lost = trains(loss=[2.6, 2.5, 0.0, 0.0], grad_norm=[3.0, 2.9, nan, nan])
    assert not any("skipped" in cause for cause in finding(lost, RULE, "sft").causes)


def test_a_gradient_that_is_lost_with_other_series_is_no_scaler():
    odd = {"grad_norm": from_record(0, records=3), "reward_train/chosen": from_record(0, records=3)}
    assert finding(dpo(3, **odd), RULE, "dpo").severity == "critical"
