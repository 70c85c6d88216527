"""The generation family: each rule on runs where it must speak and on runs where it must be silent."""

import numpy as np
import pytest

from health.series import diagnosis, found, line, noise

SEEDS = range(6)


def flat(level, records, seed=0, sd=0.05):
    return level + noise(records, sd, seed=seed)


def learning(seed=0, start=0.2, end=0.8, sd=0.05, records=200):
    half = records // 2
    return np.concatenate([line(start, end, half), np.full(records - half, end)]) + noise(
        records, sd, seed=seed
    )


def share(*parts, seed=0, sd=0.03):
    series = np.concatenate(parts)
    return (series + noise(len(series), sd, seed=seed)).clip(0, 1)


# truncation


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


# eos-mismatch


def test_answers_that_end_on_another_token_are_named():
    columns = {"truncated_frac": flat(0.97, 60, sd=0.01), "completion_length_max": flat(300, 60, sd=20)}
    finding = found(columns, "eos-mismatch", options={"max_completion_length": 1024})
    assert finding.severity == "warning"
    assert (finding.onset_step, finding.first_step) == (1, 5)


def test_answers_that_are_cut_have_the_length_of_the_limit():
    columns = {"truncated_frac": flat(0.97, 60, sd=0.01), "completion_length_max": np.full(60, 1024.0)}
    assert found(columns, "eos-mismatch", options={"max_completion_length": 1024}) is None


def test_ends_that_the_trainer_does_not_count_are_proven_whatever_the_length():
    cut = {"truncated_frac": flat(0.97, 60, sd=0.01), "completion_length_max": np.full(60, 1024.0)}
    options = {"max_completion_length": 1024}
    finding = found(cut | {"samples/ended_frac": flat(0.9, 60)}, "eos-mismatch", options=options)
    assert finding.severity == "warning"
    assert finding.confidence > 0.95
    assert "hold an end token" in finding.message
    assert finding.first_step == 5
    assert found(cut | {"samples/ended_frac": flat(0.05, 60)}, "eos-mismatch", options=options) is None


def test_ends_that_the_trainer_counts_are_no_mismatch():
    columns = {"truncated_frac": flat(0.1, 60), "completion_length_max": np.full(60, 1024.0)}
    columns["samples/ended_frac"] = columns["samples/trainer_ended_frac"] = flat(0.9, 60)
    assert found(columns, "eos-mismatch", options={"max_completion_length": 1024}) is None


def test_padding_that_the_trainer_takes_for_an_end_hides_no_mismatch():
    """Behind an end token of `generation_kwargs` alone, TRL 1.16 counts few completions as cut."""
    columns = {"truncated_frac": flat(0.03, 60), "completion_length_max": np.full(60, 1024.0)}
    columns |= {"samples/ended_frac": flat(0.9, 60), "samples/trainer_ended_frac": np.full(60, 0.02)}
    finding = found(columns, "eos-mismatch", options={"max_completion_length": 1024})
    assert "for the trainer 2% do" in finding.message
    assert finding.first_step == 5


def test_without_the_limit_eos_mismatch_is_not_checked():
    columns = {"truncated_frac": np.ones(30), "completion_length_max": np.full(30, 9.0)}
    assert "eos-mismatch" in {one.rule for one in diagnosis(columns).not_checked}


# length-runaway


def growth(seed=0, to=900, records=200):
    length = np.concatenate([np.full(60, 400.0), line(400, to, 80), np.full(records - 140, to)])
    return length * np.exp(noise(records, 0.05, seed=seed))


@pytest.mark.parametrize("seed", SEEDS)
def test_growth_without_reward_is_named(seed):
    finding = found(
        {"completion_length_mean": growth(seed), "reward_mean": flat(0.4, 200, seed)}, "length-runaway"
    )
    assert finding.severity == "warning"
    assert 85 <= finding.onset_step <= 125


