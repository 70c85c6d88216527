"""REW005 dominant-reward-component: runs on which it must speak, and runs on which it must be silent."""

from health.rules.reward.reward_functions_runs import SOLVED, two
from rldk.testing import found, line, noise

N = 160
LIVELY = (line(0.1, 0.8, N) + noise(N, 0.05), 0.3 + noise(N, 0.02, seed=1))


def test_a_function_that_owns_the_spread():
    loud = (line(0, 8, N) + noise(N), 5 + noise(N, 0.2))
    assert "`a` has" in found(two(loud, LIVELY), "dominant-reward-component").message
    assert found(two(LIVELY, LIVELY), "dominant-reward-component") is None
    assert found(two(loud, SOLVED), "dominant-reward-component") is None
    weighted = found(two(loud, LIVELY), "dominant-reward-component", options={"reward_weights": [0.05, 1.0]})
    assert weighted is None
