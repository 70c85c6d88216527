"""Parts of an events file: whole records, whole gzip members, one run for a reader."""

import gzip
import threading

import pytest

from events import line_of
from rldk.recording import rotation
from rldk.recording.writer import JsonlWriter
from rldk.runs import RecordedRun
from rldk.runs.event_reader import last_event
from rldk.schema.files import RunFiles


@pytest.fixture
def files(tmp_path):
    return RunFiles(tmp_path, "run")


def write(files, first, last, **options):
    writer = JsonlWriter(files, **options)
    for number in range(first, last):
        writer.write(line_of(number, width=100 + 29 * number % 400))
    writer.close()


def steps(run):
    found = [event.step for event in run]
    assert run.bad_lines == []
    return found


def test_parts_end_at_record_boundaries_and_stay_below_the_limit(files):
    write(files, 0, 100, rotate_mb=0.005)
    *parts, live = files.parts()
    assert live == files.events
    assert len(parts) > 5
    for number, part in enumerate(parts, 1):
        assert part == files.part(number)
        assert 4_000 < part.stat().st_size <= 5_000
        assert part.read_bytes().endswith(b"}\n")
    assert steps(RecordedRun(files)) == list(range(100))


def test_a_record_above_the_limit_has_a_part_of_its_own(files):
    writer = JsonlWriter(files, rotate_mb=0.001)
    for number, width in enumerate([10, 3000, 10]):
        writer.write(line_of(number, width=width))
    writer.close()
    assert len(files.parts()) == 3
    assert steps(RecordedRun(files)) == [0, 1, 2]


def test_without_a_limit_there_is_one_file(files):
    write(files, 0, 100)
    assert files.parts() == [files.events]


def test_a_run_that_goes_on_numbers_its_parts_on(files):
    write(files, 0, 50, rotate_mb=0.005)
    before = len(files.parts())
    write(files, 50, 100, rotate_mb=0.005, compress=True)
    assert len(files.parts()) > before
    assert steps(RecordedRun(files)) == list(range(100))


def test_lines_that_waited_together_are_cut_into_parts_too(files):
    write(files, 0, 100, rotate_mb=0.005, flush_interval=3600)
    *parts, _ = files.parts()
    assert len(parts) > 5
    assert all(part.stat().st_size <= 5_000 for part in parts)
    assert steps(RecordedRun(files)) == list(range(100))


def test_finished_parts_are_compressed_each_to_one_whole_gzip_member(files):
    write(files, 0, 100, rotate_mb=0.005, compress=True)
    *parts, live = files.parts()
    assert live.suffix == ".jsonl"
    assert len(parts) > 5
    for number, part in enumerate(parts, 1):
        assert part.name == f"run_events.{number:04d}.jsonl.gz"
        packed = part.read_bytes()
        assert packed.count(b"\x1f\x8b\x08") == 1
        assert gzip.decompress(packed).endswith(b"}\n")
    assert [path for path in files.folder.iterdir() if path.name.startswith(".")] == []
    assert steps(RecordedRun(files)) == list(range(100))
    assert last_event(files.parts()).step == 99


def test_a_part_that_a_crash_left_twice_is_counted_once_and_compressed_again(files):
    write(files, 0, 100, rotate_mb=0.005)
    part = files.part(2)
    part.with_name(f"{part.name}.gz").write_bytes(gzip.compress(part.read_bytes())[:50])
    assert steps(RecordedRun(files)) == list(range(100))
    rotation.compress_parts(files)
    assert not part.exists()
    assert steps(RecordedRun(files)) == list(range(100))


def test_a_part_that_cannot_be_compressed_stays_plain(files):
    write(files, 0, 30, rotate_mb=0.005)
    part = files.part(1)
    part.with_name(f".{part.name}.gz").mkdir()
    (part.with_name(f"{part.name}.gz")).mkdir()
    (part.with_name(f"{part.name}.gz") / "in the way").touch()
    rotation.compress_parts(files)
    assert part.exists()
    assert not files.part(2).exists()
    assert steps(RecordedRun(files)) == list(range(30))


def test_a_part_that_cannot_be_renamed_grows_on_and_is_renamed_later(files, caplog, monkeypatch):
    monkeypatch.setattr("rldk.recording.writer.ROTATION_RETRY_SECONDS", 0.0)

    def refuse(*_):
        raise OSError(116, "Stale file handle")

    writer = JsonlWriter(files, rotate_mb=0.002)
    with monkeypatch.context() as refused:
        refused.setattr("rldk.recording.rotation.os.rename", refuse)
        for number in range(20):
            writer.write(line_of(number))
        assert files.parts() == [files.events]
    for number in range(20, 40):
        writer.write(line_of(number))
    writer.close()
    assert len([one for one in caplog.records if "cannot rotate" in one.getMessage()]) == 1
    assert len(files.parts()) > 2
    assert steps(RecordedRun(files)) == list(range(40))


def test_a_part_that_is_compressed_after_it_was_listed_is_read_all_the_same(files):
    write(files, 0, 100, rotate_mb=0.005)
    parts = files.parts()
    reading = iter(RecordedRun(files, parts))
    assert [next(reading).step for _ in range(3)] == [0, 1, 2]
    rotation.compress_parts(files)
    assert [event.step for event in reading] == list(range(3, 100))


def test_a_part_that_is_finished_while_a_reader_is_at_work_is_not_missed(files):
    write(files, 0, 50, rotate_mb=0.005)
    reading = iter(RecordedRun(files))
    found = [next(reading).step for _ in range(3)]
    write(files, 50, 100, rotate_mb=0.005, compress=True)
    assert found + [event.step for event in reading] == list(range(100))


def test_readers_of_a_run_that_is_rotated_and_compressed_see_every_record_once(files):
    done = threading.Event()

    def record():
        write(files, 0, 3_000, rotate_mb=0.005, compress=True)
        done.set()

    thread = threading.Thread(target=record)
    thread.start()
    passes = 0
    while not done.is_set():
        run = RecordedRun(files)
        found = [event.step for event in run]
        assert found == list(range(len(found)))
        last = run.last()
        assert (last.step if last else 0) >= len(found) - 1
        passes += 1
    thread.join()
    assert passes > 1
    assert steps(RecordedRun(files)) == list(range(3_000))
