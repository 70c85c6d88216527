"""Each statement holds of rows that prove it, with their numbers, and of no ordinary rows."""

import json
from math import inf, nan

import pytest
from click.testing import CliRunner

from rldk.cli import main
from rldk.report.rows import STATEMENTS, ShortLog, statements_about, what_rows_show

CUT = {"truncated_frac": 1.0, "completion_length_min": 4096.0, "completion_length_max": 4096.0}
ALIKE = {"reward_mean": 4.0, "reward_std": 0.0}
PAIR = {"rewards_accuracies": 1.0, "rewards_margins": 9.0}

PROVEN = [
    ("not_finite", [{"loss": 1.0, "grad_norm": nan}], "in 1 of 1: grad_norm"),
    ("not_finite", [{"loss": 1.0}, {"loss": inf}], "in 1 of 2 rows, first in row 2: loss"),
    ("finite_logits", [{"logps_chosen": nan, "logits_chosen": 0.5}], "0.5"),
    ("all_cut", [CUT], "4,096 tokens"),
    ("all_cut", [{"truncated_frac": 0.52}], "52%"),
    ("no_eos", [{"contain_eos_frac": 0.0}], "end token"),
    ("no_spread", [ALIKE, ALIKE], "reward 4, spread 0) in both rows"),
    ("no_advantage", [{"advantage_token_min": 0.0, "advantage_token_max": 0.0}], "in this row"),
    ("one_value", [{"rewards/right/mean": 0.5}] * 3, "right (0.5)"),
    (
        "format_only",
        [{"rewards/form/mean": 0.98, "rewards/task/mean": 0.02}],
        "form is 0.98 while task is 0.02",
    ),
    ("gradient_zero", [{"grad_norm": 0.0, "reward_std": 0.3, "reward_mean": 0.2}], "spread 0.3"),
    ("gradient_zero", [{"grad_norm": 0.0, "loss": a, "lr": 0.001} for a in (1.5, 1.2)], "1.5 to 1.2"),
    ("last_row_broken", [{"grad_norm": 0.3}, {"grad_norm": nan}], "save nothing over it"),
    ("broken_at_first", [{"grad_norm": nan, "lr": 1e-8}] * 2, "1e-08 in the first row"),
    ("skipped_steps", [{"grad_norm": nan, "loss": a, "lr": 2e-4} for a in (3.1, 3.0)], "stays at 0.0002"),
    ("mean_over_nothing", [{"grad_norm": 0.2, "loss": 0.1, "kl_mean": nan}], "weights are whole"),
    ("same_gradient", [{"grad_norm": 1.4142135, "loss": a} for a in (2.7, 0.0, 0.0)], "1.41421"),
    (
        "weights_lost",
        [{"grad_norm": g, "loss": a} for g, a in ((0.3, 2.0), (nan, 0.0), (nan, 0.0))],
        "row 2 on",
    ),
    ("closing_loss", [], "train_loss, is 0"),
    ("untrained_loss", [{"loss": 4.5, "token_accuracy_mean": 0.25}], "25% of the tokens"),
    ("pace", [{"train_steps_per_second_so_far": 0.01}], "100 s"),
    ("near_random", [{"entropy_mean": 5.7}], "among 299 tokens"),
    ("validation_knows", [{"reward_mean": 0.01, "val/test_score/a": 0.17}], "0.17 (val/test_score/a)"),
    ("at_the_reference", [{"kl_mean": 0.0, "grad_norm": 0.2}] * 5, "still its reference"),
    (
        "reward_lost_to_kl",
        [{"reward_mean": r, "kl_mean": k} for r, k in ((0.9, 0.1), (1.2, 0.2), (0.0, 300.0))],
        "from 1.2 in row 2",
    ),
    ("hidden_nan", [{"loss": 2.7}, {"loss": 0.0}], "1 of 2 rows"),
    ("worse_than_guessing", [{"loss": 13.6}], "13.6"),
    (
        "loss_rises",
        [{"loss": a, "grad_norm": g} for a, g in ((0.5, 0.3), (0.6, 4.0), (1.0, 9.0))],
        "0.5 to 1",
    ),
    ("high_rate", [{"loss": 1.0, "lr": 0.05}], "0.05"),
    ("saturated", [PAIR], "margin of 9"),
    ("no_reference", [{"rewards_chosen": 2.5 * a, "logps_chosen": a} for a in (-0.4, -0.5)], "2.5 times"),
    ("clamped_kl", [{"kl_reference_point_mean": 0.0}], "KTO"),
    ("evaluated_first", [{"loss": 1.0}], "Step 0"),
    ("reused", [{"loss": 0.0, "completion_length_mean": 9.0}, {"loss": 0.0}], "1 without"),
]
ORDINARY = [
    {
        "loss": 0.01 * at + 0.1, "grad_norm": 0.3 + 0.01 * at, "lr": 1e-6,
        "reward_mean": 0.4,
        "reward_std": 0.2,
        "truncated_frac": 0.1, "completion_length_mean": 80.0, "contain_eos_frac": 0.9,
        "rewards/a/mean": 0.4 + at / 50,
        "rewards_chosen": 0.1 * at, "logps_chosen": -20.0 - at, "rewards_margins": 0.2,
        "rewards_accuracies": 0.7,
        "advantage_token_min": -1.0, "advantage_token_max": 1.0,
    }
    for at in range(5)
]  # fmt: skip


