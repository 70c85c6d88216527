"""REW009 reward-function-errors: runs on which it must speak, and runs on which it must be silent."""

import numpy as np

from health.rules.reward.reward_faults_runs import logged, observed
from rldk.testing import found

N = 80


def test_a_failed_call_and_an_infinity_are_named_at_once():
    once = np.where(np.arange(N) == 70, 1.0, 0.0)
    finding = found(logged("a", "b") | observed("a", errors=once) | observed("b"), "reward-function-errors")
    assert (finding.severity, finding.first_step) == ("warning", 71)
    assert "`a` failed, or gave a wrong number of values, in 1 of 1 calls" in finding.message
    assert "b" not in finding.evidence
    finding = found(logged("a") | observed("a", infinite=once / 8), "reward-function-errors")
    assert "`a` gave an infinity to 0.12 of the completions" in finding.message


def test_functions_that_work_are_not_named():
    assert found(logged("a") | observed("a", missing=0.9), "reward-function-errors") is None
