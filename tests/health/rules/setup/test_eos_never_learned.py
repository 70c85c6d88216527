"""SET001 eos-never-learned: runs on which it must speak, and runs on which it must be silent."""

import pytest

from health.rows import diagnosed, trains
from health.rules.setup.common import WHOLE, begun
from rldk.schema.training_start import FirstLabels

RULE = "eos-never-learned"
TUNED = trains(
    loss=[2.0 - 0.02 * i for i in range(40)], mean_token_accuracy=[0.5 + 0.01 * i for i in range(40)]
)


def labels(sequences, counted, ends):
    return WHOLE | {"labels": FirstLabels(sequences=sequences, counted=counted, ends=ends)}


def not_checked(algorithm, **context):
    return {one.rule: one for one in diagnosed(TUNED, algorithm, **context).not_checked}


@pytest.mark.parametrize(
    ("algorithm", "severity"), [("sft", "warning"), ("gkd", "warning"), ("dpo", "info"), ("kto", "info")]
)
@pytest.mark.parametrize("seen", [(8, 900), (2, 30)])
def test_labels_without_an_end_are_reported(algorithm, severity, seen):
    finding = begun(algorithm, start=labels(*seen, 0))[RULE]
    assert (finding.severity, finding.onset_step) == (severity, 0)
    assert (
        f"no end token is among the {seen[1]} labels that count in {seen[0]} whole sequences"
        in finding.message
    )
    assert finding.remedies


def test_a_mask_of_the_answers_is_the_first_suspect_where_there_is_one():
    finding = begun("sft", start=labels(8, 900, 0), assistant_only_loss=True)[RULE]
    assert "endgeneration" in finding.remedies[0]


@pytest.mark.parametrize("start", [labels(8, 900, 8), labels(8, 900, 1), labels(1, 30, 0), labels(0, 0, 0)])
@pytest.mark.parametrize("algorithm", ["sft", "dpo"])
def test_an_end_or_too_few_whole_rows_are_silent(start, algorithm):
    assert RULE not in begun(algorithm, start=start)


@pytest.mark.parametrize("algorithm", ["sft", "gkd", "dpo", None])
def test_a_log_holds_no_labels(algorithm):
    one = not_checked(algorithm)[RULE]
    assert (one.code, one.needs) == ("SET001", [])
    assert "at least one EOS must not be -100" in one.how


@pytest.mark.parametrize("algorithm", ["grpo", "ppo", "reward"])
def test_an_algorithm_without_such_labels_does_not_list_it(algorithm):
    assert RULE not in not_checked(algorithm)


def test_a_padding_token_that_equals_eos_is_no_finding():
    diagnosis = diagnosed(TUNED, "sft", options={"pad_token": "<|im_end|>", "eos_token": "<|im_end|>"})
    assert diagnosis.findings == []
    assert diagnosis.status == "healthy"
