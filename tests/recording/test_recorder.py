"""One run being made, from its first event to whatever end."""

import csv
import errno
import json
import signal
import sys
import threading
from pathlib import Path

import pytest

from events import event
from processes import run_script, script
from recording_one import begin
from rldk.recording import recorder as recorder_module
from rldk.recording.disk import BEGIN_SECONDS, Job
from rldk.report.final_report import write_end
from rldk.runs import RecordedRun
from rldk.schema.files import RunFiles
from rldk.schema.run_info import RunEnd

ALERT = {"time": "2026-01-01T00:00:00+00:00", "step": 3, "finding": {"rule": "x", "severity": "warning"}}
PREAMBLE = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from recording_one import begin
from events import event
recorder = begin(Path(sys.argv[1]))
"""

EVALUATION = PREAMBLE.replace("argv[1])", "argv[1]), training=False") + "recorder.record(event(0, 'eval'))\n"
WRITES = """
import os, signal, time
from rldk.report.final_report import write_end
from rldk.runs import RecordedRun
def write(files, *ended):
    os.kill(os.getpid(), signal.SIGTERM)
    write_end(files, RecordedRun(files), *ended)
"""


def read(path):
    return json.loads(path.read_text())


def test_the_beginning_of_a_run_is_on_disk_at_once(tmp_path):
    recorder = begin(tmp_path, about={"trainer_dir": "/out", "trainer": "GRPOTrainer"})
    info = read(recorder.files.run)
    assert info["run_id"] == "run"
    assert info["trainer_dir"] == "/out"
    assert info["event_schema"] == 1
    assert info["end"] is None
    (attempt,) = info["attempts"]
    assert attempt["from_step"] == 0
    assert attempt["trainer"] == "GRPOTrainer"
    assert read(recorder.files.alerts) == []
    assert RecordedRun(recorder.files).state == "running"
    recorder.close()


def test_an_event_is_on_disk_when_record_has_returned(tmp_path):
    recorder = begin(tmp_path)
    recorder.record(event(1, loss=0.5))
    assert list(RecordedRun(recorder.files)) == [event(1, loss=0.5)]
    recorder.close()


def test_an_error_after_an_evaluation_alone_is_no_end_of_its_run(tmp_path):
    result = run_script(EVALUATION + "1 / 0", tmp_path)
    assert "ZeroDivisionError" in result.stderr
    files = RunFiles(tmp_path, "run")
    assert read(files.run)["end"]["how"] == "completed"
    assert not files.crash().exists()


def test_an_error_of_a_training_that_follows_an_evaluation_is_its_end(tmp_path):
    run_script(EVALUATION + "recorder.begin_training()\n1 / 0", tmp_path)
    files = RunFiles(tmp_path, "run")
    assert read(files.run)["end"]["how"] == "exception"
    assert "ZeroDivisionError" in files.crash().read_text()


def test_the_end_writes_the_files_of_the_end(tmp_path):
    recorder = begin(tmp_path)
    for step in (1, 2):
        recorder.record(event(step, loss=1 / step))
    ending = recorder.end("completed")
    files = recorder.files
    assert (ending.how, ending.step, ending.records, ending.records_lost) == ("completed", 2, 2, 0)
    assert read(files.run)["end"]["how"] == "completed"
    report = read(files.final_report)
    assert report["end"]["how"] == "completed"
    assert report["records"] == 2
    assert [row["loss"] for row in read(files.metrics_json)["steps"]] == [1, 0.5]
    with files.metrics_csv.open() as file:
        assert [row["loss"] for row in csv.DictReader(file)] == ["1.0", "0.5"]
    assert read(files.alerts) == []
    assert RecordedRun(files).state == "ended"
    recorder.close()


def test_an_event_after_the_end_is_recorded_and_close_brings_the_files_up_to_date(tmp_path):
    recorder = begin(tmp_path)
    recorder.record(event(1, loss=0.5))
    recorder.end("completed")
    recorder.record(event(1, "eval", eval_loss=0.25))
    recorder.close()
    recorder.close()
    report = read(recorder.files.final_report)
    assert report["records"] == 2
    assert report["end"]["how"] == "completed"
    assert len(read(recorder.files.metrics_json)["steps"]) == 2


def test_what_is_found_while_the_end_is_written_is_in_the_files_when_the_process_ends(tmp_path):
    """The analysis of the last checkpoint, in a thread of its own."""
    code = """
