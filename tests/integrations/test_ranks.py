"""Two ranks by torchrun: each records itself, and none ever waits for the other's rldk."""

import json
import os
from statistics import median

import pytest

from faulty_disk import FaultyDisk
from integrations.witness import read
from processes import PATIENCE_S
from rldk.doctor.judge import judge
from rldk.runs import RecordedRun
from rldk.schema.files import RunFiles

pytestmark = [pytest.mark.training, pytest.mark.compat]

LAUNCHER = ("-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone")
HEAD = """
import json, os, sys, time
from pathlib import Path
import torch
import tiny
from integrations import trainings
from integrations.witness import Witness
from rldk.integrations.trl import RLDKCallback, observe_rewards

trainings.leave_whole()
here, rank = Path.cwd(), int(os.environ["RANK"])
model = {model!r}
"""


def ranks(start, model, code, *, code_of_exit=0):
    process = start((HEAD + code).replace("{model!r}", repr(model)), launcher=LAUNCHER)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode == 0) is (code_of_exit == 0), err
    return out, err


def journal(files, rank):
    return [json.loads(line) for line in files.resources(rank).read_text().splitlines()]


def test_with_everything_on_two_ranks_train_bit_identically_and_a_slow_one_is_found(start, model, tmp_path):
    ranks(
        start,
        model,
        """
def trained(name, callbacks, wrap):
    def slow(completions, **kwargs):
        time.sleep(0.2 * rank if callbacks else 0)
        return tiny.letter_reward(completions)

    witness = Witness()
    trainer = trainings.grpo(
        model, here / name, [witness, *callbacks],
        rewards=wrap([slow, tiny.length_reward]), max_steps=22, save_strategy="steps", save_steps=11,
        max_completion_length=8,
    )
    trainer.train()
    logs = [
        {key: repr(value) for key, value in one.logs.items() if not key.endswith(("time", "per_second"))}
        for one in witness.seen
    ]
    return logs, trainer.model.state_dict()

callback = RLDKCallback("logs", "r", stop_on="critical", ignore=["broken-start"])
with_logs, with_weights = trained("with", [callback], observe_rewards)
logs, weights = trained("without", [], lambda functions: functions)
assert with_logs == logs
assert all(torch.equal(with_weights[name], weights[name]) for name in weights)
(here / f"same{rank}").touch()
""",
    )
    assert {"same0", "same1"} <= set(os.listdir(tmp_path))
    files = RunFiles(tmp_path / "logs", "r")
    assert files.ranks() == [0, 1]
    for rank in (0, 1):
        lines = journal(files, rank)
        assert [line["step"] for line in lines if line["kind"] == "step_time"] == list(range(1, 23))
        assert any(line["kind"] == "resource" and line["resource/process_memory"] > 0 for line in lines)
    fast, slow = (
        median(line["reward_seconds"] for line in journal(files, rank) if "reward_seconds" in line)
        for rank in (0, 1)
    )
    assert fast < slow  # what a rank waits for another is not in it
    found = {finding.rule: finding for finding in judge(RecordedRun(files)).findings}
    assert "rank 1 takes" in found["straggler"].message
    assert "in its reward functions" in found["straggler"].message
    assert not [
        finding for finding in found.values() if finding.severity != "info" and finding.rule != "straggler"
    ]
    saved = [json.loads(line)["step"] for line in files.checkpoints.read_text().splitlines()]
    assert saved == [11, 22]


def test_rldk_off_on_one_rank_stops_nobody_and_hangs_nobody(start, model, tmp_path):
    out, err = ranks(
        start,
        model,
        """
if rank == 1:
    os.environ["RLDK_DISABLED"] = "1"
callback = RLDKCallback("logs", "r", stop_on="critical")  # random weights are critical: broken-start
trainer = trainings.grpo(model, here, [callback], max_steps=12, max_completion_length=4)
trainer.train()
os.write(1, f"steps {trainer.state.global_step}\\n".encode())  # whole: the other rank writes too
""",
    )
    assert out.count("steps 12") == 2
    assert "rldk: not stopping, since rank 1 would go on: broken-start" in out + err
    files = RunFiles(tmp_path / "logs", "r")
    assert files.ranks() == [0]
    assert RecordedRun(files).info.end.how == "completed"


def test_a_rank_that_dies_takes_nobody_of_rldk_along(start, model, tmp_path):
    ranks(
        start,
        model,
        """
import signal
def die():
    if rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)

trainer = trainings.grpo(
    model, here, [RLDKCallback("logs", "r"), trainings.After(3, die)], max_steps=200, max_completion_length=4
)
trainer.train()
""",
        code_of_exit=1,
    )
    files = RunFiles(tmp_path / "logs", "r")
    assert [line["step"] for line in read(files.events)][:3] == [1, 2, 3]
    run = RecordedRun(files)
    assert run.state != "running"
    assert judge(run).findings


def test_a_reward_function_that_raises_on_one_rank_is_named_as_what_ended_the_run(start, model, tmp_path):
    ranks(
        start,
        model,
        """
def judge_reward(completions, trainer_state, **kwargs):
    if rank == 1 and trainer_state.global_step == 5:
        time.sleep(3)  # until the name of the run has been asked for
    if rank == 1 and trainer_state.global_step == 8:
        raise ValueError("no judge")
    return tiny.letter_reward(completions)

trainer = trainings.grpo(
    model, here, [RLDKCallback("logs", "r")], rewards=judge_reward, max_steps=200, max_completion_length=4
)
trainer.train()
""",
        code_of_exit=1,
    )
    files = RunFiles(tmp_path / "logs", "r")
    assert "ValueError: no judge" in files.crash(1).read_text()
    (crash,) = [finding for finding in judge(RecordedRun(files)).findings if finding.rule == "crash"]
    assert "rank 1" in crash.message
    assert "no judge" in crash.message


LATE = """
import threading
from faulty_disk import FaultyDisk

disk = FaultyDisk(Path("logs"), Path("control"))

def hang():
    if rank == 1:
        disk.hang()

def end():
    if rank == 1 and HANGS_FOR:
        answer = threading.Timer(HANGS_FOR, disk.recover)
        answer.daemon = True  # the interpreter would wait for it before its exit handlers
        answer.start()

callbacks = [RLDKCallback("logs", "r"), trainings.After(20, hang), trainings.After(30, end)]
trainings.line(here, callbacks, max_steps=30).train()
"""


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """A disk that hangs for the file of rank 1 alone, once a script says so."""
    disk = FaultyDisk(RunFiles(tmp_path / "logs", "r").resources(1), tmp_path / "control")
    for name, text in disk.environment().items():
        monkeypatch.setenv(name, text)
    return disk


@pytest.mark.usefixtures("disk")
def test_what_waits_for_a_late_disk_on_another_rank_is_written_before_its_process_ends(
    start, model, tmp_path
):
    ranks(start, model, LATE.replace("HANGS_FOR", "3"))
    lines = journal(RunFiles(tmp_path / "logs", "r"), 1)
    steps = [line["step"] for line in lines if line["kind"] == "step_time"]
    assert steps[:29] == list(range(1, 30))


def test_what_another_rank_cannot_write_at_the_end_of_its_process_is_reported_once_and_counted(
    start, model, tmp_path, disk
):
    out, err = ranks(start, model, LATE.replace("HANGS_FOR", "0"))
    reports = [line for line in (out + err).splitlines() if "are not on it" in line]
    (count,) = [int(line.split(";")[1].split()[0]) for line in reports]
    assert count >= 9
    assert str(disk.folder) in reports[0]
