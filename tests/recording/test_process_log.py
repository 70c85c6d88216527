"""The journal of a process: what waits, what is written, what is counted."""

import json

import pytest

from rldk.recording import process_log as module
from rldk.recording.process_log import ProcessLog
from rldk.schema.files import RunFiles


@pytest.fixture
def files(tmp_path):
    return RunFiles(tmp_path, "run")


def did(journal, *steps):
    for step in steps:
        journal.begin_step()
        journal.end_step(step)


def steps(files):
    return [json.loads(line)["step"] for line in files.resources().read_text().splitlines()]


def test_lines_wait_until_the_name_is_known(files):
    known = []
    journal = ProcessLog(0, lambda: known[0] if known else None)
    did(journal, 1, 2)
    journal.flush()
    assert not files.resources().exists()
    known.append(files)
    journal.sampled(3.0, {"resource/cpu": 1.0})
    assert steps(files) == [1, 2, 2]


def test_lines_that_waited_too_long_are_counted(files, monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    known = []
    journal = ProcessLog(0, lambda: known[0] if known else None)
    did(journal, *range(1, 6))
    journal.sampled(1.0, {})
    assert journal.lost == 3
    known.append(files)
    journal.close()
    assert steps(files) == [4, 5, 5]
    assert journal.lost == 3


def test_a_loop_that_skips_steps_has_no_time_of_one(files):
    journal = ProcessLog(0, lambda: files)
    did(journal, 1, 11, 12)
    journal.close()
    assert steps(files) == [1, 12]
