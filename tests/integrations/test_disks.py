"""Trainings on a log disk that hangs: they go on, and every record is there when it answers again."""

import errno
import json
import signal
import time

import pytest

from faulty_disk import FaultyDisk
from processes import PATIENCE_S, environment
from rldk.runs import RecordedRun
from rldk.schema.files import RunFiles

pytestmark = [pytest.mark.training, pytest.mark.compat]

SCRIPT = """
import sys, threading, time
from pathlib import Path
import torch
from transformers import TrainerCallback
from faulty_disk import FaultyDisk
from integrations import trainings
from rldk.integrations.trl import RLDKCallback

torch.set_num_threads(1)
DISK = FaultyDisk(Path("logs"), Path("control"))
STEPS, HANGS_AT, HANGS_FOR, RESUME = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]


class Steps(TrainerCallback):
    def __init__(self):
        self.ends = []

    def on_train_begin(self, *_, **__):
        self.ends.append(time.monotonic())
        if HANGS_AT == 0:
            self.hang()

    def on_step_end(self, args, state, control, **_):
        self.ends.append(time.monotonic())
        print("step", state.global_step, flush=True)
        time.sleep(0.02)
        if state.global_step == HANGS_AT:
            self.hang()

    def hang(self):
        DISK.hang(reads=True)
        if HANGS_FOR:
            threading.Timer(HANGS_FOR, DISK.recover).start()


steps = Steps()
callbacks = [steps, RLDKCallback("logs", "r")]
trainer = trainings.line(Path.cwd(), callbacks, max_steps=STEPS, save_strategy="steps", save_steps=STEPS)
begun = time.monotonic()
trainer.train(resume_from_checkpoint=RESUME[0] if RESUME else None)
print("longest", max(b - a for a, b in zip(steps.ends, steps.ends[1:])), flush=True)
print("over", time.monotonic(), flush=True)
"""


HANGS_FOR = 6
"""Seconds; a step of a busy machine takes less."""


@pytest.fixture
def disk(tmp_path):
    disk = FaultyDisk(tmp_path / "logs", tmp_path / "control")
    yield disk
    disk.recover()


@pytest.fixture
def begin(tmp_path, disk, warm_python):
    """Starts the script in `tmp_path`."""
    processes = []

    def begin_process(*arguments):
        env = environment(**disk.environment())
        process = warm_python.start(SCRIPT, *map(str, arguments), folder=str(tmp_path), env=env)
        processes.append(process)
        return process

    yield begin_process
    for process in processes:
        process.close()


def until(process, line):
    """Read what a process prints up to a line that begins so; that line."""
    for text in process.stdout:
        if text.startswith(line):
            return text
    raise AssertionError(process.stderr.read())


def finish(process):
    """What a process says until it ends well."""
    out, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    return out, said


def recorded(disk):
    """The steps of the train records; no line is damaged, and all are of the run."""
    run = RecordedRun(RunFiles(disk.folder, "r"))
    events = [event for event in run if event.phase == "train"]
    assert run.bad_lines == []
    assert {event.model_info.run_id for event in events} == {"r"}
    times = [event.wall_time for event in events]
    assert times == sorted(times)
    return [event.step for event in events]


def longest(out):
    return float(next(line for line in out.splitlines() if line.startswith("longest")).split()[1])


def info(disk):
    return json.loads((disk.folder / "r_run.json").read_text())


@pytest.mark.parametrize("step", [0, 10])
def test_no_step_waits_for_a_disk_that_hangs_and_no_record_is_lost(disk, begin, step):
    out, said = finish(begin(150, step, HANGS_FOR))
    assert longest(out) < HANGS_FOR - 1
    assert recorded(disk) == list(range(1, 151))
    assert said.count("does not answer; training goes on") == 1
    end = info(disk)["end"]
    assert end["how"] == "completed"
    assert end["records_delayed"] > 0
    assert end["longest_disk_wait"] > 1
    assert (end["records_lost"], end["records_in_memory"], end["hook_failures"]) == (0, 0, 0)


