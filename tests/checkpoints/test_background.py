"""Analyses beside a training: in order, never raising, bounded, and ended when the training is."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time

import psutil
import pytest

from checkpoints.files import matrix, save
from rldk.checkpoints import Background
from rldk.checkpoints.worker import Worker, WorkerEndedError

WAIT = 120
"""Seconds; an analysis has a low priority, and a busy machine leaves it little."""


def wait_for(condition):
    until = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def checkpoint(folder, step, seed=0):
    return save(folder / f"checkpoint-{step}", {"a.weight": matrix(seed=seed)}, step=step)


@pytest.fixture
def held(monkeypatch):
    """Analyses wait until this is set."""
    may = threading.Event()
    analyse = Worker.analyse

    def waiting(self, path, step):
        assert may.wait(WAIT)
        return analyse(self, path, step)

    monkeypatch.setattr(Worker, "analyse", waiting)
    yield may
    may.set()


def test_after_finish_what_was_submitted_is_analysed_and_nothing_more_is_taken(tmp_path):
    seen = []
    background = Background(seen.append)
    path = checkpoint(tmp_path, 1)
    background.submit(path, 1)
    background.finish()
    background.submit(path, 2)
    assert background.close(WAIT) is None
    assert [found.step for found in seen] == [1]
    assert background.finish()


def test_each_save_is_analysed_against_the_one_before(tmp_path):
    found = []
    checkpoint(tmp_path, 2)
    background = Background(found.append)
    for step in (4, 6):
        background.submit(checkpoint(tmp_path, step, seed=step), step)
    assert background.close(WAIT) is None
    assert [(one.step, one.compared.step) for one in found] == [(4, 2), (6, 4)]


def test_a_predecessor_may_be_deleted_before_its_turn(tmp_path, held):
    found = []
    background = Background(found.append)
    background.submit(checkpoint(tmp_path, 2), 2)
    background.submit(checkpoint(tmp_path, 4), 4)
    shutil.rmtree(tmp_path / "checkpoint-2")
    held.set()
    assert background.close(WAIT) is None
    assert found[0].gone
    assert found[1].compared is None


def test_saves_that_come_faster_are_skipped_and_told(tmp_path, held):
    found = []
    background = Background(found.append)
    for step in range(2, 14, 2):
        background.submit(checkpoint(tmp_path, step, seed=step), step)
    held.set()
    assert background.close(WAIT) is None
    analysed = [one.step for one in found]
    assert analysed[-1] == 12
    assert sorted(analysed + background.skipped) == [2, 4, 6, 8, 10, 12]
    assert background.skipped
    told = [note for one in found for note in one.notes if "faster" in note]
    assert all(any(str(step) in note for note in told) for step in background.skipped)


def test_close_waits_a_bounded_time_and_says_what_is_given_up(tmp_path, held):
    found = []
    background = Background(found.append)
    background.submit(checkpoint(tmp_path, 2), 2)
    background.submit(checkpoint(tmp_path, 4), 4)
    told = background.close(0.05)
    assert told.startswith("the analysis of checkpoint-2, checkpoint-4 was given up after 0.05 s")
    assert told.endswith(f"rldk checkpoint {tmp_path / 'checkpoint-4'}")
    held.set()
    background.submit(checkpoint(tmp_path, 6), 6)
    assert background.close(WAIT) is None
    assert found == []


def test_without_a_save_there_is_no_thread_and_nothing_to_wait_for():
    others = set(threading.enumerate())
    background = Background(lambda found: None)
    assert not set(threading.enumerate()) - others
    assert background.close(0) is None


def test_what_fails_is_told_once_and_the_next_save_is_analysed(tmp_path, caplog):
    found = []

    def done(analysis):
        if analysis.step == 2:
            raise RuntimeError("no disk")
        found.append(analysis.step)

    background = Background(done)
    background.submit(checkpoint(tmp_path, 2), 2)
    background.submit(checkpoint(tmp_path, 4), 4)
    assert background.close(WAIT) is None
    assert found == [4]
    assert [record.getMessage() for record in caplog.records if "no disk" in record.getMessage()]


def test_the_process_gives_way_and_ends_with_the_training(tmp_path):
    seen = []

    def done(_):
        pid = background._worker.pid
        seen.extend([pid, os.getpriority(os.PRIO_PROCESS, pid)])

    background = Background(done)
    background.submit(checkpoint(tmp_path, 2), 2)
    assert background.close(WAIT) is None
    pid, priority = seen
    assert priority == 19
    background._thread.join(WAIT)
    assert not psutil.pid_exists(pid)


def test_a_process_that_is_killed_costs_one_analysis(tmp_path, caplog):
    found = []

    def done(analysis):
        found.append(analysis.step)
        if analysis.step == 2:
            psutil.Process(background._worker.pid).kill()

    background = Background(done)
    background.submit(checkpoint(tmp_path, 2), 2)
    background.submit(checkpoint(tmp_path, 4), 4)
    wait_for(lambda: caplog.records)
    background.submit(checkpoint(tmp_path, 6), 6)
    assert background.close(WAIT) is None
    assert found == [2, 6]
    assert "checkpoint-4 could not be analysed" in caplog.records[0].getMessage()


def test_a_file_that_needs_more_memory_than_there_is_ends_the_process_and_is_named(tmp_path):
    folder = checkpoint(tmp_path, 2)
    whole = (folder / "trainer_state.json").read_bytes()
    (folder / "trainer_state.json").write_bytes(whole[:-1] + b" " * 250_000_000 + b"}")
    worker = Worker(memory=200_000_000)
    with pytest.raises(WorkerEndedError, match=r"rldk gave up: it needs more than 0\.2 GB of memory"):
        worker.analyse(str(folder), 2)
    assert worker.pid is None
    (folder / "trainer_state.json").write_bytes(whole)
    assert worker.analyse(str(folder), 2).tensors == 1
    worker.end()


def test_where_no_process_can_be_started_the_thread_does_it(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.executable", str(tmp_path / "no-python"))
    found = []
    background = Background(found.append)
    background.submit(checkpoint(tmp_path, 2), 2)
    background.submit(checkpoint(tmp_path, 4, seed=1), 4)
    assert background.close(WAIT) is None
    assert [(one.step, one.compared and one.compared.step) for one in found] == [(2, None), (4, 2)]


def test_a_training_that_is_killed_takes_the_process_with_it(tmp_path):
    script = (
        "import os, sys, time\n"
        "from rldk.checkpoints import Background\n"
        "def done(found):\n"
        "    print(background._worker.pid, flush=True)\n"
        "background = Background(done)\n"
        "background.submit(sys.argv[1], 2)\n"
        "time.sleep(600)\n"
    )
    command = [sys.executable, "-c", script, str(checkpoint(tmp_path, 2))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as training:
        pid = int(training.stdout.readline())
        training.kill()
    wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_so_does_one_that_is_killed_while_a_checkpoint_is_read(tmp_path):
    folder = tmp_path / "checkpoint-2"
    folder.mkdir()
    size = 1 << 40  # a hole, which takes minutes to read
    told = {"a.weight": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}
    header = json.dumps(told).encode()
    weights = folder / "model.safetensors"
    weights.write_bytes(len(header).to_bytes(8, "little") + header)
    os.truncate(weights, 8 + len(header) + size)
    script = (
        "import sys, time\n"
        "from rldk.checkpoints import Background\n"
        "background = Background(print)\n"
        "background.submit(sys.argv[1], 2)\n"
        "while background._worker.pid is None:\n"
        "    time.sleep(0.01)\n"
        "print(background._worker.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    command = [sys.executable, "-c", script, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as training:
        worker = psutil.Process(int(training.stdout.readline()))
        wait_for(lambda: worker.cpu_times().user > 1)
        training.kill()
    wait_for(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)


def test_a_forked_child_has_nothing_to_wait_for(tmp_path, held):
    background = Background(lambda found: None)
    background.submit(checkpoint(tmp_path, 2), 2)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            background.submit(tmp_path, 4)
            code = 0 if background.close(5) is None else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    held.set()
    assert background.close(WAIT) is None
