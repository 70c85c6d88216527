"""SET002 uncovered-eos: no record holds a tokenizer, so it is listed as not checked and never speaks."""

import pytest

from health.rows import diagnosed, trains

RULE = "uncovered-eos"
CUT = trains(truncated_frac=[0.97] * 40, completion_length_max=[200] * 40, completion_length_mean=[150] * 40)
"""Completions that count as cut far below the limit."""


def not_checked(algorithm, **context):
    return {one.rule: one for one in diagnosed(CUT, algorithm, **context).not_checked}


@pytest.mark.parametrize("algorithm", ["grpo", "rloo", None])
def test_a_trainer_that_generates_is_told_to_compare_the_ends(algorithm):
    one = not_checked(algorithm)[RULE]
    assert (one.code, one.needs) == ("SET002", [])
    assert "compare generation_config.eos_token_id with tokenizer.eos_token_id" in one.how


@pytest.mark.parametrize("algorithm", ["sft", "dpo", "ppo"])
def test_a_trainer_that_takes_no_end_token_for_cut_answers_does_not_list_it(algorithm):
    assert RULE not in not_checked(algorithm)


def test_eos_mismatch_finds_it_by_lengths_while_the_run_goes_on():
    found = {one.rule for one in diagnosed(CUT, "grpo", options={"max_completion_length": 512}).findings}
    assert "eos-mismatch" in found
    assert RULE not in found


def test_several_ends_in_the_generation_configuration_are_no_finding():
    model = {"eos_token_id": [32000, 32007]}
    assert RULE not in {one.rule for one in diagnosed(CUT, "grpo", model=model).findings}
