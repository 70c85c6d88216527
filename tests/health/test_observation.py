from typing import get_args

from rldk.health import RULES
from rldk.health.observation import ObservationKind
from rldk.runs.side_files import KINDS


def test_each_kind_of_observation_is_read_from_a_file_and_judged_by_a_rule():
    kinds = set(get_args(ObservationKind))
    assert kinds == {"log", "rank", "end", *KINDS.values()}
    assert kinds == {kind for rule in RULES for kind in rule.kinds}
