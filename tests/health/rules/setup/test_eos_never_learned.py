"""SET001 eos-never-learned: no log holds labels, so it is listed as not checked and never speaks."""

import pytest

from health.rows import diagnosed, trains

RULE = "eos-never-learned"
TUNED = trains(
    loss=[2.0 - 0.02 * i for i in range(40)], mean_token_accuracy=[0.5 + 0.01 * i for i in range(40)]
)


def not_checked(algorithm, **context):
    return {one.rule: one for one in diagnosed(TUNED, algorithm, **context).not_checked}


@pytest.mark.parametrize("algorithm", ["sft", "gkd", None])
def test_supervised_fine_tuning_is_told_to_look_at_the_labels(algorithm):
    one = not_checked(algorithm)[RULE]
    assert (one.code, one.needs) == ("SET001", [])
    assert "at least one EOS must not be -100" in one.how


@pytest.mark.parametrize("algorithm", ["grpo", "dpo", "ppo"])
def test_an_algorithm_without_such_labels_does_not_list_it(algorithm):
    assert RULE not in not_checked(algorithm)


def test_a_padding_token_that_equals_eos_is_no_finding():
    diagnosis = diagnosed(TUNED, "sft", options={"pad_token": "<|im_end|>", "eos_token": "<|im_end|>"})
    assert diagnosis.findings == []
    assert diagnosis.status == "healthy"
