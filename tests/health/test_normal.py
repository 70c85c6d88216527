import random
from typing import get_args

import pytest

from events import event
from rldk.health import Monitor, RunContext
from rldk.health.normal import QUESTIONS, Questions
from rldk.health.rule import QuestionName


def ask(series, *, algorithm="grpo", **options):
    """The answers to all questions about a run of these series, by name."""
    context = RunContext(algorithm=algorithm, options=options)
    monitor = Monitor(context, ())
    questions = Questions(context, monitor.chart)
    for step, values in enumerate(series, 1):
        monitor.feed(event(step, **values))
    found = {answer.name: answer for one in QUESTIONS for answer in questions.for_metric(one.metrics[0])}
    return found, {answer.name for answer in questions.answers()}


def noisy(level, spread=0.02, seed=0):
    chance = random.Random(seed)
    return [level(step) + chance.gauss(0, spread) for step in range(100)]


RISING = noisy(lambda step: 0.2 + 0.005 * step)
FLAT = noisy(lambda step: 0.3)
SOLVED = noisy(lambda step: min(0.2 + 0.02 * step, 0.97), 0.005)


def test_the_questions_have_sources_and_are_about_metrics_that_exist():
    from rldk.metrics import metric_of

    assert len(QUESTIONS) == len({question.name for question in QUESTIONS}) == 22
    assert all(question.question.endswith("?") and question.source for question in QUESTIONS)
    assert {question.name for question in QUESTIONS} == set(get_args(QuestionName))
    assert all(metric_of(name) for question in QUESTIONS for name in question.metrics)


@pytest.mark.parametrize(("gradient", "normal"), [(0.5, True), (0.0, False)])
def test_a_loss_near_0_is_normal_where_the_gradient_is_alive(gradient, normal):
    found, page = ask([{"loss": 1e-4, "grad_norm": gradient, "reward_mean": r} for r in RISING])
    answer = found["loss-near-zero"]
    assert (answer.normal, answer.striking) == (normal, True)
    assert answer.text.startswith("Yes: " if normal else "No: ")
    assert "0.0001" in answer.text
    assert ("loss-near-zero" in page) is normal
    assert "loss-near-zero" not in ask([{"loss": 1e-4, "grad_norm": gradient}] * 50, algorithm="sft")[0]


@pytest.mark.parametrize(
    ("options", "normal"),
    [({"num_iterations": 1}, True), ({}, True), ({"num_iterations": 4}, False)],
)
def test_a_clip_ratio_of_0_is_normal_at_one_update_a_batch(options, normal):
    found, _ = ask([{"clip_frac": 0.0, "reward_mean": r} for r in RISING], **options)
    assert (found["clip-ratio-zero"].normal, found["clip-ratio-zero"].striking) == (normal, True)


@pytest.mark.parametrize(("beta", "normal"), [(0.0, True), (0.04, False)])
def test_no_kl_is_normal_with_beta_0(beta, normal):
    found, page = ask([{"reward_mean": r} for r in RISING], beta=beta)
    assert found["kl-absent"].normal is normal
    assert ("kl-absent" in page) is normal
    assert "kl-absent" not in ask([{"reward_mean": r, "kl_mean": 0.1} for r in RISING], beta=beta)[0]


@pytest.mark.parametrize(("rewards", "normal"), [(SOLVED, True), ([0.3] * 100, False)])
def test_no_spread_is_normal_where_the_task_is_solved(rewards, normal):
    series = [{"reward_mean": r, "reward_std": 0.0, "frac_reward_zero_std": 1.0} for r in rewards]
    found, page = ask(series)
    for name in ("reward-std-zero", "groups-without-spread"):
        assert (found[name].normal, found[name].striking) == (normal, True), name
        assert (name in page) is normal


@pytest.mark.parametrize(("margin", "normal"), [(0.05, True), (-0.05, False)])
def test_chosen_rewards_may_fall_while_the_margin_grows(margin, normal):
    series = [{"rewards_chosen": -0.1 * s, "rewards_margins": margin * s, "loss": 0.6} for s in range(100)]
    answer = ask(series, algorithm="dpo")[0]["chosen-falls"]
    assert (answer.normal, answer.striking) == (normal, True)
    rises = [{"rewards_chosen": 0.1 * s, "rewards_margins": 0.1 * s} for s in range(100)]
    assert not ask(rises, algorithm="dpo")[0]["chosen-falls"].striking


