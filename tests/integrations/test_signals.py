"""Who handles which signal when, and ends that somebody caught: the rows of the table of docs/signals.md.

Other rows: no handler, a handler before ours (`test_endings.py`), two ranks (`test_ranks.py`), event loops,
a process that hangs in C, an ignored signal, the first process of a container (`test_exits.py`).
"""

import json
import signal

import pytest

from integrations.cases import folders_of, status
from rldk.runs import RecordedRun
from rldk.schema.files import RunFiles

pytestmark = [pytest.mark.training, pytest.mark.compat]

SCRIPT = """
import atexit, code, json, multiprocessing, os, signal, subprocess, sys, threading, time
from functools import partial
from pathlib import Path
window = [0.0]
os.register_at_fork(after_in_child=lambda: time.sleep(window[0]))  # another library's hook, before ours
import psutil
import torch
import tiny
from integrations import trainings
from integrations.cases import run_cases
from integrations.trainings import After
from rldk.integrations.trl import RLDKCallback
from rldk.schema.files import RunFiles
from rldk.recording import checkpoint_log, exit_hooks, session
from rldk.recording.watchdog import Patience, Watchdog
from rldk.runs import RecordedRun

torch.set_num_threads(1)
MODEL = sys.argv[1]
ERROR = "the judge says nothing"


def line(action=lambda: None, step=3, folder="logs", **changes):
    callbacks = [RLDKCallback(folder, "r"), After(step, action)]
    return trainings.line(Path.cwd(), callbacks, **changes)


def term():
    os.kill(os.getpid(), signal.SIGTERM)


def fail():
    raise ValueError(ERROR)


def soon():
    session.Watchdog = partial(Watchdog, patience=Patience(tick=0.1))


def until(is_so):
    give_up = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def run():
    return RecordedRun(RunFiles(Path("logs"), "r"))


def forked_early():
    def fork():
        window[0] = 0.3
        if (child := os.fork()) == 0:
            os._exit(0)
        time.sleep(0.1)
        os.kill(child, signal.SIGTERM)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        time.sleep(2.5)

    line(fork).train()


def pool():
    def pool_reward(completions, **_):
        window[0] = 0.05
        with multiprocessing.Pool(2) as workers:
            return workers.map(tiny.length_reward, [[text] for text in completions], chunksize=1)

    def reward(completions, **_):
        return [score for scores in pool_reward(completions) for score in scores]

    trainings.grpo(MODEL, Path.cwd(), [RLDKCallback("logs", "r")], rewards=reward, max_steps=8).train()


def later():
    def install():
        before = signal.getsignal(signal.SIGTERM)

        def handler(*received):
            print("handled", flush=True)
            trainer.control.should_training_stop = True
            if callable(before):
                before(*received)

        signal.signal(signal.SIGTERM, handler)
        term()

    trainer = line(install)
    trainer.train()
    term()
    print("on it goes")


def kept_by_a_terminal():
    import tqdm

    exit_hooks.DYING_SECONDS = 600
    tqdm.tqdm.set_lock(threading.RLock())

    def hold():
        with tqdm.tqdm.get_lock():
            term()
            time.sleep(600)

    line(hold).train()


def thread():
    trained = threading.Thread(target=line(term).train)
    trained.start()
    trained.join()


def print_hooks():
    names = {one.name for one in threading.enumerate()} & {"rldk-writer", "rldk-signals", "rldk-watchdog"}
    print(sys.excepthook is sys.__excepthook__, int(signal.getsignal(signal.SIGTERM)), names, flush=True)


def caught():
    soon()
    try:
        line(fail).train()
    except ValueError:
        pass
    until(lambda: run().state == "ended")
    time.sleep(0.5)
    print_hooks()
    print(run().info.end.how, run().info.end.detail, flush=True)
    term()


def caught_for_long():
    soon()
    try:
        line(fail).train()
    except ValueError:
        until(lambda: run().state == "ended")
        raise


def caught_and_resumed():
    soon()
    changes = {"save_strategy": "steps", "save_steps": 2, "max_steps": 6}
    failures = iter([fail])
    trainer = line(lambda: next(failures, int)(), **changes)
    try:
        trainer.train()
    except ValueError:
        pass
    until(lambda: run().state == "ended")
    trainer.callback_handler.callbacks.pop()
    trainer.train(resume_from_checkpoint="out/checkpoint-2")


def notebook():
    soon()
    cells = code.InteractiveConsole({"trainer": line(fail)})
    cells.push("trainer.train()")
    until(lambda: run().state == "ended")
    time.sleep(0.5)
    print_hooks()


def train_and_fail():
    line(fail).train()


def of_rank(_):
    train_and_fail()


def multiprocessing_fork():
    child = multiprocessing.get_context("fork").Process(target=train_and_fail)
    child.start()
    child.join()
    sys.exit(child.exitcode)


def torch_fork():  # as `accelerate.notebook_launcher` and `debug_launcher` do
    torch.multiprocessing.start_processes(of_rank, nprocs=1, start_method="fork")


def torch_spawn():
    torch.multiprocessing.spawn(of_rank, nprocs=1)


def multiprocessing_term():
    child = multiprocessing.get_context("fork").Process(target=lambda: line(term).train())
    child.start()
    child.join()
    print(child.exitcode)


def evaluated():
    this = psutil.Process()
    trainings.line(Path.cwd(), [RLDKCallback("logs", "r")]).evaluate()
    before = this.num_fds(), threading.active_count()
    for _ in range(30):
        trainings.line(Path.cwd(), [RLDKCallback("logs", "e")]).evaluate()
    assert (this.num_fds(), threading.active_count()) == before
    print(run().state, run().info.end.how, flush=True)


def waits(**changes):
    def close(self, seconds):
        os.write(1, f"waits {seconds:g}\\n".encode())

    checkpoint_log.Background.close = close
    checkpoint_log.Background.finish = lambda self: False
    return line(save_strategy="steps", save_steps=2, **changes)


def waits_after_an_end():
    waits().train()


def waits_after_an_exception():
    trainer = waits()
    trainer.add_callback(After(3, fail))
    trainer.train()


def interrupted_while_it_begins():
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    session.RewardObserver = interrupt
    line().train()


if __name__ == "__main__":
    run_cases({name: globals()[name] for name in sys.argv[2:]})
"""

