"""Following a live run: each event exactly once and in order, whatever the writer does meanwhile."""

import json
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rldk.schema.files
from events import end, event, lines, logged, write_run
from processes import hold_lock, script
from rldk import open_run
from rldk.recording.rotation import compress_parts, rotate
from rldk.recording.writer import JsonlWriter
from rldk.runs import RecordedRun
from rldk.runs.follow import follow
from rldk.schema.event import encode
from rldk.schema.files import RunFiles

WRITER = """
    import os, signal, sys
    from pathlib import Path
    from rldk.schema.event import encode
    from rldk.schema.files import RunFiles
    from rldk.recording.writer import JsonlWriter
    from rldk.schema.event import DataSlice, Event, ModelInfo, Rng
    first, last, torn = map(int, sys.argv[2:5])
    files = RunFiles(Path(sys.argv[1]), "run")
    def line(step):
        return encode(Event(step=step, wall_time=None, metrics={"loss": 1 / (step + 1)}, rng=Rng(),
                            data_slice=DataSlice(), model_info=ModelInfo(run_id="run"), notes=()))
    writer = JsonlWriter(files, rotate_mb=0.01, compress=True)
    for step in range(first, last):
        writer.write(line(step))
    if torn:
        fd = os.open(files.events, os.O_WRONLY | os.O_APPEND)
        os.write(fd, line(last)[:torn])
        os.kill(os.getpid(), signal.SIGKILL)
    writer.close()
"""


def following(files, until, on_bad=None):
    """The steps that a follower sees."""
    bad = []
    found = [one.step for one in follow(files, on_bad or bad.append, poll=0.001, until=until)]
    assert on_bad or bad == []
    return found


def test_a_writer_in_another_process_that_rotates_and_compresses(tmp_path):
    with script(WRITER, tmp_path, 0, 20_000, 0) as process:
        assert following(RunFiles(tmp_path, "run"), lambda: process.poll() is not None) == list(range(20_000))
    assert len(RunFiles(tmp_path, "run").parts()) > 100


def test_a_writer_in_a_thread(tmp_path):
    files = RunFiles(tmp_path, "run")

    def write():
        writer = JsonlWriter(files, rotate_mb=0.005, compress=True)
        for step in range(3_000):
            writer.write(encode(event(step)))
        writer.close()

    thread = threading.Thread(target=write)
    thread.start()
    assert following(files, lambda: not thread.is_alive()) == list(range(3_000))
    thread.join()


def test_writers_that_are_killed_in_the_middle_of_a_line_one_after_another(tmp_path):
    """Five attempts, four of which are killed; the next one ends the line that is torn."""
    files = RunFiles(tmp_path, "run")
    bad, left, running = [], list(range(5)), []
    with ExitStack() as stack:

        def until():
            if running and running[-1].poll() is None:
                return False
            if not left:
                return True
            first = left.pop(0) * 200
            torn = 60 if left else 0
            running.append(stack.enter_context(script(WRITER, tmp_path, first, first + 200, torn)))
            return False

        assert following(files, until, bad.append) == list(range(1_000))
    assert len(bad) == 4
    assert all(one.path == files.events and one.number >= 1 for one in bad)


def test_a_run_that_does_not_exist_yet(tmp_path):
    files = RunFiles(tmp_path / "later", "run")
    looks = []

    def until():
        looks.append(1)
        if len(looks) == 3:
            write_run(tmp_path / "later", event(1), event(2))
        return len(looks) > 4

    assert following(files, until) == [1, 2]
    assert len(looks) == 5


def test_a_run_that_never_comes_ends_when_it_is_told_to(tmp_path):
    assert following(RunFiles(tmp_path, "none"), lambda: True) == []


def test_what_is_written_between_the_last_look_and_the_end_is_seen(tmp_path):
    files = write_run(tmp_path, event(1))

    def until():
        with files.events.open("ab") as file:
            file.write(lines(event(2)))
        return True

    assert following(files, until) == [1, 2]


@pytest.mark.parametrize("cut", [1, 40, -1])
def test_half_a_line_waits_until_it_is_whole(tmp_path, cut):
    files = write_run(tmp_path, event(1))
    line = lines(event(2))
    pieces = [line[:cut], line[cut:]]

    def until():
        if pieces:
            with files.events.open("ab") as file:
                file.write(pieces.pop(0))
            return False
        return True

    assert following(files, until) == [1, 2]


def test_a_last_line_without_an_end_is_read_or_told_when_nothing_more_comes(tmp_path):
    files = write_run(tmp_path, event(1))
    with files.events.open("ab") as file:
        file.write(encode(event(2)))
    assert following(files, lambda: True) == [1, 2]
    with files.events.open("ab") as file:
        file.write(b'\n{"step": 3, "wa')
    bad = []
    assert following(files, lambda: True, bad.append) == [1, 2]
    assert [(one.path, one.number) for one in bad] == [(files.events, 3)]


