import json
import os

import pytest
from click.testing import CliRunner

from events import end, logged, record
from rldk.cli import main
from rldk.lock import RunLock
from rldk.recording.rotation import compress_parts


def rldk(*arguments, **options):
    return CliRunner().invoke(main, [str(argument) for argument in arguments], **options)


def test_states_steps_and_last_metrics_of_all_runs_below_the_folder(tmp_path):
    end(record(tmp_path, [*map(logged, range(1, 6)), logged(5, "summary", train_runtime=9.0)], "done"))
    end(record(tmp_path, map(logged, range(1, 3)), "failed"), "exception")
    record(tmp_path / "deep" / "er", map(logged, range(1, 4)), "killed")
    lock = RunLock.acquire(record(tmp_path, map(logged, range(1, 5)), "alive").lock)
    rows = {row["run"]: row for row in json.loads(rldk("runs", tmp_path, "-f", "json").stdout)}
    lock.release()
    states = {name: (row["state"], row["how"], row["step"]) for name, row in rows.items()}
    assert states == {
        "done": ("ended", "completed", 5),
        "failed": ("ended", "exception", 2),
        "killed": ("unfinished", None, 3),
        "alive": ("running", None, 4),
    }
    assert rows["done"]["metrics"] == {"loss": 1 / 6, "reward_mean": 0.05}


def test_the_table_shows_each_run_whole_on_a_narrow_terminal(tmp_path):
    metrics = dict.fromkeys(("loss", "reward_mean", "kl_mean", "entropy_mean", "grad_norm"), 0.123456)
    end(record(tmp_path, [logged(12_345, **metrics)], "done"))
    record(tmp_path / "deep", [logged(7, "train", ("nonfinite:loss=nan",), loss=None)], "killed")
    lines = rldk("runs", tmp_path, env={"COLUMNS": "80"}).stdout.splitlines()
    (done,) = (line for line in lines if line.startswith("done "))
    (killed,) = (line for line in lines if "deep/killed" in line)
    assert "completed" in done
    assert "12,345" in done
    assert "reward_mean=0.1235" in done
    assert "unfinished" in killed
    assert "loss=none" in killed
    assert max(map(len, lines)) <= 80


def test_where_it_is_narrow_a_metric_comes_before_the_day(tmp_path):
    record(tmp_path, [logged(200, reward_mean=0.95, loss=0.5)], "killed").run.write_text(
        '{"attempts": [{"started": "2025-11-24T17:58:00+00:00"}]}'
    )
    narrow, wide = (rldk("runs", tmp_path, env={"COLUMNS": columns}).stdout for columns in ("60", "80"))
    assert "reward_mean=0.95" in narrow
    assert "reward_mean=0.95" in wide
    assert max(map(len, narrow.splitlines())) <= 60
    assert "started" not in narrow
    assert "11-2" in wide


def test_an_empty_folder_says_so_and_a_missing_one_exits_2(tmp_path):
    empty = rldk("runs", tmp_path)
    assert (empty.exit_code, empty.stdout) == (0, "")
    assert "no runs in" in empty.stderr
    assert rldk("runs", tmp_path / "missing").exit_code == 2


def test_a_run_that_logged_nothing_yet_and_a_broken_run_json_are_listed(tmp_path):
    (tmp_path / "fresh_run.json").write_text('{"end": null}')
    record(tmp_path, [logged(1)], "odd").run.write_text("{]")
    rows = json.loads(rldk("runs", tmp_path, "-f", "json").stdout)
    assert [(row["run"], row["step"]) for row in rows] == [("fresh", None), ("odd", 1)]


@pytest.mark.parametrize("count", [2, 40])
def test_a_folder_is_listed_as_often_for_many_runs_as_for_few(count, tmp_path, monkeypatch):
    for number in range(count):
        # An evaluation alone has no train record: the search for one must not list the folder either.
        end(record(tmp_path, [logged(1, "eval", eval_loss=1.0)], f"r-{number}"))
    looks = []
    for name in ("listdir", "scandir"):
        look = getattr(os, name)
        monkeypatch.setattr(os, name, lambda folder=".", look=look: looks.append(folder) or look(folder))
    assert len(json.loads(rldk("runs", tmp_path, "-f", "json").stdout)) == count
    assert len([folder for folder in looks if str(folder) == str(tmp_path)]) == 2  # the walk, and the runs


def test_a_part_that_was_compressed_since_the_folder_was_listed_is_read_all_the_same(tmp_path, monkeypatch):
    files = record(tmp_path, map(logged, range(1, 30)), rotate_mb=0.002)
    compress_parts(files)
    files.events.unlink(missing_ok=True)
    stale = [(files, [part.with_suffix("") for part in files.parts()])]
    monkeypatch.setattr("rldk.cli.runs._find", lambda folder: stale)
    (row,) = json.loads(rldk("runs", tmp_path, "-f", "json").stdout)
    assert row["step"] > 1