CASES = [
    "forked_early",
    "pool",
    "later",
    "kept_by_a_terminal",
    "thread",
    "caught",
    "caught_for_long",
    "caught_and_resumed",
    "notebook",
    "multiprocessing_fork",
    "multiprocessing_term",
    "torch_fork",
    "torch_spawn",
    "evaluated",
    "waits_after_an_end",
    "waits_after_an_exception",
    "interrupted_while_it_begins",
]
ERROR = "ValueError: the judge says nothing"


@pytest.fixture(scope="module")
def ends(tmp_path_factory, model):
    """The folder of each case."""
    return folders_of(SCRIPT, tmp_path_factory.mktemp("signals"), CASES, model)


def out(folder):
    return (folder / "out.txt").read_text().splitlines()


def err(folder):
    return (folder / "err.txt").read_text()


def printed(folder):
    """What the case itself printed, and not the trainer."""
    return [text for text in out(folder) if not text.startswith("{")]


def end(folder):
    return RecordedRun(RunFiles(folder / "logs", "r")).info.end


def how(folder):
    return end(folder).how, end(folder).detail


def test_a_signal_that_a_forked_child_gets_at_once_is_the_child_s_alone(ends):
    assert (status(ends["forked_early"]), printed(ends["forked_early"])) == (0, ["-15"])
    assert how(ends["forked_early"]) == ("completed", None)


