"""The lines of events files: none costs more memory than a line may have, none is passed over in silence."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import event
from events import lines as lines_of
from rldk.runs import RecordedRun, follow, line_reader
from rldk.runs.event_reader import last_event, read_events
from rldk.runs.line_reader import lines_backward, read_lines
from rldk.schema.files import RunFiles


@pytest.fixture
def short(monkeypatch):
    """Lines of more than 1,000 bytes are too long."""
    for module in (line_reader, follow):
        monkeypatch.setattr(module, "MAX_LINE", 1_000)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("length", [1_000, 1_001, 2_000, 9_999])
@pytest.mark.parametrize("byte", [b"x", b"\0"])
def test_a_line_that_is_too_long_is_passed_over_and_told_once(tmp_path, short, packed, length, byte):
    data = lines_of(event(1)) + byte * length + b"\n" + lines_of(event(2)) + byte * length
    path = tmp_path / ("run_events.0001.jsonl.gz" if packed else "run_events.jsonl")
    path.write_bytes(gzip.compress(data) if packed else data)
    run = RecordedRun(RunFiles(tmp_path, "run"))
    bad = []
    for events in (list(run), list(run.follow(poll=0)), list(read_events([path], bad.append))):
        assert [one.step for one in events] == [1, 2]
    assert [one.number for one in run.bad_lines] == [one.number for one in bad] == [2, 4]
    assert bad[0].reason == "a line of more than 1,000 characters"
    assert run.last().step == 2


def test_a_line_of_the_greatest_length_is_read(tmp_path, short):
    path = tmp_path / "log"
    path.write_bytes(b"a\n" + b"x" * 999 + b"\n" + b"y" * 998 + b"\n")
    bad = []
    assert [len(line) for _, line in read_lines(path, bad.append)] == [2, 1_000, 999]
    assert bad == []


def test_a_bomb_among_our_parts_is_left_when_it_has_grown_too_far(tmp_path):
    path = tmp_path / "run_events.0001.jsonl.gz"
    path.write_bytes(gzip.compress(lines_of(event(1)) + (b" " * 9_999 + b"\n") * 10_000))
    bad = []
    assert [one.step for one in read_events([path], bad.append)] == [1]
    assert "unpacks to too much data" in bad[-1].reason
    assert last_event([path]).step == 1


@given(st.lists(st.binary(max_size=60)), st.integers(1, 50), st.integers(1, 50))
def test_backwards_are_the_same_lines(tmp_path_factory, pieces, first, block):
    path = tmp_path_factory.getbasetemp() / "backwards"
    path.write_bytes(b"\n".join(pieces))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_reader, "_LAST_BYTES", first)
        patch.setattr(line_reader, "_BLOCK_BYTES", block)
        found = [line for line in lines_backward(path) if line]
    assert found[::-1] == [line for line in b"\n".join(pieces).split(b"\n") if line]
