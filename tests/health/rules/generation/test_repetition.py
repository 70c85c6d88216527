"""GEN010 repetition: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from health.rules.generation.common import reward, rises, share
from rldk.testing import found, line, noise

N = 160
DUPLICATES, REPEATED = "samples/duplicate_frac", "samples/repetition_frac"
SOLVED = np.concatenate([line(0.1, 1.0, 60), np.full(N - 60, 1.0)]) + noise(N, 0.02)


@pytest.mark.parametrize(("scores", "severity"), [(reward(0.1, 3.0), "info"), (SOLVED, "warning")])
def test_only_a_reward_that_rises_with_it_pays_for_repetition(scores, severity):
    columns = {REPEATED: share(*rises(at=100 if severity == "warning" else 60)), "reward_mean": scores}
    assert found(columns, "repetition").severity == severity
