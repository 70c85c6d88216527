"""What was recorded beside the events comes back when the live Monitor saw it."""

import json

from hypothesis import given
from hypothesis import strategies as st

from events import event, write_run
from recording_one import begin
from rldk.recording.line_file import LineFile
from rldk.runs import RecordedRun
from rldk.runs.side_files import SideFiles, interleaved, observation
from rldk.schema.run_info import RunInfo


def observed(run):
    """Kind and step of all that a Monitor is told."""
    return [(at.kind, at.step) for at in run.observations()]


def spied(recorder):
    """What the live Monitor of a recorder is told from now on."""
    seen, monitor = [], recorder.live_doctor.monitor
    observe = monitor.observe
    monitor.observe = lambda at: seen.append((at.kind, at.step)) or observe(at)
    return seen


def checkpoint(recorder, step):
    line = {"kind": "checkpoint", "step": step, "analysis": {"path": f"checkpoint-{step}"}}
    recorder.live_doctor.record(line, LineFile(recorder.files.checkpoints))


def stall(recorder, step):
    recorder.live_doctor.record({"kind": "stall", "step": step}, LineFile(recorder.files.resources()))


def record(recorder, *steps):
    for step in steps:
        recorder.record(event(step, reward_mean=0.5))


def test_a_line_is_told_after_the_record_that_was_seen_last(tmp_path):
    recorder = begin(tmp_path)
    seen = spied(recorder)
    checkpoint(recorder, 0)
    record(recorder, 1, 2, 3)
    checkpoint(recorder, 2)
    record(recorder, 4, 5)
    stall(recorder, 5)
    recorder.end("completed")
    assert ("checkpoint", 2) in seen
    assert observed(RecordedRun(recorder.files)) == seen


def test_what_a_resume_superseded_is_left_out_live_and_afterwards(tmp_path):
    recorder = begin(tmp_path)
    record(recorder, 1, 2, 3)
    checkpoint(recorder, 2)
    record(recorder, 4, 5, 6)
    checkpoint(recorder, 6)
    recorder.close()
    recorder = begin(tmp_path, from_step=4)
    record(recorder, 5)
    checkpoint(recorder, 5)
    recorder.end("completed")
    marks = [at for at in observed(RecordedRun(recorder.files)) if at[0] == "checkpoint"]
    assert marks == [("checkpoint", 2), ("checkpoint", 5)]


def test_a_resume_tells_the_monitor_what_counts_of_the_attempt_before(tmp_path, monkeypatch):
    recorder = begin(tmp_path)
    record(recorder, 1, 2)
    checkpoint(recorder, 2)
    record(recorder, 3)
    checkpoint(recorder, 3)
    recorder.close()
    steps = []
    monkeypatch.setattr(
        "rldk.health.monitor.Monitor.observe", lambda self, at: steps.append((at.kind, at.step)) or []
    )
    begin(tmp_path, from_step=2).close()
    assert steps == [("log", 1), ("log", 2), ("checkpoint", 2), ("end", 2)]  # its own, not the earlier one


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=30),
            st.sampled_from(
                [
                    b'{"kind":"checkpoint","step":1,"seen_at_step":1,"analysis":{"path":"x"}}',
                    b'{"kind":"checkpoint"}',
                ]
            ),
            st.sampled_from([b'["checkpoint"]', b'{"kind":"checkpoint","step":"x","seen_at_step":{}}']),
        ),
        max_size=6,
    )
)
def test_no_line_can_make_it_raise(tmp_path_factory, pieces):
    folder = tmp_path_factory.mktemp("run")
    files = write_run(folder, event(1), event(2))
    files.checkpoints.write_bytes(b"\n".join(pieces))
    found = list(interleaved(RecordedRun(files), SideFiles(files, RunInfo())))
    assert [at.step for at in found if at.kind == "log"] == [1, 2]


def test_a_line_that_is_still_being_written_comes_when_it_is_whole(tmp_path):
    files = write_run(tmp_path, event(1))
    line = json.dumps(
        {"kind": "checkpoint", "step": 1, "seen_at_step": 1, "analysis": {"path": "x"}}
    ).encode()
    files.checkpoints.write_bytes(line[:20])
    found = SideFiles(files, RunInfo())
    assert list(found.until(None)) == []
    files.checkpoints.write_bytes(line + b"\n")
    assert [at.step for at in found.until(None)] == [1]
    assert list(found.until(None)) == []


def test_only_kinds_that_a_monitor_is_told_are_observations():
    assert observation({"kind": "resource", "step": 1}) is None
    assert observation({"kind": "checkpoint", "step": "1"}) is None
    at = observation({"kind": "stall", "step": 3, "seconds": 400.0, "where": "generate", "again": True})
    assert (at.kind, at.values, at.detail["where"]) == (
        "stall",
        {"step": 3, "seconds": 400.0},
        "generate",
    )