@pytest.mark.parametrize("seed", SEEDS)
def test_growth_with_reward_is_healthy(seed):
    reward = np.concatenate([flat(0.2, 60, seed, 0.03), line(0.2, 0.6, 100), np.full(40, 0.6)])
    assert found({"completion_length_mean": growth(seed), "reward_mean": reward}, "length-runaway") is None


def test_what_was_learned_before_the_growth_does_not_pay_for_it():
    reward = np.concatenate([line(0.1, 0.5, 30), np.full(170, 0.5)]) + noise(200, 0.03)
    finding = found({"completion_length_mean": growth(), "reward_mean": reward}, "length-runaway")
    assert finding is None or finding.severity == "warning"


@pytest.mark.parametrize("seed", SEEDS)
def test_answers_that_grow_far_from_the_limit_may_pay_later(seed):
    reward = 0.4 + 0.05 * (-1.0) ** np.arange(180)
    far, near = {"max_completion_length": 4096}, {"max_completion_length": 1024}
    columns = {"completion_length_mean": growth(seed, records=180), "reward_mean": reward}
    assert found(columns, "length-runaway", options=far).severity == "info"
    assert found(columns, "length-runaway", options=near).severity == "warning"
    columns["reward_mean"] = reward - np.append(np.zeros(100), np.full(80, 0.2))
    assert found(columns, "length-runaway", options=far).severity == "warning"


@pytest.mark.parametrize("seed", SEEDS)
def test_length_and_reward_that_jump_at_one_record_are_other_prompts(seed):
    length = np.append(np.full(100, 120.0), np.full(100, 230.0)) * np.exp(noise(200, 0.08, seed=seed))
    reward = np.append(np.full(100, 0.8), np.full(100, 0.4)) + noise(200, 0.05, seed=seed + 9)
    columns = {"completion_length_mean": length, "reward_mean": reward}
    for records in (125, 150, 200):
        seen = {name: column[:records] for name, column in columns.items()}
        told = found(seen, "length-runaway")
        assert told is None or told.severity == "info"


# length-collapse


@pytest.mark.parametrize("seed", SEEDS)
def test_answers_of_nothing_are_named(seed):
    length = np.concatenate([np.full(7, 150.0), np.full(33, 3.5)]) * np.exp(noise(40, 0.1, seed=seed))
    reward = np.concatenate([np.full(7, 0.85), np.zeros(33)]) + noise(40, 0.02, seed=seed)
    finding = found({"completion_length_mean": length, "reward_mean": reward}, "length-collapse")
    assert finding.severity == "warning"
    assert 7 <= finding.onset_step <= 10
    assert finding.first_step <= 20


def test_brevity_that_pays_is_no_fault():
    length = np.concatenate([np.full(30, 200.0), line(200, 20, 50), np.full(40, 20.0)])
    columns = {"completion_length_mean": length, "reward_mean": learning(records=120)}
    assert found(columns, "length-collapse") is None


def test_short_answers_from_the_start_are_the_task():
    columns = {"completion_length_mean": flat(2, 100, sd=0.3), "reward_mean": flat(0.3, 100)}
    assert found(columns, "length-collapse") is None


# sampling-mismatch


@pytest.mark.parametrize("seed", SEEDS)
def test_a_drift_of_the_engine_is_named(seed):
    difference = np.concatenate([np.full(80, 0.012), np.geomspace(0.012, 0.7, 60), np.full(60, 0.7)])
    columns = {
        "sampling_logp_difference_mean": difference * np.exp(noise(200, 0.1, seed=seed)),
        "reward_mean": np.concatenate([line(0.2, 0.6, 100), line(0.6, 0.2, 100)])
        + noise(200, 0.03, seed=seed),
    }
    finding = found(columns, "sampling-mismatch")
    assert finding.severity == "critical"
    assert 90 <= finding.onset_step <= 125


def test_a_difference_that_triples_at_a_low_level_follows_the_entropy():
    columns = {"sampling_logp_difference_mean": line(0.006, 0.022, 100), "reward_mean": flat(0.4, 100)}
    assert found(columns, "sampling-mismatch") is None


