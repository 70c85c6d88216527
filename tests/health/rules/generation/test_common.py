"""What several rules of the generation family do with one run."""

import numpy as np
import pytest

from health.rules.generation.common import reward, rises, share
from rldk.testing import diagnosis, found, line

N = 160
SEEDS = range(6)
DUPLICATES, REPEATED = "samples/duplicate_frac", "samples/repetition_frac"
RULES = [(DUPLICATES, "duplicate-completions"), (REPEATED, "repetition")]


def test_what_needs_texts_is_listed():
    names = {one.rule: one.how for one in diagnosis({"reward_mean": np.ones(5)}).not_checked}
    assert "reward_funcs=observe_rewards(...)" in names["duplicate-completions"]
    assert "reward_funcs=observe_rewards(...)" in names["repetition"]


# duplicate-completions, repetition
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("metric", "rule"), RULES)
def test_a_rise_without_reward_is_named(metric, rule, seed):
    finding = found({metric: share(*rises(), seed=seed), "reward_mean": reward(0.3, 0.3, seed)}, rule)
    assert finding.severity == "warning"
    assert 60 <= finding.onset_step <= 90
    assert finding.first_step <= 100


@pytest.mark.parametrize(("metric", "rule"), RULES)
def test_an_early_rise_is_named_too(metric, rule):
    columns = {metric: share(*rises(at=8)), "reward_mean": reward(0.3, 0.3)}
    assert found(columns, rule).severity == "warning"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("metric", "rule"), RULES)
def test_a_level_from_the_start_is_the_task(metric, rule, seed):
    columns = {metric: share(np.full(N, 0.7), seed=seed), "reward_mean": reward(0.3, 0.3, seed)}
    assert found(columns, rule) is None


@pytest.mark.parametrize(("metric", "rule"), RULES)
def test_a_burst_and_a_slow_small_rise_are_no_fault(metric, rule):
    burst = share(np.full(80, 0.1), np.full(6, 0.9), np.full(N - 86, 0.1))
    assert found({metric: burst, "reward_mean": reward(0.3, 0.3)}, rule) is None
    small = share(line(0.05, 0.22, N))
    assert found({metric: small, "reward_mean": reward(0.3, 0.3)}, rule) is None


@pytest.mark.parametrize(("metric", "rule"), RULES)
def test_a_noisy_share_is_no_rise(metric, rule):
    for seed in range(20):
        wild = share(np.full(N, 0.35), seed=seed, sd=0.25)
        assert found({metric: wild, "reward_mean": reward(0.3, 0.3, seed)}, rule) is None


@pytest.mark.parametrize(("metric", "rule"), RULES)
def test_without_a_reward_it_is_information(metric, rule):
    assert found({metric: share(*rises())}, rule).severity == "info"
