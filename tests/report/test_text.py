import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldk.report.text import counted, listed, number, strict


@given(st.floats(allow_nan=True) | st.none())
def test_a_number_is_short(value):
    assert len(number(value)) <= 11


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0, "0"), (3.0, "3"), (0.123456, "0.1235"), (1e-5, "1e-05"), (math.inf, "inf")]
)
def test_numbers_are_written_as_people_write_them(value, shown):
    assert number(value) == shown


def test_lists_and_counts():
    assert [listed(list("abc"[:n])) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
    assert (counted(1, "line"), counted(2_000, "line")) == ("1 line", "2,000 lines")


def test_strict_data_is_strict_json():
    value = {"a": math.nan, 1: [math.inf, -math.inf, {1, 2}], "b": (None, True, 5, "\ud800"), "c": object}
    text = json.dumps(strict(value), allow_nan=False)
    text.encode()
    assert json.loads(text)["a"] == "nan"
    assert json.loads(text)["1"][:2] == ["inf", "-inf"]
