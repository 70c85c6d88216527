"""The words that reports share."""

from types import SimpleNamespace

import pytest

from rldk.health import Observation
from rldk.report.curve import Curves
from rldk.report.phrases import commands, since


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
    about, finding = (
        SimpleNamespace(first_step=10, is_excerpt=False),
        SimpleNamespace(onset_step=onset, last_step=last),
    )
    assert since(about, finding) == told


def test_without_a_record_everything_was_before_the_first():
    finding = SimpleNamespace(onset_step=4, last_step=4)
    assert since(SimpleNamespace(first_step=None), finding) == "Before the first step"


@pytest.mark.parametrize(
    ("rule", "logged", "metric"),
    [
        ("kl-blowup", ("reward_mean", "kl_mean"), "kl_mean"),  # the first of its needs
        ("kl-blowup", ("reward_mean", "kl_sequence_mean"), "kl_sequence_mean"),
        ("kl-blowup", ("reward_mean",), "reward_mean"),
        ("a-rule-of-mine", ("reward_mean", "kl_mean"), "reward_mean"),
    ],
)
def test_the_metric_that_decided_is_the_first_that_the_rule_needs(rule, logged, metric):
    curves = Curves()
    for step in (1, 2):
        curves.take(Observation(kind="log", step=step, values=dict.fromkeys(logged, 1.0)))
    worst = SimpleNamespace(rule=rule, evidence=dict.fromkeys(("reward_mean", "kl_mean"), 1.0), samples=[])
    about = SimpleNamespace(
        source="r", worst=worst, curves=curves, state="ended", diagnosis=SimpleNamespace(findings=[worst])
    )
    assert commands(about)[1] == (f"rldk explain {metric} r", "the metric that decided")
