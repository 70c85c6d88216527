"""The writer: what it was given is on disk in one piece, or waits for a disk that refuses it."""

import errno
import itertools
import json
import logging
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from events import line_of
from processes import run_script
from rldk.recording import writer as module
from rldk.recording.disk import Disk
from rldk.recording.writer import LOCK_SECONDS, JsonlWriter
from rldk.runs import RecordedRun
from rldk.schema.files import RunFiles

KILLER = Path(__file__).parents[1] / "kill_writer.py"
WAIT = 20  # seconds until a background that never comes fails a test


@pytest.fixture
def files(tmp_path):
    return RunFiles(tmp_path / "logs", "run")


def steps(files):
    """The steps of all records; a line that is none fails the test."""
    run = RecordedRun(files)
    found = [event.step for event in run]
    assert run.bad_lines == []
    return found


def until(condition):
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def test_each_line_is_on_the_file_when_write_has_returned(files):
    writer = JsonlWriter(files)
    for number in range(3):
        writer.write(line_of(number))
        assert steps(files) == list(range(number + 1))
    assert (writer.written, writer.waiting, writer.lost) == (3, 0, 0)
    assert files.events.read_bytes() == b"".join(line_of(n) + b"\n" for n in range(3))


def test_nothing_is_made_before_the_first_line(files):
    JsonlWriter(files).close()
    assert not files.folder.exists()


def test_a_file_that_exists_is_gone_on_with(files):
    for number in range(3):
        writer = JsonlWriter(files)
        writer.write(line_of(number))
        writer.close()
    assert steps(files) == [0, 1, 2]


def test_a_write_after_close_opens_the_file_again(files):
    writer = JsonlWriter(files)
    writer.write(line_of(0))
    writer.close()
    writer.write(line_of(1))
    writer.close()
    assert steps(files) == [0, 1]


@pytest.mark.parametrize("torn", [line_of(0)[:100], line_of(0), b"{", "é".encode()[:1]])
def test_a_torn_last_line_is_ended_before_the_next_record(files, torn):
    files.folder.mkdir()
    files.events.write_bytes(torn)
    writer = JsonlWriter(files)
    writer.write(line_of(1))
    writer.write(line_of(2))
    assert files.events.read_bytes() == torn + b"\n" + line_of(1) + b"\n" + line_of(2) + b"\n"


