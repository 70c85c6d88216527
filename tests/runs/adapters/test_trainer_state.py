"""trainer_state.json as transformers writes it, and what becomes of it: cut, bare, empty, in a folder."""

import gzip
import json
import math
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldk.runs.adapters.base import Probe
from rldk.runs.adapters.trainer_state import ADAPTER
from rldk.runs.foreign_run import ForeignRun


def state(*entries, step=None):
    return json.dumps({"global_step": step or len(entries), "log_history": list(entries)}, indent=2)


def entry(step, **values):
    return {"epoch": step / 10, "loss": 1 / step, "step": step, **values}


def read(path):
    bad = []
    return list(ADAPTER.rows(path, bad.append)), bad


def steps(path):
    return [row.step for row in read(path)[0]]


def sure(path):
    return ADAPTER.confidence(Probe(path))


def saved(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# The real writer.


@pytest.mark.training
def test_a_real_training_is_read_from_its_file_its_checkpoint_and_its_folder(tmp_path):
    from integrations import trainings

    trainer = trainings.line(
        tmp_path, save_strategy="steps", save_steps=2, eval_strategy="steps", eval_steps=2
    )
    trainer.train()
    out = tmp_path / "out"
    for path in (out / "checkpoint-4" / "trainer_state.json", out / "checkpoint-4", out):
        assert sure(path) == 0.95
        events = list(ForeignRun(path, ADAPTER))
        assert [event.step for event in events if event.phase == "train"] == [1, 2, 3, 4]
        logged = [line["loss"] for line in trainer.state.log_history if "loss" in line]
        assert [event.metrics["loss"] for event in events if event.phase == "train"] == logged
        assert sum(event.phase == "eval" for event in events) >= 1
    trainer.save_state()
    assert ForeignRun(out, ADAPTER).state == "ended"  # saved at the same step, but after the end


# The history.


def test_each_entry_is_a_row_without_its_step(tmp_path):
    path = saved(tmp_path, "trainer_state.json", state(entry(1), entry(2), {"step": 2, "eval_loss": 3.0}))
    rows, bad = read(path)
    assert [row.step for row in rows] == [1, 2, 2]
    assert rows[2].values == {"eval_loss": 3.0}
    assert bad == []


def test_bare_nan_and_infinity_are_numbers(tmp_path):
    path = saved(tmp_path, "trainer_state.json", state(entry(1, x=math.nan, grad_norm=-math.inf)))
    assert "NaN" in path.read_text()
    (event,) = ForeignRun(path, ADAPTER)
    assert event.notes == ("nonfinite:x=nan", "nonfinite:grad_norm=-inf")


@pytest.mark.parametrize("history", ["null", "[]"])
def test_a_history_may_be_empty(tmp_path, history):
    path = saved(tmp_path, "a.json", f'{{"global_step": 0, "log_history": {history}}}')
    assert sure(path) == 0.95
    assert read(path) == ([], [])


def test_a_bare_list_is_a_history(tmp_path):
    path = saved(tmp_path, "history.json", json.dumps([entry(5), entry(10)], indent=1))
    assert sure(path) == 0.8
    assert steps(path) == [5, 10]


def test_an_entry_that_is_no_object_is_named(tmp_path):
    path = saved(tmp_path, "history.json", json.dumps([entry(5), 7, entry(10)]))
    rows, bad = read(path)
    assert [row.step for row in rows] == [5, 10]
    assert "entry 1" in bad[0].reason


@pytest.mark.parametrize("step", [None, "five", 1.5, True, -1])
def test_what_is_no_whole_number_is_no_step(tmp_path, step):
    rows, _ = read(saved(tmp_path, "trainer_state.json", state(entry(1) | {"step": step})))
    assert rows[0].step is None
    assert rows[0].values["step"] == step


def test_a_file_that_is_cut_gives_the_entries_before(tmp_path):
    whole = state(*map(entry, range(1, 20)))
    path = saved(tmp_path, "trainer_state.json", whole[: whole.index('"step": 15')])
    rows, bad = read(path)
    assert [row.step for row in rows] == list(range(1, 15))
    assert len(bad) == 1
    assert "no JSON from here" in bad[0].reason


def test_a_packed_file_with_a_bom(tmp_path):
    path = tmp_path / "trainer_state.json.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + state(entry(3)).encode()))
    assert sure(path) == 0.95
    assert steps(path) == [3]


@pytest.mark.parametrize(
    "text", ["", "{}", '{"a": 1}', '"text"', "[" * 100_000, '{"log_history": 5}', "\0\1"]
)
def test_what_is_no_state_has_no_rows_and_a_reason(tmp_path, text):
    rows, bad = read(saved(tmp_path, "trainer_state.json", text))
    assert rows == []
    assert len(bad) == 1


def test_a_number_of_thousands_of_digits_is_a_bad_file(tmp_path):
    rows, bad = read(
        saved(tmp_path, "trainer_state.json", '[{"loss": 1, "step": 1}, {"n": ' + "1" * 9999 + "}]")
    )
    assert [row.step for row in rows] == [1]
    assert len(bad) == 1


# Folders.


def test_the_newest_checkpoint_that_holds_a_state_is_read(tmp_path):
    for step in (9, 40, 100):
        saved(tmp_path, f"checkpoint-{step}/trainer_state.json", state(entry(step)))
    (tmp_path / "checkpoint-200").mkdir()
    (tmp_path / "checkpoint-best").mkdir()
    assert sure(tmp_path) == 0.95
    assert steps(tmp_path) == [100]


@pytest.mark.parametrize(("own", "read_step"), [(39, 40), (40, 7), (41, 7)])
def test_the_folders_own_state_is_read_if_no_checkpoint_is_newer(tmp_path, own, read_step):
    saved(tmp_path, "checkpoint-40/trainer_state.json", state(entry(40)))
    saved(tmp_path, "trainer_state.json", state(entry(7), step=own))
    assert steps(tmp_path) == [read_step]


def test_an_own_state_that_is_damaged_is_older_than_any_checkpoint(tmp_path):
    saved(tmp_path, "checkpoint-40/trainer_state.json", state(entry(40)))
    saved(tmp_path, "trainer_state.json", "{")
    assert steps(tmp_path) == [40]


def test_a_folder_without_a_state_is_none_of_ours(tmp_path):
    assert sure(tmp_path) == 0
    with pytest.raises(FileNotFoundError, match="checkpoint"):
        read(tmp_path)


# Whose file is it?


@pytest.mark.parametrize(
    ("name", "text", "confidence"),
    [
        ("anything.json", state(entry(1)), 0.95),
        ("trainer_state.json", "", 0.95),
        ("summary.json", '{"_wandb": {}, "_step": 5, "_runtime": 7, "train/loss": 1}', 0),
        ("config.json", '{"learning_rate": 1}', 0),
        ("list.json", '[{"prompt": "a", "answer": 4}]', 0),
        ("numbers.json", "[1, 2]", 0),
        ("log.jsonl", '{"loss": 1, "log_history": []}', 0),
        ("log.txt", "log_history", 0),
    ],
)
def test_confidence(tmp_path, name, text, confidence):
    assert sure(saved(tmp_path, name, text)) == confidence


@given(st.one_of(st.binary(), st.text(alphabet='[]{}",:1eN-loss_history ').map(str.encode)))
def test_any_bytes_are_rows_or_bad(data):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "trainer_state.json"
        path.write_bytes(data)
        sure(path)
        rows, bad = read(path)
        assert rows or bad or not json.loads(data) or not json.loads(data)["log_history"]


values = st.dictionaries(
    st.text(max_size=9).filter(lambda key: key != "step"), st.floats(allow_nan=False) | st.none() | st.text()
)


@given(st.lists(st.tuples(st.integers(0, 10**9), values)), st.sampled_from([None, 2]))
def test_what_json_writes_comes_back(rows, indent):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "trainer_state.json"
        history = [{"step": step, **logged} for step, logged in rows]
        path.write_text(json.dumps({"log_history": history}, indent=indent))
        found, bad = read(path)
        assert [(row.step, row.values) for row in found] == rows
        assert bad == []


PIECE = """      "grad_norm": 59.2,
      "loss": 4.45,
      "step": 2980
    },
    {
      "epoch": 0.63,
      "loss": 4.5,
      "step": 3000
    },
    {
      "epoch": 0.64,
      "loss": 4.4,
"""


def test_a_piece_of_a_history_is_read_without_the_entry_that_lost_its_step(tmp_path):
    path = tmp_path / "paste.log"
    path.write_text(PIECE)
    bad = []
    assert ADAPTER.confidence(Probe(path)) > 0.5
    rows = list(ADAPTER.rows(path, bad.append))
    assert [(row.step, row.values["loss"]) for row in rows] == [(2980, 4.45), (3000, 4.5)]
    assert len(bad) == 1


@pytest.mark.parametrize("text", ['{"lr": [\n{\n"loss": 1.0,\n"step": 2\n}\n]}', '"a": 1,\n"b": 2,\n}\n'])
def test_a_document_and_other_lines_are_no_piece(text, tmp_path):
    path = tmp_path / "other.log"
    path.write_text(text)
    assert ADAPTER.confidence(Probe(path)) == 0
