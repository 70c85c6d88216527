"""The crash file: what is in it, how large it gets, what refuses it."""

import errno
import json
import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from events import event
from processes import run_script
from rldk.recording import crash_writer
from rldk.recording.crash_recorder import CrashRecorder
from rldk.recording.crash_writer import (
    MOST_THREADS,
    CrashFile,
    all_stacks,
    last_lines,
    one_line,
    traceback_text,
)
from rldk.recording.disk import Disk, Job
from rldk.schema.crash_file import read_crash
from rldk.schema.event import encode
from rldk.schema.files import RunFiles
from rldk.schema.run_info import RunEnd

NOTE = RunEnd(
    how="exception", detail="ValueError: boom", where="f (a.py:1)", step=7, time="2026-01-01T00:00:00"
)


@pytest.fixture
def path(tmp_path):
    return RunFiles(tmp_path, "r").crash()


def test_an_end_is_read_again_as_it_was_written(path):
    CrashFile(path).add_end(NOTE, [("Empty", []), ("The exception", ["Traceback", "ValueError: boom"])])
    assert read_crash(path) == NOTE
    text = path.read_text()
    assert "\nThe exception\nTraceback\nValueError: boom\n" in text
    assert "Empty" not in text
    assert "Stacks of all threads" in text
    assert "test_an_end_is_read_again_as_it_was_written" in text


def test_an_earlier_attempt_says_nothing_of_this_one(path):
    CrashFile(path).add_end(NOTE, [])
    CrashFile(path, 5).open()
    assert read_crash(path) is None
    CrashFile(path).add_end(NOTE, [])
    assert read_crash(path) == NOTE


def test_text_is_without_secrets_and_bounded(path):
    secret = "hf_" + "a" * 30
    detail = f"ValueError: {secret} " + "y" * 10_000_000
    lines = [f"with {secret}"] * 10 + ["x" * 100_000] * 1000
    CrashFile(path).add_end(RunEnd(how="exception", detail=one_line(detail)), [("Lines", lines)])
    text = path.read_text()
    assert secret not in text
    assert "characters are left out" in text
    assert len(text) < 200_000
    assert read_crash(path).detail.startswith("ValueError: <redacted> yyy")


def test_a_text_that_no_encoding_holds_is_escaped(path):
    CrashFile(path).add_end(RunEnd(how="exception", detail="bad \udcff"), [("a", ["\udcff\x1b[31m"])])
    assert read_crash(path).detail == "bad \\udcff"


class MuteError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "error", [MuteError(), ValueError("x" * 10_000_000), ExceptionGroup("g", [ValueError("a")] * 50)]
)
def test_any_exception_can_be_shown(error, path):
    with pytest.raises(type(error)) as caught:
        raise error
    CrashFile(path).add_end(NOTE, [("The exception", traceback_text(caught.value))])
    text = path.read_text()
    assert "test_any_exception_can_be_shown" in text
    assert type(error).__name__ in text
    assert len(text) < 200_000


def test_a_deep_recursion_is_shown_by_its_innermost_frames(path):
    def odd(n):
        even(n + 1)

    def even(n):
        odd(n + 1)

    with pytest.raises(RecursionError) as caught:
        odd(0)
    shown = traceback_text(caught.value)
    assert len(shown) < 5 * crash_writer.FRAMES
    assert shown[-1].startswith("RecursionError")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EFBIG])
