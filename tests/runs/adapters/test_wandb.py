"""W&B's files, made by wandb itself, offline."""

import json
import math
import random
import sys
import time

import pytest

from rldk.errors import MissingDependencyError
from rldk.runs.adapters.base import Probe
from rldk.runs.adapters.wandb import ADAPTER as RUN
from rldk.runs.adapters.wandb_records import BLOCK, MAGIC, records
from rldk.runs.adapters.wandb_summary import ADAPTER as SUMMARY
from rldk.runs.foreign_run import ForeignRun

pytest.importorskip("wandb")


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Makes a `.wandb` file of records, and of values that go to the summary alone."""

    def write(*records, summary=None):
        import wandb

        folder = tmp_path_factory.mktemp("run")
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (("WANDB_MODE", "offline"), ("WANDB_SILENT", "true")):
                patch.setenv(name, value)
            run = wandb.init(project="test", dir=str(folder))
            for record in records:
                run.log(dict(record))
            run.summary.update(summary or {})
            run.finish()
        (file,) = folder.rglob("*.wandb")
        for _ in range(600):  # a process of wandb's own still writes
            if "exit" in kinds(file):
                break
            time.sleep(0.05)
        return file

    return write


def kinds(file):
    from wandb.proto.wandb_internal_pb2 import Record

    ignored = []
    return [Record.FromString(data).WhichOneof("record_type") for _, data in records(file, ignored.append)]


@pytest.fixture(scope="module")
def trained(log):
    """What transformers' callback leaves, with timings and a reward of the user between."""
    return log(
        {"profiling/generate": 2.0, "train/global_step": 0},
        {"train/loss": 0.5, "train/rewards/f/mean": 1.5, "train/epoch": 0.1, "train/global_step": 5},
        {"eval/loss": 0.75, "eval/runtime": 3.0, "train/epoch": 0.1, "train/global_step": 5},
        {"profiling/generate": 3.0},
        {"profiling/generate": 4.0, "mine": 7, "rewards/f/mean": 1.5},
        {"train/loss": math.nan, "train/kl": math.inf, "train/grad_norm": -math.inf, "train/global_step": 10},
        {"train/epoch": 0.2, "train/global_step": 10},
        summary={"train_runtime": 60.0, "train_loss": 0.25, "best": 3},
    )


def read(path, adapter=RUN):
    bad = []
    return list(adapter.rows(path, bad.append)), bad


def test_what_the_trainer_logged_is_a_row_for_each_step_and_phase(trained):
    rows, _ = read(trained)
    assert [(row.step, row.phase) for row in rows] == [
        *((0, "train"), (5, "train"), (5, "eval"), (10, "train"), (10, "summary")),
    ]
    assert rows[0].values == {"profiling/generate": 2.0}
    assert rows[2].values == {"eval_loss": 0.75, "eval_runtime": 3.0, "epoch": 0.1}
    assert {key: str(value) for key, value in rows[3].values.items()} == {
        "loss": "nan",
        "kl": "inf",
        "grad_norm": "-inf",
    }
    assert rows[4].values == {"epoch": 0.2, "train_runtime": 60, "train_loss": 0.25, "best": 3}
    assert [row.wall_time > 1.7e9 for row in rows] == [True] * 5
    assert ForeignRun(trained, RUN).state == "ended"


def test_what_else_was_logged_joins_the_step_and_what_that_replaced_is_told(trained):
    rows, bad = read(trained)
    assert rows[1].values == {
        "loss": 0.5,
        "rewards/f/mean": 1.5,
        "epoch": 0.1,
        "profiling/generate": 4.0,
        "mine": 7,
    }
    assert [one.reason.split()[0] for one in bad] == ["1"]


def test_the_folder_of_the_run_is_the_run(trained):
    assert RUN.confidence(Probe(trained)) == RUN.confidence(Probe(trained.parent)) == 0.95
    assert len(read(trained.parent)[0]) == len(read(trained)[0])
    assert RUN.confidence(Probe(trained.parent.parent)) == 0
    assert read(trained.parent.parent)[1] != []


def test_without_a_trainer_each_record_is_a_row_at_the_step_of_wandb(log):
    file = log(
        {"loss": 2.0, "nested": {"a": {"b": 1}}, "name": "text"},
        {"loss": 1.0, "eval/loss": 3.0},
        {"loss": 1.0},
    )
    rows, bad = read(file)
    assert [(row.step, row.phase) for row in rows] == [
        *((0, "train"), (1, "eval"), (1, "train"), (2, "train")),
    ]
    assert rows[0].values == {"loss": 2, "nested/a/b": 1, "name": "text"}
    assert [row.values for row in rows[1:3]] == [{"eval_loss": 3}, {"loss": 1}]
    assert bad == []
    assert ForeignRun(file, RUN).state == "unfinished"


def test_media_are_no_metrics(log):
    import wandb

    rows, _ = read(log({"loss": 1.0, "weights": wandb.Histogram([1, 2, 3])}))
    assert [dict(row.values) for row in rows] == [{"loss": 1}]


