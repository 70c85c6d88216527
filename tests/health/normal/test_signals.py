"""Questions about single signals are answered from the records, and left out where they do not arise."""

from math import nan

import pytest

from events import event
from rldk.health import Monitor, Observation, RunContext
from rldk.health.normal import History, Questions, question_of


def answer(name, rows, algorithm=None):
    """The answer to one question about a run of these rows; None where there is none."""
    context = RunContext(algorithm=algorithm)
    monitor = Monitor(context, ())
    history = History()
    questions = Questions(context, monitor.chart, history=history)
    for step, values in enumerate(rows, 1):
        one = event(step, **values)
        monitor.feed(one)
        history.add(Observation.of(one))
    return questions.answer(question_of(name))


@pytest.mark.parametrize(("points", "normal"), [((0.1, 0.05, 0.0), True), ((0.1, 0.2, 0.3), None)])
def test_a_reference_point_of_0_is_normal_in_kto(points, normal):
    found = answer("reference-point-zero", [{"kl_reference_point_mean": value} for value in points], "kto")
    assert found.normal is normal
    assert f"{points[0]:.3g} in the first record and {points[-1]:.3g}" in found.text


@pytest.mark.parametrize(
    ("chosen", "rejected", "normal"), [(-0.5, -6.5, True), (-3.0, -2.0, False), (0.2, -0.3, None)]
)
def test_negative_rewards_of_the_chosen_are_normal_while_the_margin_is_positive(chosen, rejected, normal):
    rows = [{"rewards_chosen": chosen, "rewards_rejected": rejected}] * 3
    assert answer("chosen-negative", rows, "dpo").normal is normal


def test_a_rate_that_stands_still_is_a_placeholder_or_that_of_skipped_steps():
    layerwise = [{"lr": 1e-3, "grad_norm": 0.0, "loss": 1.5 - 0.1 * at} for at in range(4)]
    skipped = [{"lr": 1e-4, "grad_norm": nan, "loss": 4.6}] * 4
    moving = [{"lr": 1e-4 * at, "grad_norm": 0.3, "loss": 1.0} for at in range(4)]
    assert answer("rate-not-mine", layerwise, "dpo").normal is True
    assert answer("rate-not-mine", skipped, "sft").normal is False
    assert answer("rate-not-mine", moving, "sft").normal is None
    assert answer("rate-not-mine", [{"loss": 1.0}] * 4) is None


@pytest.mark.parametrize(("value", "normal"), [(0.5, False), (0.0, False), (1.0, True)])
def test_a_function_with_one_value_is_a_default_or_solved(value, normal):
    rows = [{"rewards/right/mean": value, "rewards/form/mean": 0.1 * at} for at in range(4)]
    found = answer("constant-function", rows)
    assert found.normal is normal
    assert "right is" in found.text
    assert "form 0 to 0.3" in found.text


def test_functions_that_move_raise_no_question():
    assert answer("constant-function", [{"rewards/a/mean": 0.1 * at} for at in range(4)]).normal is None
    assert answer("constant-function", [{"rewards/a/mean": 0.5, "rewards/a/std": 0.2}] * 4).normal is None
    assert answer("constant-function", [{"reward_mean": 0.5}] * 4) is None


def test_completions_that_never_end_are_not_normal():
    cut = {"truncated_frac": 1.0, "completion_length_min": 256.0, "completion_length_max": 256.0}
    assert "256 tokens" in answer("no-eos", [cut] * 3).text
    assert answer("no-eos", [cut] * 3).normal is False
    assert answer("no-eos", [{"truncated_frac": 0.1}] * 3).normal is None
    assert answer("no-eos", [{"loss": 0.1}]) is None


def test_a_kl_that_is_nan_now_and_then_is_a_mean_over_nothing():
    rows = [{"kl_mean": nan if at == 3 else 0.1, "grad_norm": 0.2, "loss": 0.0} for at in range(20)]
    found = answer("nan-now-and-then", rows, "grpo")
    assert found.normal is True
    assert "1 of 20 records (first at step 4)" in found.text
    lost = [*rows, {"kl_mean": nan, "grad_norm": nan, "loss": 0.0}]
    assert answer("nan-now-and-then", lost, "grpo").normal is False
    assert answer("nan-now-and-then", [{"kl_mean": 0.1}] * 5) is None


@pytest.mark.parametrize(("spread", "normal"), [(0.3, False), (0.0, None)])
def test_a_gradient_of_0_beside_a_spread_is_not_normal(spread, normal):
    rows = [{"grad_norm": 0.0, "reward_std": spread, "reward_mean": 0.4}] * 5
    assert answer("gradient-zero", rows, "grpo").normal is normal
    assert answer("gradient-zero", [{"loss": 1.0}]) is None
