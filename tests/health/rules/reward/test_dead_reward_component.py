"""REW004 dead-reward-component: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from health.rules.reward.reward_functions_runs import SOLVED, two
from rldk.testing import found, line, noise

N = 160
LIVELY = (line(0.1, 0.8, N) + noise(N, 0.05), 0.3 + noise(N, 0.02, seed=1))
DEAD = (np.zeros(N), np.zeros(N))


def test_a_function_that_never_pays_beside_one_that_does():
    finding = found(two(LIVELY, DEAD), "dead-reward-component")
    assert finding.severity == "info"
    assert "b (always 0)" in finding.message
    assert "a (" not in finding.message


@pytest.mark.parametrize("columns", [two(LIVELY, SOLVED), two(DEAD, DEAD), two(LIVELY, LIVELY)], ids=str)
def test_a_solved_function_and_two_alike_are_not_called_dead(columns):
    assert found(columns, "dead-reward-component") is None


def test_a_function_that_was_alive_and_is_given_up_while_the_total_rises_is_a_warning():
    given_up = (
        np.concatenate([line(0.4, 0.0, 60), np.zeros(N - 60)]),
        np.concatenate([line(0.45, 0.0, 60), np.zeros(N - 60)]),
    )
    finding = found(two(LIVELY, given_up), "dead-reward-component")
    assert finding.severity == "warning"
    assert "always" not in finding.message
    assert "never matches" not in " ".join(finding.causes)
