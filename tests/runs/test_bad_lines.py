"""Lines that could not be read: each counted once, however many passes meet it."""

import json
from pathlib import Path

from rldk import open_run
from rldk.runs import bad_lines
from rldk.runs.bad_lines import BadLines
from rldk.runs.event_reader import BadLine

PATH = Path("log")


def test_several_faults_on_one_line_count_each_and_passes_count_once():
    found = BadLines()
    faults = [BadLine(PATH, 1, "a"), BadLine(PATH, 1, "a"), BadLine(PATH, 2, "b")]
    for _ in range(3):
        refuse = found.new_pass()
        for bad in faults:
            refuse(bad)
    assert (len(found), list(found)) == (3, faults)


def test_passes_that_end_early_and_later_ones_add_up_to_the_longest():
    found = BadLines()
    for length in (1, 4, 2):
        refuse = found.new_pass()
        for number in range(length):
            refuse(BadLine(PATH, number, "x"))
    assert [bad.number for bad in found] == [0, 1, 2, 3]
    found.new_pass()(BadLine(Path("other"), 1, "y"))
    assert len(found) == 5


def test_what_is_too_much_to_keep_is_counted(monkeypatch):
    monkeypatch.setattr(bad_lines, "MAX_KEPT", 10)
    found = BadLines()
    for _ in range(2):
        refuse = found.new_pass()
        for number in range(25):
            refuse(BadLine(PATH, number, "x"))
    assert (len(found), len(list(found))) == (25, 10)


def test_bad_entries_of_a_document_on_one_line_are_all_told(tmp_path):
    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps({"log_history": [{"step": 1, "loss": 1.0}, 1, None, "x"]}))
    run = open_run(path)
    for _ in range(2):
        assert [one.step for one in run] == [1]
    assert run.bad_count == 3
    assert [bad.reason for bad in run.bad_lines] == [
        f"entry {n} of the history is no object" for n in (1, 2, 3)
    ]


def test_more_bad_lines_than_are_kept_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(bad_lines, "MAX_KEPT", 10)
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1, "loss": 2}\n' * 1_000 + "{torn\n" * 25)
    run = open_run(path)
    assert len(list(run)) == 1_000
    assert (run.bad_count, len(run.bad_lines)) == (25, 10)
