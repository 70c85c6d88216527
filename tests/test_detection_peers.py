"""What is committed of the peers: their names mean rules that exist, their verdicts can be scored."""

import json
import math
import sys
from pathlib import Path

import msgspec
import pytest

from rldk.health import RULES
from rldk.metrics.dialects.trl import TRL
from rldk.runs import open_run
from rldk.schema.event import DataSlice, Event, ModelInfo, Rng, nonfinite_note

SET = Path(__file__).resolve().parent.parent / "benchmarks" / "detection"
sys.path.insert(0, str(SET))

import peer_inputs  # noqa: E402
import peer_names  # noqa: E402
import score  # noqa: E402

PEERS = sorted(peer_names.NAMES)


def test_their_names_mean_rules_that_exist():
    meant = {rule for table in peer_names.NAMES.values() for rules in table.values() for rule in rules}
    assert meant <= {rule.name for rule in RULES}


@pytest.mark.parametrize("peer", PEERS)
def test_verdicts_can_be_scored_and_use_the_table(peer):
    verdicts = msgspec.json.decode(
        (SET / "verdicts" / f"{peer}.json").read_bytes(), type=dict[str, list[score.Said] | None]
    )
    unread = json.loads((SET / "verdicts" / "about.json").read_text())[peer]["not read"]
    assert {name for name, said in verdicts.items() if said is None} == set(unread)
    for said in filter(None, verdicts.values()):
        for one in said:
            assert one.severity in score.SEVERITIES
            assert one.rule in (peer_names.NAMES[peer][one.theirs] or (None,))


@pytest.mark.parametrize("name", ["grpo-clean-s1", "dpo-clean-s1", "sft-clean-s1"])
def test_what_peers_are_given_reads_as_the_run_itself(name):
    run = open_run(SET / "runs" / name)
    logs = peer_inputs.trainer_state(SET / "runs" / name)["log_history"]
    read = TRL.reader(run.algorithm)
    for event, log in zip(run, logs, strict=True):
        assert log.pop("step") == event.step
        assert {read(key): value for key, value in log.items()} == event.metrics


def test_what_was_not_finite_is_so_again():
    event = Event(
        step=1,
        wall_time=None,
        metrics={"loss": 0.5, "grad_norm": None, "kl_mean": None},
        rng=Rng(),
        data_slice=DataSlice(),
        model_info=ModelInfo(),
        notes=(nonfinite_note("grad_norm", math.nan), nonfinite_note("kl_mean", None)),
    )
    logged = peer_inputs.as_logged(event)
    assert math.isnan(logged.pop("grad_norm"))
    assert logged == {"loss": 0.5, "kl_mean": None}