def write(files, *ended):
    with (files.folder / "written").open("a") as file:
        file.write("once\\n")
    if len((files.folder / "written").read_text()) == 5:
        recorder.outdate()
"""
    code = PREAMBLE.replace("argv[1]))", "argv[1]), write=write)").replace("recorder =", code + "recorder =")
    run_script(code + "recorder.record(event(1))\nrecorder.end('completed')", tmp_path)
    assert (tmp_path / "written").read_text() == "once\nonce\n"


def test_an_interrupt_while_a_run_ends_leaves_its_end_to_the_end_of_the_process(tmp_path):
    code = """
whole = recorder._writer.close
def interrupted():
    recorder._writer.close = whole
    raise KeyboardInterrupt
recorder._writer.close = interrupted
recorder.record(event(1))
try:
    recorder.end('completed')
except KeyboardInterrupt:
    pass
"""
    run_script(PREAMBLE + code, tmp_path)
    files = RunFiles(tmp_path, "run")
    assert read(files.final_report)["end"]["how"] == "unknown"
    assert read(files.final_report)["records"] == 1


def test_an_error_that_a_notebook_goes_on_after_is_the_end_when_the_process_ends(tmp_path):
    code = "recorder.record(event(1))\nsys.last_value = ValueError('boom')"
    run_script(PREAMBLE + code, tmp_path)
    files = RunFiles(tmp_path, "run")
    assert read(files.run)["end"]["detail"] == "ValueError: boom"
    assert "boom" in files.crash().read_text()


def test_an_attempt_that_another_one_followed_says_no_more_of_the_run(tmp_path):
    first = begin(tmp_path)
    first.record(event(4))
    first.end("completed")
    second = begin(tmp_path, from_step=4)
    assert first.goes_on_elsewhere
    assert not second.goes_on_elsewhere
    second.record(event(8))
    second.end("completed")
    first.outdate()
    first.close()
    assert read(second.files.final_report)["end"]["step"] == 8


def test_the_first_record_of_a_resume_says_so_and_only_the_first(tmp_path):
    first = begin(tmp_path)
    for step in (1, 2, 3):
        first.record(event(step))
    first.close()
    second = begin(tmp_path, from_step=2)
    assert second.files == first.files
    second.record(event(3, "train", ("text:a=b",)))
    second.record(event(4))
    second.close()
    found = list(RecordedRun(second.files))
    assert [one.step for one in found] == [1, 2, 3, 4]
    assert [one.notes for one in found] == [(), (), ("text:a=b", "resumed:from_step=2"), ()]


def test_a_resume_keeps_what_is_known_of_the_earlier_attempts(tmp_path):
    first = begin(tmp_path, about={"host": "one"})
    first.files.alerts.write_text(json.dumps([ALERT]))
    first.record(event(1))
    first.end("stopped")
    second = begin(tmp_path, from_step=1, about={"host": "two"})
    info = read(second.files.run)
    assert [attempt["host"] for attempt in info["attempts"]] == ["one", "two"]
    assert [attempt["from_step"] for attempt in info["attempts"]] == [0, 1]
    assert info["end"] is None
    assert read(second.files.alerts) == [ALERT]
    second.close()


def test_wall_time_goes_on_across_a_resume(tmp_path):
    first = begin(tmp_path)
    assert 0 <= first.wall_time < 60
    first.record(event(2000))  # its wall_time is 1000 s
    first.close()
    second = begin(tmp_path, from_step=2000)
    assert 1000 <= second.wall_time < 1060
    second.close()


def test_two_live_recorders_of_one_name_are_two_runs(tmp_path):
    first, second = begin(tmp_path), begin(tmp_path)
    assert second.files.run_id == "run-2"
    first.record(event(1))
    second.record(event(2))
    first.close()
    second.close()
    assert [one.step for one in RecordedRun(first.files)] == [1]
    assert [one.step for one in RecordedRun(second.files)] == [2]


def test_without_the_jsonl_the_other_files_are_made(tmp_path):
    recorder = begin(
        tmp_path, jsonl=False, write=lambda files, *ended: write_end(files, [event(1, loss=1)], *ended)
    )
    recorder.record(event(1))
    recorder.sync()
    ending = recorder.end("completed")
    assert ending.records == 1
    assert not recorder.files.events.exists()
    assert read(recorder.files.final_report)["records"] == 1
    recorder.close()


# Ends that nobody announced.


def end_of(folder):
    return read(RunFiles(folder, "run").run)["end"]


def test_an_uncaught_exception_is_the_end_with_its_text(tmp_path):
    result = run_script(
        PREAMBLE + "recorder.record(event(1, loss=1))\nraise ValueError('the batch is empty')", tmp_path
    )
    assert result.returncode == 1
    end = end_of(tmp_path)
    assert (end["how"], end["detail"], end["step"]) == ("exception", "ValueError: the batch is empty", 1)
    files = RunFiles(tmp_path, "run")
    assert read(files.final_report)["end"]["detail"] == "ValueError: the batch is empty"
    assert read(files.metrics_json)["steps"]
    assert files.metrics_csv.exists()
    assert RecordedRun(files).state == "ended"


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        ("ValueError('bad name \\udcff')", "ValueError: bad name \\udcff"),
        ("type('Mute', (Exception,), {'__str__': lambda self: 1 / 0})()", "Mute"),
        ("ValueError('x' * 10_000)", "ValueError: " + "x" * 988),
    ],
)
def test_an_exception_that_cannot_be_written_as_it_is_is_the_end_all_the_same(tmp_path, error, detail):
    run_script(PREAMBLE + f"recorder.record(event(1))\nraise {error}", tmp_path)
    assert (end_of(tmp_path)["how"], end_of(tmp_path)["detail"]) == ("exception", detail)
    assert RunFiles(tmp_path, "run").final_report.exists()


def test_ctrl_c_is_the_end(tmp_path):
    code = PREAMBLE + "import time\nrecorder.record(event(1))\nprint('ready', flush=True)\ntime.sleep(60)"
    with script(code, tmp_path) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        process.wait(60)
    assert end_of(tmp_path)["how"] == "interrupted"


@pytest.mark.parametrize("leave", ["sys.exit(3)", "sys.exit()", ""])
def test_a_process_that_leaves_without_a_word_is_an_unknown_end(tmp_path, leave):
    result = run_script(PREAMBLE + "recorder.record(event(1))\n" + leave, tmp_path)
    assert "did not end by itself (unknown)" in result.stderr
    assert (end_of(tmp_path)["how"], end_of(tmp_path)["detail"]) == ("unknown", None)
    assert RunFiles(tmp_path, "run").final_report.exists()


def test_an_error_before_the_run_is_not_its_end(tmp_path):
    code = (
        "import sys\nsys.last_value = ValueError('an earlier cell')\n"
        + PREAMBLE
        + "recorder.record(event(1))"
    )
    run_script(code, tmp_path)
    assert end_of(tmp_path)["how"] == "unknown"


def test_a_notebook_that_goes_on_after_an_error_ends_the_run_with_it(tmp_path, monkeypatch):
    recorder = begin(tmp_path)
    recorder.record(event(1))
    with pytest.raises(ValueError) as caught:
        raise ValueError("of a cell")
    monkeypatch.setattr(sys, "last_value", caught.value, raising=False)
    recorder.close()
    assert (end_of(tmp_path)["how"], end_of(tmp_path)["detail"]) == ("exception", "ValueError: of a cell")
    assert "in test_a_notebook_that_goes_on" in recorder.files.crash().read_text()


def test_a_signal_that_interrupts_whoever_holds_our_locks_is_told_all_the_same(tmp_path):
    code = (
        PREAMBLE
        + """
