"""The words that reports share."""

from types import SimpleNamespace

import pytest

from rldk.report.phrases import since


@pytest.mark.parametrize(
    ("onset", "last", "told"),
    [
        (0, 0, "Before the first step"),  # of the configuration
        (0, 60, "From the start (step 10)"),  # of a checkpoint from before the first record
        (10, 60, "From the start (step 10)"),
        (1_500, 2_000, "Since step 1,500"),
    ],
)
def test_since_when(onset, last, told):
    about, finding = SimpleNamespace(first_step=10), SimpleNamespace(onset_step=onset, last_step=last)
    assert since(about, finding) == told


def test_without_a_record_everything_was_before_the_first():
    finding = SimpleNamespace(onset_step=4, last_step=4)
    assert since(SimpleNamespace(first_step=None), finding) == "Before the first step"
