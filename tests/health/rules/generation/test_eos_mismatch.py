"""GEN002 eos-mismatch: runs on which it must speak, and runs on which it must be silent."""

import numpy as np

from health.rules.generation.common import flat
from rldk.testing import diagnosis, found


def test_answers_that_end_on_another_token_are_named():
    columns = {"truncated_frac": flat(0.97, 60, sd=0.01), "completion_length_max": flat(300, 60, sd=20)}
    finding = found(columns, "eos-mismatch", options={"max_completion_length": 1024})
    assert finding.severity == "warning"
    assert (finding.onset_step, finding.first_step) == (1, 5)


def test_answers_that_are_cut_have_the_length_of_the_limit():
    columns = {"truncated_frac": flat(0.97, 60, sd=0.01), "completion_length_max": np.full(60, 1024.0)}
    assert found(columns, "eos-mismatch", options={"max_completion_length": 1024}) is None


def test_ends_that_the_trainer_does_not_count_are_proven_whatever_the_length():
    cut = {"truncated_frac": flat(0.97, 60, sd=0.01), "completion_length_max": np.full(60, 1024.0)}
    options = {"max_completion_length": 1024}
    finding = found(cut | {"samples/ended_frac": flat(0.9, 60)}, "eos-mismatch", options=options)
    assert finding.severity == "warning"
    assert finding.confidence > 0.95
    assert "hold an end token" in finding.message
    assert finding.first_step == 5
    assert found(cut | {"samples/ended_frac": flat(0.05, 60)}, "eos-mismatch", options=options) is None


def test_ends_that_the_trainer_counts_are_no_mismatch():
    columns = {"truncated_frac": flat(0.1, 60), "completion_length_max": np.full(60, 1024.0)}
    columns["samples/ended_frac"] = columns["samples/trainer_ended_frac"] = flat(0.9, 60)
    assert found(columns, "eos-mismatch", options={"max_completion_length": 1024}) is None


def test_padding_that_the_trainer_takes_for_an_end_hides_no_mismatch():
    """Behind an end token of `generation_kwargs` alone, TRL 1.16 counts few completions as cut."""
    columns = {"truncated_frac": flat(0.03, 60), "completion_length_max": np.full(60, 1024.0)}
    columns |= {"samples/ended_frac": flat(0.9, 60), "samples/trainer_ended_frac": np.full(60, 0.02)}
    finding = found(columns, "eos-mismatch", options={"max_completion_length": 1024})
    assert "for the trainer 2% do" in finding.message
    assert finding.first_step == 5


def test_without_the_limit_eos_mismatch_is_not_checked():
    columns = {"truncated_frac": np.ones(30), "completion_length_max": np.full(30, 9.0)}
    assert "eos-mismatch" in {one.rule for one in diagnosis(columns).not_checked}