def test_a_training_begins_on_a_disk_that_hangs_and_is_recorded_when_it_answers(disk, begin):
    disk.hang(reads=True)
    process = begin(100, -1, 0)
    until(process, "step 30")
    assert not disk.folder.exists()
    disk.recover()
    out, _ = finish(process)
    assert longest(out) < HANGS_FOR - 1
    assert recorded(disk) == list(range(1, 101))
    first = next(iter(RecordedRun(RunFiles(disk.folder, "r"))))
    assert first.wall_time < 30
    assert info(disk)["end"]["how"] == "completed"


@pytest.mark.parametrize("error", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_a_training_whose_folder_cannot_be_looked_into_at_first_is_recorded_whole(disk, begin, error):
    disk.refuse(error)
    process = begin(120, -1, 0)
    until(process, "step 30")
    disk.recover()
    finish(process)
    assert recorded(disk) == list(range(1, 121))
    end = info(disk)["end"]
    assert (end["how"], end["records_lost"], end["hook_failures"]) == ("completed", 0, 0)
    assert (disk.folder / "r_final_report.json").exists()


def test_a_full_disk_at_the_start_gets_its_run_json_as_soon_as_there_is_room(disk, begin):
    disk.folder.mkdir()
    disk.refuse(errno.ENOSPC)
    process = begin(10_000, -1, 0)
    until(process, "step 30")
    disk.recover()
    give_up = time.monotonic() + 60
    while not (disk.folder / "r_run.json").exists():
        assert time.monotonic() < give_up
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert info(disk)["trainer_dir"]


def test_a_resume_on_a_disk_that_hangs_goes_on_in_its_run(disk, begin):
    finish(begin(20, -1, 0))
    disk.hang(reads=True)
    process = begin(60, -1, 0, "out/checkpoint-20")
    until(process, "step 40")
    disk.recover()
    finish(process)
    assert recorded(disk) == list(range(1, 61))
    assert [path.name for path in disk.folder.glob("*_run.json")] == ["r_run.json"]
    first = [event for event in RecordedRun(RunFiles(disk.folder, "r")) if event.step == 21]
    assert [event.resumed_from for event in first] == [20]
    assert [attempt["from_step"] for attempt in info(disk)["attempts"]] == [0, 20]


def test_a_training_that_is_over_before_its_disk_answers_is_recorded_whole(disk, begin):
    disk.hang(reads=True)
    process = begin(30, -1, 0)
    until(process, "over")
    disk.recover()
    finish(process)
    assert recorded(disk) == list(range(1, 31))
    assert info(disk)["end"]["how"] == "completed"
    assert (disk.folder / "r_final_report.json").exists()


def test_the_end_is_written_by_a_disk_that_hung_at_the_end(disk, begin):
    process = begin(30, 30, 0)
    until(process, "over")
    time.sleep(1)
    disk.recover()
    _, said = finish(process)
    assert "rldk writes what is missing there when it does" in said
    assert recorded(disk) == list(range(1, 31))
    assert info(disk)["end"]["how"] == "completed"
    assert (disk.folder / "r_final_report.json").exists()


@pytest.mark.parametrize("step", [-1, 10])
def test_a_disk_that_never_answers_again_does_not_keep_the_process(disk, begin, step):
    if step < 0:
        disk.hang(reads=True)
    process = begin(30, step, 0)
    until(process, "over")
    over = time.monotonic()
    _, said = finish(process)
    assert time.monotonic() - over < 90  # ten seconds for the disk, and what a busy machine adds
    assert ("are lost" if step < 0 else "are not on it") in said
    disk.recover()
    if step > 0:
        assert recorded(disk)[:9] == list(range(1, 10))


def test_a_kill_after_the_disk_answered_loses_nothing(disk, begin):
    process = begin(10_000, 10, HANGS_FOR)
    until(process, "step 20")
    while disk.is_faulty():
        process.stdout.readline()
    time.sleep(1)
    for _ in range(50):
        reached = int(until(process, "step").split()[1])
    process.send_signal(signal.SIGKILL)
    process.wait()
    found = recorded(disk)
    assert found[: reached - 1] == list(range(1, reached))
    assert len(found) == len(set(found))


def test_sigterm_ends_a_process_whose_disk_hangs(disk, begin):
    process = begin(10_000, 10, 0)
    until(process, "step 30")
    process.send_signal(signal.SIGTERM)
    sent = time.monotonic()
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == -signal.SIGTERM
    assert time.monotonic() - sent < 90
    disk.recover()
    assert recorded(disk)[:9] == list(range(1, 10))
