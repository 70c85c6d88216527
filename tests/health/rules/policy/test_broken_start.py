"""POL007 broken-start: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from rldk.testing import found, line


def test_two_models_are_named_at_the_first_record():
    columns = {"sampling_logp_difference_mean": np.full(2, 0.996), "entropy_mean": np.full(2, 6.44)}
    finding = found(columns, "broken-start")
    assert (finding.severity, finding.first_step) == ("critical", 1)


@pytest.mark.parametrize("first", [0.0045, 0.0595, 0.095])
def test_the_usual_first_differences_are_fine(first):
    columns = {"sampling_logp_difference_mean": np.full(50, first), "entropy_mean": np.full(50, 2.7)}
    assert found(columns, "broken-start") is None


def test_verl_has_its_own_unit():
    columns = {"sampling_prob_difference_mean": np.full(5, 0.08)}
    assert found(columns, "broken-start").severity == "warning"
    assert found({"sampling_prob_difference_mean": np.full(5, 0.01)}, "broken-start") is None


def test_what_drifts_later_is_no_broken_start():
    assert found({"sampling_logp_difference_mean": line(0.01, 0.6, 100)}, "broken-start") is None