@pytest.mark.parametrize(
    "options", [{"rotate_mb": 0}, {"rotate_mb": -1}, {"rotate_mb": float("nan")}, {"flush_interval": -0.1},
                {"flush_interval": float("nan")}]
)  # fmt: skip
def test_an_option_out_of_range_is_refused(files, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        JsonlWriter(files, **options)


# Kills.


@pytest.mark.parametrize(("mode", "kills"), [("plain", 200), ("rotating", 100)])
def test_no_record_whose_write_had_returned_is_missing_after_a_kill(tmp_path, mode, kills):
    found = json.loads(subprocess.check_output([sys.executable, KILLER, tmp_path, str(kills), mode]))
    print(found)
    assert found["kills"] == kills
    assert found["returned"] > 2 * kills
    assert found["missing"] == 0
    assert found["doubled"] == 0
    assert found["unreadable"] == 0
    assert found["torn"] == 0  # not even the record that was being written


def test_lines_in_a_fast_loop_do_not_cross_pages_and_slow_ones_carry_no_blanks(tmp_path, monkeypatch):
    line = b'{"a":"' + b"x" * 1200 + b'"}'
    fast, slow = RunFiles(tmp_path, "fast"), RunFiles(tmp_path, "slow")
    for files, seconds in ((fast, 1e9), (slow, 0.0)):
        monkeypatch.setattr(module, "FAST_SECONDS", seconds)
        writer = JsonlWriter(files)
        for _ in range(30):
            writer.write(line)
        writer.close()
    ends = list(itertools.accumulate(len(one) for one in fast.events.read_bytes().splitlines(keepends=True)))
    starts = [0, *ends[:-1]]
    assert all(start // 4096 == (end - 1) // 4096 for start, end in zip(starts, ends, strict=True))
    assert {one.rstrip() for one in fast.events.read_bytes().splitlines()} == {line}
    assert slow.events.read_bytes() == (line + b"\n") * 30


def test_a_kill_of_a_buffering_writer_loses_only_what_waited(tmp_path):
    found = json.loads(subprocess.check_output([sys.executable, KILLER, tmp_path, "20", "buffered"]))
    assert found["missing"] < found["returned"]
    assert (found["doubled"], found["unreadable"]) == (0, 0)


# Several processes.


def test_eight_processes_on_one_file_do_not_tear_each_others_lines(files):
    code = """
        import sys
        from pathlib import Path
        from rldk.schema.files import RunFiles
        from rldk.recording.writer import JsonlWriter
        from events import line_of
        writer = JsonlWriter(RunFiles(Path(sys.argv[1]), "run"))
        lines = [line_of(int(sys.argv[2]) * 1000 + i, width=50 + 37 * i % 3000) for i in range(1000)]
        sys.stdin.readline()
        for line in lines:
            writer.write(line)
        writer.close()
    """
    environment = {**os.environ, "PYTHONPATH": str(KILLER.parent)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), files.folder, str(number)],
            stdin=subprocess.PIPE,
            env=environment,
        )
        for number in range(8)
    ]
    for process in processes:
        process.stdin.write(b"go\n")
        process.stdin.close()
    assert [process.wait(60) for process in processes] == [0] * 8
    found = steps(files)
    assert sorted(found) == list(range(8000))
    for number in range(8):  # each process's records in its order
        own = [step for step in found if step // 1000 == number]
        assert own == sorted(own)


def test_a_forked_child_writes_nothing_and_the_parent_goes_on(files):
    writer = JsonlWriter(files)
    writer.write(line_of(0))
    child = os.fork()
    if child == 0:
        writer.write(line_of(99))
        writer.flush()
        writer.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    writer.write(line_of(1))
    writer.close()
    assert steps(files) == [0, 1]


def test_what_waits_in_a_buffer_is_not_written_by_a_forked_child_too(files):
    writer = JsonlWriter(files, flush_interval=60)
    writer.write(line_of(0))
    child = os.fork()
    if child == 0:
        writer.flush()
        writer.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert not files.events.exists()
    writer.close()
    assert steps(files) == [0]


def test_a_grandchild_keeps_the_files_that_the_child_opened(files, tmp_path):
    writer = JsonlWriter(files)
    writer.write(line_of(0))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            # The numbers that are free now, that of the writer's descriptor among them.
            mine = [os.open(tmp_path / "mine", os.O_RDWR | os.O_CREAT) for _ in range(8)]
            grandchild = os.fork()
            if grandchild == 0:
                for fd in mine:
                    os.fstat(fd)  # raises where it was closed
                os._exit(0)
            code = os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1])
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_workers_of_a_data_loader_leave_the_run_to_the_trainer(files):
    result = run_script(
        """
        import sys
        from pathlib import Path
        from torch.utils.data import DataLoader
        from rldk.schema.files import RunFiles
        from rldk.recording.writer import JsonlWriter

        class Data:
            def __init__(self):
                self.writer = writer
            def __len__(self):
                return 8
            def __getitem__(self, index):
                self.writer.write(b"from a worker")
                return index

        writer = JsonlWriter(RunFiles(Path(sys.argv[1]), "run"))
        writer.write(b"first")
        loaded = [int(x) for x in DataLoader(Data(), num_workers=2, multiprocessing_context="fork")]
        assert loaded == list(range(8)), loaded
        writer.write(b"last")
        writer.close()
        """,
        files.folder,
    )
    assert result.returncode == 0, result.stderr
    assert files.events.read_bytes() == b"first\nlast\n"


