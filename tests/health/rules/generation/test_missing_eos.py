"""GEN008 missing-eos: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from health.rules.generation.common import flat, learning
from rldk.testing import found


def test_no_end_at_all_is_named_where_the_reward_stands():
    columns = {"eos_token_count": np.zeros(60), "reward_mean": flat(-0.6, 60)}
    assert found(columns, "missing-eos", algorithm="ppo").severity == "warning"
    good = columns | {"reward_mean": learning(records=60)}
    assert found(good, "missing-eos", algorithm="ppo").severity == "info"


def test_ends_are_usual():
    assert found({"contain_eos_frac": flat(0.8, 60)}, "missing-eos", algorithm="online_dpo") is None


def test_a_short_response_may_have_no_end():
    columns = {"eos_token_count": np.zeros(60), "rlhf_reward_mean": flat(0.1, 60)}
    short = {"response_length": 53}
    assert found(columns, "missing-eos", algorithm="ppo", options=short).severity == "info"
    long = {"response_length": 512}
    assert found(columns, "missing-eos", algorithm="ppo", options=long).severity == "warning"
    early = {name: column[:30] for name, column in columns.items()}
    assert found(early, "missing-eos", algorithm="ppo", options=long).severity == "info"


@pytest.mark.parametrize(
    ("shares", "message", "onset"),
    [
        ([0.3] * 60, "only 30% of the completions contain an EOS", 1),
        ([0.3] * 59 + [0.0], "only 27% of the completions contain an EOS", 1),
        ([0.3] * 19 + [0.0], "only 28% of the completions contain an EOS", 1),
        ([0.9] * 40 + [0.0] * 10, "no completion ends with an EOS", 41),
    ],
)
def test_no_end_at_all_is_said_where_none_came_for_long(shares, message, onset):
    columns = {"contain_eos_frac": shares, "reward_mean": np.full(len(shares), -0.5)}
    finding = found(columns, "missing-eos", algorithm="ppo")
    assert (finding.message, finding.onset_step) == (message, onset)
