"""A run on disk, and the ways to it."""

import json
import os
from pathlib import Path

import pytest

from events import event, lines, write_run
from processes import hold_lock
from rldk import RLDKError, Run, open_run
from rldk.errors import AmbiguousRunError, RunNotFoundError
from rldk.health import Settings
from rldk.report.examination import examine
from rldk.runs import RecordedRun, event_reader, recorded_run
from rldk.runs.foreign_run import ForeignRun
from rldk.schema.event import decode
from rldk.schema.files import RunFiles
from rldk.schema.run_info import RunInfo, read_run_info
from stories import learning, write


def test_a_run_can_be_iterated_as_often_as_one_likes(tmp_path):
    run = RecordedRun(write_run(tmp_path, event(1), event(2)))
    assert list(run) == list(run) == [event(1), event(2)]
    assert run.run_id == "run"
    assert run.last() == event(2)
    assert run.last("eval") is None


def test_a_run_shows_its_algorithm_steps_and_state(tmp_path):
    run = RecordedRun(write_run(tmp_path, event(1)))
    assert repr(run) == str(run) == f"<RecordedRun {tmp_path}/run: 1 step, unfinished>"
    run = RecordedRun(write(tmp_path, learning(1_200), "my_run"))
    assert repr(run) == f"<RecordedRun {tmp_path}/my_run: grpo, 1,200 steps, ended>"
    assert run._repr_markdown_() == "**my_run**: grpo, 1,200 steps, ended"


def test_a_run_without_events_or_with_an_odd_name_shows_itself_too(tmp_path):
    assert repr(RecordedRun(RunFiles(tmp_path, "gone"))).endswith("/gone: no steps, unfinished>")
    odd = repr(RecordedRun(RunFiles(tmp_path / "a\x1b[2J\n", "run")))
    assert odd.isprintable()


def test_a_run_shows_itself_without_its_log_being_read(tmp_path, monkeypatch):
    run = RecordedRun(write_run(tmp_path, *map(event, range(1, 3_000))))

    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr(recorded_run, "read_events", refuse)
    read = []
    monkeypatch.setattr(event_reader, "decode", lambda line: read.append(line) or decode(line))
    assert "2,999 steps" in repr(run)
    assert len(read) <= 2  # an empty line after the last one


def test_a_run_that_grows_shows_what_came(tmp_path):
    files = write_run(tmp_path, event(1))
    run = RecordedRun(files)
    assert run.last() == event(1)
    with files.events.open("ab") as file:
        file.write(lines(event(2)))
    assert list(run) == [event(1), event(2)]
    assert run.last() == event(2)


def test_bad_lines_are_told_once_however_often_they_are_read(tmp_path):
    files = write_run(tmp_path, event(1))
    with files.events.open("ab") as file:
        file.write(b"bad\n")
    run = RecordedRun(files)
    for _ in range(2):
        assert list(run) == [event(1)]
        assert [bad.number for bad in run.bad_lines] == [2]
    with files.events.open("ab") as file:
        file.write(b"worse\n")
    assert list(run) == [event(1)]
    assert [bad.number for bad in run.bad_lines] == [2, 3]


def test_a_run_without_files_is_empty(tmp_path):
    run = RecordedRun(RunFiles(tmp_path, "none"))
    assert list(run) == []
    assert run.last() is None
    assert run.info == RunInfo()
    assert run.parts == []


def test_two_passes_at_once_do_not_disturb_each_other(tmp_path):
    run = RecordedRun(write_run(tmp_path, event(1), event(2)))
    assert [(a.step, b.step) for a, b in zip(run, run, strict=True)] == [(1, 1), (2, 2)]


@pytest.mark.parametrize(
    ("text", "name"), [('{"name": "a"}', "a"), ("[]", None), ("", None), ("{torn", None), ("null", None)]
)
def test_the_information_is_what_the_run_file_says_or_nothing(tmp_path, text, name):
    files = RunFiles(tmp_path, "run")
    files.run.write_text(text)
    assert RecordedRun(files).info == RunInfo(name=name)


def test_the_information_is_read_anew_when_the_file_has_changed(tmp_path):
    run = RecordedRun(RunFiles(tmp_path, "run"))
    assert run.info == RunInfo()
    new = tmp_path / "new"
    for number, text in enumerate(('{"name": "1"}', '{"name": "2"}', "{torn", '{"name": "4"}')):
        new.write_text(text)
        os.utime(new, ns=(number, number))  # clocks of files are coarse
        new.replace(run.files.run)
        assert run.info == RunInfo(name=None if number == 2 else str(number + 1))
    run.files.run.unlink()
    assert run.info == RunInfo()


def test_a_run_file_that_could_not_be_read_for_a_moment_is_read_again(tmp_path, monkeypatch):
    run = RecordedRun(RunFiles(tmp_path, "run"))
    run.files.run.write_text('{"name": "a"}')

    def stale(path):
        raise OSError(116, "Stale file handle")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", stale)
        assert run.info == RunInfo()
    assert run.info == RunInfo(name="a")