def test_a_pool_in_a_reward_function_ends_its_workers_alone(ends):
    assert (status(ends["pool"]), how(ends["pool"])) == (0, ("completed", None))
    assert not RunFiles(ends["pool"] / "logs", "r").crash().exists()


def test_a_handler_of_the_script_that_comes_later_and_calls_the_one_before_decides(ends):
    folder = ends["later"]
    assert (status(folder), printed(folder)) == (0, ["handled", "handled", "on it goes"])
    assert how(folder) == ("stopped", "after SIGTERM")


def test_a_terminal_that_is_held_keeps_no_process_from_its_end(ends):
    folder = ends["kept_by_a_terminal"]
    assert (status(folder), how(folder)) == (-signal.SIGTERM, ("terminated", "SIGTERM"))
    assert RunFiles(folder / "logs", "r").final_report.exists()


def test_a_training_in_a_thread_leaves_signals_alone(ends):
    assert status(ends["thread"]) == -signal.SIGTERM
    assert end(ends["thread"]) is None


def test_what_a_script_caught_ends_the_run_and_a_later_signal_is_not_its_end(ends):
    folder = ends["caught"]
    assert (status(folder), printed(folder)) == (-signal.SIGTERM, ["True 0 set()", "unknown None"])
    assert how(folder) == ("unknown", None)
    assert not RunFiles(folder / "logs", "r").crash().exists()


def test_what_a_script_is_still_handling_is_the_end_with_its_text(ends):
    folder = ends["caught_for_long"]
    assert (status(folder), how(folder)) == (1, ("exception", ERROR))
    assert err(folder).count("Traceback (most recent call last)") == 1


def test_a_run_that_a_caught_exception_ended_goes_on_where_its_trainer_does(ends):
    folder = ends["caught_and_resumed"]
    assert (status(folder), how(folder)) == (0, ("completed", None))
    run = RecordedRun(RunFiles(folder / "logs", "r"))
    assert [event.step for event in run if event.phase == "train"] == [1, 2, 3, 4, 5, 6]
    assert len(run.info.attempts) == 2


def test_an_exception_in_a_notebook_is_the_end_with_its_text_and_nothing_of_ours_stays(ends):
    folder = ends["notebook"]
    assert (status(folder), printed(folder)) == (0, ["True 0 set()"])
    assert how(folder) == ("exception", ERROR)


@pytest.mark.parametrize("case", ["multiprocessing_fork", "torch_fork", "torch_spawn"])
def test_an_exception_in_a_process_of_multiprocessing_is_the_end_with_its_text(case, ends):
    folder = ends[case]
    assert (status(folder), how(folder)) == (1, ("exception", ERROR))
    assert RunFiles(folder / "logs", "r").final_report.exists()
    assert "Traceback (most recent call last)" in RunFiles(folder / "logs", "r").crash().read_text()


def test_a_signal_in_a_process_of_multiprocessing_ends_it_as_ever(ends):
    folder = ends["multiprocessing_term"]
    assert (status(folder), printed(folder)) == (0, ["-15"])
    assert how(folder) == ("terminated", "SIGTERM")


def test_trainers_that_evaluate_alone_leave_no_descriptor_and_no_thread(ends):
    folder = ends["evaluated"]
    assert (status(folder), printed(folder)) == (0, ["ended completed"])
    runs = {json.loads(path.read_text())["end"]["how"] for path in (folder / "logs").glob("*_run.json")}
    assert runs == {"completed"}
    assert len(list((folder / "logs").glob("*_final_report.json"))) == 31


def test_the_last_checkpoint_is_waited_for_after_an_end_but_not_after_an_exception(ends):
    assert printed(ends["waits_after_an_end"]) == ["waits 30"]
    assert printed(ends["waits_after_an_exception"]) == ["waits 5"]


def test_ctrl_c_while_a_training_begins_leaves_nothing_that_fails_later(ends):
    folder = ends["interrupted_while_it_begins"]
    assert end(folder).how == "interrupted"
    assert "Exception ignored" not in err(folder)
