"""POL003 frozen-policy: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from health.rules.policy.common import flat
from rldk.testing import found, line, noise


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
    assert finding.onset_step == 1  # the margin was 0 from the first record on


def test_warm_up_is_not_frozen():
    records = 60
    margins = np.concatenate([noise(50, 1e-4), line(0, 0.1, 10)])
    columns = preference(margins, records, lr=line(1e-8, 5e-7, records))
    assert found(columns, "frozen-policy", algorithm="dpo") is None


def test_without_a_learning_rate_nothing_is_said():
    columns = {"loss": np.full(60, 0.6931), "rewards_margins": np.zeros(60)}
    with pytest.raises(ValueError, match=r"could not judge this run: log .* and the learning rate"):
        found(columns, "frozen-policy", algorithm="dpo")


def test_an_online_policy_that_stays_the_reference_is_frozen():
    columns = {"kl_mean": np.zeros(80), "lr": np.full(80, 1e-6), "grad_norm": flat(0.4, 80)}
    assert found(columns, "frozen-policy").severity == "critical"
    assert found(columns | {"grad_norm": np.zeros(80)}, "frozen-policy") is None
    with pytest.raises(ValueError, match="it needs a fixed reference"):
        found(columns, "frozen-policy", options={"sync_ref_model": True})
    assert found(columns | {"kl_mean": line(0, 1e-3, 80)}, "frozen-policy") is None


def test_a_record_may_be_ten_steps():
    columns = {"kl_mean": np.zeros(15), "lr": np.full(15, 1e-6), "grad_norm": flat(0.4, 15)}
    assert found(columns, "frozen-policy", spacing=10).severity == "critical"
    assert found(columns, "frozen-policy") is None


def stuck(seed, share=0.0, accuracy=0.5, records=100):
    """Margins and losses that are noise around a share of what a run that learns gains."""
    learned = share * line(0, 1, records)
    return preference(
        0.3 * learned + noise(records, 0.02, seed=seed),
        records,
        loss=0.6931 - 0.15 * learned + noise(records, 0.008, seed=seed + 1),
    ) | {"rewards_accuracies": accuracy + noise(records, 0.08, seed=seed + 2)}


@pytest.mark.parametrize("seed", range(10))
def test_margins_that_are_noise_around_0_are_stuck(seed):
    finding = found(stuck(seed), "frozen-policy", algorithm="dpo")
    assert finding.severity == "warning"
    assert finding.first_step >= 45  # not before 30 records past the warm-up


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(("share", "accuracy"), [(1.0, 0.65), (0.0, 0.7)])
def test_a_run_that_learns_slowly_or_with_a_small_scale_is_not_stuck(seed, share, accuracy):
    assert found(stuck(seed, share, accuracy), "frozen-policy", algorithm="dpo") is None


def test_a_long_warm_up_is_not_stuck():
    columns = stuck(0) | {"lr": line(1e-8, 5e-7, 100)}
    assert found(columns, "frozen-policy", algorithm="dpo", options={"learning_rate": 5e-6}) is None


def test_small_margins_of_online_dpo_or_without_accuracies_are_not_stuck():
    columns = stuck(0)
    assert found(columns, "frozen-policy", algorithm="online_dpo") is None
    del columns["rewards_accuracies"]  # as in KTO: a small beta would look the same
    assert found(columns, "frozen-policy", algorithm="kto") is None


def test_answers_of_online_dpo_that_are_all_alike_are_no_frozen_policy():
    columns = preference(np.zeros(100)) | {"rewards_chosen": np.full(100, 0.7)}
    assert found(columns, "frozen-policy", algorithm="online_dpo") is None
    columns["rewards_chosen"] = np.zeros(100)
    assert found(columns, "frozen-policy", algorithm="online_dpo").severity == "critical"


def test_a_rate_that_decays_does_not_hide_a_policy_that_never_moved():
    columns = {"kl_mean": np.zeros(80), "grad_norm": np.full(80, 0.04), "lr": line(1e-3, 1e-5, 80)}
    finding = found(columns, "frozen-policy")
    assert (finding.severity, finding.onset_step) == ("critical", 1)
