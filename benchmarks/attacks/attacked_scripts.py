"""What an attacked process runs: one function a script, called by its name with arguments that JSON can hold.

Invariant: with `recorded=False` a script does the same without rldk's callback. Each runs in a folder of
its own, and records as `r` in `logs`.
"""

# ruff: noqa: ARG002, D102 - the hooks of transformers

import hashlib
import json
import math
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trl
from marks import BEGINS, ENDS, RETURNED, STARTED, TRAINS, Marks
from transformers import TrainerCallback

import tiny
from faulty_disk import FaultyDisk
from integrations import trainings
from integrations.trainings import After
from rldk.integrations.trl import RLDKCallback, observe_rewards

MODEL = "../model"
"""A tiny model on disk, for the trainings that need one."""
trl.GRPOTrainer, trl.SFTTrainer  # noqa: B018 - their modules are loaded here, once for all forked scripts


def save_model() -> None:
    """Make the tiny model that the scripts in the folders beside this one train."""
    tiny.save_model(Path.cwd() / "model")


class MarkBefore(TrainerCallback):
    """Marks what is about to happen; comes before the callback of rldk."""

    def __init__(self, marks: Marks) -> None:
        self.marks = marks

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.marks.set_stage(BEGINS)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.marks.set_stage(TRAINS)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if control.should_save:
            self.marks.begin_save()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.marks.set_stage(ENDS)


class MarkAfter(TrainerCallback):
    """Marks each train log that has returned; comes behind the callback of rldk."""

    def __init__(self, marks: Marks) -> None:
        self.marks = marks

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if "loss" in logs:
            loss = logs["loss"]
            self.marks.end_step(state.global_step, math.nan if loss is None else loss)


class InEachStep(TrainerCallback):
    """Calls `action` with the number of each step, before it has ended."""

    def __init__(self, action: Callable[[int], Any]) -> None:
        self.action = action

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.action(state.global_step)


def pause(seconds: float) -> InEachStep:
    """Makes each step longer."""
    return InEachStep(lambda _: time.sleep(seconds))


def callback(recorded: bool, **arguments: Any) -> list[RLDKCallback]:
    """The callback of rldk, or nothing."""
    return [RLDKCallback("logs", "r", **arguments)] if recorded else []


def build(kind: str, callbacks: list[Any], **changes: Any) -> Any:
    """A trainer: `line`, `sft` or `grpo`."""
    model = [] if kind == "line" else [MODEL]
    return getattr(trainings, kind)(*model, Path.cwd(), callbacks, **changes)


def newest_checkpoint() -> str | None:
    """The newest checkpoint whose save had come to its end."""
    folders = sorted(Path("out").glob("checkpoint-*"), key=lambda path: -int(path.name.partition("-")[2]))
    for folder in folders:
        try:
            json.loads((folder / "trainer_state.json").read_bytes())
        except (OSError, ValueError):
            continue
        return str(folder)
    return None


def save_and_resume(
    *, kind: str, recorded: bool, steps: int, save_steps: int, pause_s: float, options: dict[str, Any]
) -> None:
    """A training that saves, and goes on from its newest whole checkpoint."""
    marks = Marks(Path.cwd())
    marks.set_stage(STARTED)
    callbacks = [MarkBefore(marks), *callback(recorded, **options), MarkAfter(marks), pause(pause_s)]
    saves = {"save_strategy": "steps", "save_steps": save_steps, "save_total_limit": 2}
    trainer = build(kind, callbacks, max_steps=steps, **saves)
    trainer.train(resume_from_checkpoint=newest_checkpoint())
    marks.set_stage(RETURNED)


def train_on_faulty_disk(
    *, steps: int, share: float, from_step: int, until_step: int, pause_s: float, options: dict[str, Any]
) -> None:
    """A training whose log folder refuses a share of the calls between two steps."""
    disk = FaultyDisk(Path("logs"), Path("control"))
    if from_step == 0:
        disk.fail(share)
    callbacks = [
        *callback(recorded=True, **options),
        After(from_step, lambda: disk.fail(share)),
        After(until_step, disk.recover),
        pause(pause_s),
    ]
    saves = {"save_strategy": "steps", "save_steps": 50, "save_total_limit": 2}
    trainer = build("line", callbacks, max_steps=steps, **saves)
    trainer.train()
    write_json("history.json", trainer.state.log_history)


def train_on_hanging_disk(*, recorded: bool, hang_s: float, reads: bool, pause_s: float) -> None:
    """A training whose log folder hangs for some seconds from step 10 on; writes the times of its steps."""
    disk = FaultyDisk(Path("logs"), Path("control"))
    times: list[float] = []

    def hang() -> None:
        disk.hang(reads=reads)
        threading.Timer(hang_s, disk.recover).start()

    clock = InEachStep(lambda _: times.append(time.monotonic()))
    callbacks = [clock, *callback(recorded), After(10, hang), pause(pause_s)]
    trainer = build("line", callbacks, max_steps=int((hang_s + 5) / pause_s))
    trainer.train()
    write_json("history.json", trainer.state.log_history)
    write_json("steps.json", [after - before for before, after in pairwise(times)])


