"""The log disk: jobs in order, nobody who waits for long, and a report that does not flap."""

import itertools
import logging
import os
import random
import threading
import time
from pathlib import Path

import pytest

from rldk.recording import disk as module
from rldk.recording.disk import Disk, Job
from rldk.recording.lines import Lines

WAIT = 20


@pytest.fixture
def disk():
    return Disk()


@pytest.fixture
def held(disk):
    """An event that a job waits for, which the disk has begun."""
    begun, answers = threading.Event(), threading.Event()

    def hang():
        begun.set()
        answers.wait()

    disk.run(Job(hang), 0)
    assert begun.wait(WAIT)
    yield answers
    answers.set()


def reports(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_job_is_done_in_another_thread_when_run_has_returned(disk):
    found = []
    assert disk.run(Job(lambda: found.append(threading.current_thread().name)))
    assert found == ["rldk-disk"]


def test_what_a_job_raises_reaches_who_waits_for_it(disk):
    with pytest.raises(ZeroDivisionError):
        disk.run(Job(lambda: 1 / 0), WAIT)
    assert disk.settle(WAIT)


def test_what_a_job_raises_that_nobody_waits_for_is_handed_on():
    errors = []
    disk = Disk(lambda where, error: errors.append((where, type(error))))
    disk.run(Job(lambda: 1 / 0), 0)
    assert disk.settle(WAIT)
    assert errors == [("writing to the log disk", ZeroDivisionError)]


def test_jobs_run_in_the_order_in_which_they_came_from_one_thread(disk):
    source, found = random.Random(7), []
    for number in range(500):
        disk.run(Job(lambda number=number: found.append(number)), source.choice((0, 0, WAIT)))
    assert disk.settle(WAIT)
    assert found == list(range(500))


def test_a_job_that_waits_in_the_queue_is_not_put_there_again(disk, held):
    calls = []
    job = Job(lambda: calls.append(1))
    for _ in range(1_000):
        disk.run(job, 0)
    held.set()
    assert disk.settle(WAIT)
    assert len(calls) == 1


def test_one_waits_for_a_disk_that_hangs_once_and_then_nobody_until_it_answers(disk, held, caplog):
    begun = time.monotonic()
    assert not disk.run(Job(lambda: None))
    assert time.monotonic() - begun >= module.WAIT_SECONDS
    begun = time.monotonic()
    for _ in range(600):  # would take 120 s
        assert not disk.run(Job(lambda: None))
    assert time.monotonic() - begun < 60
    assert len(reports(caplog)) == 1
    assert disk.longest_wait_s(0) >= module.WAIT_SECONDS
    held.set()
    assert disk.settle(WAIT)
    give_up = time.monotonic() + WAIT
    while len(reports(caplog)) < 2:
        assert time.monotonic() < give_up
        time.sleep(0.01)
    assert "answers again" in reports(caplog)[1]
    while not disk.run(Job(lambda: None)):  # it is trusted again after a while
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_a_disk_that_flaps_is_reported_once_in_a_minute(disk, caplog, monkeypatch):
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.01)
    for _ in range(5):
        disk._trusted_at = 0.0
        disk.run(Job(lambda: time.sleep(0.1)), 0.01)
        assert disk.settle(WAIT)
    assert len(reports(caplog)) <= 2


def test_a_disk_that_is_slow_all_the_time_is_not_waited_for(disk, monkeypatch):
    monkeypatch.setattr(module, "SLOW_SECONDS", 0.001)
    waited = [disk.run(Job(lambda: time.sleep(0.02))) for _ in range(40)]
    assert waited.count(False) > 20


def test_the_end_waits_while_the_thread_computes(disk):
    def compute():
        give_up = time.monotonic() + 0.5
        while time.monotonic() < give_up:
            pass

    assert disk.run(Job(compute), 0.2, while_it_works=True)


def compute(seconds):
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_a_job_that_computes_makes_no_disk_late(disk, caplog):
    disk.run(Job(lambda: compute(0.6)), 0, while_it_works=True)
    assert not disk.run(Job(lambda: None), 0.2)
    assert disk.settle(WAIT)
    assert (disk.is_well, disk.longest_wait_s(0), reports(caplog)) == (True, 0, [])


def test_a_beginning_that_computes_does_not_make_the_disk_a_slow_one(disk):
    assert disk.run(Job(lambda: compute(0.6)), WAIT, insists=True, while_it_works=True)
    assert disk.is_well


def test_a_beginning_waits_for_a_thread_that_gets_no_processor(disk, held, monkeypatch):
    assert not disk.run(Job(lambda: None), 0.2, insists=True, while_it_works=True)
    seconds = itertools.count()  # a machine so busy that the thread only waits for its turn
    monkeypatch.setattr(Disk, "_worked_or_queued", lambda _: next(seconds))
    threading.Timer(0.7, held.set).start()
    assert disk.run(Job(lambda: None), 0.2, insists=True, while_it_works=True)


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="the system does not tell")
def test_the_time_in_the_queue_of_a_processor_counts_with_the_time_on_one(disk):
    disk.run(Job(lambda: compute(0.2)), WAIT, insists=True, while_it_works=True)
    worked = disk._worked()
    assert 0.2 <= worked <= disk._worked_or_queued() + 0.02  # the kernel counts in ticks