def test_engines_in_8_bits_are_no_mismatch_while_the_reward_learns():
    columns = {
        "sampling_logp_difference_mean": flat(0.105, 150, sd=0.005),
        "reward_mean": learning(records=150),
    }
    assert found(columns, "sampling-mismatch") is None


def test_probabilities_are_not_log_probabilities():
    verl = {"sampling_prob_difference_mean": line(0.0026, 0.04, 150), "reward_mean": line(0.5, 0.3, 150)}
    assert found(verl, "sampling-mismatch").severity == "warning"
    trl = {"sampling_logp_difference_mean": line(0.0026, 0.02, 150), "reward_mean": line(0.5, 0.3, 150)}
    assert found(trl, "sampling-mismatch") is None


# importance-starvation


def test_a_gradient_that_is_thrown_away_is_named():
    ratio = np.concatenate([np.full(50, 0.98), line(0.98, 0.6, 50), np.full(50, 0.6)])
    columns = {"importance_sampling_ratio_mean": ratio, "reward_mean": flat(0.3, 150)}
    assert found(columns, "importance-starvation").severity == "warning"
    assert found(columns | {"reward_mean": learning(records=150)}, "importance-starvation").severity == "info"
    assert found(columns | {"importance_sampling_ratio_mean": ratio - 0.15}, "importance-starvation")


@pytest.mark.parametrize("seed", SEEDS)
def test_ratios_that_scatter_below_one_are_usual(seed):
    columns = {
        "importance_sampling_ratio_mean": flat(0.93, 100, seed, 0.09),
        "importance_sampling_ratio_min": np.zeros(100),
        "reward_mean": flat(0.3, 100, seed),
    }
    assert found(columns, "importance-starvation") is None


# stale-rollout


@pytest.mark.parametrize("seed", SEEDS)
def test_an_engine_with_old_weights_is_named(seed):
    columns = {
        "sampling_logp_difference_mean": line(0.01, 0.28, 200) * np.exp(noise(200, 0.05, seed=seed)),
        "reward_mean": flat(0.33, 200, seed, 0.03),
        "grad_norm": flat(0.4, 200, seed),
    }
    finding = found(columns, "stale-rollout")
    assert finding.severity == "warning"
    assert finding.onset_step <= 40


def test_a_rise_that_is_learned_under_is_not_stale():
    columns = {
        "sampling_logp_difference_mean": line(0.004, 0.05, 200),
        "reward_mean": learning(),
        "grad_norm": flat(0.4, 200),
    }
    assert found(columns, "stale-rollout") is None
    still = columns | {"reward_mean": flat(0.3, 200), "grad_norm": np.zeros(200)}
    assert found(still, "stale-rollout") is None


# missing-eos


def test_no_end_at_all_is_named_where_the_reward_stands():
    columns = {"eos_token_count": np.zeros(60), "reward_mean": flat(-0.6, 60)}
    assert found(columns, "missing-eos", algorithm="ppo").severity == "warning"
    good = columns | {"reward_mean": learning(records=60)}
    assert found(good, "missing-eos", algorithm="ppo").severity == "info"


def test_ends_are_usual():
    assert found({"contain_eos_frac": flat(0.8, 60)}, "missing-eos", algorithm="online_dpo") is None


def test_what_needs_texts_is_listed():
    names = {one.rule: one.how for one in diagnosis({"reward_mean": np.ones(5)}).not_checked}
    assert "reward_funcs=observe_rewards(...)" in names["duplicate-completions"]
    assert "reward_funcs=observe_rewards(...)" in names["repetition"]


def test_a_short_response_may_have_no_end():
    columns = {"eos_token_count": np.zeros(60), "rlhf_reward_mean": flat(0.1, 60)}
    short = {"response_length": 53}
    assert found(columns, "missing-eos", algorithm="ppo", options=short).severity == "info"
    long = {"response_length": 512}
    assert found(columns, "missing-eos", algorithm="ppo", options=long).severity == "warning"
    early = {name: column[:30] for name, column in columns.items()}
    assert found(early, "missing-eos", algorithm="ppo", options=long).severity == "info"