def test_a_disk_that_refuses_is_said_once(number, path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(crash_writer.os, "write", refuse)
    file = CrashFile(path)
    file.add(["a"])
    file.add_end(NOTE, [])
    assert [record.getMessage() for record in caplog.records] == [
        f"rldk: cannot write {path} ({os.strerror(number)})"
    ]


def test_the_last_records_are_found_without_reading_the_others(tmp_path):
    files = RunFiles(tmp_path, "r")
    lines = [encode(event(step)) for step in range(1, 2001)]
    files.part(1).write_bytes(b"\n".join(lines[:1990]) + b"\n")
    files.events.write_bytes(b"\n".join(lines[1990:]) + b"\n")
    assert last_lines(files, 50) == [line.decode() for line in lines[-50:]]
    assert last_lines(RunFiles(tmp_path, "none"), 50) == []


def test_records_that_are_longer_than_what_is_read_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(crash_writer, "TAIL_BYTES", 100)
    files = RunFiles(tmp_path, "r")
    files.events.write_text("x" * 500 + "\nshort\n")
    assert last_lines(files, 50) == ["short"]


def ran(tmp_path, code):
    return run_script(
        """
        import faulthandler, os, sys
        from pathlib import Path
        from rldk.recording.crash_writer import CrashFile
        path = Path(sys.argv[1])
        """
        + code,
        tmp_path / "r_crash.txt",
    )


def test_an_empty_file_is_removed_and_faulthandler_left_as_it_was(tmp_path):
    result = ran(
        tmp_path,
        """
        file = CrashFile(path)
        file.open()
        assert faulthandler.is_enabled() and path.exists()
        file.close()
        assert not faulthandler.is_enabled() and not path.exists()
        """,
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_faulthandler_of_the_user_stays(when, tmp_path):
    enable = "        faulthandler.enable(open(str(path) + '.mine', 'w'))\n"
    result = ran(
        tmp_path,
        f"""
        file = CrashFile(path)
{enable if when == "before" else ""}        file.open()
{enable if when == "after" else ""}        file.close()
        assert faulthandler.is_enabled()
        os.abort()
        """,
    )
    assert result.returncode == -6, result.stderr
    assert "Fatal Python error" in (tmp_path / "r_crash.txt.mine").read_text()
    assert not (tmp_path / "r_crash.txt").exists()


def test_a_forked_child_writes_no_error_of_its_own(tmp_path):
    result = ran(
        tmp_path,
        """
        file = CrashFile(path)
        file.open()
        child = os.fork()
        if child == 0:
            os.abort()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -6
        assert path.read_text() == ""
        """,
    )
    assert result.returncode == 0, result.stderr


def test_a_run_that_ends_well_leaves_no_crash_file(tmp_path):
    """In a process of its own: pytest has faulthandler enabled."""
    result = run_script(
        f"""
        import sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parents[1])!r})
        from recording_one import begin
        from events import event
        recorder = begin(Path(sys.argv[1]))
        assert recorder.files.crash().exists()
        recorder.record(event(1))
        recorder.end("completed")
        """,
        tmp_path,
    )
    assert result.returncode == 0, result.stderr
    files = RunFiles(tmp_path, "run")
    assert not files.crash().exists()
    assert files.crash().name not in json.loads(files.final_report.read_text())["files"]


def test_what_was_noted_first_stands(tmp_path):
    told = []
    words = CrashRecorder(
        tmp_path / "crash.txt", step=lambda: 3, account=lambda death: told.append(death) or []
    )
    for error in (ValueError("boom"), KeyboardInterrupt()):
        words.note(error)
    assert [death.detail for death in told] == ["ValueError: boom"]
    assert read_crash(tmp_path / "crash.txt").step == 3
    words.end()


def test_an_account_that_fails_does_not_cost_the_record(tmp_path):
    words = CrashRecorder(tmp_path / "crash.txt", step=lambda: 3, account=lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        words.note(ValueError("boom"))
    assert read_crash(tmp_path / "crash.txt").detail == "ValueError: boom"


@pytest.fixture
def held():
    """A disk that does nothing, and the event that lets it go on."""
    disk, answers = Disk(), threading.Event()
    disk.run(Job(lambda: answers.wait() and None), 0)
    yield disk, answers
    answers.set()


def test_a_note_that_a_disk_holds_up_is_written_when_it_answers(tmp_path, held):
    disk, answers = held
    words = CrashRecorder(tmp_path / "crash.txt", step=lambda: 3, disk=disk)
    words.note(ValueError("boom"), 0.1)
    assert words.ended.detail == "ValueError: boom"
    assert not words.path.exists()
    answers.set()
    assert disk.settle(20)
    assert read_crash(words.path).detail == "ValueError: boom"


def test_a_signal_whose_note_a_disk_holds_up_still_has_the_run_ended(tmp_path, held, monkeypatch):
    disk, _ = held
    monkeypatch.setattr(disk._exit, "left_s", 0.1)
    ended = []
    words = CrashRecorder(tmp_path / "crash.txt", step=lambda: 3, finish=ended.append, disk=disk)
    words._terminated(signal.SIGTERM)
    assert [death.detail for death in ended] == ["SIGTERM"]
    assert not words.path.exists()


def test_a_rank_without_a_recorder_writes_its_own_file(tmp_path):
    result = run_script(
        """
        import sys
        from pathlib import Path
        from rldk.recording.crash_recorder import CrashRecorder

        words = CrashRecorder(Path(sys.argv[1]), step=lambda: 12)
        words.begin()
        raise ValueError("of rank 1")
        """,
        tmp_path / "r_crash.rank1.txt",
    )
    assert result.returncode == 1
    note = read_crash(tmp_path / "r_crash.rank1.txt")
    assert (note.how, note.detail, note.step) == ("exception", "ValueError: of rank 1", 12)


def test_a_child_that_ends_well_leaves_its_parent_the_file(tmp_path):
    path = tmp_path / "r_crash.txt"
    result = run_script(
        """
        import os, sys
        from pathlib import Path
        from rldk.recording.crash_recorder import CrashRecorder

        words = CrashRecorder(Path(sys.argv[1]), step=lambda: 12)
        words.begin()
        if (child := os.fork()) == 0:
            sys.exit()  # which calls what is registered for the end of the parent
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        os.abort()
        """,
        path,
    )
    assert result.returncode == -6, result.stderr
    assert "Fatal Python error: Aborted" in path.read_text()


def test_a_faulthandler_of_the_user_stays_in_a_child(tmp_path):
    result = ran(
        tmp_path,
        """
        file = CrashFile(path)
        file.open()
        faulthandler.enable(open(str(path) + ".mine", "w"))
        if (child := os.fork()) == 0:
            os.abort()
        os.waitpid(child, 0)
        """,
    )
    assert result.returncode == 0, result.stderr
    assert "Fatal Python error: Aborted" in (tmp_path / "r_crash.txt.mine").read_text()


def test_the_exception_of_a_child_is_not_its_parent_s_end(tmp_path):
    path = tmp_path / "r_crash.txt"
    result = run_script(
        """
        import os, sys
        from pathlib import Path
        from rldk.recording.crash_recorder import CrashRecorder

        words = CrashRecorder(Path(sys.argv[1]), step=lambda: 12)
        words.begin()
        if (child := os.fork()) == 0:
            raise ValueError("of the child")  # which the end of the process finds in `sys.last_value`
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
        words.end()
        """,
        path,
    )
    assert result.returncode == 0, result.stderr
    assert not path.exists()


def test_a_child_adds_nothing_to_its_parent_s_file(tmp_path):
    result = ran(
        tmp_path,
        """
        file = CrashFile(path)
        if (child := os.fork()) == 0:
            file.add(["of the child"])
            os._exit(0)
        os.waitpid(child, 0)
        """,
    )
    assert result.returncode == 0, result.stderr
    assert not (tmp_path / "r_crash.txt").exists()


class LateDisk(Disk):
    """A disk that is said to be well, or not."""

    is_well = True


def test_an_exception_waits_a_second_for_a_disk_that_becomes_late(tmp_path, monkeypatch):
    def account(_):
        disk.is_well = False
        answer.wait(10)
        return []

    monkeypatch.setattr(sys, "excepthook", lambda *_: None)
    answer, disk = threading.Event(), LateDisk()
    words = CrashRecorder(tmp_path / "crash.txt", step=lambda: 3, account=account, disk=disk)
    words.begin()
    words._in_trainer = False
    sys.excepthook(ValueError, ValueError("boom"), None)
    assert read_crash(tmp_path / "crash.txt") is None  # the exception was shown before that
    answer.set()
    words.note(ValueError("again"))  # waits for the note
    assert read_crash(tmp_path / "crash.txt").detail == "ValueError: boom"
    words.end()


def test_among_very_many_threads_the_main_one_is_shown(path):
    over = threading.Event()
    others = [threading.Thread(target=over.wait) for _ in range(MOST_THREADS)]
    for thread in others:
        thread.start()
    try:
        CrashFile(path).add(["it hangs"], all_stacks())
    finally:
        over.set()
        for thread in others:
            thread.join()
    assert "test_among_very_many_threads_the_main_one_is_shown" in path.read_text()
