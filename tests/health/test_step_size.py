"""The step size: which learning rate fits, from the first updates, and when it knows nothing."""

from math import inf, nan

import pytest

from rldk.health import RunContext
from rldk.health.step_size import HIGHEST, TRUST, StepSize


def fed(rates, moves, *, algorithm="grpo", every=1, key="kl_mean", **options):
    size = StepSize(RunContext(algorithm=algorithm, options={"learning_rate": max(rates), **options}))
    for at, (rate, move) in enumerate(zip(rates, moves, strict=True), 1):
        size.feed(at * every, {"lr": rate, key: move})
    return size


@pytest.mark.parametrize("rate", [1e-7, 1e-5, 1e-4, 3e-3])
def test_the_fitting_rate_does_not_depend_on_the_rate_of_the_run(rate):
    curvature = TRUST / 4e-6**2  # 4e-6 fits
    size = fed([rate] * 3, [0.0, curvature * rate**2, curvature * (2 * rate) ** 2])
    assert size.fitting == pytest.approx(4e-6, rel=1e-6)
    assert size.scale == pytest.approx(4e-6 / rate, rel=1e-6)


def test_rates_of_a_warm_up_are_summed():
    size = fed([0.0, 1e-4, 2e-4], [0.0, 0.0, 0.09])  # before step 3 one update, of 1e-4
    assert size.curvature == pytest.approx(0.09 / 1e-8)
    assert size.lower(0.3).scale == pytest.approx((TRUST / 0.09) ** 0.5 / 2)


def test_a_record_of_several_steps_is_a_mean_over_them():
    each = fed([1e-4] * 6, [0.0, *[(1e-4 * n) ** 2 * 1e6 for n in range(1, 6)]])
    sums = [(1e-4 * n) ** 2 * 1e6 for n in range(6)]
    pairs = [(sums[at] + sums[at + 1]) / 2 for at in (0, 2, 4)]
    several = fed([1e-4] * 3, pairs, every=2)
    assert several.fitting == pytest.approx(each.fitting, rel=0.5)


def test_no_rate_above_the_highest_is_suggested():
    assert fed([1e-2] * 2, [0.0, 1e-3]).fitting == HIGHEST


def test_a_signed_kl_must_stand_out_of_its_noise():
    assert fed([1e-4] * 3, [0.0, 0.004, -0.003], algorithm="rloo").fitting is None
    assert fed([1e-4] * 3, [0.0, 0.004, 0.3], algorithm="rloo").fitting is not None


def test_a_kl_before_the_first_update_is_noise():
    assert fed([0.0, 1e-5, 1e-5], [1e-4, 2e-4, 5e-4]).fitting is None


def test_offline_the_rise_of_the_loss_is_the_move():
    size = fed([0.0, 1e-2, 1e-2], [2.0, 2.1, 6.1], algorithm="sft", key="loss")
    assert size.curvature == pytest.approx(4.0 / 1e-4)
    assert fed([1e-4] * 20, [2.0] * 20, algorithm="sft", key="loss").blame(0.6) < 0.5
    assert fed([1e-4] * 3, [0.1, 0.5, 0.9], algorithm="grpo", key="loss").fitting is None


@pytest.mark.parametrize("rates", [[nan, 1e-4], [inf, 1e-4], [10**400, 1e-4], [None, 1e-4]])
def test_a_rate_that_is_no_number_tells_nothing(rates):
    size = StepSize()
    for at, rate in enumerate(rates, 1):
        size.feed(at, {"lr": rate, "kl_mean": 0.5})
    assert size.fitting is None


@pytest.mark.parametrize("first", [21, 500])
def test_a_log_that_begins_in_the_middle_tells_nothing(first):
    size = StepSize()
    for at in range(first, first + 5):
        size.feed(at, {"lr": 1e-4, "kl_mean": 0.5})
    assert size.fitting is None


def test_a_step_back_ends_the_look_at_the_beginning():
    size = StepSize()
    for step in (1, 2, 1, 2, 3):
        size.feed(step, {"lr": 1e-4, "kl_mean": 0.0})
    size.feed(4, {"lr": 1e-4, "kl_mean": 0.9})
    assert size.fitting is None


def test_what_worked_for_long_is_not_the_cause():
    quiet = StepSize(RunContext(algorithm="grpo"))
    for step in range(1, 100):
        quiet.feed(step, {"lr": 1e-4})
    assert quiet.worked_until(80, 1.0)
    assert not quiet.worked_until(8, 1.0)
    assert quiet.blame(0.7, 80) < 0.5
    assert quiet.blame(0.7, 8) == 0.7


def test_a_rate_that_leaps_has_not_worked():
    size = StepSize(RunContext(algorithm="grpo"))
    for step in range(1, 100):
        size.feed(step, {"lr": 1e-2 if 60 <= step < 63 else 1e-4})
    assert not size.worked_until(62, 1.0)


def test_a_rate_far_beyond_what_fits_is_the_cause_even_late():
    size = fed([1e-3] * 3, [0.0, 1.0, 2.0])
    assert not size.worked_until(500, 1.0)
    assert size.blame(0.5, 500) == 0.85


def test_a_rate_that_is_too_low_is_raised_to_what_fits():
    size = fed([1e-9] * 3, [0.0, 2e-9, 8e-9])
    assert size.higher(10).scale == pytest.approx(size.fitting / 1e-9)
    assert StepSize().higher(10, up_to=1e-4).scale == 10


def test_nothing_known_gives_the_usual_share():
    assert StepSize().lower(0.3).scale == 0.3
    assert StepSize().blame(0.6) == 0.6
