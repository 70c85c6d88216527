"""What run.json says: of any version, as far as it is valid."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldk.schema.run_info import Attempt, RunEnd, RunInfo, attempt_of, read_run_info

STARTS = [{"from_step": 0}, {"from_step": 40}, {"from_step": 20}]
WHOLE = RunInfo(
    rldk="0.1.0",
    event_schema=1,
    run_id="run",
    name="run",
    trainer_dir="/out",
    attempts=(attempt_of({"started": "2026-01-01T00:00:00+00:00", "from_step": 0, "git": {"sha": "abc"}}),),
    end=RunEnd(how="exception", detail="ValueError: boom", step=4, records=4),
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def starts(attempts):
    return RunInfo.of({"attempts": attempts})


@pytest.mark.parametrize(
    ("attempt", "step", "superseded"),
    [(1, 20, False), (1, 21, True), (2, 20, False), (2, 41, True), (3, 900, False)],
)
def test_what_lies_beyond_the_start_of_a_later_attempt_is_superseded(attempt, step, superseded):
    assert starts(STARTS).is_superseded(attempt, step) is superseded


@pytest.mark.parametrize("attempt", [None, 0, -1, 4, "1"])
def test_what_tells_no_attempt_is_kept(attempt):
    assert not starts(STARTS).is_superseded(attempt, 10**9)


@pytest.mark.parametrize("attempts", [None, [], "x", [None], [{"from_step": "x"}]])
def test_strange_attempts_supersede_nothing(attempts):
    assert not starts(attempts).is_superseded(1, 5)
    assert starts(attempts).newest.algorithm is None


def test_the_newest_attempt():
    assert starts(STARTS).newest.from_step == 20
    assert RunInfo().newest == Attempt()


def test_what_is_written_is_read_again(tmp_path):
    path = tmp_path / "run_run.json"
    path.write_bytes(msgspec.json.encode(WHOLE.as_recorded()))
    assert read_run_info(path) == WHOLE


def test_an_attempt_keeps_what_rldk_does_not_read(tmp_path):
    assert WHOLE.as_recorded()["attempts"] == [WHOLE.newest.recorded]
    assert WHOLE.newest.recorded["git"] == {"sha": "abc"}


def test_a_file_of_an_earlier_version_is_read():
    info = RunInfo.of({"run_id": "run", "attempts": [{"args": {"beta": 0.1}}], "end": {"how": "completed"}})
    assert info.end == RunEnd(how="completed")
    assert info.newest.args == {"beta": 0.1}


@pytest.mark.parametrize("field", [name for name in RunInfo.__struct_fields__ if name != "attempts"])
def test_an_invalid_field_costs_no_other(field):
    recorded = WHOLE.as_recorded() | {field: ["no"]}
    assert RunInfo.of(recorded) == msgspec.structs.replace(WHOLE, **{field: None})


@pytest.mark.parametrize("field", [name for name in Attempt.__struct_fields__ if name != "recorded"])
def test_an_invalid_field_of_an_attempt_costs_no_other(field):
    found = attempt_of({"started": "a", "algorithm": "grpo", "recorded": 3, field: ["no"]})
    expected = {"started": "a", "algorithm": "grpo"} | {field: getattr(Attempt(), field)}
    assert all(getattr(found, name) == value for name, value in expected.items())


def test_an_invalid_field_of_an_end_costs_no_other():
    recorded = {"how": "exception", "detail": 5, "step": "x", "records": None, "of a newer rldk": 1}
    assert RunInfo.of({"end": recorded}).end == RunEnd(how="exception")


@pytest.mark.parametrize("text", ["", "{torn", "[]", "null", "3", "[" * 100_000])
def test_a_broken_file_says_nothing(tmp_path, text):
    path = tmp_path / "run_run.json"
    path.write_text(text)
    assert read_run_info(path) == RunInfo()


@given(st.dictionaries(st.sampled_from(RunInfo.__struct_fields__), values), values)
def test_no_content_breaks_it(recorded, value):
    for one in (recorded, value, {"attempts": [recorded, value]}):
        info = RunInfo.of(json.loads(json.dumps(one)))
        assert RunInfo.of(json.loads(json.dumps(info.as_recorded()))).attempts == info.attempts
