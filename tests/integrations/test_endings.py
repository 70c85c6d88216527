"""Trainings that end badly: `rldk doctor` and the final report name the end, the process ends as ever."""

import json
import signal

import pytest
from click.testing import CliRunner

from integrations.cases import folders_of, status
from rldk.cli import main
from rldk.runs import RecordedRun
from rldk.schema.files import RunFiles

pytestmark = [pytest.mark.training, pytest.mark.compat]

SCRIPT = """
import atexit, ctypes, os, signal, sys, time
from pathlib import Path
import torch
import tiny
from integrations import trainings
from integrations.cases import run_cases
from integrations.trainings import After
from rldk.integrations.trl import RLDKCallback

torch.set_num_threads(1)
MODEL = sys.argv[1]
OOM = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.15 GiB of which "
    "1.02 GiB is free. Including non-PyTorch memory, this process has 78.12 GiB memory in use. Of the "
    "allocated memory 60.50 GiB is allocated by PyTorch, and 12.25 GiB is reserved by PyTorch but "
    "unallocated. If reserved but unallocated memory is large try setting "
    "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid fragmentation."
)


def line(action, step=3, **changes):
    callbacks = [RLDKCallback("logs", "r"), After(step, action)]
    return trainings.line(Path.cwd(), callbacks, **changes)


def within_a_step(error):
    def fail(*_, **__):
        raise error

    trainer = line(lambda: setattr(trainer, "compute_loss", fail))
    trainer.train()


def send(signum):
    return lambda: os.kill(os.getpid(), signum)


def nan():
    trainer = trainings.grpo(MODEL, Path.cwd(), [RLDKCallback("logs", "r")], max_steps=60)

    def break_weights():
        for parameter in trainer.model.parameters():
            parameter.data.fill_(float("nan"))

    trainer.add_callback(After(40, break_weights))
    trainer.train()


def reward():
    calls = []

    def judge_reward(completions, **_):
        calls.append(completions)
        if len(calls) == 4:
            raise ValueError("the judge says nothing, with token hf_abcdefghijklmnopqrstuvwxyz")
        return [float(len(calls[-1][i]) % 3) for i in range(len(completions))]

    trainings.grpo(MODEL, Path.cwd(), [RLDKCallback("logs", "r")], rewards=judge_reward, max_steps=8).train()


def out_of_memory():
    within_a_step(torch.OutOfMemoryError(OOM))


def no_memory():
    within_a_step(MemoryError())


def disk_full():
    within_a_step(OSError(28, "No space left on device", "out/checkpoint-3/optimizer.pt"))


def killed():
    line(send(signal.SIGKILL)).train()


def terminated():
    line(send(signal.SIGTERM)).train()


def at_once():
    import rldk.recording.recorder as recorder
    lines = recorder.last_lines

    def slow(*asked):
        send(signal.SIGTERM)()  # the second comes while the first is being written down
        time.sleep(0.5)
        return lines(*asked)

    recorder.last_lines = slow
    terminated()


def twice():
    import rldk.recording.exit_hooks as exits
    import rldk.recording.recorder as recorder

    def slow(*_):
        send(signal.SIGTERM)()
        time.sleep(60)

    exits.SAME_SECONDS = 0.0  # as if it came later
    recorder.last_lines = slow
    terminated()


def handled():
    trainer = line(send(signal.SIGTERM))
    signal.signal(signal.SIGTERM, lambda *_: setattr(trainer.control, "should_training_stop", True))
    trainer.train()
    print("on it goes")


def segfault():
    line(lambda: ctypes.string_at(0)).train()


def abort():
    line(os.abort).train()


def hooked():
    before = sys.excepthook
    sys.excepthook = lambda *error: (print("the hook of the user", file=sys.stderr), before(*error))
    within_a_step(ValueError("boom"))


def full_disk():
    import errno, rldk.recording.crash_writer as crash_writer

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    crash_writer._write_all = refuse
    within_a_step(ValueError("boom"))


def stalled():
    from functools import partial
    from rldk.recording import session
    from rldk.recording.watchdog import Patience, Watchdog

    soon = Patience(steps=3, least=1.0, first=60.0, tick=0.1)
    session.Watchdog = partial(Watchdog, patience=soon)
    calls = []

    def sleepy_reward(completions, **_):
        calls.append(completions)
        if len(calls) == 10:
            for _ in range(600):
                time.sleep(0.1)
                if "stall" in Path("logs/r_alerts.json").read_text():
                    send(signal.SIGTERM)()
        return [float(len(text) % 3) for text in completions]

    callbacks = [RLDKCallback("logs", "r")]
    trainings.grpo(MODEL, Path.cwd(), callbacks, rewards=sleepy_reward, max_steps=12).train()


def caught():
    try:
        within_a_step(ValueError("boom"))
    except ValueError:
        print("on it goes")


def once_python_has_ended(case):
    def run():
        atexit.register(os._exit, 1)  # the last one: torch would go on to take itself apart for seconds
        case()
    return run


raising = {"nan", "reward", "out_of_memory", "no_memory", "disk_full", "hooked"}
cases = {name: globals()[name] for name in sys.argv[2:]}
run_cases({name: once_python_has_ended(case) if name in raising else case for name, case in cases.items()})
"""