@pytest.mark.parametrize(("name", "rows", "told"), PROVEN)
def test_rows_that_prove_a_statement(name, rows, told):
    one = next(statement.say for statement in STATEMENTS if statement.say.__name__ == name)
    algorithm = "kto" if name == "clamped_kl" else None
    steps = [3000 + at for at in range(len(rows))]
    assert told in (one(ShortLog(rows, algorithm, "trl", 0, steps, {"train_loss": 0.0})) or "")
    assert one(ShortLog(ORDINARY, algorithm, "trl", None, steps, {"train_loss": 1.2})) is None


def test_every_statement_has_rows_that_prove_it():
    assert {one.say.__name__ for one in STATEMENTS} == {name for name, _, _ in PROVEN}


def test_statements_are_found_by_the_metrics_that_they_are_about():
    rows = ShortLog([{**ALIKE, "lr": 0.05, "loss": 0.0}] * 2, dialect="trl")
    assert [text.partition(" ")[0] for text in statements_about(rows, ["reward_mean"])] == ["All"]
    assert "0.05" in statements_about(rows, ["lr"])[0]
    assert statements_about(rows, ["completion_length_mean"]) == []


@pytest.mark.parametrize("algorithm", [None, "sft", "dpo", "grpo"])
def test_rows_without_metrics_show_nothing(algorithm):
    assert what_rows_show(ShortLog([], algorithm)) == []
    assert what_rows_show(ShortLog([{}, {"other": 1.0}], algorithm)) == []


@pytest.mark.parametrize("losses", [(2.7, 2.6, 2.5), (2.7, 2.6, 0.0)])
def test_a_gradient_norm_of_few_digits_may_repeat(losses):
    rows = ShortLog([{"loss": loss, "grad_norm": 0.5} for loss in losses])
    assert not any("to the last digit" in text for text in what_rows_show(rows))


@pytest.mark.parametrize(
    "rows",
    [
        [{"loss": 0.0, "grad_norm": 0.001}],  # memorised, and rounded
        [{"loss": 0.0, "rewards_margins": 9.0}],  # preferences that are told apart
        [{"loss": 0.0, "reward_mean": 0.4}],  # GRPO: advantages are centred
        [{"loss": 0.0, "rewards/a/mean": 0.4}],
    ],
)
def test_a_loss_of_0_that_may_be_one_is_no_hidden_nan(rows):
    assert not any("logging_nan_inf_filter" in text for text in what_rows_show(ShortLog(rows)))


@pytest.mark.parametrize(("records", "shown"), [(3, True), (25, False)])
def test_only_the_page_of_a_short_log_tells_what_its_rows_show(records, shown, tmp_path):
    path = tmp_path / "log.jsonl"
    line = {"loss": 1.0, "reward": 0.0, "reward_std": 0.0, "completions/clipped_ratio": 1.0}
    path.write_text("".join(json.dumps({"step": at + 1, **line}) + "\n" for at in range(records)))
    for kind in ("terminal", "markdown"):
        page = CliRunner().invoke(main, ["doctor", str(path), "--format", kind]).stdout
        assert ("What these rows show" in page) is shown
        assert ("give more rows" in page) is shown


@pytest.mark.parametrize("gradient", [2e-5, nan])
def test_a_loss_that_is_0_at_once_is_no_rounding(gradient):
    rows = ShortLog([{"loss": 1.7, "grad_norm": 2e-5}, {"loss": 0.0, "grad_norm": gradient}])
    assert any("logging_nan_inf_filter" in text for text in what_rows_show(rows))


@pytest.mark.parametrize("dialect", [None, "generic", "sb3"])
def test_the_loss_of_another_model_is_not_compared_with_guessing_tokens(dialect):
    rows = ShortLog([{"loss": 14.0}] * 3, dialect=dialect, steps=(4000, 4001, 4002))
    assert what_rows_show(rows) == []


def test_a_spread_over_the_batch_is_none_within_the_groups():
    row = {**ALIKE, "rewards/form/mean": 1.0, "rewards/form/std": 5.1}
    assert any(
        "spread of form (up to 5.1) is over the whole batch" in t for t in what_rows_show(ShortLog([row]))
    )


def test_a_margin_is_that_of_the_two_rewards_and_never_of_nan():
    rows = ShortLog(
        [{"rewards_chosen": -8.0, "rewards_rejected": -16.4, "rewards_margins": nan, "loss": 0.0}]
    )
    shown = what_rows_show(rows)
    assert any("margin of 8.4" in text for text in shown)
    assert not any("nan" in text for text in shown if "margin of" in text)
