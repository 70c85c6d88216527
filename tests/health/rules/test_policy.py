"""The policy family: each rule on runs where it must speak and on runs where it must be silent."""

import numpy as np
import pytest

from health.series import found, line, noise

SEEDS = range(6)


def flat(level, records, seed=0, sd=0.05):
    return level + noise(records, sd, seed=seed)


def learning(seed=0, start=0.2, end=0.8, sd=0.05, records=200):
    half = records // 2
    return np.concatenate([line(start, end, half), np.full(records - half, end)]) + noise(
        records, sd, seed=seed
    )


def drift(seed=0, records=200, at=60, low=0.02, high=2.5):
    kl = np.concatenate([np.full(at, low), np.geomspace(low, high, 80), np.full(records - at - 80, high)])
    return kl * np.exp(noise(records, 0.15, seed=seed))


# kl-blowup


@pytest.mark.parametrize("seed", SEEDS)
def test_a_drift_that_the_reward_does_not_pay_for_is_named(seed):
    finding = found({"kl_mean": drift(seed), "reward_mean": flat(0.4, 200, seed)}, "kl-blowup")
    assert finding.severity == "warning"
    assert 95 <= finding.onset_step <= 135


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_drift_with_a_reward_that_rises_is_none(seed):
    assert found({"kl_mean": drift(seed), "reward_mean": learning(seed)}, "kl-blowup") is None


@pytest.mark.parametrize("seed", SEEDS)
def test_single_spikes_of_k3_are_harmless(seed):
    kl = np.abs(flat(0.3, 200, seed, 0.05))
    kl[[20, 40, 41, 90, 150]] = [197, 80, 67, 12, 65]
    assert found({"kl_mean": kl, "reward_mean": flat(0.4, 200, seed)}, "kl-blowup") is None


def test_a_policy_that_is_lost_by_the_third_record_is_named():
    kl = np.concatenate([[0, 1.5, 6, 12], np.full(36, 5.0)]) * np.exp(noise(40, 0.1))
    reward = np.concatenate([[0.4, 0.35, 0.1], np.full(37, 0.05)]) + noise(40, 0.02)
    finding = found({"kl_mean": kl, "reward_mean": reward}, "kl-blowup")
    assert finding.severity in ("warning", "critical")
    assert finding.onset_step <= 5
    assert finding.first_step <= 15


def test_a_collapse_to_one_text_is_no_gain():
    """The noise of a deterministic policy is next to nothing: any difference would seem a gain."""
    reward = np.concatenate([[0.54, 0.5, 0.2, 0.17, 0.17], np.full(95, 0.3)]) + noise(100, 0.0005)
    assert (
        found({"kl_mean": np.full(100, 4.5), "reward_mean": reward}, "kl-blowup") is None
    )  # mismatched start
    kl = np.concatenate([line(0, 4.5, 5), np.full(95, 4.5)])
    assert found({"kl_mean": kl, "reward_mean": reward}, "kl-blowup").severity == "warning"


def test_the_sum_over_a_completion_has_its_own_scale():
    reward = flat(0.4, 120)
    healthy = {"kl_sequence_mean": line(0, 8, 120), "reward_mean": reward}
    assert found(healthy, "kl-blowup", algorithm="ppo") is None
    finding = found({**healthy, "kl_sequence_mean": line(0, 40, 120)}, "kl-blowup", algorithm="ppo")
    assert finding.severity == "warning"


def test_the_reference_point_of_kto_may_be_large():
    columns = {"kl_reference_point_mean": line(0, 30, 100), "loss": line(0.5, 0.3, 100)}
    assert found(columns, "kl-blowup", algorithm="kto") is None


# negative-kl


@pytest.mark.parametrize("seed", SEEDS)
def test_a_kl_below_zero_is_named_and_noise_is_not(seed):
    noisy = {"kl_sequence_mean": noise(150, 0.3, seed=seed)}
    assert found(noisy, "negative-kl", algorithm="ppo") is None
    low = np.concatenate([np.zeros(50), line(0, -10, 100)]) + noise(150, 0.3, seed=seed)
    finding = found({"kl_sequence_mean": low}, "negative-kl", algorithm="ppo")
    assert finding.severity == "critical"
    assert 50 <= finding.onset_step <= 65


def test_k1_of_rloo_is_noise_near_zero():
    columns = {"kl_mean": 0.002 + noise(150, 0.01)}
    assert found(columns, "negative-kl", algorithm="rloo") is None
    assert found({"kl_mean": -0.2 + noise(150, 0.01)}, "negative-kl", algorithm="rloo").severity == "warning"


# frozen-policy


def preference(margins, records=100, lr=None, gradient=6.0, loss=None):
    return {
        "loss": np.full(records, 0.6931) if loss is None else loss,
        "rewards_margins": margins,
        "lr": np.concatenate([line(1e-6, 5e-5, 20), line(5e-5, 0, records - 20)]) if lr is None else lr,
        "grad_norm": np.full(records, gradient),
    }


