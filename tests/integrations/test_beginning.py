"""Runs that their disk refuses at first: one run, that ends as its training did."""

import errno
import json
import signal

import pytest

from faulty_disk import FaultyDisk
from processes import PATIENCE_S, environment
from rldk.runs import RecordedRun
from rldk.schema.files import RunFiles

pytestmark = [pytest.mark.training, pytest.mark.compat]

SCRIPT = """
import os, signal, sys, threading, time
from pathlib import Path
from transformers import TrainerControl, TrainerState, TrainingArguments
from faulty_disk import FaultyDisk
from rldk.integrations.trl import RLDKCallback
from rldk.recording import disk

args = TrainingArguments("out", report_to=[], use_cpu=True, max_steps=3, logging_steps=1)
state, control = TrainerState(max_steps=3), TrainerControl()
callback = RLDKCallback("logs", "r")


def hook(name, **values):
    getattr(callback, name)(args, state, control, **values)


def do_steps(*steps):
    for state.global_step in steps:
        hook("on_step_begin")
        hook("on_step_end")
        hook("on_log", logs={"loss": 1.0})


def train():
    hook("on_train_begin")
    do_steps(1, 2, 3)
    hook("on_train_end")


def evaluate():
    hook("on_log", logs={"eval_loss": 1.0})


def disk_hangs():
    FaultyDisk(Path("logs"), Path("control")).hang(reads=True)


def disk_answers():
    FaultyDisk(Path("logs"), Path("control")).recover()


def until_begun():
    give_up = time.monotonic() + 60
    session = callback._recording.session
    while session.beginning is not None and session.beginning.recorder is None:
        assert time.monotonic() < give_up
        time.sleep(0.05)

"""


@pytest.fixture
def disk(tmp_path):
    disk = FaultyDisk(tmp_path / "logs", tmp_path / "control")
    disk.refuse(errno.EACCES)
    return disk


@pytest.fixture
def hanging(disk):
    """The same disk: it answers at first, and hangs when the script wants it."""
    disk.recover()
    return disk


@pytest.fixture
def run(tmp_path, disk, warm_python):
    """Runs the script with these last lines on a disk that refuses; what it says."""

    def run_script(*lines, status=0):
        env = environment(**disk.environment())
        process = warm_python.start(SCRIPT + "\n".join(lines), folder=str(tmp_path), env=env)
        _, said = process.communicate(timeout=PATIENCE_S)
        process.close()
        assert process.returncode == status, said
        return said

    return run_script


def recorded(disk):
    """The one run: its phases and steps, and how it ended."""
    assert [path.name for path in disk.folder.glob("*_run.json")] == ["r_run.json"]
    events = [(event.phase, event.step) for event in RecordedRun(RunFiles(disk.folder, "r"))]
    return events, json.loads((disk.folder / "r_run.json").read_text())["end"]["how"]


TRAINED = [("train", step) for step in (1, 2, 3)]


def test_a_training_whose_disk_takes_the_run_at_the_end_of_the_process_ends_as_it_did(disk, run):
    run("disk.RETRY_SECONDS = 600", "train()", "disk_answers()")
    assert recorded(disk) == (TRAINED, "completed")
    assert (disk.folder / "r_final_report.json").exists()


def test_an_evaluation_and_the_training_after_it_are_one_run(disk, run):
    run(
        "evaluate()",
        "hook('on_train_begin')",
        "disk_answers()",
        "until_begun()",
        "do_steps(1, 2, 3)",
        "hook('on_train_end')",
    )
    assert recorded(disk) == ([("eval", 0), *TRAINED], "completed")


def test_an_evaluation_before_a_resume_ends_as_completed(disk, run):
    run(
        "evaluate()",
        "state.global_step = 2",
        "before = callback._recording.session.beginning",
        "hook('on_train_begin')",
        "disk_answers()",
        "give_up = time.monotonic() + 60",
        "while before.recorder is None or before.recorder.ended is None:",
        "    assert time.monotonic() < give_up",
        "    time.sleep(0.05)",
        "assert before.recorder.ended.how == 'completed'",
    )


def test_the_end_of_a_forked_child_does_nothing_for_a_run_that_has_not_begun(disk, run):
    said = run(
        "hook('on_train_begin')",
        "child = os.fork()",
        "if child == 0:",
        "    sys.exit()",
        "assert os.waitpid(child, 0)[1] == 0",
        "disk_answers()",
        "train()",
    )
    assert "are lost" not in said
    assert "r_run.json" in {path.name for path in disk.folder.iterdir()}


def test_a_resume_whose_disk_still_holds_up_the_end_before_goes_on_in_its_run(hanging, run):
    run(
        "hook('on_train_begin')",
        "do_steps(1, 2, 3)",
        "disk_hangs()",
        "hook('on_train_end')",
        "state.max_steps = 6",
        "hook('on_train_begin')",
        "do_steps(4, 5, 6)",
        "disk_answers()",
        "until_begun()",
        "hook('on_train_end')",
    )
    assert recorded(hanging) == ([("train", step) for step in range(1, 7)], "completed")
    info = json.loads((hanging.folder / "r_run.json").read_text())
    assert [attempt["from_step"] for attempt in info["attempts"]] == [0, 3]
    assert info["end"]["records"] == 3


def test_a_signal_gives_a_run_that_has_not_begun_its_last_chance(hanging, run):
    run(
        "disk_hangs()",
        "hook('on_train_begin')",
        "do_steps(1, 2, 3)",
        "threading.Timer(1, disk_answers).start()",
        "os.kill(os.getpid(), signal.SIGTERM)",
        "time.sleep(600)",
        status=-signal.SIGTERM,
    )
    assert recorded(hanging) == (TRAINED, "terminated")
    assert (hanging.folder / "r_final_report.json").exists()


def test_no_handler_stays_after_a_training_that_ended_before_its_run_began(disk, run):
    run(
        "train()",
        "assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL",
        "disk_answers()",
    )
    assert recorded(disk) == (TRAINED, "completed")


@pytest.mark.parametrize("answers", [True, False])
def test_the_end_of_an_interpreter_that_starts_no_thread_waits_for_a_disk_that_hangs(hanging, run, answers):
    """As from Python 3.12 on."""
    said = run(
        "import _thread, atexit",
        "disk.IDLE_SECONDS = 0.05",
        "hook('on_train_begin')",
        "do_steps(1, 2, 3)",
        "time.sleep(0.5)  # the thread of the disk has nothing to do",
        "disk_hangs()",
        "def refuse(*_, **__):",
        '    raise RuntimeError("can\'t create new thread at interpreter shutdown")',
        "def end():",
        "    threading.Thread.start = _thread.start_new_thread = refuse",
        "    sys.last_value = ValueError('boom')  # as a notebook leaves it",
        "atexit.register(end)",
        f"if {answers}:",
        "    answer = threading.Timer(2, disk_answers)",
        "    answer.daemon = True",
        "    answer.start()",
    )
    if answers:
        assert recorded(hanging) == (TRAINED, "exception")
    else:
        assert "the log disk does not answer" in said
