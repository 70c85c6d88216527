"""The examples that the project was asked to run, as they were given."""

import csv
import io
import json
import os
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from transformers import TrainingArguments

import tiny
from integrations import trainings
from integrations.witness import read

pytestmark = [pytest.mark.training, pytest.mark.compat]

USAGE = """
from transformers import Trainer, TrainingArguments
from rldk.integrations.trl import RLDKCallback

# Initialize callback
callback = RLDKCallback(
    output_dir="./rldk_logs",
    run_id="ppo_training_run",
    enable_jsonl_logging=True
)

# Add to trainer
trainer = Trainer(
    model=model,
    args=training_args,
    train_dataset=dataset,
    callbacks=[callback]
)

# Train - JSONL events will be written automatically
trainer.train()
"""
CONFIGURATION = """
from rldk.integrations.trl import RLDKCallback

callback = RLDKCallback(
    output_dir="./rldk_logs",
    enable_jsonl_logging=True,  # Default: True
    run_id="my_training_run"
)
"""
JQ = "jq -r '[.step, .wall_time, .metrics.reward_mean, .metrics.loss] | @csv' events.jsonl > events.csv"
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
FILES = ["events.jsonl", "metrics.csv", "metrics.json", "alerts.json", "final_report.json"]


@pytest.fixture(scope="module")
def usage(tmp_path_factory):
    """The usage example, in an empty folder."""
    folder = tmp_path_factory.mktemp("usage")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        training_args = TrainingArguments(**trainings.options(folder))
        names = {"model": tiny.Line(), "training_args": training_args, "dataset": tiny.points()}
        exec(USAGE, names)
    return folder / "rldk_logs", names["trainer"]


@pytest.fixture
def events(model, tmp_path, monkeypatch):
    """In the working directory: `events.jsonl` of a real GRPO training."""
    callback = trainings.recorder(tmp_path / "logs")
    trainings.grpo(model, tmp_path, [callback]).train()
    monkeypatch.chdir(tmp_path)
    os.rename(callback.files.events, "events.jsonl")
    return read(Path("events.jsonl"))


def test_the_usage_example_records_what_the_trainer_logged(usage):
    folder, trainer = usage
    lines = read(folder / "ppo_training_run_events.jsonl")
    logged = trainer.state.log_history
    assert [line["step"] for line in lines] == [entry["step"] for entry in logged] == [1, 2, 3, 4, 4]
    assert [line["metrics"].get("loss") for line in lines] == [entry.get("loss") for entry in logged]


def test_the_files_that_are_promised_exist(usage):
    folder, _ = usage
    for name in FILES:
        assert (folder / f"ppo_training_run_{name}").stat().st_size > 0
    assert json.loads((folder / "ppo_training_run_alerts.json").read_text()) == []
    report = json.loads((folder / "ppo_training_run_final_report.json").read_text())
    assert report["end"]["how"] == "completed"
    assert (report["first_step"], report["last_step"], report["records"]) == (1, 4, 5)


def test_the_metric_table_holds_each_record(usage):
    folder, trainer = usage
    table = pd.read_csv(folder / "ppo_training_run_metrics.csv")
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert table["step"].tolist() == [1, 2, 3, 4, 4]
    assert table["phase"].tolist() == ["train"] * 4 + ["summary"]
    assert table["loss"].dropna().tolist() == losses
    steps = json.loads((folder / "ppo_training_run_metrics.json").read_text())["steps"]
    assert [row["loss"] for row in steps[:4]] == losses


def test_the_configuration_example(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(CONFIGURATION, names)
    trainings.line(tmp_path, [names["callback"]]).train()
    assert len(read(tmp_path / "rldk_logs" / "my_training_run_events.jsonl")) == 5


def test_the_environment_variable_switches_the_events_off_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setenv("RLDK_DISABLE_JSONL", "1")
    callback = trainings.recorder(tmp_path / "logs", enable_jsonl_logging=True)
    trainer = trainings.line(tmp_path, [callback])
    trainer.train()
    names = {path.name for path in callback.files.existing()}
    assert "r_events.jsonl" not in names
    assert {f"r_{name}" for name in FILES[1:]} <= names
    table = pd.read_csv(callback.files.metrics_csv)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert table["loss"].dropna().tolist() == losses
    assert table["lr"].notna().sum() == 4


@pytest.mark.parametrize("value", ["0", "", "false"])
def test_the_environment_variable_says_no(value, tmp_path, monkeypatch):
    monkeypatch.setenv("RLDK_DISABLE_JSONL", value)
    callback = trainings.recorder(tmp_path / "logs")
    trainings.line(tmp_path, [callback]).train()
    assert len(read(callback.files.events)) == 5


def test_the_argument_switches_the_events_off(tmp_path):
    callback = trainings.recorder(tmp_path / "logs", enable_jsonl_logging=False)
    trainings.line(tmp_path, [callback]).train()
    assert not callback.files.events.exists()
    assert pd.read_csv(callback.files.metrics_csv)["loss"].notna().sum() == 4


def test_the_jq_program(events):
    done = subprocess.run(JQ, shell=True, check=True, capture_output=True, text=True)
    assert done.stderr == ""
    rows = list(csv.reader(io.StringIO(Path("events.csv").read_text())))
    for row, event in zip(rows, events, strict=True):
        expected = [event["step"], event["wall_time"]]
        expected += [event["metrics"].get(name) for name in ("reward_mean", "loss")]
        assert [cell == "" for cell in row] == [value is None for value in expected]
        found = [float(cell) for cell in row if cell]
        assert found == pytest.approx([value for value in expected if value is not None], rel=1e-15)


def test_the_pandas_program(events):
    exec(PANDAS, {})
    table = pd.read_csv("events.csv")
    assert table["step"].tolist() == [event["step"] for event in events]
    assert list(table) == list(events[0])
