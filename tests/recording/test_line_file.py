"""Lines beside the events: whole, in order, and never a reason to end a training."""

import errno
import json
import os
import shutil
import threading

from rldk.recording.disk import Disk, Job
from rldk.recording.line_file import LineFile


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_each_and_what_stood_there_stays(tmp_path):
    path = tmp_path / "deep" / "file.jsonl"
    first = LineFile(path)
    assert first.write({"a": 1.5})
    first.close()
    assert LineFile(path).write({"a": [float("nan"), "\ud800"]})
    assert lines(path) == [{"a": 1.5}, {"a": [None, "\\ud800"]}]


def test_a_torn_line_is_ended_first(tmp_path):
    path = tmp_path / "file.jsonl"
    path.write_bytes(b'{"a": 1')
    LineFile(path).write({"b": 2})
    assert path.read_bytes() == b'{"a": 1\n{"b":2}\n'


def test_a_short_write_tears_one_line_and_no_other(tmp_path, monkeypatch, caplog):
    file, whole = LineFile(tmp_path / "file.jsonl"), os.write
    monkeypatch.setattr("rldk.recording.line_file.os.write", lambda fd, line: whole(fd, line[:3]))
    assert not file.write({"a": 1})
    monkeypatch.undo()
    assert file.write({"b": 2})
    assert file.lost == 1
    assert "only a part of a line was taken" in caplog.text
    assert file.path.read_bytes() == b'{"a\n{"b":2}\n'


def test_a_file_that_was_deleted_is_begun_again(tmp_path):
    file = LineFile(tmp_path / "logs" / "file.jsonl")
    file.write({"a": 1})
    shutil.rmtree(tmp_path / "logs")
    assert file.write({"b": 2})
    assert lines(file.path) == [{"b": 2}]


def test_a_disk_that_refuses_is_said_once_and_counted(tmp_path, monkeypatch, caplog):
    file = LineFile(tmp_path / "file.jsonl")

    def full(fd, line):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("rldk.recording.line_file.os.write", full)
    assert [file.write({}), file.write({})] == [False, False]
    assert (file.lost, len(caplog.records)) == (2, 1)
    monkeypatch.undo()
    assert file.write({"a": 1})
    assert lines(file.path) == [{"a": 1}]


def test_what_json_cannot_hold_is_lost_and_nothing_raises(tmp_path):
    file = LineFile(tmp_path / "file.jsonl")
    assert not file.write({"a": object()})
    endless = []
    endless.append(endless)
    assert not file.write(endless)
    assert file.lost == 2


def test_a_forked_child_writes_nothing(tmp_path):
    file = LineFile(tmp_path / "file.jsonl")
    file.write({"by": "parent"})
    if (child := os.fork()) == 0:
        file.write({"by": "child"})
        os._exit(0)
    os.waitpid(child, 0)
    file.write({"by": "parent"})
    assert lines(file.path) == [{"by": "parent"}] * 2


def test_a_line_never_goes_to_the_file_that_got_the_number_of_a_closed_descriptor(tmp_path, monkeypatch):
    file, mine = LineFile(tmp_path / "file.jsonl"), tmp_path / "mine"
    file.write({"a": 1})
    write, closing = os.write, threading.Thread(target=file.close)

    def write_while_another_closes(fd, line):
        monkeypatch.undo()
        closing.start()
        closing.join(0.05)  # it waits for the line, or it has closed the file by then
        with mine.open("wb"):
            return write(fd, line)

    monkeypatch.setattr("rldk.recording.line_file.os.write", write_while_another_closes)
    assert file.write({"b": 2})
    closing.join()
    assert mine.read_bytes() == b""
    assert lines(file.path) == [{"a": 1}, {"b": 2}]


def test_lines_wait_for_a_disk_that_does_not_answer_and_are_written_in_order(tmp_path):
    disk, answers = Disk(), threading.Event()
    disk.run(Job(answers.wait), 0)
    file = LineFile(tmp_path / "file.jsonl", disk)
    assert not file.write({"a": 1}, {"b": object()}, wait_s=0)
    assert not file.write({"c": 3}, wait_s=0)
    file.close()  # it is not waited for either
    assert (file.lost, file.path.exists()) == (1, False)
    answers.set()
    assert disk.settle(20)
    assert lines(file.path) == [{"a": 1}, {"c": 3}]


def test_no_more_bytes_wait_than_memory_may_hold(tmp_path, monkeypatch):
    monkeypatch.setattr("rldk.recording.line_file.MAX_WAITING_BYTES", 30)
    disk, answers = Disk(), threading.Event()
    disk.run(Job(answers.wait), 0)
    file = LineFile(tmp_path / "file.jsonl", disk)
    for number in range(10):
        file.write({"a": number}, wait_s=0)
    answers.set()
    assert disk.settle(20)
    assert lines(file.path) == [{"a": number} for number in (7, 8, 9)]
    assert file.lost == 7


def test_a_line_that_another_process_tore_is_ended_before_the_next(tmp_path):
    file = LineFile(tmp_path / "file.jsonl")
    file.write({"a": 1})
    with file.path.open("ab") as other:
        other.write(b'{"torn":')
    file.write({"b": 2})
    assert file.path.read_bytes() == b'{"a":1}\n{"torn":\n{"b":2}\n'
