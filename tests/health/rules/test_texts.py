"""Rules on the texts that `observe_rewards` sees: each on runs where it must speak and where it must not."""

import numpy as np
import pytest

from health.series import found, line, noise

N = 160
SEEDS = range(6)
DUPLICATES, REPEATED = "samples/duplicate_frac", "samples/repetition_frac"
RULES = [(DUPLICATES, "duplicate-completions"), (REPEATED, "repetition")]


def share(*parts, seed=0, sd=0.04):
    series = np.concatenate(parts)
    return (series + noise(len(series), sd, seed=seed)).clip(0, 1)


def reward(start, end, seed=0, sd=0.05):
    return line(start, end, N) + noise(N, sd, seed=seed + 50)


def rises(at=60, to=0.85, start=0.1):
    return [np.full(at, start), line(start, to, 20), np.full(N - at - 20, to)]


# missing-eos


@pytest.mark.parametrize(
    ("shares", "message", "onset"),
    [
        ([0.3] * 60, "only 30% of the completions contain an EOS", 1),
        ([0.3] * 59 + [0.0], "only 27% of the completions contain an EOS", 1),
        ([0.3] * 19 + [0.0], "only 28% of the completions contain an EOS", 1),
        ([0.9] * 40 + [0.0] * 10, "no completion ends with an EOS", 41),
    ],
)
def test_no_end_at_all_is_said_where_none_came_for_long(shares, message, onset):
    columns = {"contain_eos_frac": shares, "reward_mean": np.full(len(shares), -0.5)}
    finding = found(columns, "missing-eos", algorithm="ppo")
    assert (finding.message, finding.onset_step) == (message, onset)


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


SOLVED = np.concatenate([line(0.1, 1.0, 60), np.full(N - 60, 1.0)]) + noise(N, 0.02)


@pytest.mark.parametrize("scores", [reward(0.1, 3.0), SOLVED], ids=["rising", "solved"])
def test_repetition_that_pays_is_information(scores):
    columns = {REPEATED: share(*rises()), "reward_mean": scores}
    assert found(columns, "repetition").severity == "info"


def test_a_solved_task_has_few_answers():
    rising = {DUPLICATES: share(*rises()), "reward_mean": reward(0.1, 3.0)}
    assert (one := found(rising, "duplicate-completions")) is None or one.severity == "info"
    assert found({DUPLICATES: share(*rises()), "reward_mean": SOLVED}, "duplicate-completions") is None


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