CASES = [
    "nan",
    "reward",
    "out_of_memory",
    "no_memory",
    "disk_full",
    "killed",
    "terminated",
    "at_once",
    "twice",
    "handled",
    "segfault",
    "abort",
    "hooked",
    "full_disk",
    "stalled",
    "caught",
]


@pytest.fixture(scope="module")
def ends(tmp_path_factory, model):
    """The folder of each case; all are forked from one process, which imported everything once."""
    return folders_of(SCRIPT, tmp_path_factory.mktemp("ends"), CASES, model)


def crash_text(folder):
    return RunFiles(folder / "logs", "r").crash().read_text()


def report(folder):
    return json.loads(RunFiles(folder / "logs", "r").final_report.read_text())


def doctor(folder):
    """What `rldk doctor` prints, which the final report says too, where there is one."""
    shown = CliRunner().invoke(main, ["doctor", str(folder / "logs" / "r"), "--format", "json"])
    told = json.loads(shown.stdout)
    path = RunFiles(folder / "logs", "r").final_report
    if path.exists():
        at_the_end = json.loads(path.read_text())
        assert at_the_end["status"] == told["status"]
        assert [one["message"] for one in at_the_end["findings"]] == [
            one["message"] for one in told["findings"]
        ]
    return told


def crash(folder):
    return {one["rule"]: one for one in doctor(folder)["findings"]}["crash"]


def test_nan_weights_that_die_in_generation_are_named_as_the_cause(ends):
    told = doctor(ends["nan"])
    first, second = told["findings"][:2]
    assert (first["rule"], first["severity"], first["onset_step"]) == ("non-finite", "critical", 40)
    assert "whose log was still healthy" in first["message"]
    assert first["remedies"]
    assert (second["rule"], second["caused_by"]) == ("crash", "non-finite")
    assert "probability tensor contains" in second["message"]
    assert "in generation" in second["message"]
    assert report(ends["nan"])["end"]["how"] == "exception"


def test_an_exception_in_a_reward_function_names_the_function(ends):
    told = crash(ends["reward"])
    assert "in the reward function judge_reward (script.py:" in told["message"]
    assert "ValueError: the judge says nothing" in told["message"]
    assert told["causes"][0].startswith("the reward function judge_reward (script.py:")
    text = crash_text(ends["reward"])
    assert "Traceback (most recent call last)" in text
    assert "Stacks of all threads" in text
    assert '"step":3' in text
    assert "hf_abcdefghijklmnopqrstuvwxyz" not in text
    assert "hf_abcdefghijklmnopqrstuvwxyz" in (ends["reward"] / "err.txt").read_text()  # as without rldk


def test_out_of_memory_is_named_with_the_numbers_of_the_allocator(ends):
    told = crash(ends["out_of_memory"])
    assert told["message"].startswith("memory ran out after step 3")
    numbers = {name: told["evidence"][name] for name in told["evidence"] if name.endswith("_gib")}
    assert numbers == {
        "tried_gib": 2.0,
        "total_gib": 79.15,
        "free_gib": 1.02,
        "allocated_gib": 60.5,
        "unallocated_gib": 12.25,
    }
    assert "fragmented" in told["causes"][0]
    assert "expandable_segments:True" in told["remedies"][0]
    assert told["remedies"][1] == "lower `per_device_train_batch_size` (now 4, try 2)"


def test_a_memory_error_is_out_of_memory(ends):
    assert crash(ends["no_memory"])["message"].startswith("memory ran out after step 3")


