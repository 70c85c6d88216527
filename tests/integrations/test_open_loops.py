"""Recordings that are open outside of a `with` block, as in a notebook."""

import subprocess
import sys
import threading

import pytest

import rldk
from processes import PATIENCE_S, environment
from rldk.recording import beginning, recorder
from rldk.runs import RecordedRun
from rldk.schema.files import RunFiles

pytestmark = pytest.mark.compat
CELL = "run = rldk.record('r', output_dir=folder, enable_resource_monitoring=False, from_step={})"


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    """A machine that runs many tests is no disk that hangs."""
    monkeypatch.setattr(beginning, "BEGIN_SECONDS", 60.0)
    monkeypatch.setattr(recorder, "END_SECONDS", 60.0)


def end_of(folder, run_id="r"):
    return RecordedRun(RunFiles(folder, run_id)).info.end


def steps(folder, run_id="r"):
    return [event.step for event in RecordedRun(RunFiles(folder, run_id))]


def open_loop(folder, run_id="r"):
    return rldk.record(run_id, output_dir=folder, enable_resource_monitoring=False)


def warnings(caplog):
    return [one.getMessage() for one in caplog.records if one.name == "rldk"]


def shell(folder, *lines):
    """What a shell of Python says that is given these lines."""
    begin = ["import rldk", f"folder = {str(folder)!r}", CELL.format(0), *lines]
    return subprocess.run(
        [sys.executable, "-i", "-q"],
        input="\n".join([*begin, ""]),
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    ).stderr


def test_an_exception_that_a_shell_prints_does_not_end_a_run(tmp_path):
    err = shell(tmp_path, "run.log({'loss': 1.0})", "a_typo", "run.log({'loss': 2.0})", "run.close()")
    assert "a_typo" in err
    assert (end_of(tmp_path).how, steps(tmp_path)) == ("completed", [1, 2])
    assert not (tmp_path / "r_crash.txt").exists()


def test_a_run_that_a_shell_leaves_open_was_not_closed_whatever_the_shell_printed(tmp_path):
    shell(tmp_path, "run.log({'loss': 1.0})", "a_typo")
    end = end_of(tmp_path)
    assert (end.how, end.detail) == ("unknown", "the recording was not closed: use `with` or `run.close()`")


def test_an_exception_within_the_block_is_its_end_in_a_shell_too(tmp_path):
    shell(tmp_path, "with run:", "    1 / 0", "")
    assert end_of(tmp_path).detail == "ZeroDivisionError: division by zero"


def test_a_cell_that_is_run_again_ends_the_recording_that_it_replaces(tmp_path, caplog):
    cells = {"rldk": rldk, "folder": tmp_path}
    exec(CELL.format(0), cells)
    cells["run"].log({"loss": 1.0})
    exec(CELL.format(0), cells)
    cells["run"].log({"loss": 2.0})
    assert (end_of(tmp_path).how, end_of(tmp_path, "r-2")) == ("unknown", None)
    assert warnings(caplog) == [
        f"rldk: the recording was not closed: use `with` or `run.close()`; its records are in {tmp_path}/r",
        f"rldk: the run_id 'r' is taken; this run is {tmp_path}/r-2",
    ]
    cells["run"].close()
    assert end_of(tmp_path, "r-2").how == "completed"


def test_a_cell_that_resumes_goes_on_in_the_run_that_was_open(tmp_path):
    cells = {"rldk": rldk, "folder": tmp_path}
    exec(CELL.format(0), cells)
    for _ in range(5):
        cells["run"].log({"loss": 1.0})
    exec(CELL.format(3), cells)
    cells["run"].log({"loss": 2.0})
    cells["run"].close()
    assert steps(tmp_path) == [1, 2, 3, 4]
    assert [path.name for path in tmp_path.glob("*_run.json")] == ["r_run.json"]


def test_a_recording_whose_function_is_running_is_left_alone(tmp_path):
    def outer():
        run = rldk.record("r", output_dir=tmp_path, enable_resource_monitoring=False)
        open_loop(tmp_path).close()
        run.log({"loss": 1.0})
        run.close()

    outer()
    assert (end_of(tmp_path).how, steps(tmp_path)) == ("completed", [1])


def test_a_recording_of_another_thread_or_in_a_block_or_of_another_name_is_left_alone(tmp_path):
    begun, go_on = threading.Event(), threading.Event()

    def train(wait):
        run = rldk.record("r", output_dir=tmp_path, enable_resource_monitoring=False)
        if wait:
            begun.set()
            go_on.wait(60)
        run.log({"loss": 1.0})
        run.close()

    other = threading.Thread(target=train, args=(True,))
    other.start()
    begun.wait(60)
    with open_loop(tmp_path, "block") as block:
        first = open_loop(tmp_path, "a")
        train(False)
        open_loop(tmp_path, "block").close()
        block.log({"loss": 1.0})
        first.log({"loss": 1.0})
    go_on.set()
    other.join()
    first.close()
    for run_id in ("r", "r-2", "block", "a"):
        assert (end_of(tmp_path, run_id).how, steps(tmp_path, run_id)) == ("completed", [1]), run_id