def evaluate_often(*, trainers: int) -> None:
    """Evaluate-only trainers, one after the other; writes the descriptors and threads on the way."""
    seen = []
    for number in range(trainers + 1):
        if number in (10, trainers):
            seen.append([len(os.listdir("/proc/self/fd")), threading.active_count()])
        if number < trainers:
            trainer = build("line", callback(recorded=True))
            trainer.evaluate()
            del trainer
    write_json("resources.json", seen)


# Every trainer of TRL.


def list_trainers() -> None:
    """Write the names of the trainers that can be built."""
    from trainers import TRAINERS

    write_json("trainers.json", list(TRAINERS))


def train_with(*, trainer: str, recorded: bool) -> None:
    """Six steps of a trainer; writes its log history, and digests of its weights and of the random states."""
    from trainers import TRAINERS, Setting

    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 - the generator that trainers use
    torch.manual_seed(1)
    callbacks = callback(recorded)
    observe = observe_rewards if recorded else list
    built = TRAINERS[trainer](Setting("../../model", Path.cwd(), callbacks, observe))
    built.train()
    weights = hashlib.sha256()
    for name, value in sorted(built.model.state_dict().items()):
        weights.update(
            name.encode() + value.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        )
    states = [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]  # noqa: NPY002
    write_json(
        "result.json",
        {
            "history": built.state.log_history,
            "weights": weights.hexdigest(),
            "random_states": hashlib.sha256(repr(states).encode()).hexdigest(),
            "hook_failures": sum(one.guard.failures for one in callbacks),
        },
    )


# Trainings that start processes.


def score(completion: str) -> float:
    """A reward that does not depend on chance."""
    return float(len(completion) % 3)


def score_in_pool(*, recorded: bool, steps: int, processes: int) -> None:
    """GRPO whose reward function scores in a pool of processes, made anew in each step."""

    def pool_reward(completions: list[str], **_: Any) -> list[float]:
        with multiprocessing.Pool(processes) as pool:
            return pool.map(score, completions)

    build("grpo", callback(recorded), rewards=pool_reward, max_steps=steps).train()


def map_data(*, recorded: bool, steps: int) -> None:
    """A dataset is mapped by two processes in each step."""
    points = tiny.points(8)

    def map_points(_: int) -> None:
        points.map(lambda row: {"y": row["x"]}, num_proc=2, load_from_cache_file=False)

    build("line", [*callback(recorded), InEachStep(map_points)], max_steps=steps).train()


def load_data(*, recorded: bool, steps: int) -> None:
    """Two workers load the data; an epoch has 16 steps, after which they end and others start."""
    build("line", callback(recorded), max_steps=steps, dataloader_num_workers=2).train()


def _nothing() -> None:
    """What runs in a child before it becomes another program."""


def start_programs(*, recorded: bool, steps: int, preexec: bool) -> None:
    """In each step one program runs to its end, and another is terminated at once."""

    def start(_: int) -> None:
        before = _nothing if preexec else None
        subprocess.run([sys.executable, "-S", "-c", ""], preexec_fn=before, check=True)
        other = subprocess.Popen(["sleep", "60"], preexec_fn=before)  # noqa: PLW1509 - it is what is attacked
        other.terminate()
        assert other.wait() == -signal.SIGTERM

    build("line", [*callback(recorded), InEachStep(start)], max_steps=steps).train()


def fork_and_terminate(*, recorded: bool, steps: int) -> None:
    """In each step a child is forked, and terminated at once: also before it has come to Python."""

    def fork(step: int) -> None:
        pid = os.fork()
        if pid == 0:
            time.sleep(60)
            os._exit(0)
        time.sleep(step % 5 / 1000)
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)

    build("line", [*callback(recorded), InEachStep(fork)], max_steps=steps).train()


def launch(*, recorded: bool, steps: int, launcher: str, crash: bool) -> None:
    """Two ranks that a launcher of accelerate forks; with `crash` both raise in the middle."""
    import accelerate

    def fail() -> None:
        raise ValueError("the judge is silent")

    def train() -> None:
        middle = [After(steps // 2, fail)] if crash else []
        build(
            "line", [*callback(recorded), *middle], max_steps=steps, ddp_find_unused_parameters=False
        ).train()

    if launcher == "debug":
        accelerate.debug_launcher(train, num_processes=2)
    else:
        accelerate.notebook_launcher(train, num_processes=2, use_port=str(20_000 + os.getpid() % 20_000))


def write_json(name: str, value: Any) -> None:
    """A file in the folder of the script."""
    Path(name).write_text(json.dumps(value))
