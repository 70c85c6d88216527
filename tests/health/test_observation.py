from typing import get_args

from events import event
from rldk.health import RULES, Observation
from rldk.health.observation import ObservationKind
from rldk.runs.side_files import KINDS


def test_each_kind_of_observation_is_read_from_a_file_and_judged_by_a_rule():
    kinds = set(get_args(ObservationKind))
    assert kinds == {"log", "rank", "end", *KINDS.values()}
    assert kinds == {kind for rule in RULES for kind in rule.kinds}


def test_an_entropy_of_no_token_is_no_value():
    masked = {"entropy_mean": 0.0, "truncated_frac": 1.0, "grad_norm": 0.0, "loss": 0.0}
    assert "entropy_mean" not in Observation.of(event(1, **masked)).values
    for name, value in (("truncated_frac", 0.9), ("grad_norm", 0.1), ("loss", 0.2)):
        assert "entropy_mean" in Observation.of(event(1, **(masked | {name: value}))).values
