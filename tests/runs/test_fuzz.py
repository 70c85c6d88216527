"""Ten thousand damaged logs of every format: an answer or one clear error, in bounded time and memory.

A damaged file is told by its number: `damaged(base, random.Random(f"{name} {number}"))`.
"""

import gzip
import json
import os
import random
import signal
import sqlite3
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from events import lines, logged, resumed
from rldk import RLDKError, open_run
from rldk.runs.adapters import adapters

FILES = 715
"""Damaged files of each format: 14 formats, 10,010 files."""
SECONDS = 5
"""For one file; a whole one takes milliseconds."""
MEMORY = 1 << 30
"""Bytes that reading may take beyond what the tests hold."""

JUNK = [
    *(b"\0", b"\xff", b"\n", b"\r", b"{", b"}", b"[", b'"', b"'", b",", b":", b"\\", b"-", b"\x1b["),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80", b"\x1f\x8b\x08", b" 5/9 [", b"step:1 - "),
    *(b"NaN", b"Infinity", b"1e999", b"9" * 400, b"null", b"{'loss': 0.1}", b'{"loss": {"a": [1]}}'),
    *(b"[" * 999, b'{"a":' * 500, b"x" * 5_000, b"\n" * 500),
]  # fmt: skip

STATE = {
    "global_step": 8,
    "log_history": [
        *({"step": step, "epoch": step / 8, "loss": 1 / step, "reward": 0.5} for step in range(1, 9)),
        {"step": 8, "eval_loss": float("nan")},
        {"step": 8, "train_runtime": 3.5, "train_loss": 0.5},
    ],
}
CONSOLE = "".join(
    f"\r {step}%|# | {step}/8 [00:01<00:03]\nINFO noise {{x}}\n"
    f"{{'loss': {1 / step}, 'grad_norm': 'nan', 'rewards/f/mean': np.float64(0.5), 'epoch': {step / 8}}}\n"
    for step in range(1, 9)
)
VERL = "".join(
    f"(TaskRunner pid=1) step:{step} - actor/pg_loss:np.float64({1 / step}) - actor/entropy:0.1 - n:nan\n"
    for step in range(1, 9)
)
PAIRS = "".join(f"Epoch:[1/2]({s}/8), loss: {1 / s}, reward: 0.5, lr: 1e-6\n" for s in range(1, 9))
JSONL = "".join(
    json.dumps({"step": step, "timestamp": 1.7e9 + step, "metrics": {"loss": 1 / step, "a": {"b": 1}}}) + "\n"
    for step in range(1, 9)
)
CSV = "time/iterations,train/loss,rollout/ep_rew_mean\n" + "".join(
    f'{step},{1 / step},"{step}.5"\n' for step in range(1, 9)
)
EVENTS = lines(
    *map(logged, range(1, 8)), resumed(5, 4, loss=1), logged(6, "train", ("nonfinite:a=inf",), a=None)
)


def tensorboard(folder):
    pytest.importorskip("tensorboard")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder))
    for step in range(1, 9):
        values = [Summary.Value(tag=f"train/{key}", simple_value=1 / step) for key in ("loss", "reward")]
        writer.add_event(Event(step=step, wall_time=1.7e9 + step, summary=Summary(value=values)))
    writer.close()
    (file,) = folder.glob("*tfevents*")
    return file.name, file.read_bytes()


def trackio(folder):
    with sqlite3.connect(folder / "project.db") as database:
        database.execute(
            "CREATE TABLE metrics "
            "(id INTEGER PRIMARY KEY, timestamp TEXT, run_name TEXT, step INTEGER, metrics TEXT)"
        )
        database.executemany(
            "INSERT INTO metrics (run_name, step, timestamp, metrics) VALUES ('a', ?, ?, ?)",
            [
                (step, f"2024-01-01T00:00:{step:02}", json.dumps({"train/loss": 1 / step, "mine": "NaN"}))
                for step in range(1, 9)
            ],
        )
    database.close()
    return "project.db", (folder / "project.db").read_bytes()


def wandb(folder):
    wandb = pytest.importorskip("wandb")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("WANDB_MODE", "offline"), ("WANDB_SILENT", "true")):
            patch.setenv(name, value)
        run = wandb.init(project="test", dir=str(folder))
        for step in range(1, 9):
            run.log({"train/loss": 1 / step, "train/global_step": step})
        run.finish()
    (file,) = folder.rglob("*.wandb")
    for _ in range(100):  # on a busy machine wandb's own process still writes
        if read(file) == 8:
            break
        time.sleep(0.1)
    return file.name, file.read_bytes()