# Disks that refuse.


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 64 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("options", [{}, {"rotate_mb": 0.01}, {"flush_interval": 0.005}])
def test_a_full_disk_makes_records_wait_in_order_and_loses_none(small_disk, caplog, options, monkeypatch):
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    files = RunFiles(small_disk, "run")
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(20_000))
    writer = JsonlWriter(files, **options)
    for number in range(200):
        writer.write(line_of(number))
    writer.flush()
    assert writer.waiting > 0
    assert writer.written + writer.waiting == 200
    (warning,) = warnings_of(caplog)
    assert "No space left" in warning
    assert "training goes on" in warning

    ballast.unlink()  # there is room for some of what waits
    before = writer.written
    writer.flush()
    assert before < writer.written < 200
    subprocess.run(["mount", "-o", "remount,size=10m", small_disk], check=True)
    writer.write(line_of(200))
    writer.close()
    assert (writer.written, writer.waiting, writer.lost) == (201, 0, 0)
    assert steps(files) == list(range(201))
    assert [text for text in warnings_of(caplog) if "is written again" in text]


def test_a_file_size_limit_makes_records_wait_and_the_torn_line_whole_again(files):
    result = run_script(
        """
        import logging, resource, sys
        from pathlib import Path
        from rldk.schema.event import DataSlice, Event, ModelInfo, Rng, encode
        from rldk.schema.files import RunFiles
        from rldk.recording.writer import JsonlWriter

        logging.basicConfig(format="%(message)s")
        line = lambda n: encode(Event(step=n, wall_time=None, metrics={"x" * 500: 1}, rng=Rng(),
                                      data_slice=DataSlice(), model_info=ModelInfo(), notes=()))
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_123, resource.RLIM_INFINITY))
        files = RunFiles(Path(sys.argv[1]), "run")
        writer = JsonlWriter(files)
        for number in range(40):
            writer.write(line(number))
        assert files.events.stat().st_size == 10_123
        assert not files.events.read_bytes().endswith(b"\\n")  # torn in the middle
        assert writer.written + writer.waiting == 40
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        writer.close()
        assert (writer.written, writer.waiting, writer.lost) == (40, 0, 0)
        """,
        files.folder,
    )
    assert result.returncode == 0, result.stderr
    assert steps(files) == list(range(40))
    refused, again = result.stderr.splitlines()
    assert "File too large" in refused
    assert "written again" in again


def test_a_line_that_was_torn_is_whole_again_though_the_writer_was_closed_in_between(files):
    result = run_script(
        """
        import resource, sys
        from pathlib import Path
        from rldk.schema.files import RunFiles
        from rldk.recording.writer import JsonlWriter
        unlimited = resource.RLIM_INFINITY
        resource.setrlimit(resource.RLIMIT_FSIZE, (15, unlimited))
        writer = JsonlWriter(RunFiles(Path(sys.argv[1]), "run"))
        writer.write(b"0123456789")
        writer.write(b"abcdefghij")
        writer.close()
        assert (writer.written, writer.waiting) == (1, 1)
        resource.setrlimit(resource.RLIMIT_FSIZE, (unlimited, unlimited))
        writer.close()
        """,
        files.folder,
    )
    assert result.returncode == 0, result.stderr
    assert files.events.read_bytes() == b"0123456789\nabcdefghij\n"


def test_a_torn_line_is_given_up_where_another_process_wrote_behind_it(files):
    result = run_script(
        """
        import resource, sys
        from pathlib import Path
        from rldk.schema.files import RunFiles
        from rldk.recording.writer import JsonlWriter
        unlimited = resource.RLIM_INFINITY
        resource.setrlimit(resource.RLIMIT_FSIZE, (15, unlimited))
        files = RunFiles(Path(sys.argv[1]), "run")
        writer = JsonlWriter(files)
        for line in (b"0123456789", b"abcdefghij", b"ABCDEFGHIJ"):
            writer.write(line)
        resource.setrlimit(resource.RLIMIT_FSIZE, (unlimited, unlimited))
        other = JsonlWriter(files)
        other.write(b"other")
        other.close()
        writer.close()
        assert (writer.written, writer.waiting, writer.lost) == (2, 0, 1)
        """,
        files.folder,
    )
    assert result.returncode == 0, result.stderr
    assert files.events.read_bytes() == b"0123456789\nabcd\nother\nABCDEFGHIJ\n"


