"""The one mechanism of severity: an effect, what the reward did since, and how long it lasts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldk.health import Severity
from rldk.health.tracks import Track
from rldk.health.trouble import Level, Trouble, size
from rldk.testing import found, line, noise

CALM, ILL = 40, 60


def judged(rewards, effects, **options):
    """The trouble of a run, and its severity at each record."""
    reward, said = Track(), []
    trouble = Trouble(reward, **options)
    for step, (value, effect) in enumerate(zip(rewards, effects, strict=True), 1):
        reward.push(step, value)
        said.append(trouble.feed(effect, step))
    return trouble, said


def course(after, seed=0):
    """A reward that stands at 0.5, and after `CALM` records goes to `after`."""
    return np.concatenate([line(0.5, 0.5, CALM), line(0.5, after, ILL)]) + noise(CALM + ILL, 0.02, seed=seed)


def effects(worst):
    return [0.1] * CALM + [worst] * ILL


@pytest.mark.parametrize("seed", range(5))
def test_an_effect_of_one_is_a_warning_while_the_reward_stands(seed):
    trouble, said = judged(course(0.5, seed), effects(1.2))
    assert said[-1] is Severity.WARNING
    assert trouble.since == CALM + 1
    assert CALM + 9 <= said.index(Severity.WARNING) < CALM + 20


@pytest.mark.parametrize("seed", range(5))
def test_a_gain_halves_the_score_and_does_not_silence_it(seed):
    _, small = judged(course(1.0, seed), effects(1.2))
    _, large = judged(course(1.0, seed), effects(2.2))
    assert (small[-1], large[-1]) == (Severity.INFO, Severity.WARNING)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_critical_from_twice_the_size_while_the_reward_falls(seed):
    assert judged(course(0.1, seed), effects(1.2))[1][-1] is Severity.WARNING
    assert judged(course(0.1, seed), effects(1.4))[1][-1] is Severity.CRITICAL
    assert judged(course(0.5, seed), effects(5.0))[1][-1] is Severity.WARNING


def test_what_the_reward_gained_before_the_trouble_counts_for_nothing():
    rewards = np.concatenate([line(0.1, 0.9, 20), line(0.9, 0.9, 140)]) + noise(160, 0.02)
    trouble, said = judged(rewards, [0.1] * 100 + [1.5] * 60)
    assert said[-1] is Severity.WARNING
    assert trouble.then.mean > 0.7


def test_an_absolute_end_is_a_warning_whatever_the_reward_does():
    reward = Track()
    trouble = Trouble(reward, records=3)
    for step in range(1, 60):
        reward.push(step, step / 10)
        said = trouble.feed(0.0 if step < 20 else 1.1, step, is_absolute=step >= 50)
        assert step < 22 or said is (Severity.INFO if step < 50 else Severity.WARNING)


def test_without_a_reward_it_is_information():
    trouble = Trouble(Track(), records=2)
    assert [trouble.feed(3.0, step) for step in (1, 2)] == [None, Severity.INFO]
    assert trouble.then is None


def test_it_must_last_and_ends_with_the_effect():
    trouble, said = judged([0.5] * 30, [0.0] * 10 + [2.0] * 9 + [0.0] + [2.0] * 10)
    assert [one is None for one in said] == [True] * 29 + [False]
    assert trouble.since == 21
    assert trouble.feed(0.9, 31) is None
    assert trouble.effect == 0.9


def test_fewer_records_are_enough_where_each_is_a_mean_of_many():
    trouble = Trouble(reward := Track())
    reward.push(1, 0.5)
    assert [trouble.feed(1.5, step, records=2.5) for step in range(1, 4)] == [None, None, Severity.WARNING]


def test_a_level_of_few_records_is_less_sure():
    few, many = Track(), Track()
    for step, value in enumerate(0.5 + noise(200, 0.05), 1):
        many.push(step, value)
        if step <= 30:
            few.push(step, value)
    assert abs(Level(0.4, 1).gain(many)) < abs(Level(0.4, 20).gain(many))


def test_confidence_grows_with_the_score():
    assert judged(course(0.5), effects(1.0))[0].confidence == pytest.approx(0.6, abs=0.05)
    assert judged(course(0.5), effects(9.0))[0].confidence == 0.95


@given(
    scale=st.floats(1e-3, 1e3),
    shift=st.floats(-10, 10),
    worst=st.floats(0.5, 4),
    after=st.sampled_from([0.1, 0.4, 0.5, 0.6, 1.0]),
    seed=st.integers(0, 5),
)
def test_no_unit_of_the_reward_changes_a_severity(scale, shift, worst, after, seed):
    plain = judged(course(after, seed), effects(worst))[0]
    other = judged(course(after, seed) * scale + shift * scale, effects(worst))[0]
    assert other.score == pytest.approx(plain.score, rel=1e-6)
    assert other.since == plain.since


@given(times=st.floats(0, 1e6))
def test_the_size_grows_by_one_with_each_doubling(times):
    assert size(2 * times) == pytest.approx(size(times) + 1 if times >= 1 else size(2 * times))
    assert size(times) >= 0


@given(
    effects=st.lists(st.floats(0, 3), min_size=1, max_size=80),
    records=st.integers(1, 12),
    needed=st.integers(1, 12),
)
def test_the_effect_that_lasts_is_the_smallest_of_the_newest(effects, records, needed):
    trouble, enough = Trouble(Track(), records=records), min(needed, records)
    for step, effect in enumerate(effects):
        trouble.feed(effect, step, records=needed)
        newest = effects[max(step + 1 - enough, 0) : step + 1]
        is_lasting = len(newest) == enough and min(newest) >= 0.5
        assert trouble.effect == (min(newest) if is_lasting else 0.0)


@pytest.mark.parametrize(
    ("rule", "columns"),
    [
        ("kl-blowup", {"kl_mean": np.concatenate([np.full(60, 0.02), np.full(140, 6.0)])}),
        ("entropy-collapse", {"entropy_mean": np.concatenate([np.full(60, 1.0), np.full(140, 0.05)])}),
        ("entropy-explosion", {"entropy_mean": np.concatenate([np.full(60, 1.0), np.full(140, 8.0)])}),
        ("gradient-creep", {"grad_norm": np.concatenate([np.full(60, 1.0), np.full(140, 20.0)])}),
    ],
)
def test_a_finding_lies_beyond_its_limit_and_its_baseline_does_not(rule, columns):
    ((name, values),) = columns.items()
    seen = found({name: values, "reward_mean": 0.5 + noise(200, 0.02)}, rule)
    rises = values[-1] > values[0]
    assert seen.shown_on == [name]
    assert (seen.levels.baseline < seen.levels.limit < values[-1]) == rises
    assert (seen.levels.baseline > seen.levels.limit > values[-1]) != rises