def test_a_record_longer_than_a_block_is_put_together(log):
    rows, bad = read(log({"loss": 1.0, "text": "x" * 3 * BLOCK}, {"loss": 2.0}))
    assert [(row.values["loss"], len(row.values.get("text", ""))) for row in rows] == [(1, 3 * BLOCK), (2, 0)]
    assert bad == []


# Files that are broken, or none.


@pytest.mark.parametrize("part", [0.0, 0.3, 0.6, 0.9, 0.999])
def test_of_a_cut_file_what_is_whole_is_read(trained, tmp_path, part):
    whole = trained.read_bytes()
    cut = tmp_path / "run.wandb"
    cut.write_bytes(whole[: int(len(whole) * part)])
    rows, bad = read(cut)
    assert [row.step for row in rows] == [row.step for row in read(trained)[0]][: len(rows)]
    assert len(bad) <= 2
    assert RUN.confidence(Probe(cut)) == 0.95


def test_after_a_damaged_block_the_next_one_is_read(log, tmp_path):
    whole = bytearray(log(*({"loss": float(step), "text": "x" * 900} for step in range(200))).read_bytes())
    whole[BLOCK + 100] ^= 255
    broken = tmp_path / "run.wandb"
    broken.write_bytes(whole)
    rows, bad = read(broken)
    assert 100 < len(rows) < 200
    assert [row.values["loss"] for row in rows] == [row.step for row in rows]
    assert "damaged" in bad[0].reason


def test_no_mutation_of_a_file_raises(trained, tmp_path):
    whole, chance = trained.read_bytes(), random.Random(0)
    file = tmp_path / "run.wandb"
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        file.write_bytes(data[: chance.randint(1, len(data))])
        RUN.confidence(Probe(file))
        read(file)


def test_other_files_are_not_taken(tmp_path):
    file = tmp_path / "run.wandb"
    file.write_bytes(b"something else")
    assert RUN.confidence(Probe(file)) == RUN.confidence(Probe(tmp_path / "..")) == 0
    assert read(file)[1][0].reason == "this is no .wandb file"


def test_without_the_library_the_message_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "run.wandb").write_bytes(MAGIC)
    monkeypatch.setitem(sys.modules, "wandb.proto", None)
    with pytest.raises(MissingDependencyError, match=r"pip install wandb"):
        read(tmp_path / "run.wandb")


# The summary.

LAST = {"train/loss": 0.5, "eval/loss": 0.75, "train/reward": 1.5, "reward": 1.5, "train/global_step": 70}
OWN = {"_step": 723, "_runtime": 1993, "_timestamp": 1.7e9, "_wandb": {"runtime": 1993}}


def summary(tmp_path, values):
    file = tmp_path / "wandb-summary.json"
    file.write_text(json.dumps(values))
    assert SUMMARY.confidence(Probe(file)) == 0.95
    return file


def test_a_summary_of_a_training_that_ended_is_a_summary(tmp_path):
    table = {"_type": "table-file", "nrows": 3}
    file = summary(tmp_path, LAST | OWN | {"train_runtime": 1990.5, "completions": table})
    ((row,), bad) = read(file, SUMMARY)
    assert row.values == {"loss": 0.5, "eval_loss": 0.75, "reward": 1.5, "train_runtime": 1990.5}
    assert (row.step, row.wall_time, row.phase, bad) == (70, 1993.0, "summary", [])


def test_a_summary_of_one_that_did_not_end_is_its_last_record(tmp_path):
    file = summary(tmp_path, LAST | OWN | {"reward": 9.0})
    ((row,), _) = read(file, SUMMARY)
    assert (row.phase, row.values["reward"], row.values["reward#2"]) == ("train", 1.5, 9.0)
    assert ForeignRun(file, SUMMARY).state == "unfinished"


def test_wandbs_counter_is_the_step_where_the_trainers_is_not_there(tmp_path):
    ((row,), _) = read(summary(tmp_path, {"loss": 1.0, **OWN}), SUMMARY)
    assert row.step == 723


def test_nested_values_of_a_summary_are_joined(tmp_path):
    nested = {"loss": 1.0, "nested": {"a": {"b": 1}}, "picture": {"_type": "image-file"}, **OWN}
    ((row,), _) = read(summary(tmp_path, nested), SUMMARY)
    assert dict(row.values) == {"loss": 1, "nested/a/b": 1}


@pytest.mark.parametrize("text", ['{"_wandb": ', "[1]", "", "[" * 100_000])
def test_a_broken_summary_is_told(tmp_path, text):
    (tmp_path / "wandb-summary.json").write_text(text)
    rows, bad = read(tmp_path / "wandb-summary.json", SUMMARY)
    assert rows == []
    assert len(bad) == 1


def test_a_summary_is_known_by_its_keys(tmp_path):
    other = tmp_path / "any.json"
    other.write_text(json.dumps(LAST | OWN))
    assert SUMMARY.confidence(Probe(other)) == 0.95
    other.write_text(json.dumps(LAST))
    assert SUMMARY.confidence(Probe(other)) == 0