def test_no_gradient_and_no_margin_is_frozen_at_once():
    finding = found(preference(np.zeros(100), gradient=0.0), "frozen-policy", algorithm="dpo")
    assert finding.severity == "critical"
    assert (finding.onset_step, finding.first_step) == (1, 5)


def test_no_margin_at_full_learning_rate_is_frozen():
    finding = found(preference(noise(100, 1e-4)), "frozen-policy", algorithm="dpo")
    assert finding.severity == "critical"  # a warning until 50 records
    assert 20 <= finding.onset_step <= 25


def test_warm_up_is_not_frozen():
    records = 60
    margins = np.concatenate([noise(50, 1e-4), line(0, 0.1, 10)])
    columns = preference(margins, records, lr=line(1e-8, 5e-7, records))
    assert found(columns, "frozen-policy", algorithm="dpo") is None


def test_without_a_learning_rate_nothing_is_said():
    columns = {"loss": np.full(60, 0.6931), "rewards_margins": np.zeros(60)}
    assert found(columns, "frozen-policy", algorithm="dpo") is None


def test_an_online_policy_that_stays_the_reference_is_frozen():
    columns = {"kl_mean": np.zeros(80), "lr": np.full(80, 1e-6), "grad_norm": flat(0.4, 80)}
    assert found(columns, "frozen-policy").severity == "critical"
    assert found(columns | {"grad_norm": np.zeros(80)}, "frozen-policy") is None
    assert found(columns, "frozen-policy", options={"sync_ref_model": True}) is None
    assert found(columns | {"kl_mean": line(0, 1e-3, 80)}, "frozen-policy") is None


def test_a_record_may_be_ten_steps():
    columns = {"kl_mean": np.zeros(15), "lr": np.full(15, 1e-6), "grad_norm": flat(0.4, 15)}
    assert found(columns, "frozen-policy", spacing=10).severity == "critical"
    assert found(columns, "frozen-policy") is None


# off-policy


def test_clipping_that_rises_is_named_and_none_is_expected():
    clipped = np.concatenate([np.full(60, 0.02), line(0.02, 0.5, 60)]) + np.abs(noise(120, 0.005))
    finding = found({"clip_frac": clipped, "reward_mean": learning(records=120)}, "off-policy")
    assert finding.severity == "warning"
    assert 60 <= finding.onset_step <= 100
    assert found({"clip_frac": np.zeros(120), "reward_mean": flat(0.3, 120)}, "off-policy") is None


def test_several_updates_a_batch_are_waited_for():
    columns = {"clip_frac": np.full(80, 0.3), "reward_mean": flat(0.3, 80)}
    assert found(columns, "off-policy", options={"num_iterations": 4}).severity == "info"
    assert found(columns, "off-policy").severity == "warning"


def test_the_reward_decides_where_much_is_always_clipped():
    columns = {"clip_two_sided_frac": np.full(120, 0.45), "reward_mean": learning(records=120)}
    assert found(columns, "off-policy", algorithm="ppo").severity == "info"
    worse = columns | {"reward_mean": line(0.5, 0.2, 120)}
    assert found(worse, "off-policy", algorithm="ppo").severity == "warning"


# entropy-collapse


@pytest.mark.parametrize("seed", SEEDS)
def test_a_fall_of_entropy_without_reward_is_named(seed):
    entropy = np.concatenate([np.full(40, 0.9), np.geomspace(0.9, 0.01, 40), np.full(120, 0.01)])
    finding = found(
        {"entropy_mean": entropy * np.exp(noise(200, 0.1, seed=seed)), "reward_mean": flat(0.3, 200, seed)},
        "entropy-collapse",
    )
    assert finding.severity == "critical"
    assert 45 <= finding.onset_step <= 65


@pytest.mark.parametrize("seed", SEEDS)
def test_a_fall_of_entropy_with_the_reward_is_learning(seed):
    entropy = line(0.6, 0.2, 200) * np.exp(noise(200, 0.1, seed=seed))
    assert found({"entropy_mean": entropy, "reward_mean": learning(seed)}, "entropy-collapse") is None
    near_nothing = line(0.3, 0.03, 200).clip(0.03)
    assert found({"entropy_mean": near_nothing, "reward_mean": learning(seed)}, "entropy-collapse") is None


@pytest.mark.parametrize("level", [0.12, 0.4, 2.74])
def test_no_level_of_entropy_is_ill(level):
    columns = {"entropy_mean": flat(level, 150, sd=0.05 * level), "reward_mean": flat(0.3, 150)}
    assert found(columns, "entropy-collapse") is None
    assert found(columns, "entropy-explosion") is None


def test_a_collapse_before_the_baseline_is_there_is_named():
    entropy = np.concatenate([[0.96, 1.1, 1.3, 1.8, 1.8, 1.0, 0.5], np.full(33, 1e-18)])
    finding = found({"entropy_mean": entropy, "reward_mean": flat(0.3, 40, sd=0.1)}, "entropy-collapse")
    assert finding.severity == "critical"
    assert finding.first_step <= 20


