"""The README's table "your log, your command": each log written as its tool writes it, each command run."""

import gzip
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from events import logged, record
from rldk import open_run
from rldk.cli import main
from rldk.runs.adapters import adapters

SEVEN_KEYS = ("step", "wall_time", "metrics", "rng", "data_slice", "model_info", "notes")

README = (Path(__file__).parent.parent / "README.md").read_text()
TABLE = README.partition("| your log | your command |")[2].partition("\n\n")[0]
COMMANDS = [shlex.split(found) for found in re.findall(r"`(rldk [^`]+)`", TABLE)]

LOGS = [
    {"loss": 1 / step, "grad_norm": 0.5, "learning_rate": 1e-5, "epoch": step / 9} for step in range(1, 6)
]
WANDB = """
import glob, os, time, wandb
run = wandb.init(project="p", dir=".")
for step in range(1, 6):
    run.log({"train/loss": 1 / step, "train/global_step": step})
run.finish()
from rldk import RLDKError, open_run
(folder,) = glob.glob("wandb/offline-run-*")
for _ in range(200):  # a process of wandb's own still writes
    try:
        if sum(1 for _ in open_run(folder)) == 5:
            break
    except RLDKError:
        pass
    time.sleep(0.1)
os.rename(folder, "wandb/offline-run-1")
"""
TRACKIO = """
import trackio
trackio.init(project="my_project", embed=False)
for step in range(1, 6):
    trackio.log({"loss": 1 / step})
trackio.finish()
"""


def lines(path: Path, *rows: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which each path of the table exists."""
    from torch.utils.tensorboard import SummaryWriter

    root = tmp_path_factory.mktemp("logs")
    record(root / "rldk_logs", map(logged, range(1, 6)), "my_run")
    history = [{**log, "step": step} for step, log in enumerate(LOGS, 1)]
    for place in ("output", "output/checkpoint-40"):
        lines(root / place / "trainer_state.json", {"log_history": history, "global_step": 5})
    (root / "output" / "completions").mkdir()
    completions = {"step": [5] * 4, "prompt": ["p"] * 4, "completion": ["c"] * 4, "f": [0.5] * 4}
    pd.DataFrame(completions).to_parquet(root / "output" / "completions" / "completions_00005.parquet")
    lines(
        root / "train.log",
        *(f"\x1b[32m 20%|##   | {n}/5 [00:01<00:04]\x1b[0m\r{log}" for n, log in enumerate(LOGS)),
    )
    (root / "train.log.gz").write_bytes(gzip.compress((root / "train.log").read_bytes()))
    lines(root / "pairs.log", *(f"step {n} | loss: {1 / n}, lr: 1e-06, reward: 0.5" for n in range(1, 6)))
    lines(root / "verl.log", *(f"step:{n} - actor/pg_loss:{1 / n} - actor/lr:1e-06" for n in range(1, 6)))
    lines(root / "metrics.jsonl", *({"step": n, "data": {"actor/pg_loss": 1 / n}} for n in range(1, 6)))
    lines(root / "trainer_log.jsonl", *({"current_steps": n, "loss": 1 / n, "lr": 1e-5} for n in range(1, 6)))
    swift = ({**log, "global_step/max_steps": f"{n}/5"} for n, log in enumerate(LOGS, 1))
    lines(root / "logging.jsonl", *swift)
    lines(
        root / "progress.csv",
        "time/total_timesteps,rollout/ep_rew_mean",
        *(f"{n}00,{n}.5" for n in range(1, 6)),
    )
    lines(root / "log.jsonl", *({"iteration": n, "metrics": {"loss": 1 / n}} for n in range(1, 6)))
    with SummaryWriter(root / "runs" / "my_run") as writer:
        for n, log in enumerate(LOGS, 1):
            writer.add_scalar("train/loss", log["loss"], n)
    # Without what an earlier test's wandb left behind: a service of its own would write elsewhere, and late.
    plain = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    quiet = {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "TRACKIO_DIR": str(root / "trackio")}
    for script in (WANDB, TRACKIO):
        subprocess.run(
            [sys.executable, "-c", script], cwd=root, env=plain | quiet, check=True, capture_output=True
        )
    (root / "trackio" / "my_project.db").rename(root / "my_project.db")  # whole only after the process
    lines(
        root / "openrlhf.log",
        *(
            f"(PPOTrainer pid=7) INFO Global step {n}: {{'policy_loss': {1 / n}, 'actor_lr': 5e-07,"
            f" 'kl': 0.01, 'reward': {n / 10}, 'response_length': 250.5, 'return': 0.2}}"
            for n in range(1, 6)
        ),
    )
    summary = {"train/loss": 0.2, "train/global_step": 5, "_step": 4, "_runtime": 9.5, "_wandb": {}}
    (root / "wandb-summary.json").write_text(json.dumps(summary))
    return root


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_of_the_table_tells_what_is_in_the_log(folder, command, monkeypatch):
    monkeypatch.chdir(folder)
    shown = CliRunner().invoke(main, [*command[1:], "-f", "json"])
    assert shown.exit_code == 0, shown.output
    (about,) = json.loads(shown.stdout)
    assert about["records"] == ({} if about["format"] == "trl-completions" else {"train": 5})
    assert about["samples"] == 4 * any(argument.startswith("output/") for argument in command)
    assert about["bad_lines"] == 0


PATHS = [*(command[-1] for command in COMMANDS), "wandb-summary.json", "openrlhf.log"]
PANDAS = """
import pandas as pd
import json

events = []
with open('events.jsonl', 'r') as f:
    for line in f:
        events.append(json.loads(line))
df = pd.DataFrame(events)
df.to_csv('events.csv', index=False)
"""


@pytest.mark.parametrize("path", PATHS)
def test_the_pandas_example_works_on_the_events_file_of_each_log(folder, path, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    events = tmp_path / "events.jsonl"
    exported = CliRunner().invoke(main, ["export", path, "--format", "jsonl", "-o", str(events)])
    assert exported.exit_code == 0, exported.output
    checked = CliRunner().invoke(main, ["validate", str(events)])
    assert checked.exit_code == 0, checked.output
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(PANDAS, names)
    records = {"output/completions": 0, "wandb-summary.json": 1}.get(path, 5)
    assert len(names["df"]) == records
    if records:
        assert [*names["df"]] == [*SEVEN_KEYS]
        assert pd.read_csv("events.csv")["step"].tolist() == names["df"]["step"].tolist()
        assert all(
            any(isinstance(value, int | float) for value in row.values()) for row in names["df"]["metrics"]
        )


@pytest.mark.parametrize(
    ("path", "dialect", "name"),
    [
        ("openrlhf.log", "openrlhf", "surrogate_loss_mean"),
        ("verl.log", "verl", "surrogate_loss_mean"),
        ("metrics.jsonl", "verl", "surrogate_loss_mean"),
        ("train.log", "trl", "loss"),
    ],
)
def test_the_keys_of_each_framework_become_canonical_names(folder, path, dialect, name):
    run = open_run(folder / path)
    assert run.dialect == dialect
    assert all(name in event.metrics for event in run)


def test_the_logs_are_of_every_format_there_is(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert {open_run(path).format for path in PATHS} == {"rldk", *(adapter.name for adapter in adapters())}
    assert len(COMMANDS) == 16