@pytest.mark.parametrize(
    ("algorithm", "level", "normal"),
    [("rloo", 0.0, True), ("rloo", -2.0, False), ("grpo", -0.01, False)],
)
def test_a_negative_kl_is_noise_only_of_k1_and_about_0(algorithm, level, normal):
    found, _ = ask([{"kl_mean": k, "reward_mean": 0.3} for k in noisy(lambda _: level)], algorithm=algorithm)
    assert (found["negative-kl"].normal, found["negative-kl"].striking) == (normal, True)


@pytest.mark.parametrize(("rewards", "normal"), [(RISING, True), (FLAT, False)])
def test_no_level_of_entropy_is_ill_by_itself(rewards, normal):
    series = [{"entropy_mean": max(1.2 - 0.012 * s, 0.02), "reward_mean": r} for s, r in enumerate(rewards)]
    assert ask(series)[0]["entropy-level"].normal is normal
    low = ask([{"entropy_mean": 0.1, "reward_mean": r} for r in FLAT])[0]["entropy-level"]
    assert (low.normal, low.striking) == (True, True)


def test_a_spike_of_the_gradient_is_normal_and_a_rising_level_is_none():
    spiked, page = ask([{"grad_norm": 9.0 if s == 60 else 0.5} for s in range(100)])
    assert spiked["gradient-spikes"].normal
    assert "gradient-spikes" in page
    creeping, _ = ask([{"grad_norm": 0.5 + 0.1 * s} for s in range(100)])
    assert not creeping["gradient-spikes"].normal


@pytest.mark.parametrize(
    ("rewards", "longest", "normal", "says"),
    [
        (RISING, 256, True, "within the limit"),
        (FLAT, 256, False, "earn nothing"),
        (FLAT, 90, False, "eos_token"),
    ],
)
def test_completions_that_are_all_cut(rewards, longest, normal, says):
    series = [{"truncated_frac": 1.0, "completion_length_max": longest, "reward_mean": r} for r in rewards]
    answer = ask(series, max_completion_length=256)[0]["all-clipped"]
    assert (answer.normal, answer.striking) == (normal, True)
    assert says in answer.text


@pytest.mark.parametrize(
    ("question", "values"),
    [
        ("clip-ratio-zero", {"clip_frac": 0.05}),
        ("reward-std-zero", {"reward_std": 0.3}),
        ("chosen-falls", {"rewards_chosen": 0.5, "rewards_margins": 0.5}),
        ("negative-kl", {"kl_mean": 0.1}),
        ("gradient-spikes", {"grad_norm": 0.5}),
        ("groups-without-spread", {"frac_reward_zero_std": 0.1}),
        ("all-clipped", {"truncated_frac": 0.0}),
        ("all-clipped", {"truncated_frac": 0.5}),
    ],
)
@pytest.mark.parametrize("rewards", [RISING, SOLVED, FLAT], ids=["rising", "solved", "flat"])
def test_a_question_about_what_the_run_does_not_show_does_not_arise(question, values, rewards):
    found, page = ask([{"reward_mean": reward, **values} for reward in rewards])
    assert (found[question].normal, found[question].striking) == (None, False)
    assert not found[question].text.startswith(("Yes", "No"))
    assert question not in page


def test_an_empty_run_is_asked_nothing():
    assert ask([]) == ({}, set())
    assert ask([], algorithm=None) == ({}, set())


def test_a_kl_that_is_never_finite_is_not_absent():
    found, _ = ask([{"kl_mean": float("nan"), "reward_mean": r} for r in RISING])
    assert "kl-absent" not in found


def test_a_loss_near_0_is_not_normal_where_no_reward_differs():
    rows = [{"loss": 0.0, "grad_norm": 1.9, "reward_mean": 0.0, "reward_std": 0.0}] * 3
    found, page = ask(rows)
    assert found["loss-near-zero"].normal is False
    assert "the reward is 0 in all 3 records" in found["loss-near-zero"].text
    assert "loss-near-zero" not in page