def test_a_plateau_whose_completions_still_differ_is_no_ceiling():
    reward = np.concatenate([line(0.32, 0.42, 50), np.full(250, 0.42)]) + noise(300, 0.02)
    entropy = np.concatenate([np.full(30, 0.42), np.geomspace(0.42, 0.02, 190), np.full(80, 0.02)])
    columns = {"entropy_mean": entropy, "reward_mean": reward, "reward_std": np.full(300, 0.3)}
    assert found(columns, "entropy-collapse").severity == "warning"


def test_entropy_alone_is_only_info():
    assert found({"entropy_mean": line(1, 0.05, 100)}, "entropy-collapse").severity == "info"


# entropy-explosion


@pytest.mark.parametrize("seed", SEEDS)
def test_noise_is_named_where_the_reward_goes(seed):
    entropy = np.concatenate([np.full(60, 0.4), line(0.4, 4, 60), np.full(80, 4)])
    reward = np.concatenate([line(0.3, 0.6, 60), line(0.6, 0.05, 60), np.full(80, 0.05)])
    columns = {
        "entropy_mean": entropy * np.exp(noise(200, 0.05, seed=seed)),
        "reward_mean": reward + noise(200, 0.03, seed=seed),
    }
    finding = found(columns, "entropy-explosion")
    assert finding.severity == "warning"
    assert 60 <= finding.onset_step <= 85


@pytest.mark.parametrize("seed", SEEDS)
def test_a_rise_with_more_reward_is_fine(seed):
    entropy = line(0.3, 1.0, 200) + noise(200, 0.03, seed=seed)
    assert found({"entropy_mean": entropy, "reward_mean": learning(seed)}, "entropy-explosion") is None


def test_an_explosion_from_the_third_record_is_named():
    entropy = np.concatenate([[0.18, 0.2, 0.24, 2.8, 3.5, 5, 6], np.full(33, 7.5)])
    reward = np.concatenate([[0.9, 0.9, 0.95, 0.2, 0.02], np.full(35, 0.01)]) + noise(40, 0.01)
    finding = found({"entropy_mean": entropy, "reward_mean": reward}, "entropy-explosion")
    assert finding.severity == "warning"
    assert finding.onset_step <= 6
    assert finding.first_step <= 12


# broken-start


def test_two_models_are_named_at_the_first_record():
    columns = {"sampling_logp_difference_mean": np.full(2, 0.996), "entropy_mean": np.full(2, 6.44)}
    finding = found(columns, "broken-start")
    assert (finding.severity, finding.first_step) == ("critical", 1)


@pytest.mark.parametrize("first", [0.0045, 0.0595, 0.095])
def test_the_usual_first_differences_are_fine(first):
    columns = {"sampling_logp_difference_mean": np.full(50, first), "entropy_mean": np.full(50, 2.7)}
    assert found(columns, "broken-start") is None


def test_verl_has_its_own_unit():
    columns = {"sampling_prob_difference_mean": np.full(5, 0.08)}
    assert found(columns, "broken-start").severity == "warning"
    assert found({"sampling_prob_difference_mean": np.full(5, 0.01)}, "broken-start") is None


def test_what_drifts_later_is_no_broken_start():
    assert found({"sampling_logp_difference_mean": line(0.01, 0.6, 100)}, "broken-start") is None


# bad-critic


def critic(explained, reward):
    return found(
        {"value_explained_variance": explained, "reward_mean": reward}, "bad-critic", algorithm="ppo"
    )


def test_a_critic_that_explains_nothing_is_named():
    explained = np.concatenate([line(0, 0.6, 50), line(0.6, -3, 50), np.full(50, -3)])
    finding = critic(explained, np.concatenate([line(0.2, 0.5, 60), line(0.5, 0.1, 90)]))
    assert finding.severity == "warning"
    assert 50 <= finding.onset_step <= 75


def test_negative_in_the_first_updates_is_usual():
    explained = np.concatenate([np.full(20, -0.5), np.full(130, 0.5)]) + noise(150, 0.1)
    assert critic(explained, flat(0.3, 150)) is None


def test_a_dip_without_consequence_is_no_alarm():
    explained = np.concatenate([np.full(80, 0.8), np.full(40, -2.0), np.full(80, 0.8)])
    finding = critic(explained, learning())
    assert finding is None or finding.severity == "info"


# reference-mismatch


def test_a_difference_at_step_one_is_told():
    finding = found({"kl_mean": np.full(30, 0.34)}, "reference-mismatch")
    assert finding.severity == "info"
    assert "over" not in finding.message
    assert found({"kl_mean": line(0, 0.4, 30)}, "reference-mismatch") is None


def test_updates_within_the_first_record_are_no_mismatch():
    assert found({"kl_mean": line(0.1, 2, 30)}, "reference-mismatch", spacing=10) is None
    assert found({"kl_mean": flat(0.5, 30)}, "reference-mismatch", spacing=10) is not None


def test_the_first_implicit_reward_tells_it_too():
    columns = {"rewards_chosen": np.full(30, -0.4), "rewards_margins": np.full(30, 0.1)}
    assert found(columns, "reference-mismatch", algorithm="dpo") is not None
    assert found({"rewards_chosen": line(0, -2, 30)}, "reference-mismatch", algorithm="dpo") is None