BASES = {
    "trainer-state": ("trainer_state.json", json.dumps(STATE).encode()),
    "console": ("console.log", CONSOLE.encode()),
    "verl-console": ("verl.log", VERL.encode()),
    "pairs": ("pairs.log", PAIRS.encode()),
    "jsonl": ("log.jsonl", JSONL.encode()),
    "csv": ("progress.csv", CSV.encode()),
    "rldk": ("run_events.jsonl", EVENTS),
    "rldk-renamed": ("copy", EVENTS),
    "rldk-gz": ("run_events.0001.jsonl.gz", gzip.compress(EVENTS)),
    "jsonl-gz": ("log.jsonl.gz", gzip.compress(JSONL.encode())),
    "console-gz": ("console.log.gz", gzip.compress(CONSOLE.encode())),
    "tensorboard": tensorboard,
    "trackio": trackio,
    "wandb": wandb,
}


def damaged(base, chance):
    """One to four kinds of damage."""
    data = base
    for _ in range(chance.choice([1, 1, 2, 4])):
        at, to = sorted(chance.randrange(len(data) + 1) for _ in range(2))
        match chance.randrange(8):
            case 0:  # flipped bytes
                flipped = bytearray(data)
                for _ in range(chance.choice([1, 3, 20])):
                    if flipped:
                        flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
                data = bytes(flipped)
            case 1:
                data = data[:at]
            case 2:
                data = data[:at] + data[to:]
            case 3:
                data = data[:to] + data[at:]
            case 4:
                data = data[:at] + chance.choice(JUNK) + data[at:]
            case 5:
                data = data[:at] + chance.randbytes(chance.choice([1, 10, 1_000])) + data[at:]
            case 6:
                rows = data.split(b"\n")
                one, other = chance.randrange(len(rows)), chance.randrange(len(rows))
                rows[one], rows[other] = rows[other], rows[one]
                data = b"\n".join(rows)
            case 7:  # a number becomes another one
                digits = [place for place, byte in enumerate(data) if chr(byte).isdigit()]
                if digits:
                    place = chance.choice(digits)
                    number = chance.choice(
                        [b"-1", b"1e400", b"9" * 30, b"", b"0.5", b"null", b"1/8", b"\xd9\xa1"]
                    )
                    data = data[:place] + number + data[place + 1 :]
    return data


class TooLong(BaseException):
    """Reading took longer than `SECONDS`: no `except Exception` may hide it."""


@contextmanager
def bounded():
    """Within the block, memory that is asked for beyond `MEMORY` is refused, where Linux can say it."""
    if sys.platform != "linux":
        yield
        return
    import resource

    held = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextmanager
def alarm():
    def ring(*_):
        raise TooLong

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def read(path, input_format=None):
    """How many events there are; -1 for a file that is refused."""
    try:
        run = open_run(path, input_format=input_format)
        events = sum(1 for _ in run)
    except (RLDKError, OSError) as error:
        assert str(error)
        return -1
    assert all(bad.reason for bad in run.bad_lines)
    return events


@pytest.mark.parametrize("name", BASES)
def test_damaged_files_are_read_or_refused(name, tmp_path):
    base = BASES[name]
    if callable(base):
        (tmp_path / "made").mkdir()
        base = base(tmp_path / "made")
    file_name, whole = base
    path = tmp_path / "log" / file_name
    path.parent.mkdir()
    path.write_bytes(whole)
    assert read(path) >= 6, "the whole file is a log"
    chosen = [adapter.name for adapter in adapters()]
    found = []
    with bounded():
        for number in range(FILES):
            chance = random.Random(f"{name} {number}")
            data = damaged(whole, chance)
            path.write_bytes(data)
            # Now and then as a format that it may not be at all.
            said = chance.choice(chosen) if number % 10 == 0 else None
            try:
                with alarm():
                    found.append(read(path, said))
                    if number % 50 == 0:
                        read(path.parent)
            except BaseException as error:
                error.add_note(f"file {number} of {name}, as {said}: {data[:2000]!r}")
                raise
    # Damage does not make everything unreadable; a gzip that is damaged ends there.
    assert sum(count > 0 for count in found) > FILES / 10