def test_more_bytes_than_may_wait_drop_the_oldest_lines_and_count_them(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING_BYTES", 5_000)
    (tmp_path / "logs").write_text("a file in the folder's place")
    files = RunFiles(tmp_path / "logs", "run")
    writer = JsonlWriter(files)
    for number in range(1_500):
        writer.write(b"%04d" % number)
    assert (writer.written, writer.waiting, writer.lost) == (0, 1_000, 500)
    assert len(warnings_of(caplog)) == 1

    (tmp_path / "logs").unlink()
    writer.close()
    found = [int(line) for line in files.events.read_bytes().splitlines()]
    assert found == list(range(500, 1_500))
    assert (writer.written, writer.waiting, writer.lost) == (1_000, 0, 500)


def test_what_a_disk_refused_is_written_without_another_record(tmp_path):
    (tmp_path / "logs").write_text("")
    writer = JsonlWriter(RunFiles(tmp_path / "logs", "run"))
    writer.write(line_of(0))
    (tmp_path / "logs").unlink()
    until(lambda: writer.waiting == 0)
    assert steps(RunFiles(tmp_path / "logs", "run")) == [0]


def test_a_disk_that_flaps_is_reported_once(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    files = RunFiles(tmp_path, "run")
    writer, write = JsonlWriter(files), os.write
    for number in range(20):
        with monkeypatch.context() as ill:
            ill.setattr(module.os, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
            writer.write(line_of(2 * number))
        writer.write(line_of(2 * number + 1))
    writer.close()
    assert os.write is write
    assert steps(files) == list(range(40))
    assert len(warnings_of(caplog)) == 2, warnings_of(caplog)


def test_a_folder_that_cannot_be_made_is_said_once_and_never_raises(tmp_path, caplog):
    (tmp_path / "logs").write_text("")
    writer = JsonlWriter(RunFiles(tmp_path / "logs" / "deep", "run"))
    for number in range(3):
        writer.write(line_of(number))
        writer.flush()
    writer.tend()
    writer.close()
    writer.close()
    assert (writer.written, writer.waiting) == (0, 3)
    assert len(warnings_of(caplog)) == 1


def test_a_refusing_disk_is_left_alone_for_a_while(tmp_path):
    (tmp_path / "logs").write_text("")
    files = RunFiles(tmp_path / "logs", "run")
    writer = JsonlWriter(files)
    writer.write(b"0")
    (tmp_path / "logs").unlink()
    writer.write(b"1")
    assert not files.folder.exists()
    until(lambda: writer.write(b"x") or writer.waiting == 0)
    assert files.events.read_bytes().startswith(b"0\n1\nx\n")


def test_a_missing_folder_is_made(tmp_path):
    files = RunFiles(tmp_path / "a" / "b" / "c", "run")
    JsonlWriter(files).write(line_of(0))
    assert steps(files) == [0]


def deleted(files):
    files.events.unlink()


def deleted_with_its_folder(files):
    shutil.rmtree(files.folder)


def moved_with_its_folder(files):
    files.folder.rename(files.folder.with_name("moved"))


def replaced(files):  # as `sed -i` does
    copy = files.events.with_name("copy")
    shutil.copy(files.events, copy)
    copy.rename(files.events)


@pytest.mark.parametrize(
    ("change", "kept"),
    [(deleted, []), (deleted_with_its_folder, []), (moved_with_its_folder, []), (replaced, [0])],
)
def test_a_file_that_is_there_no_more_is_opened_again_before_the_next_record(files, caplog, change, kept):
    writer = JsonlWriter(files)
    writer.write(line_of(0))
    change(files)
    writer.write(line_of(1))
    assert steps(files) == [*kept, 1]
    (warning,) = warnings_of(caplog)
    assert "was deleted, moved or replaced" in warning
    writer.close()


def test_a_line_that_another_process_tore_swallows_no_record(files):
    writer = JsonlWriter(files)
    writer.write(b"0")
    with files.events.open("ab") as other:
        other.write(b'{"torn":')
    writer.write(b"1")
    writer.close()
    assert files.events.read_bytes() == b'0\n{"torn":\n1\n'


# Buffering.


def test_buffered_lines_appear_after_the_interval_without_another_write(files):
    writer = JsonlWriter(files, flush_interval=0.2)
    writer.write(line_of(0))
    writer.write(line_of(1))
    assert (writer.waiting, writer.written) == (2, 0)
    until(files.events.exists)
    until(lambda: steps(files) == [0, 1])
    assert writer.waiting == 0


def test_close_writes_what_waits_in_the_buffer(files):
    writer = JsonlWriter(files, flush_interval=3600)
    for number in range(10):
        writer.write(line_of(number))
    assert not files.events.exists()
    writer.close()
    assert steps(files) == list(range(10))


def test_a_buffer_is_written_when_it_is_long_whatever_its_age(files):
    writer = JsonlWriter(files, flush_interval=3600)
    for number in range(2_500):
        writer.write(line_of(number, width=5))
    assert len(steps(files)) == writer.written == 2_000
    writer.close()
    assert steps(files) == list(range(2_500))


def test_the_background_ends_with_the_writer(files):
    result = run_script(
        """
        import sys, threading
        from pathlib import Path
        from rldk.schema.files import RunFiles
        from rldk.recording.writer import JsonlWriter
        for options in ({}, {"flush_interval": 3600}, {"compress": True, "rotate_mb": 1}):
            writer = JsonlWriter(RunFiles(Path(sys.argv[1]), "run"), **options)
            writer.write(b"1")
            assert "rldk-writer" in {thread.name for thread in threading.enumerate()}
            writer.close()
            for thread in threading.enumerate():
                if thread is not threading.main_thread():
                    thread.join(20)
            assert threading.active_count() == 1, threading.enumerate()
        """,
        files.folder,
    )
    assert result.returncode == 0, result.stderr


def test_a_process_that_never_closes_the_writer_ends_at_once_with_all_lines(files):
    result = run_script(
        """
        import sys
        from pathlib import Path
        from rldk.schema.files import RunFiles
        from rldk.recording.writer import JsonlWriter
        JsonlWriter(RunFiles(Path(sys.argv[1]), "run")).write(b"1")
        """,
        files.folder,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert files.events.read_bytes() == b"1\n"


def test_many_threads_may_write_at_once(files):
    from concurrent.futures import ThreadPoolExecutor

    writer = JsonlWriter(files, rotate_mb=0.05, compress=True)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: writer.write(line_of(number)), range(2_000)))
    writer.close()
    assert sorted(steps(files)) == list(range(2_000))


def test_descriptors_do_not_pile_up(files):
    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    before = descriptors()
    for number in range(50):
        writer = JsonlWriter(files, rotate_mb=0.001, compress=True)
        writer.write(line_of(number))
        writer.write(line_of(number))
        writer.close()
    assert descriptors() <= before
    assert len(steps(files)) == 100


# The background's sync.


@pytest.fixture
def synced(monkeypatch):
    """The files that were synced, as device and inode."""
    found = []
    monkeypatch.setattr(module, "_sync_data", lambda fd: found.append(identity(os.fstat(fd))))
    return found


def identity(status):
    return status.st_dev, status.st_ino


@pytest.fixture
def alone(monkeypatch):
    """Writers without a thread of their own."""
    monkeypatch.setattr(JsonlWriter, "_start_background", lambda _: None)


def test_a_sync_that_a_rotation_overtakes_is_no_loss(files, synced, alone, monkeypatch):
    writer, rotate = JsonlWriter(files, rotate_mb=0.001), module.rotate
    tending = threading.Thread(target=writer.tend)

    def rotate_slowly(of):
        tending.start()
        tending.join(0.2)  # it waits for the rotation, or it has synced what is closed
        return rotate(of)

    monkeypatch.setattr(module, "rotate", rotate_slowly)
    writer.write(line_of(0, width=600))
    writer.write(line_of(1, width=600))
    tending.join()
    assert writer.sync_error is None
    assert synced == [identity(path.stat()) for path in files.parts()]
    assert len(synced) == 2


def test_a_sync_holds_nobody_up(files, alone, monkeypatch):
    writer, held = JsonlWriter(files), []

    def sync(fd):
        held.append(writer._lock.locked())
        writer._close_file()  # as a rotation does
        os.fstat(fd)  # raises where that closed ours

    monkeypatch.setattr(module, "_sync_data", sync)
    writer.write(line_of(0))
    writer.tend()
    assert (held, writer.sync_error) == ([False], None)


def test_a_disk_that_cannot_keep_what_it_took_is_said_once(files, alone, monkeypatch, caplog):
    def fail(_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(module, "_sync_data", fail)
    writer = JsonlWriter(files)
    for number in range(2):
        writer.write(line_of(number))
        writer.tend()
    assert writer.sync_error == "Input/output error"
    assert len(warnings_of(caplog)) == 1


def test_without_a_descriptor_to_spare_it_is_synced_the_next_time(files, synced, alone, monkeypatch):
    def refuse(_):
        raise OSError(errno.EMFILE, "Too many open files")

    writer = JsonlWriter(files)
    writer.write(line_of(0))
    with monkeypatch.context() as full:
        full.setattr("rldk.recording.writer.os.dup", refuse)
        writer.tend()
    assert (synced, writer.sync_error) == ([], None)
    writer.tend()
    assert synced == [identity(files.events.stat())]


def test_a_line_that_another_process_tears_at_a_refused_rotation_costs_no_record(files, monkeypatch):
    def tear(files):
        with files.events.open("ab") as other:
            other.write(b'{"torn')
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(module, "rotate", tear)
    writer = JsonlWriter(files, rotate_mb=0.0005)
    for number in range(60):
        writer.write(b'{"n": %d}' % number)
    writer.close()
    found = files.events.read_text()
    assert [n for n in range(60) if f'{{"n": {n}}}' not in found] == []
    assert writer.lost == 0


def test_a_descriptor_that_a_network_disk_does_not_know_any_more_is_opened_again(files, monkeypatch):
    writer = JsonlWriter(files)
    writer.write(line_of(0))
    stale = [writer._fd]
    fstat = os.fstat

    def refuse(descriptor):
        if descriptor in stale:
            stale.clear()  # it is closed then, and its number free for another file
            raise OSError(errno.ESTALE, "Stale file handle")
        return fstat(descriptor)

    monkeypatch.setattr(os, "fstat", refuse)
    files.events.unlink()
    writer.write(line_of(1))
    assert writer.waiting == 0
    assert files.events.read_bytes().strip() == line_of(1)


def test_a_signal_anywhere_in_sync_does_not_keep_the_writer_from_its_end(tmp_path):
    def interrupt(frame, event, _):
        if event == "line":
            lines.append(frame.f_lineno)
            if len(lines) == number:
                closing = threading.Thread(target=writer.close)  # as a signal's thread does it
                closing.start()
                closing.join()
        return interrupt

    before, number, lines = sys.gettrace(), 0, []
    while len(lines) >= number:  # until there are fewer lines than that
        number, disk = number + 1, Disk()
        writer = JsonlWriter(RunFiles(tmp_path, f"run{number}"), disk=disk)
        writer.write(b"{}")
        lines = []
        sys.settrace(interrupt)
        writer.sync()
        sys.settrace(before)
        assert disk.is_well
        writer.close()
    assert number > 1


def test_a_lock_that_an_interrupted_thread_keeps_is_waited_for_once(tmp_path):
    writer = JsonlWriter(RunFiles(tmp_path, "r"))
    waits = []

    class Kept:
        def acquire(self, timeout):
            waits.append(timeout)
            return False

    writer.write(b"{}")
    writer._lock = Kept()
    writer._close()
    assert sum(waits) == LOCK_SECONDS