def test_a_full_disk_in_the_trainer_is_named(ends):
    assert crash(ends["disk_full"])["causes"] == ["the disk, or the quota, is full"]


def test_a_kill_is_told_from_what_is_missing(ends):
    assert status(ends["killed"]) == -signal.SIGKILL
    told = doctor(ends["killed"])
    (finding,) = [one for one in told["findings"] if one["rule"] == "unfinished-run"]
    assert "no end was recorded" in finding["message"]
    assert "after step 3; its last record is of 20" in finding["message"]


def test_sigterm_ends_the_process_as_ever_and_is_told(ends):
    assert status(ends["terminated"]) == -signal.SIGTERM
    told = crash(ends["terminated"])
    assert told["message"].startswith("SIGTERM ended the run after step 3")
    assert report(ends["terminated"])["end"]["how"] == "terminated"
    assert RecordedRun(RunFiles(ends["terminated"] / "logs", "r")).state == "ended"
    assert "Traceback" not in (ends["terminated"] / "err.txt").read_text()


def test_two_sigterms_at_once_are_one(ends):
    assert status(ends["at_once"]) == -signal.SIGTERM
    assert report(ends["at_once"])["end"]["how"] == "terminated"
    assert '"step":3' in crash_text(ends["at_once"])


def test_a_second_sigterm_that_comes_later_ends_it_at_once(ends):
    assert status(ends["twice"]) == -signal.SIGTERM
    files = RunFiles(ends["twice"] / "logs", "r")
    assert json.loads(files.run.read_text())["end"]["how"] == "terminated"
    assert not files.final_report.exists()
    assert crash(ends["twice"])["message"].startswith("SIGTERM ended the run")


def test_a_handler_of_the_user_goes_on_as_ever(ends):
    assert status(ends["handled"]) == 0
    assert "on it goes" in (ends["handled"] / "out.txt").read_text()
    end = report(ends["handled"])["end"]
    assert (end["how"], end["detail"], end["step"]) == ("stopped", "after SIGTERM", 3)


@pytest.mark.parametrize(
    ("case", "signum", "error"),
    [
        ("segfault", signal.SIGSEGV, "Segmentation fault, in string_at"),
        ("abort", signal.SIGABRT, "Aborted"),
    ],
)
def test_an_error_below_python_is_read_from_the_crash_file(case, signum, error, ends):
    assert status(ends[case]) == -signum
    told = crash(ends[case])
    assert told["message"].startswith("the process crashed below Python after step 3")
    assert error in told["message"]
    assert "Fatal Python error" not in (ends[case] / "err.txt").read_text()  # as without rldk


def test_the_hook_of_the_user_is_called(ends):
    err = (ends["hooked"] / "err.txt").read_text()
    assert "the hook of the user\nTraceback (most recent call last)" in err
    assert err.count("ValueError: boom\n") == 1
    assert crash(ends["hooked"])["message"].endswith("ValueError: boom")


def test_a_full_disk_while_the_crash_file_is_written_is_said_and_harms_nothing(ends):
    err = (ends["full_disk"] / "err.txt").read_text()
    assert status(ends["full_disk"]) == 1
    assert err.count("crash.txt (No space left on device)") == 1
    assert err.count("ValueError: boom\n") == 1
    assert crash(ends["full_disk"])["message"].endswith("ValueError: boom")


def test_a_stall_is_told_live_with_the_function_that_hangs_and_explains_the_end(ends):
    assert status(ends["stalled"]) == -signal.SIGTERM
    found = {one["rule"]: one for one in doctor(ends["stalled"])["findings"]}
    stall = found["stall"]
    assert (stall["severity"], stall["onset_step"]) == ("critical", 9)
    assert "it hangs in the reward function sleepy_reward (script.py:" in stall["message"]
    assert stall["causes"][0].endswith("does not return")
    assert found["crash"]["caused_by"] == "stall"
    assert "rldk: CRITICAL at step 9: stall" in (ends["stalled"] / "err.txt").read_text()
    assert "=== rldk: no step has ended for" in crash_text(ends["stalled"])


def test_an_exception_that_is_caught_is_no_crash(ends):
    assert status(ends["caught"]) == 0
    assert "on it goes" in (ends["caught"] / "out.txt").read_text()
    assert report(ends["caught"])["end"]["how"] == "unknown"
    assert not RunFiles(ends["caught"] / "logs", "r").crash().exists()
