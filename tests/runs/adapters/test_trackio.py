"""trackio's database, made by trackio itself, and by hand as its first versions made it."""

import math
import random
import sqlite3
from datetime import UTC, datetime

import pytest

from rldk.runs.adapters.base import Probe
from rldk.runs.adapters.trackio import ADAPTER

COLUMNS = "id INTEGER PRIMARY KEY, timestamp TEXT, run_name TEXT, step INTEGER, metrics TEXT"


def read(path):
    bad = []
    return list(ADAPTER.rows(path, bad.append)), bad


@pytest.fixture
def log(tmp_path, monkeypatch):
    """Logs the records of a run with trackio; gives the database."""
    trackio = pytest.importorskip("trackio")
    from trackio import sqlite_storage, utils

    for module in (sqlite_storage, utils):
        monkeypatch.setattr(module, "TRACKIO_DIR", tmp_path)

    def write(name, *records):
        trackio.init(project="project", name=name, embed=False)
        for record in records:
            trackio.log(dict(record))
        trackio.finish()
        return tmp_path / "project.db"

    return write


def by_hand(path, *records, columns=COLUMNS):
    """A database in SQLite's older journal: (run, step, timestamp, metrics)."""
    database = sqlite3.connect(path)
    database.execute(f"CREATE TABLE metrics ({columns})")
    insert = "INSERT INTO metrics (run_name, step, timestamp, metrics) VALUES (?, ?, ?, ?)"
    database.executemany(insert, records)
    database.commit()
    return database


def at(second):
    return datetime.fromtimestamp(1_700_000_000 + second, UTC).isoformat()


def test_what_transformers_callback_logs_comes_back(log):
    file = log(
        "run",
        {"train/loss": 0.5, "train/rewards/f/mean": 1.5, "train/epoch": 0.1, "train/global_step": 5},
        {"eval/loss": 0.75, "train/epoch": 0.1, "train/global_step": 5},
        {"mine": 3, "nested": {"a": math.inf}},
        {"train/loss": math.nan, "train/kl": math.inf, "train/grad_norm": -math.inf, "train/global_step": 10},
        {"train/epoch": 0.2, "train/global_step": 10},
    )
    rows, bad = read(file)
    assert [(row.step, row.phase) for row in rows] == [
        *((5, "train"), (5, "eval"), (10, "train"), (10, "summary")),
    ]
    assert rows[0].values == {
        "loss": 0.5,
        "rewards/f/mean": 1.5,
        "epoch": 0.1,
        "mine": 3,
        "nested": {"a": math.inf},
    }
    assert rows[1].values == {"eval_loss": 0.75, "epoch": 0.1}
    assert {key: str(value) for key, value in rows[2].values.items()} == {
        "loss": "nan",
        "kl": "inf",
        "grad_norm": "-inf",
    }
    assert rows[0].wall_time > 1.7e9
    assert bad == []
    assert ADAPTER.confidence(Probe(file)) == 0.95


def test_without_a_trainer_the_step_is_trackios(log):
    rows, _ = read(log("run", {"loss": 2.0}, {"loss": 1.0}))
    assert [(row.step, row.values) for row in rows] == [(0, {"loss": 2.0}), (1, {"loss": 1.0})]


def test_of_several_runs_the_one_that_logged_last_is_read(log):
    log("first", {"loss": 1.0})
    rows, _ = read(log("second", {"loss": 2.0}))
    assert [row.values for row in rows] == [{"loss": 2.0}]


def test_a_database_of_an_early_version_is_read(tmp_path):
    file = tmp_path / "project.db"
    by_hand(
        file,
        ("old", 0, at(0), '{"loss": 9}'),
        ("new", 0, at(10), '{"train/loss": "NaN", "picture": {"_type": "trackio.image"}}'),
        ("new", 1, at(20), '{"train/loss": 0.5}'),
    ).close()
    rows, bad = read(file)
    assert [(row.step, row.wall_time, str(row.values["loss"])) for row in rows] == [
        *((0, 1_700_000_010.0, "nan"), (1, 1_700_000_020.0, "0.5")),
    ]
    assert [len(row.values) for row in rows] == [1, 1]
    assert bad == []


def test_what_is_still_in_the_write_ahead_log_is_read(tmp_path):
    file = tmp_path / "project.db"
    database = by_hand(file, ("run", 0, at(0), '{"loss": 1}'))
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("INSERT INTO metrics VALUES (2, ?, 'run', 1, '{\"loss\": 2}')", (at(1),))
    database.commit()
    assert [row.step for row in read(file)[0]] == [0, 1]
    database.close()
    assert [path.name for path in tmp_path.iterdir()] == ["project.db"]
    assert [row.step for row in read(file)[0]] == [0, 1]
    assert [path.name for path in tmp_path.iterdir()] == ["project.db"]


def test_beside_a_log_that_cannot_be_read_the_database_is(tmp_path):
    file = tmp_path / "project.db"
    database = by_hand(file, ("run", 0, at(0), '{"loss": 1}'))
    database.execute("PRAGMA journal_mode=WAL")
    database.close()
    (tmp_path / "project.db-wal").mkdir()
    (tmp_path / "project.db-wal" / "file").touch()
    rows, bad = read(file)
    assert [row.step for row in rows] == [0]
    assert "write-ahead log" in bad[0].reason
    assert ADAPTER.confidence(Probe(file)) == 0.95


@pytest.mark.parametrize(
    "metrics", ["{", "[1]", "3", None, "\udcff".encode("utf-8", "replace"), "[" * 100_000]
)
def test_a_record_that_is_none_is_told_and_passed_over(tmp_path, metrics):
    file = tmp_path / "project.db"
    by_hand(file, ("run", 0, at(0), metrics), ("run", 1, "some day", '{"loss": 1}')).close()
    rows, bad = read(file)
    assert [(row.step, row.wall_time) for row in rows] == [(1, None)]
    assert [one.number for one in bad] == [1]


def test_no_mutation_of_a_database_raises(tmp_path):
    file = tmp_path / "project.db"
    by_hand(file, *(("run", step, at(step), f'{{"loss": {step}}}') for step in range(500))).close()
    whole, chance = file.read_bytes(), random.Random(0)
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 40)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        file.write_bytes(data[: chance.randint(100, len(data))])
        ADAPTER.confidence(Probe(file))
        read(file)


def test_a_cut_database_is_told(tmp_path):
    file = tmp_path / "project.db"
    by_hand(file, *(("run", step, at(step), f'{{"loss": {step}}}') for step in range(500))).close()
    file.write_bytes(file.read_bytes()[:8192])
    assert read(file)[1] != []


def test_other_databases_are_not_taken(tmp_path):
    file = tmp_path / "mlflow.db"
    sqlite3.connect(file).execute("CREATE TABLE metrics (key TEXT, value FLOAT, step INT)").connection.close()
    assert ADAPTER.confidence(Probe(file)) == 0
    view = tmp_path / "view.db"
    database = sqlite3.connect(view)
    database.execute("CREATE VIEW metrics AS SELECT 1 id, 2 timestamp, 3 run_name, 4 step, 5 metrics")
    database.close()
    assert ADAPTER.confidence(Probe(view)) == 0
    assert read(view)[0] == []
    (tmp_path / "text.db").write_text("no database")
    assert ADAPTER.confidence(Probe(tmp_path / "text.db")) == ADAPTER.confidence(Probe(tmp_path)) == 0
    assert read(tmp_path / "text.db")[1] != []
