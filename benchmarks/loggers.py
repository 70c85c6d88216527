"""The loggers that `overhead.py` compares: ours, the floor, and what a user would pick instead.

Each records the same rows: what TRL logs at a step of GRPO. `prepare` is not timed, `log` is.
"""

# ruff: noqa: D102 - what a logger's methods do is said once, in Logger

import json
import os
import random
import sqlite3
import sys
import time
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import torch
from transformers import TrainerControl, TrainerState, TrainingArguments

from rldk.integrations.loop import record
from rldk.integrations.trl import RLDKCallback
from rldk.runs import open_run
from rldk.schema.event import Event

__all__ = ["LOGGERS", "PEERS", "SEED", "Floor", "Logger", "Loop", "Ours", "Recording", "grpo_logs"]

SEED = 42
KEYS = (
    *("loss", "grad_norm", "learning_rate", "num_tokens", "step_time", "epoch", "kl", "entropy"),
    *(f"completions/{which}_length" for which in ("mean", "min", "max")),
    *(f"completions/{which}_terminated_length" for which in ("mean", "min", "max")),
    *("completions/clipped_ratio", "reward", "reward_std", "frac_reward_zero_std"),
    *(f"rewards/{name}/{moment}" for name in ("accuracy", "format", "length") for moment in ("mean", "std")),
    *(f"clip_ratio/{which}" for which in ("low_mean", "low_min", "high_mean", "high_max", "region_mean")),
    "answer_diversity",
)
"""What a GRPO trainer of TRL logs with three reward functions, `beta` above 0 and a metric of the user's."""


class Logger:
    """One way to record a step. `prepare` is not timed, `log` is."""

    name = ""
    needs = "rldk"
    """The module that has to be installed."""

    def __init__(self, folder: Path) -> None:
        """Start recording into `folder`, which exists and is empty."""

    def prepare(self, step: int, logs: dict[str, float]) -> Any:
        """What `log` is given for this step."""
        return step, logs

    def log(self, item: Any) -> None:
        """Record one step."""

    def close(self) -> None:
        """End the run."""

    @staticmethod
    def read(folder: Path) -> int | None:
        """How many records can be read in `folder`; None where that needs a tool of the logger's."""


class Ours(Logger):
    """The hooks of a trainer without gradient accumulation, called as `CallbackHandler` calls them."""

    name = "rldk"
    options: ClassVar[dict[str, Any]] = {"enable_resource_monitoring": False}
    """Arguments of the callback besides its defaults."""

    def __init__(self, folder: Path) -> None:
        torch.manual_seed(SEED)  # as a trainer does
        self.args = _arguments(folder / "trainer")
        self.state = TrainerState(max_steps=sys.maxsize)
        self.control = TrainerControl()
        model = torch.nn.Linear(4, 4)
        nothing = dict.fromkeys(("processing_class", "lr_scheduler", "train_dataloader", "eval_dataloader"))
        self.given = {"model": model, "optimizer": torch.optim.AdamW(model.parameters()), **nothing}
        self.callback = RLDKCallback(output_dir=folder / "logs", run_id="overhead", **self.options)
        self.callback.on_train_begin(self.args, self.state, self.control, **self.given)

    def prepare(self, step: int, logs: dict[str, float]) -> dict[str, float]:
        self.state.global_step = step
        return logs

    def log(self, item: dict[str, float]) -> None:
        args, state, control = self.args, self.state, self.control
        self.callback.on_step_end(args, state, control, **self.given)
        self.callback.on_log(args, state, control, logs=item, **self.given)

    def close(self) -> None:
        self.callback.on_train_end(self.args, self.state, self.control, **self.given)

    @staticmethod
    def read(folder: Path) -> int:
        return sum(1 for _ in open_run(folder / "logs"))


class Recording(Ours):
    """The same without a rule: what recording alone costs."""

    name = "rldk, no rules"
    options: ClassVar[dict[str, Any]] = {"enable_resource_monitoring": False, "select": []}


class Loop(Logger):
    """`rldk.record` in a loop of one's own, without a rule."""

    name = "rldk.record, no rules"

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "logs"
        self.run = record("overhead", output_dir=self.folder, select=[], enable_resource_monitoring=False)

    def log(self, item: tuple[int, dict[str, float]]) -> None:
        step, logs = item
        self.run.log(logs, step)

    def close(self) -> None:
        self.run.close()

    @staticmethod
    def read(folder: Path) -> int:
        return sum(1 for _ in open_run(folder / "logs"))