import os, signal, time
import rldk.recording.recorder
rldk.recording.recorder.LOCK_SECONDS = 0.2
recorder.record(event(1, loss=1))
with recorder._writer._lock, recorder.live_doctor._lock:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
"""
    )
    assert run_script(code, tmp_path).returncode == -signal.SIGTERM
    files = RunFiles(tmp_path, "run")
    assert end_of(tmp_path)["how"] == "terminated"
    assert [one["rule"] for one in read(files.final_report)["findings"]] == ["crash"]
    assert files.metrics_csv.exists()
    assert "SIGTERM ended the run after step 1" in files.crash().read_text()


def test_a_signal_while_the_files_of_the_end_are_written_is_not_its_end(tmp_path):
    code = (
        PREAMBLE.replace("argv[1]))", "argv[1]), write=write)").replace("recorder =", WRITES + "recorder =")
        + "recorder.record(event(1))\nrecorder.end('completed')\ntime.sleep(60)"
    )
    assert run_script(code, tmp_path).returncode == -signal.SIGTERM
    files = RunFiles(tmp_path, "run")
    assert read(files.run)["end"]["how"] == read(files.final_report)["end"]["how"] == "completed"
    assert not files.crash().exists()


def test_a_signal_after_the_end_is_not_its_end(tmp_path):
    code = (
        PREAMBLE
        + "import os, signal, time\nrecorder.record(event(1))\nrecorder.end('completed')\n"
        + "os.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(60)"
    )
    assert run_script(code, tmp_path).returncode == -signal.SIGTERM
    assert end_of(tmp_path)["how"] == "completed"


@pytest.mark.parametrize("leave", ["os._exit(1)", "os.kill(os.getpid(), 9)", "os.abort()"])
def test_a_killed_run_has_no_end_and_is_unfinished(tmp_path, leave):
    run_script(PREAMBLE + f"import os\nrecorder.record(event(1))\n{leave}", tmp_path)
    run = RecordedRun(RunFiles(tmp_path, "run"))
    assert run.state == "unfinished"
    assert run.info.end is None
    assert [one.step for one in run] == [1]
    assert not run.files.final_report.exists()


def test_a_run_is_running_as_long_as_its_process_lives(tmp_path):
    code = PREAMBLE + "recorder.record(event(1))\nprint('ready', flush=True)\nsys.stdin.read()"
    run = RecordedRun(RunFiles(tmp_path, "run"))
    with script(code, tmp_path) as process:
        assert process.stdout.readline() == "ready\n"
        assert run.state == "running"
    assert run.state == "unfinished"


def test_a_forked_child_neither_records_nor_ends_the_run(tmp_path):
    code = (
        PREAMBLE
        + """
