"""Questions about the course of a run are answered from its records, and left out where they do not arise."""

import pytest

from events import event
from rldk.health import Monitor, Observation, RunContext
from rldk.health.normal import History, Questions, question_of


def answer(name, rows, *, algorithm="sft", phases=(), closing=None, steps=None, **history):
    """The answer to one question about a run of these rows; None where there is none."""
    context = RunContext(algorithm=algorithm)
    monitor = Monitor(context, ())
    known = History(**history)
    questions = Questions(context, monitor.chart, history=known)
    for at, values in enumerate(rows):
        step = at + 1 if steps is None else steps[at]
        one = event(step, phases[at] if phases else "train", **values)
        monitor.feed(one)
        known.add(Observation.of(one))
    if closing:
        known.add(Observation.of(event(len(rows) + 1, "summary", **closing)))
    return questions.answer(question_of(name))


def stairs(levels):
    return [{"epoch": (at + 1) / 20, "loss": levels[min(at // 20, 2)] + 0.01 * (at % 2)} for at in range(60)]


def test_a_loss_that_falls_where_an_epoch_begins_is_memorised():
    found = answer("epoch-steps", stairs((1.8, 1.1, 0.6)))
    assert found.normal is True
    assert "at step 20 from 1.81 to 1.18" in found.text


def test_a_loss_that_rises_where_an_epoch_begins_is_not_normal():
    assert answer("epoch-steps", stairs((0.6, 1.1, 1.8))).normal is False


def test_without_a_step_or_an_epoch_the_question_does_not_arise():
    assert answer("epoch-steps", stairs((1.0, 1.0, 1.0))).normal is None
    assert answer("epoch-steps", [{"loss": 1.0, "epoch": 0.01 * at} for at in range(30)]) is None
    assert answer("epoch-steps", [{**row, "reward_mean": 0.1} for row in stairs((1.8, 1.1, 0.6))]) is None


@pytest.mark.parametrize(
    ("loss", "algorithm", "normal"), [(0.0, "sft", False), (0.0, "grpo", True), (1.3, "sft", None)]
)
def test_a_train_loss_of_0_is_normal_only_where_advantages_are_centred(loss, algorithm, normal):
    found = answer("train-loss-zero", [{"loss": 0.1}], algorithm=algorithm, closing={"train_loss": loss})
    assert found.normal is normal


def test_step_0_is_a_validation_only_where_the_log_holds_steps():
    rows, phases, steps = [{"eval_reward_mean": 0.5}, {"reward_mean": 0.5}], ["eval", "train"], [0, 1]
    assert "first update is step 1" in answer("step-zero", rows, phases=phases, steps=steps).text
    assert answer("step-zero", rows, phases=phases, steps=steps, has_steps=False) is None
    assert answer("step-zero", rows[1:]) is None


def test_what_is_slow_is_the_largest_part_of_a_step():
    row = {"iteration_time": 101.0, "generation_time": 61.0, "timing_s/update_actor": 24.0}
    assert "begin with generation_time" in answer("slow", [row]).text
    assert "takes 100 s (median of the latest 3 records)" in answer("slow", [{"step_time": 100.0}] * 3).text
    assert answer("slow", [{"loss": 1.0}]) is None


@pytest.mark.parametrize(("records", "normal"), [(3, False), (30, True), (120, True)])
def test_it_is_enough_from_20_records_on(records, normal):
    found = answer("enough", [{"loss": 1.0, "grad_norm": 0.1, "lr": 1e-5}] * records)
    assert found.normal is normal
    assert f"{records} train records" in found.text


def test_what_is_missing_is_named():
    text = answer("enough", [{"epoch": 0.5}] * 3, has_steps=False, is_excerpt=True).text
    for part in ("a reward or a loss", "grad_norm", "its first records", "its steps"):
        assert part in text


def test_without_a_history_nothing_is_answered():
    context = RunContext()
    questions = Questions(context, Monitor(context, ()).chart)
    for name in ("enough", "slow", "step-zero", "train-loss-zero", "epoch-steps"):
        assert questions.answer(question_of(name)) is None
