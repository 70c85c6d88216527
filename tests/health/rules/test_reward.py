"""The reward family: each rule on runs where it must speak and on runs where it must be silent."""

import numpy as np
import pytest

from health.series import found, line, noise

N = 200
SEEDS = range(8)


def learning(seed=0, start=0.2, end=0.8, sd=0.05, records=N):
    """A reward that rises and then stands."""
    rise = np.concatenate([line(start, end, records // 2), np.full(records - records // 2, end)])
    return rise + noise(records, sd, seed=seed, rho=0.3)


def flat(level, seed=0, sd=0.05, records=N):
    return level + noise(records, sd, seed=seed)


# zero-advantage


@pytest.mark.parametrize("seed", SEEDS)
def test_dead_groups_are_named_where_the_reward_is_low(seed):
    share = np.concatenate([flat(0.3, seed, 0.1, 50), flat(0.93, seed, 0.03, 100)]).clip(0, 1)
    reward = flat(0.15, seed, records=150)
    finding = found({"frac_reward_zero_std": share, "reward_mean": reward}, "zero-advantage")
    assert finding.severity == "warning"
    assert 45 <= finding.onset_step <= 60
    assert finding.first_step <= 85


def test_no_gradient_at_all_is_critical():
    columns = {
        "frac_reward_zero_std": np.ones(60),
        "reward_mean": np.concatenate([flat(0.1, records=5), np.zeros(55)]),
        "grad_norm": np.zeros(60),
    }
    assert found(columns, "zero-advantage").severity == "critical"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_solved_task_is_no_alarm(seed):
    share = np.concatenate([line(0.2, 0.95, 100), flat(0.95, seed, 0.02, 100)]).clip(0, 1)
    finding = found({"frac_reward_zero_std": share, "reward_mean": learning(seed)}, "zero-advantage")
    assert finding is None or finding.severity == "info"


def test_small_groups_are_expected_to_be_alike():
    """With two completions a prompt and a success rate of .1, .82 of the groups are alike by chance."""
    columns = {"frac_reward_zero_std": flat(0.82, sd=0.03), "reward_mean": flat(0.1, sd=0.02).clip(0, 1)}
    assert found(columns, "zero-advantage", options={"num_generations": 2}) is None
    assert found(columns, "zero-advantage", options={"num_generations": 16}).severity == "warning"


def test_pairs_of_completions_and_rewards_of_plus_and_minus_one_are_expected_to_be_alike():
    pairs = {"frac_reward_zero_std": flat(0.86, sd=0.05), "reward_mean": flat(0.3, sd=0.02)}
    assert found(pairs, "zero-advantage", options={"num_generations": 2}) is None
    signed = {"frac_reward_zero_std": flat(0.82, sd=0.03), "reward_mean": flat(-0.8, sd=0.02)}
    assert found(signed, "zero-advantage", options={"num_generations": 2}) is None
    assert found(signed, "zero-advantage", options={"num_generations": 16}).severity == "warning"


def test_a_value_that_the_run_has_is_not_suggested():
    columns = {"frac_reward_zero_std": flat(0.95, sd=0.02).clip(0, 1), "reward_mean": flat(0.1, sd=0.02)}
    few = found(columns, "zero-advantage", options={"num_generations": 8, "temperature": 0.5})
    many = found(columns, "zero-advantage", options={"num_generations": 16, "temperature": 1.0})
    assert "set `num_generations` to 16 (now 8)" in few.remedies
    assert "set `temperature` to 1.0 (now 0.5)" in few.remedies
    assert not [text for text in many.remedies if "num_generations" in text or "temperature" in text]


# dead-reward


@pytest.mark.parametrize("level", [0.0, 1.0, -3.5])
def test_one_reward_from_the_start_is_named(level):
    finding = found({"reward_mean": np.full(70, level), "reward_std": np.zeros(70)}, "dead-reward")
    assert (finding.severity, finding.onset_step, finding.first_step) == ("critical", 1, 10)


SPARSE = {"reward_mean": np.zeros(31), "reward_std": np.zeros(31), "grad_norm": np.zeros(31)}
SPARSE["frac_reward_zero_std"] = np.ones(31)


@pytest.mark.parametrize("batch", [{}, {"per_device_train_batch_size": 8, "world_size": 2}])
def test_a_sparse_reward_that_was_not_met_yet_is_a_warning(batch):
    for rule in ("dead-reward", "zero-gradient", "zero-advantage"):
        told = found(SPARSE, rule, options=batch)
        assert told is None or told.severity == "warning", rule
    few = {name: column[:20] for name, column in SPARSE.items()}
    assert found(few, "zero-gradient", options=batch) is None
    assert found(few, "dead-reward", options=batch).severity == "warning"


def test_after_500_completions_it_is_critical():
    batch = {"per_device_train_batch_size": 32}
    for rule in ("dead-reward", "zero-gradient", "zero-advantage"):
        assert found(SPARSE, rule, options=batch).severity == "critical", rule
    again = {**batch, "num_iterations": 4}
    assert found(SPARSE, "dead-reward", options=again).severity == "warning"


def test_a_reward_that_is_centred_in_each_batch_is_not_dead():
    columns = {"reward_mean": np.zeros(120), "grad_norm": np.full(120, 0.3)}
    assert found(columns, "dead-reward") is None
    columns["grad_norm"] = np.zeros(120)
    assert found(columns, "dead-reward").severity == "warning"


def test_few_completions_are_not_enough_to_be_certain():
    columns = {"reward_mean": np.zeros(40)}
    options = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 1}
    assert found(columns, "dead-reward", options=options).severity == "warning"


def test_a_reward_that_moved_once_or_varies_within_the_batch_is_not_dead():
    moved = np.zeros(40)
    moved[3] = 0.125
    assert found({"reward_mean": moved}, "dead-reward") is None
    assert found({"reward_mean": np.zeros(40), "reward_std": np.full(40, 0.3)}, "dead-reward") is None


def test_a_solved_task_is_not_dead():
    solved = np.concatenate([line(0, 1, 30), np.ones(60)])
    assert found({"reward_mean": solved, "reward_std": np.zeros(90)}, "dead-reward") is None


# no-learning


def test_most_flat_rewards_are_said():
    said = [found({"reward_mean": flat(-0.3, seed, 0.4, 300)}, "no-learning") for seed in range(20)]
    assert sum(one is not None for one in said) >= 15


@pytest.mark.parametrize("seed", SEEDS)
def test_a_learning_run_is_not_called_flat(seed):
    assert found({"reward_mean": learning(seed)}, "no-learning") is None
    assert found({"reward_mean": learning(seed, sd=0.3, records=400)}, "no-learning") is None


def test_a_plateau_that_ends_is_forgotten():
    late = np.concatenate([flat(0.2, records=150), line(0.2, 0.9, 60), flat(0.9, records=60)])
    assert found({"reward_mean": late}, "no-learning") is None


# reward-collapse


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


def test_a_dip_that_recovers_is_told_as_info():
    series = np.concatenate([learning(records=120), flat(0.3, records=25), flat(0.8, records=60)])
    finding = found({"reward_mean": series}, "reward-collapse")
    assert finding is None or finding.severity == "info"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_fall_of_the_reward_alone_is_a_warning_about_the_data(seed):
    """Prompts sorted by difficulty: the policy does what it did, and is right less often."""
    series = np.concatenate([learning(seed, records=120), line(0.8, 0.1, 120)]) + noise(240, 0.02, seed=seed)
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
