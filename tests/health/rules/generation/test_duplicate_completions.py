"""GEN009 duplicate-completions: runs on which it must speak, and runs on which it must be silent."""

import numpy as np

from health.rules.generation.common import reward, rises, share
from rldk.testing import found, line, noise

N = 160
DUPLICATES, REPEATED = "samples/duplicate_frac", "samples/repetition_frac"
SOLVED = np.concatenate([line(0.1, 1.0, 60), np.full(N - 60, 1.0)]) + noise(N, 0.02)


def test_a_solved_task_has_few_answers():
    rising = {DUPLICATES: share(*rises()), "reward_mean": reward(0.1, 3.0)}
    assert (one := found(rising, "duplicate-completions")) is None or one.severity == "info"
    spread = np.concatenate([line(0.4, 0.02, 60), np.full(N - 60, 0.02)])
    solved = {DUPLICATES: share(*rises()), "reward_mean": SOLVED, "reward_std": spread}
    assert found(solved, "duplicate-completions").severity == "info"


def test_a_reward_that_rose_before_is_no_excuse_while_completions_still_differ_in_it():
    mixed = {DUPLICATES: share(*rises(at=100)), "reward_mean": SOLVED, "reward_std": np.full(N, 0.4)}
    assert found(mixed, "duplicate-completions").severity == "warning"
