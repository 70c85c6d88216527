"""What several rules of the system family do with one run."""

import numpy as np

from rldk.testing import diagnosis


def test_what_needs_the_machine_is_listed_as_not_checked():
    unchecked = {one.rule: one for one in diagnosis({"reward_mean": np.ones(30)}).not_checked}
    for name in ("unfinished-run", "crash"):
        assert unchecked[name].how.startswith("record the run")
    assert unchecked["straggler"].how.startswith("train on several ranks")