def test_an_interrupted_start_of_the_thread_leaves_a_disk_that_works(disk, monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            disk.run(Job(lambda: None))
    found = []
    assert disk.run(Job(lambda: found.append(1)), WAIT, insists=True)
    assert found == [1]


def test_the_end_does_not_wait_for_a_thread_that_does_nothing(disk, held):
    assert not disk.run(Job(lambda: None), 0.2, insists=True, while_it_works=True)


def test_what_asks_for_another_try_gets_it(disk, monkeypatch):
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    calls, done = [], threading.Event()

    def third_time():
        calls.append(1)
        if len(calls) < 3:
            return False
        done.set()
        return True

    disk.run(Job(third_time))
    assert done.wait(WAIT)
    assert len(calls) == 3


def test_what_asks_for_another_try_gets_it_though_others_work_all_the_time(disk, monkeypatch):
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    answers = [False, True]
    disk.run(Job(lambda: answers.pop(0)))
    give_up = time.monotonic() + WAIT
    while answers:
        assert time.monotonic() < give_up
        disk.run(Job(lambda: None))


def test_a_thread_without_work_ends_and_another_takes_the_next_job(disk, monkeypatch):
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.01)
    for _ in range(20):
        assert disk.run(Job(lambda: None), WAIT, insists=True)
        thread = disk._thread
        if thread is not None:
            thread.join(WAIT)


def test_without_another_thread_the_work_is_done_at_once(disk, monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    found = []
    assert disk.run(Job(lambda: found.append(1)))
    assert found == [1]


def test_the_end_of_a_process_waits_for_a_disk_that_does_nothing_no_longer_in_all(monkeypatch):
    monkeypatch.setattr(module, "END_SECONDS", 0.1)
    monkeypatch.setattr(module, "EXIT_SECONDS", 0.5)
    disk, answers = Disk(), threading.Event()
    disk.run(Job(lambda: answers.wait() and None), 0)
    begun = time.monotonic()
    for _ in range(240):  # would take 120 s
        assert not disk.run(Job(lambda: None), 0.5, insists=True, while_it_works=True)
    assert time.monotonic() - begun < 60
    answers.set()
    give_up = time.monotonic() + WAIT
    while not disk.settle(WAIT):  # once it answers, it is waited for again
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_a_thread_that_the_end_of_the_process_needs_stays(disk, monkeypatch):
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.01)

    def at_end():
        pass

    disk.at_process_end(at_end)
    thread = disk._thread
    disk.close()
    thread.join(0.3)
    assert thread.is_alive()
    disk.not_at_process_end(at_end)
    thread.join(WAIT)
    assert not thread.is_alive()


def test_a_folder_has_one_disk_in_each_process(tmp_path):
    disk = Disk.of(tmp_path, print)
    assert Disk.of(tmp_path / "x" / "..", print) is disk
    assert Disk.of(tmp_path / "x", print) is not disk
    if (child := os.fork()) == 0:
        code = 1
        try:
            code = int(not Disk.of(tmp_path, print).run(Job(lambda: None), WAIT, insists=True))
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_what_a_disk_did_before_a_run_is_no_wait_of_that_run(disk, monkeypatch):
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.01)
    moments = []
    for seconds in (0.1, 0.4, 0.2):
        moments.append(time.monotonic())
        answers = threading.Event()
        disk.run(Job(lambda answers=answers: answers.wait() and None), 0.01, insists=True)
        time.sleep(seconds)
        answers.set()
        assert disk.settle(WAIT)
        while disk._late_since is not None:
            time.sleep(0.001)
    waits = [disk.longest_wait_s(moment) for moment in moments]
    assert waits[0] == waits[1] >= 0.4 > waits[2] >= 0.2
    assert disk.longest_wait_s(time.monotonic()) == 0


def test_a_forked_child_runs_no_job(disk, held):
    if (child := os.fork()) == 0:
        code = 1
        try:
            code = int(disk.run(Job(lambda: None), WAIT, insists=True))
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_loop_that_does_nothing_else_needs_no_other_thread(disk):
    for _ in range(10_000):
        if disk.is_quick():
            return
        disk.run(Job(lambda: None))
    raise AssertionError("it never became quick")


def test_a_pause_before_a_record_ends_the_quick_path(disk):
    for _ in range(200):
        disk.run(Job(lambda: None))
    time.sleep(0.005)
    assert not disk.is_quick()


@pytest.mark.parametrize("seed", range(5))
def test_lines_leave_in_their_order_and_what_is_dropped_is_counted(seed):
    source, lines, taken = random.Random(seed), Lines(2_000), []
    adding = threading.Thread(
        target=lambda: [lines.add(b"%d\n" % number + b"x" * source.randrange(50)) for number in range(20_000)]
    )
    adding.start()
    while adding.is_alive() or len(lines):
        taken += lines.take(source.randrange(300))
    numbers = [int(line.split(b"\n")[0]) for line in taken]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 19_999
    assert len(numbers) + lines.dropped == 20_000


def test_no_more_bytes_wait_than_are_allowed_but_the_newest_line_always_does():
    lines = Lines(100)
    for number in range(50):
        lines.add(b"%09d\n" % number)
    assert (len(lines), lines.dropped) == (10, 40)
    lines.add(bytes(1_000))
    assert (len(lines), lines.dropped) == (1, 50)
