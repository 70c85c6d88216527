import math

from hypothesis import given
from hypothesis import strategies as st

from events import event
from rldk.health import Observation
from rldk.report.curve import MARK, POINTS, Curve, Curves


def curve_of(values):
    curve = Curve()
    for step, value in enumerate(values):
        curve.push(step, value)
    return curve


@given(st.lists(st.none() | st.floats(-1e9, 1e9) | st.just(math.nan), max_size=900))
def test_a_curve_is_bounded_and_its_ends_and_extremes_are_exact(values):
    curve = curve_of(values)
    finite = [value for value in values if value is not None and math.isfinite(value)]
    assert len(curve.points()) <= POINTS
    assert (curve.count, curve.nonfinite) == (len(finite), len(values) - len(finite))
    if finite:
        assert (curve.first, curve.last) == (finite[0], finite[-1])
        assert (curve.low, curve.high) == (min(finite), max(finite))
    assert len(curve.spark(40, 10)) <= 40


def test_thinning_keeps_the_course():
    curve = curve_of(range(100_000))
    points = curve.points()
    assert points == sorted(points)
    assert abs(curve.at(50_000) - 50_000) < 1_000
    assert curve.spark(8) == "▁▂▃▄▅▆▇█"


def test_the_mark_stands_before_the_first_record_at_the_step():
    curve = curve_of([0.0] * 50 + [1.0] * 50)
    line = curve.spark(21, 50)
    assert line == f"{'▁' * 10}{MARK}{'█' * 10}"
    assert MARK not in curve.spark(21, 0)
    assert MARK not in curve.spark(21, 1_000)
    assert MARK not in curve.spark(21)


def test_curves_leave_out_the_summary_and_are_bounded():
    curves = Curves()
    curves.take(Observation.of(event(1, loss=1.0)))
    curves.take(Observation.of(event(2, "eval", eval_loss=2.0)))
    curves.take(Observation.of(event(2, "summary", train_loss=2.0)))
    assert set(curves) == {"loss", "eval_loss"}
    curves.take(Observation.of(event(3, **{f"m{n}": 1.0 for n in range(5_000)})))
    assert len(curves) <= 500
    assert curves.first_of(["nothing", "loss", "loss"]) == ["loss"]