def test_the_state_tells_a_live_run_from_an_ended_and_a_killed_one(tmp_path):
    files = write_run(tmp_path, event(1))
    run = RecordedRun(files)
    with hold_lock(files.lock) as process:
        assert process.stdout.readline() == "held\n"
        files.run.write_text(json.dumps({"end": None}))
        assert run.state == "running"
        files.run.write_text(json.dumps({"end": {"how": "completed"}}))
        assert run.state == "ended"  # the process may live on
        files.run.write_text(json.dumps({"end": None}))  # and train again
        assert run.state == "running"
    assert run.state == "unfinished"


# open_run


def test_a_run_is_opened_by_its_folder_its_name_or_any_of_its_files(tmp_path):
    files = write_run(tmp_path / "logs", event(1))
    files.part(1).write_bytes(lines(event(0)))
    for name in ("run", "alerts", "final_report", "metrics_csv", "metrics_json"):
        getattr(files, name).write_text("{}")
    for path in (files.folder, str(files.folder), files.folder / "run", *files.existing()):
        assert open_run(path).files == files
        assert [one.step for one in open_run(path)] == [0, 1]


def test_any_other_file_is_taken_for_events(tmp_path):
    path = tmp_path / "copied.jsonl"
    path.write_bytes(lines(event(1), event(2)))
    run = open_run(path)
    assert [one.step for one in run] == [1, 2]
    assert run.parts == [path]
    assert run.last() == event(2)
    assert run.run_id == "copied"


def test_a_folder_with_several_runs_asks_for_one_and_lists_them(tmp_path):
    write_run(tmp_path, event(1), run_id="a")
    write_run(tmp_path, event(1), run_id="b")
    with pytest.raises(AmbiguousRunError) as caught:
        open_run(tmp_path)
    assert caught.value.runs == (str(tmp_path / "a"), str(tmp_path / "b"))
    for path in caught.value.runs:
        assert path in str(caught.value)
        assert list(open_run(path)) == [event(1)]


@pytest.mark.parametrize("name", ["", "none", "none/none", "run_events.jsonl"])
def test_where_there_is_no_run_the_error_names_the_path_and_the_next_command(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(RunNotFoundError) as caught:
        open_run(path)
    assert str(path) in str(caught.value)
    assert "rldk runs" in str(caught.value)
    assert isinstance(caught.value, RLDKError)
    assert isinstance(caught.value, FileNotFoundError)


def test_a_run_is_a_recorded_one_or_another_tools_log(tmp_path):
    with pytest.raises(TypeError, match="abstract"):
        Run(tmp_path, "run")
    write_run(tmp_path / "ours", event(1))
    (tmp_path / "log.jsonl").write_text(json.dumps({"step": 1, "loss": 1.0}) + "\n")
    assert isinstance(open_run(tmp_path / "ours"), RecordedRun)
    assert isinstance(open_run(tmp_path / "log.jsonl"), ForeignRun)


def test_what_a_run_without_its_run_file_and_a_log_do_not_say_is_not_made_up(tmp_path):
    (tmp_path / "log.jsonl").write_text(json.dumps({"step": 1, "train/loss": 1.0}) + "\n")
    log = open_run(tmp_path / "log.jsonl")
    ours = RecordedRun(write_run(tmp_path, event(1)))
    for run in (log, ours):
        assert run.info == RunInfo()
        assert run.settings() == Settings()
        assert list(run.analyses()) == []
        assert run.context(algorithm="dpo").algorithm == "dpo"
        assert [at.kind for at in run.observations()] == ["log"]
    assert (log.checkpoint_folder, ours.checkpoint_folder) == (tmp_path, None)


def test_the_settings_of_the_live_doctor_are_read_as_far_as_they_are_valid(tmp_path):
    files = write_run(tmp_path, event(1))
    judging = {"ignore": ["no-such-rule"], "truth_metric": "exact", "of_a_newer_rldk": 1}
    files.run.write_text(json.dumps({"attempts": [{"judging": judging, "algorithm": "grpo"}]}))
    run = RecordedRun(files)
    assert run.settings() == Settings(truth_metric="exact")
    assert (run.context().algorithm, run.context().truth_metric) == ("grpo", "exact")


def test_the_observations_are_the_events_what_lies_beside_them_the_ranks_and_the_end(tmp_path):
    files = write_run(tmp_path, event(1), event(2))
    files.run.write_text(json.dumps({"end": {"how": "completed"}}))
    stall = {"kind": "stall", "step": 1, "stalled_seconds": 400.0, "seen_at_step": 1}
    steps = [{"kind": "step_time", "step": 2, "seconds": 1.0}]
    for rank, recorded in enumerate(([stall, *steps], steps)):
        files.resources(rank).write_text("".join(json.dumps(line) + "\n" for line in recorded))
    found = [(at.kind, at.step) for at in RecordedRun(files).observations()]
    assert found == [("log", 1), ("stall", 1), ("log", 2), ("rank", 2), ("end", 2)]


def test_a_run_is_judged_with_one_look_into_its_run_file(tmp_path, monkeypatch):
    files = write_run(tmp_path, event(1))
    files.run.write_text(json.dumps({"end": {"how": "exception"}}))
    looks = []
    monkeypatch.setattr(recorded_run, "read_run_info", lambda path: looks.append(path) or read_run_info(path))
    run = open_run(tmp_path)
    assert examine(run, run.settings().monitor(run.context()), source="x").diagnosis.status == "critical"
    assert looks == [files.run]
