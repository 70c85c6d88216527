"""Checking events files."""

import gzip

import pytest

from events import event, lines, resumed, write_run
from rldk.runs.validation import MAX_SHOWN, check
from rldk.schema.event import encode


def test_a_sound_file_is_counted(tmp_path):
    files = write_run(tmp_path, event(3), event(5), event(5, "eval"), resumed(4, 3), event(9, "summary"))
    found = check(files.parts())
    assert found.records == 5
    assert found.phases == {"train": 3, "eval": 1, "summary": 1}
    assert (found.first_step, found.last_step) == (3, 9)
    assert found.resumes == 1
    assert (found.bad, found.bad_lines) == (0, [])


def test_an_empty_file_is_sound(tmp_path):
    path = tmp_path / "empty.jsonl"
    path.write_bytes(b"\n\n")
    found = check([path])
    assert (found.records, found.first_step, found.last_step, found.bad) == (0, None, None, 0)


def test_bad_lines_are_told_by_file_line_and_reason(tmp_path):
    path = tmp_path / "run_events.jsonl"
    nan = lines(event(2, loss=7.5)).replace(b"7.5", b"NaN")
    path.write_bytes(lines(event(1)) + nan + lines(event(3)).replace(b'"notes":[]', b'"notes":0') + b"\n[]\n")
    found = check([path])
    assert found.records == 1
    assert found.bad == 3
    assert [(bad.path, bad.number) for bad in found.bad_lines] == [(path, 2), (path, 3), (path, 5)]
    assert "$.notes" in found.bad_lines[1].reason


def test_a_torn_last_line_is_told_as_such(tmp_path):
    path = tmp_path / "run_events.jsonl"
    path.write_bytes(lines(event(1)) + encode(event(2))[:40])
    (bad,) = check([path]).bad_lines
    assert bad.number == 2
    assert bad.reason.startswith("the file ends inside this record")


def test_superseded_records_are_checked_too(tmp_path):
    files = write_run(tmp_path, event(1), event(2), resumed(1, 0))
    assert check(files.parts()).records == 3


def test_all_parts_are_checked_and_a_cut_gzip_file_is_bad(tmp_path):
    whole = tmp_path / "a.jsonl.gz"
    whole.write_bytes(gzip.compress(lines(event(1))))
    cut = tmp_path / "b.jsonl.gz"
    cut.write_bytes(gzip.compress(lines(*map(event, range(100))))[:-8])
    found = check([whole, cut])
    assert found.records > 1
    assert [bad.path for bad in found.bad_lines] == [cut]


def test_many_bad_lines_are_counted_and_the_first_are_kept(tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(b"bad\n" * 1000)
    found = check([path])
    assert found.bad == 1000
    assert [bad.number for bad in found.bad_lines] == list(range(1, MAX_SHOWN + 1))


def test_a_file_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        check([tmp_path / "none.jsonl"])