class Floor(Logger):
    """msgspec and one `os.write` of a record that has every field of ours, and as many bytes."""

    name = "floor"

    def __init__(self, folder: Path) -> None:
        self.like = _recorded_event(folder)
        self.encoder = msgspec.json.Encoder()
        self.fd = os.open(folder / "floor.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def prepare(self, step: int, logs: dict[str, float]) -> Event:
        metrics = dict(zip(self.like.metrics, logs.values(), strict=True))
        return msgspec.structs.replace(self.like, step=step, wall_time=time.monotonic(), metrics=metrics)

    def log(self, item: Event) -> None:
        os.write(self.fd, self.encoder.encode(item) + b"\n")

    def close(self) -> None:
        os.close(self.fd)

    @staticmethod
    def read(folder: Path) -> int:
        return _lines(folder / "floor.jsonl")


class StdlibJson(Logger):
    """What a user writes in five lines: `json.dumps` of the logs, and a flush."""

    name = "stdlib json + flush"
    needs = "json"

    def __init__(self, folder: Path) -> None:
        self.file = (folder / "log.jsonl").open("a")

    def log(self, item: tuple[int, dict[str, float]]) -> None:
        step, logs = item
        self.file.write(json.dumps({"step": step, **logs}) + "\n")
        self.file.flush()

    def close(self) -> None:
        self.file.close()

    @staticmethod
    def read(folder: Path) -> int:
        return _lines(folder / "log.jsonl")


class TensorBoard(Logger):
    """`add_scalar` for each metric and one flush, as transformers' own callback does."""

    name = "torch SummaryWriter"
    needs = "tensorboard"

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(folder)

    def log(self, item: tuple[int, dict[str, float]]) -> None:
        step, logs = item
        for key, value in logs.items():
            self.writer.add_scalar(key, value, step)
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()

    @staticmethod
    def read(folder: Path) -> int:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(folder), {"scalars": 0}).Reload()
        return min((len(events.Scalars(tag)) for tag in events.Tags()["scalars"]), default=0)


class Wandb(Logger):
    """`run.log` of an offline run."""

    name = "wandb, offline"
    needs = "wandb"

    def __init__(self, folder: Path) -> None:
        os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true")
        for kind in ("CACHE", "CONFIG", "DATA"):
            os.environ[f"WANDB_{kind}_DIR"] = str(folder)
        import wandb

        self.run = wandb.init(project="overhead", dir=folder)

    def log(self, item: tuple[int, dict[str, float]]) -> None:
        step, logs = item
        self.run.log(logs, step=step)

    def close(self) -> None:
        self.run.finish()


class Trackio(Logger):
    """`trackio.log` into its local database."""

    name = "trackio, local"
    needs = "trackio"

    def __init__(self, folder: Path) -> None:
        os.environ["TRACKIO_DIR"] = str(folder)
        import trackio

        self.trackio = trackio
        trackio.init("overhead", embed=False)

    def log(self, item: tuple[int, dict[str, float]]) -> None:
        step, logs = item
        self.trackio.log(logs, step=step)

    def close(self) -> None:
        self.trackio.finish()

    @staticmethod
    def read(folder: Path) -> int:
        path = folder / "overhead.db"
        if not path.exists():
            return 0
        with closing(sqlite3.connect(path)) as database:
            return database.execute("SELECT count(*) FROM metrics").fetchone()[0]


PEERS = (StdlibJson, TensorBoard, Wandb, Trackio)
LOGGERS = {kind.name: kind for kind in (Floor, Recording, Loop, Ours, *PEERS)}


def grpo_logs(step: int, source: random.Random) -> dict[str, float]:
    """What a GRPO trainer logs with 16 completions a step and one update a batch.

    Most values are fractions of float32; shares are sixteenths, lengths whole numbers, the clip ratios 0.
    """
    row = dict(zip(KEYS, torch.tensor([source.random() for _ in KEYS]).tolist(), strict=True))
    row |= {"num_tokens": 4096.0 * step, "epoch": step / 512, "learning_rate": 1e-6}
    for key in KEYS:
        if key.endswith(("min_length", "max_length", "min_terminated_length", "max_terminated_length")):
            row[key] = float(source.randrange(256))
        elif key.endswith(("mean_length", "clipped_ratio", "accuracy/mean", "format/mean", "zero_std")):
            row[key] = source.randrange(17) / 16
        elif key.startswith("clip_ratio/"):
            row[key] = 0.0
    return row


def _arguments(folder: Path) -> TrainingArguments:
    """The arguments of a GRPO training on a CPU; without TRL those of a plain trainer."""
    kind = TrainingArguments
    if find_spec("trl"):
        from trl import GRPOConfig as kind  # noqa: N813
    return kind(output_dir=str(folder), report_to="none", use_cpu=True, bf16=False, seed=SEED)


def _recorded_event(folder: Path) -> Event:
    """An Event as the callback records it; its metrics are in the order of the logs."""
    ours = Ours(folder / "like")
    for step in (1, 2):
        ours.log(ours.prepare(step, grpo_logs(step, random.Random(SEED))))
    event = list(open_run(folder / "like" / "logs"))[-1]
    ours.close()
    return event


def _lines(path: Path) -> int:
    """How many lines of a file are whole JSON."""
    return sum(1 for line in path.read_bytes().splitlines() if json.loads(line))