import os
recorder.record(event(1))
child = os.fork()
if child == 0:
    recorder.record(event(99))
    recorder.close()
    sys.exit()  # runs what is registered for the exit
assert os.waitpid(child, 0)[1] == 0
print(recorder.ended, recorder.files.final_report.exists(), flush=True)
recorder.record(event(2))
"""
    )
    result = run_script(code, tmp_path)
    assert result.stdout == "None False\n", result.stderr
    run = RecordedRun(RunFiles(tmp_path, "run"))
    assert [one.step for one in run] == [1, 2]
    assert run.info.end.records == 2


# Disks that refuse.


def test_a_folder_that_cannot_be_written_never_raises(tmp_path, caplog):
    (tmp_path / "logs").write_text("")
    recorder = begin(tmp_path / "logs")
    recorder.record(event(1))
    recorder.sync()
    ending = recorder.end("completed")
    recorder.close()
    assert (ending.records, ending.records_in_memory) == (1, 1)
    assert any("training goes on" in record.getMessage() for record in caplog.records)


def test_a_disk_that_is_full_at_the_end_does_not_raise_and_leaves_no_half_file(tmp_path):
    code = (
        PREAMBLE
        + """
import resource
for step in range(1, 101):
    recorder.record(event(step, loss=1 / step))
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
ending = recorder.end("completed")
print(ending.how, recorder.ended is ending)
recorder.close()
"""
    )
    result = run_script(code, tmp_path)
    assert result.stdout == "completed True\n", result.stderr
    run = RecordedRun(RunFiles(tmp_path, "run"))
    assert [one.step for one in run] == list(range(1, 101))
    assert run.info.end is None  # run.json as it was: whole
    assert not run.files.final_report.exists()
    assert not run.files.metrics_csv.exists()
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_report_that_fails_frees_the_run_all_the_same(tmp_path):
    def fail(*_):
        raise RuntimeError("a bug")

    recorder = begin(tmp_path, write=fail)
    recorder.record(event(1))
    with pytest.raises(RuntimeError):
        recorder.end("completed")
    assert RecordedRun(recorder.files).state == "ended"
    recorder.close()


def test_text_that_is_no_unicode_in_the_configuration_is_escaped(tmp_path):
    recorder = begin(tmp_path, about={"command": ["train.py", "\udcff"]})
    assert read(recorder.files.run)["attempts"][0]["command"] == ["train.py", "\\udcff"]
    recorder.close()


def test_a_resume_of_a_run_whose_events_cannot_be_read_goes_on(tmp_path):
    first = begin(tmp_path)
    first.files.part(1).mkdir()
    first.close()
    second = begin(tmp_path, from_step=5)
    assert second.files.run_id == "run"
    second.close()


def test_a_damaged_run_file_is_replaced_by_a_whole_one(tmp_path):
    first = begin(tmp_path)
    first.record(event(5))
    first.close()
    first.files.run.write_text('["no object"]')
    second = begin(tmp_path, from_step=5)
    assert len(read(second.files.run)["attempts"]) == 1
    second.close()


def test_a_signal_that_interrupts_whoever_holds_the_terminal_ends_the_process_without_the_last_line(tmp_path):
    code = (
        PREAMBLE
        + """
