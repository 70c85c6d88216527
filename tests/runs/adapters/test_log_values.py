"""How one value is read: as a step or a time."""

import math

import pytest

from rldk.runs.adapters.log_values import seconds, whole_number


@pytest.mark.parametrize(
    ("value", "step"),
    [(5, 5), (5.0, 5), ("5", 5), ("5/441", 5), (0, 0)]
    + [(value, None) for value in (5.5, "five", True, None, -1, math.nan, math.inf, [5], 1e300, "", "/5")],
)
def test_whole_numbers(value, step):
    assert whole_number(value) == step


@pytest.mark.parametrize(
    ("value", "time"),
    [
        (12.5, 12.5),
        ("12.5", 12.5),
        (1.7e9, 1.7e9),
        (1.7e12, 1.7e9),
        (1.7e18, pytest.approx(1.7e9)),
        ("0:01:03", 63),
        ("01:03", 63),
        ("1 day, 1:00:00.5", 90_000.5),
        ("3 days, 0:00:00", 259_200),
        ("6s", 6),
        ("1m 42s", 102),
        ("2h 1m 0s", 7260),
        ("1d 2h", 93_600),
        ("1970-01-02T00:00:00Z", 86_400),
        ("1970-01-02 00:00:00", 86_400),
        ("1970-01-02T02:00:00+02:00", 86_400),
    ]
    + [(value, None) for value in ("", "soon", None, True, -5, math.nan, math.inf, [1], "x" * 1000)],
)
def test_times(value, time):
    assert seconds(value) == time