def test_bad_lines_are_told_with_their_places(tmp_path):
    files = RunFiles(tmp_path, "run")
    files.part(1).write_bytes(b"bad\n" + lines(event(1)))
    files.events.write_bytes(lines(event(2)) + b"\n\nbad\nworse\n" + lines(event(3)))
    run = RecordedRun(files)
    assert [one.step for one in run.follow(poll=0)] == [1, 2, 3]
    assert [(one.path, one.number) for one in run.bad_lines] == [
        (files.part(1), 1),
        (files.events, 4),
        (files.events, 5),
    ]
    list(run)
    assert len(run.bad_lines) == 3  # each once


def test_many_finished_parts_come_first(tmp_path):
    files = RunFiles(tmp_path, "run")
    for part in (1, 2, 3):
        files.part(part).write_bytes(lines(event(part)))
    compress_parts(files)
    files.part(4).write_bytes(lines(event(4)))
    files.events.write_bytes(lines(event(5)))
    assert following(files, lambda: True) == [1, 2, 3, 4, 5]


def test_no_file_stays_open_when_the_follower_leaves_early(tmp_path):
    write_run(tmp_path, event(1), event(2))
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc").is_dir() else 0
    events = follow(RunFiles(tmp_path, "run"), print, poll=0, until=lambda: True)
    next(events)
    events.close()
    assert not before or len(list(Path("/proc/self/fd").iterdir())) == before


# The writer moves at every moment at which the follower looks at the folder.

moves = st.lists(st.lists(st.sampled_from(["write", "tear", "rotate", "compress"]), max_size=5), max_size=12)


@given(moves)
def test_any_interleaving_with_a_writer_gives_each_event_once_and_in_order(tmp_path_factory, plan):
    files = RunFiles(tmp_path_factory.mktemp("run"), "run")
    plan, written, rest = list(plan), [], [b""]

    def move(what):
        if what in ("write", "tear"):
            line = rest[0]
            if not line:
                written.append(len(written))
                line = lines(event(written[-1]))
            half = len(line) // 2 if what == "tear" and len(line) > 2 else len(line)
            with files.events.open("ab") as file:
                file.write(line[:half])
            rest[0] = line[half:]
        elif what == "rotate" and files.events.exists() and not rest[0]:
            rotate(files)
        elif what == "compress":
            compress_parts(files)

    looked = rldk.schema.files._names
    opened = Path.open

    def look(folder):
        found = looked(folder)
        advance()
        return found

    def open_(path, *arguments, **options):
        advance()
        return opened(path, *arguments, **options)

    busy = []

    def advance():
        if busy or not plan:
            return
        busy.append(1)
        for what in plan.pop(0):
            move(what)
        busy.pop()

    def until():
        if not plan and rest[0]:
            busy.append(1)
            move("write")
            busy.pop()
            return False
        return not plan

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rldk.schema.files, "_names", look)
        patch.setattr(Path, "open", open_)
        assert following(files, until) == written


# RecordedRun.follow


def test_it_ends_when_the_process_that_records_ends(tmp_path):
    files = write_run(tmp_path, logged(1))
    run = RecordedRun(files)
    with hold_lock(files.lock) as process:
        process.stdout.readline()
        found = run.follow(poll=0.01)
        assert next(found).step == 1
        with files.events.open("ab") as file:
            file.write(lines(logged(2)))
        assert next(found).step == 2
    assert list(found) == []


def test_it_ends_when_the_run_says_so_though_its_process_lives(tmp_path):
    files = write_run(tmp_path, logged(1))
    files.run.write_text(json.dumps({"end": None}))
    with hold_lock(files.lock) as process:
        process.stdout.readline()
        found = RecordedRun(files).follow(poll=0.01)
        assert next(found).step == 1
        end(files)
        assert list(found) == []


def test_a_run_that_ended_is_given_whole(tmp_path):
    files = write_run(tmp_path, *map(logged, range(100)))
    end(files)
    assert list(RecordedRun(files).follow()) == list(RecordedRun(files))


def test_a_foreign_run_gives_what_is_there(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.25}\n')
    assert list(open_run(path).follow(poll=1e9)) == list(open_run(path))


def test_a_copy_of_a_run_under_another_name_gives_what_is_there(tmp_path):
    path = tmp_path / "copied.jsonl"
    path.write_bytes(lines(*map(logged, range(9))) + b"torn")
    run = open_run(path)
    assert [one.step for one in run.follow(poll=1e9)] == list(range(9))
    assert [bad.number for bad in run.bad_lines] == [10]