import logging, os, signal, time
from rldk.recording import exit_hooks
exit_hooks.DYING_SECONDS = 600
handler = logging.StreamHandler()
logging.getLogger("rldk").addHandler(handler)
recorder.record(event(1, loss=1))
with handler.lock:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(600)
"""
    )
    assert run_script(code, tmp_path).returncode == -signal.SIGTERM
    assert read(RunFiles(tmp_path, "run").final_report)["end"]["how"] == "terminated"


def test_an_evaluation_alone_may_end_and_a_training_that_follows_records_on(tmp_path):
    recorder = begin(tmp_path, training=False)
    recorder.record(event(0, "eval"))
    recorder.end("completed")
    assert RecordedRun(recorder.files).state == "ended"
    recorder.begin_training()
    assert RecordedRun(recorder.files).state == "running"
    recorder.record(event(1))
    recorder.end("stopped")
    assert RecordedRun(recorder.files).state == "ended"
    assert [one.step for one in RecordedRun(recorder.files)] == [0, 1]
    assert end_of(tmp_path)["how"] == read(recorder.files.final_report)["end"]["how"] == "stopped"


def test_an_exception_that_is_being_handled_is_the_end_and_an_earlier_one_is_not(tmp_path):
    try:
        int("another training's")
    except ValueError:
        recorder = begin(tmp_path)
        recorder.close()
        assert end_of(tmp_path)["how"] == "unknown"
        again = begin(tmp_path, from_step=0)
        try:
            {}["this training's"]
        except KeyError:
            again.close()
    assert read(again.files.run)["end"]["detail"].startswith("KeyError: \"this training's")


def test_alerts_that_a_full_disk_refused_at_the_end_are_there_when_it_has_room(tmp_path, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    recorder = begin(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("rldk.recording.json_file.replacing", full)
        for step in range(1, 9):
            recorder.record(event(step, loss=float("nan"), grad_norm=float("nan")))
        recorder.end("completed")
    recorder.close()
    alerts = json.loads((tmp_path / "run_alerts.json").read_text())
    assert [alert["finding"]["severity"] for alert in alerts] == ["warning", "critical"]


def test_an_attempt_that_nobody_can_ask_about_is_taken_for_another(tmp_path, monkeypatch):
    recorder = begin(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(recorder.disk, "run", lambda *_args, **_kwargs: False)
        assert recorder.goes_on_elsewhere
    recorder.end("completed")


@pytest.fixture
def hung(tmp_path):
    """A recorder whose disk does nothing until the end of the test."""
    recorder, answer = begin(tmp_path), threading.Event()
    recorder.disk.run(Job(lambda: answer.wait() and None), 0)
    yield recorder
    answer.set()
    recorder.close()


def test_an_end_that_may_wait_but_shortly_is_waited_for_at_the_end_of_the_process(hung, monkeypatch):
    waits, registered = [], []
    monkeypatch.setattr(hung.disk, "at_process_end", registered.append)
    with monkeypatch.context() as patch:
        patch.setattr(hung.disk, "run", lambda _, wait_s=0.0, **__: waits.append(wait_s))
        hung.close(BEGIN_SECONDS)
        del registered[:]
        hung.close(BEGIN_SECONDS)  # as its end was asked for before
    assert set(waits) <= {0.0, BEGIN_SECONDS}
    assert registered == [hung._at_exit]


def test_at_a_signal_the_main_thread_may_hold_what_the_last_line_needs(hung, monkeypatch):
    apart = []
    monkeypatch.setattr(recorder_module, "within", lambda _, call: apart.append(call))
    with monkeypatch.context() as patch:
        patch.setattr(hung.disk, "run", lambda *_, **__: False)
        hung._finish_at_signal(RunEnd(how="terminated", detail="SIGTERM"))
    assert apart == [hung._warn_of_missing]


def test_the_last_line_tells_an_exception_that_the_disk_has_not_taken(hung, caplog):
    hung._crash_recorder._in_trainer = False
    hung._crash_recorder.note(ValueError("boom"))
    hung.close(BEGIN_SECONDS)
    assert any("by itself (ValueError: boom)" in one.getMessage() for one in caplog.records)
