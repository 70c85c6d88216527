"""A series as one line of blocks."""

import math

import pytest

from rldk.report.curve import Curve
from rldk.report.sparkline import sparkline


@pytest.mark.parametrize("value", [0.1, 0.3, -0.7, 1e-5, 3e-308, 1e300, 0.0])
@pytest.mark.parametrize("count", [50, 120, 1_000, 5_000])
def test_a_constant_series_is_a_flat_line(value, count):
    curve = Curve()
    for step in range(count):
        curve.push(step, value)
    assert set(curve.spark(40)) == {"▁"}
    assert set(sparkline([value] * count, 40)) == {"▁"}


def test_a_difference_of_rounding_is_none_and_a_small_one_is_drawn():
    assert set(sparkline([math.nextafter(0.3, 1), 0.3], 2)) == {"▁"}
    assert sparkline([1.0, 1.0 + 1e-6], 2) == "▁█"
    assert sparkline([0.0, 1e-300], 2) == "▁█"
