import csv
import io
import json
import os
import subprocess
import sys

import pandas as pd
import pytest
from click.testing import CliRunner

from events import logged, record
from rldk import open_run
from rldk.cli import main
from rldk.schema.event import decode

EVENTS = [
    logged(1, loss=0.5, reward_mean=0.1),
    logged(2, "train", ("nonfinite:loss=nan",), loss=None, reward_mean=0.2),
    logged(2, "eval", eval_loss=0.7),
    logged(3, loss=0.25, reward_mean=0.4),
]


@pytest.fixture
def run(tmp_path):
    return record(tmp_path, EVENTS)


def rldk(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_csv_to_stdout_has_a_row_a_record_and_spells_nan(run):
    result = rldk("export", run.folder / "run")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert result.exit_code == 0
    assert [row["phase"] for row in rows] == ["train", "train", "eval", "train"]
    assert rows[1]["loss"] == "nan"
    assert rows[2]["loss"] == ""
    assert rows[2]["eval_loss"] == "0.7"


def test_a_dash_is_stdout_and_no_file(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert rldk("export", run.events, "-o", "-").stdout == rldk("export", run.events).stdout
    assert not (tmp_path / "-").exists()


@pytest.mark.parametrize("kind", ["csv", "json", "jsonl", "parquet"])
def test_each_format_is_chosen_by_the_ending_of_the_output(run, tmp_path, kind):
    output = tmp_path / f"out.{kind}"
    assert rldk("export", run.events, "-o", output).exit_code == 0
    if kind == "csv":
        assert pd.read_csv(output)["reward_mean"].dropna().tolist() == [0.1, 0.2, 0.4]
    elif kind == "parquet":
        assert pd.read_parquet(output)["reward_mean"].dropna().tolist() == [0.1, 0.2, 0.4]
    elif kind == "json":
        assert json.loads(output.read_bytes())["summary"]["reward_mean"]["max"] == 0.4
    else:
        assert [decode(line) for line in output.read_bytes().splitlines()] == EVENTS


def test_a_folder_with_one_run_is_that_run(run):
    assert rldk("export", run.folder).stdout == rldk("export", run.folder / "run").stdout


def test_a_folder_with_two_runs_lists_them_and_exits_2(run):
    record(run.folder, EVENTS, "other")
    result = rldk("export", run.folder)
    assert result.exit_code == 2
    assert f"{run.folder / 'other'}\n" in result.stderr


@pytest.mark.parametrize("path", ["nothing/here", "empty", "\N{SNOWMAN}"])
def test_what_is_no_run_is_one_clear_line_and_exit_2(tmp_path, path):
    (tmp_path / "empty").mkdir()
    result = rldk("export", tmp_path / path)
    assert result.exit_code == 2
    assert result.stderr.startswith("rldk: ")
    assert "rldk runs" in result.stderr
    assert "Traceback" not in result.stderr


def test_bad_lines_are_named_on_stderr_and_the_rest_is_exported(run):
    with run.events.open("ab") as file:
        file.write(b'{"step": 4, "wall\n')
    result = rldk("export", run.folder)
    assert f"skipped {run.events}:5: " in result.stderr
    assert len(result.stdout.splitlines()) == 5


def test_an_output_that_cannot_be_written_exits_2_and_leaves_nothing(run, tmp_path):
    result = rldk("export", run.folder, "-o", tmp_path / "no" / "such.csv")
    assert result.exit_code == 2
    assert f"the folder {tmp_path / 'no'} does not exist" in result.stderr
    assert not (tmp_path / "no").exists()


def test_a_reader_that_leaves_early_gets_no_traceback(tmp_path):
    record(tmp_path, (logged(step) for step in range(20_000)))
    with subprocess.Popen(
        [sys.executable, "-m", "rldk", "export", tmp_path, "-f", "jsonl"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()


def test_what_a_training_recorded_is_not_written_over_but_its_tables_are(run):
    before = run.events.read_bytes()
    for name in ("run_events.jsonl", "run_run.json", "run_final_report.json"):
        result = rldk("export", run.folder, "-f", "jsonl", "-o", run.folder / name)
        assert result.exit_code == 2
        assert "is a file of the run run" in result.stderr
    assert rldk("export", run.folder, "-o", run.metrics_csv).exit_code == 0
    assert run.events.read_bytes() == before


def test_an_ending_that_is_no_format_is_refused_with_the_formats(run, tmp_path):
    result = rldk("export", run.folder, "-o", tmp_path / "a.xlsx")
    assert result.exit_code == 2
    assert "parquet" in result.stderr


def test_a_step_that_parquet_cannot_hold_is_one_line_and_leaves_no_file(tmp_path):
    files = record(tmp_path, [logged(1), logged(2**64)])
    result = rldk("export", files.folder, "-o", tmp_path / "out.parquet")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"rldk: record 2 has the step {2**64}")
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out.parquet").exists()


def test_a_run_without_records_says_so(tmp_path):
    (tmp_path / "empty_events.jsonl").touch()
    result = rldk("export", tmp_path)
    assert "has no records" in result.stderr


def test_a_pipe_is_written_to_and_never_replaced(run, tmp_path):
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE, text=True) as reader:
        assert rldk("export", run.folder, "-o", pipe).exit_code == 0
        assert reader.stdout is not None
        assert len(reader.stdout.read().splitlines()) == 5
    assert pipe.is_fifo()


# Logs of other tools


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.jsonl"
    rows = ({"step": n, "loss": 1 / n, "reward": n / 10, "mine": n} for n in range(1, 4))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("kind", ["csv", "json", "jsonl", "parquet"])
def test_a_foreign_log_becomes_each_format(log, tmp_path, kind):
    output = tmp_path / f"out.{kind}"
    result = rldk("export", log, "-o", output)
    assert (result.exit_code, result.stderr) == (0, f"{output}: 3 records\n")
    if kind in ("csv", "parquet"):
        frame = pd.read_csv(output) if kind == "csv" else pd.read_parquet(output)
        found = frame[["step", "reward_mean", "mine"]].to_numpy().tolist()
    else:
        text = output.read_text()
        rows = json.loads(text)["steps"] if kind == "json" else map(json.loads, text.splitlines())
        found = [
            [row["step"], *({**row, **row.get("metrics", {})}[n] for n in ("reward_mean", "mine"))]
            for row in rows
        ]
    assert found == [[1, 0.1, 1], [2, 0.2, 2], [3, 0.3, 3]]


def test_a_table_of_a_foreign_log_reads_as_the_same_run(log, tmp_path):
    assert rldk("export", log, "-o", tmp_path / "out.csv").exit_code == 0
    mine, theirs = open_run(log), open_run(tmp_path / "out.csv")
    assert theirs.format == "csv"
    assert [(one.step, one.metrics) for one in theirs] == [(one.step, one.metrics) for one in mine]


def test_names_of_the_user_are_in_the_export(log):
    header = rldk("export", log, "--map", "mine=kl_mean").stdout.splitlines()[0]
    assert header == "step,phase,wall_time,loss,reward_mean,kl_mean"


def test_bad_lines_of_a_foreign_log_are_told_five_at_most(log):
    log.write_text(log.read_text() * 30 + "{torn\n" * 9)
    result = rldk("export", log)
    assert result.exit_code == 0
    assert f"skipped {log}:91: " in result.stderr
    assert f"skipped 9 lines in total; see: rldk validate {log}" in result.stderr
    assert len(result.stdout.splitlines()) == 91


def test_a_log_is_not_written_over_by_its_own_export(log, tmp_path):
    before = log.read_bytes()
    (tmp_path / "link.jsonl").symlink_to(log)
    (tmp_path / "hard.jsonl").hardlink_to(log)
    for output in (log, tmp_path / "link.jsonl", tmp_path / "hard.jsonl"):
        result = rldk("export", log, "-o", output)
        assert result.exit_code == 2
        assert "is the log itself" in result.stderr
    table = tmp_path / "x_metrics.csv"
    table.write_text("step,loss\n1,1\n2,1\n")
    assert rldk("export", table, "-o", table).exit_code == 2
    assert (log.read_bytes(), table.read_text()) == (before, "step,loss\n1,1\n2,1\n")
