"""Logs of one JSON object a line: the known ones and any other."""

import gzip
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import event
from rldk.runs.adapters.base import Probe
from rldk.runs.adapters.jsonl import ADAPTER
from rldk.runs.foreign_run import ForeignRun
from rldk.schema.event import encode


@pytest.fixture
def log(tmp_path):
    """Writes a log of these records; a text is a line as it stands."""

    def write(*records, name="log.jsonl"):
        path = tmp_path / name
        lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    return write


def read(path):
    bad = []
    return list(ADAPTER.rows(path, bad.append)), bad


def only(path):
    ((row,), bad) = read(path)
    assert bad == []
    return row


def sure(path):
    return ADAPTER.confidence(Probe(path))


# The formats that are known.


def test_llama_factory(log):
    progress = {"total_steps": 510, "percentage": 0.2, "remaining_time": "3 days, 17:51:32"}
    first = {
        "current_steps": 1,
        "loss": 0.6,
        "lr": 1e-9,
        "epoch": 0.01,
        "elapsed_time": "0:01:03",
        **progress,
    }
    path = log(first, first | {"current_steps": 2, "elapsed_time": "1 day, 0:00:02"})
    assert sure(path) == 0.9
    rows, bad = read(path)
    assert bad == []
    assert rows[0] == ({"loss": 0.6, "lr": 1e-9, "epoch": 0.01}, 1, 63, None)
    assert rows[1].wall_time == 86_402


def test_ms_swift(log):
    progress = {"percentage": "2.28%", "elapsed_time": "1m 42s", "remaining_time": "36m 53s"}
    speed = {"memory(GiB)": 16.38, "train_speed(iter/s)": 0.19}
    path = log(
        {"loss": 3.9, "global_step/max_steps": "10/438", **progress, **speed},
        {"eval_loss": 3.9, "eval_runtime": 2.5, "global_step/max_steps": "10/438", **progress},
        {"train_runtime": 9.5, "train_loss": 0.3, "global_step/max_steps": "438/438", **progress},
        {"best_metric": 0.1, "global_step": 438, "log_history": [{"loss": 1}], "memory": 16.5},
    )
    rows, bad = read(path)
    assert bad == []
    assert rows[0] == ({"loss": 3.9, **speed}, 10, 102, None)
    assert [(e.step, e.phase) for e in ForeignRun(path, ADAPTER)] == [
        (10, "train"),
        (10, "eval"),
        (438, "summary"),
        (438, "summary"),
    ]


def test_verls_file_logger(log):
    path = log({"step": 12, "data": {"actor/kl_loss": 0.1, "training/global_step": 12}})
    assert sure(path) == 0.9
    assert only(path) == ({"actor/kl_loss": 0.1, "training/global_step": 12}, 12, None, None)


def test_a_header_and_a_footer_around_the_records(log):
    day = "2025-12-14T06:01:{}+00:00"
    path = log(
        {"type": "header", "schema_version": "1.0", "timestamp": day.format("51.5")},
        {"step": 1, "timestamp": day.format("52.25"), "metrics": {"dpo_loss": 0.7}},
        {"step": 2, "timestamp": day.format("54"), "metrics": {"dpo_loss": 0.6}},
        {"type": "footer", "status": "completed", "total_steps": 2, "timestamp": day.format("55")},
    )
    assert sure(path) == 0.9
    _, bad = read(path)
    assert [(line.number, "header" in line.reason) for line in bad] == [(1, True)]
    run = ForeignRun(path, ADAPTER)
    assert [(e.step, e.phase, e.wall_time) for e in run] == [
        (1, "train", 0),
        (2, "train", 1.75),
        (2, "summary", 2.75),
    ]
    assert run.state == "ended"


def test_a_wandb_history_has_the_trainers_steps(log):
    own = {"_runtime": 3.5, "_timestamp": 1.7e9}
    path = log(
        {"_step": 0, "train/loss": 1.0, "train/global_step": 10, **own},
        {"_step": 1, "profiling/a": 0.1, **own},
        {"_step": 2, "train/loss": 0.5, "train/global_step": 20, **own},
    )
    rows, _ = read(path)
    assert [row.step for row in rows] == [10, 10, 20]
    assert rows[1] == ({"profiling/a": 0.1}, 10, 1.7e9, None)
    assert [e.phase for e in ForeignRun(path, ADAPTER)] == ["train"] * 3


# Any log.


@pytest.mark.parametrize("name", ["metrics", "data", "logs"])
def test_containers_are_flattened_beside_what_is_around_them(log, name):
    row = only(log({"step": 1, "loss": 2, name: {"kl": 3, "loss": 4, "deep": {"a": 5}}}))
    assert row.values == {"loss": 2, "kl": 3, f"{name}/loss": 4, "deep": {"a": 5}}


def test_a_step_may_be_within_the_container(log):
    assert only(log({"metrics": {"step": 5, "kl": 1}})) == ({"kl": 1}, 5, None, None)


@pytest.mark.parametrize(
    "key",
    ["step", "global_step", "_step", "current_steps", "steps", "iteration", "iter", "global_step/max_steps"],
)
def test_any_step_key(log, key):
    assert only(log({key: 7, "loss": 1})) == ({"loss": 1}, 7, None, None)


def test_of_two_step_keys_the_global_one_holds(log):
    assert only(log({"step": 3, "global_step": 103, "loss": 1})) == ({"step": 3, "loss": 1}, 103, None, None)


@pytest.mark.parametrize(
    "key", ["wall_time", "timestamp", "_timestamp", "_runtime", "time", "ts", "elapsed_time"]
)
def test_any_time_key(log, key):
    assert only(log({key: 7.5, "loss": 1})) == ({"loss": 1}, None, 7.5, None)


@pytest.mark.parametrize("key", ["phase", "split", "mode", "type"])
@pytest.mark.parametrize(
    ("text", "phase"),
    [("train", "train"), ("eval", "eval"), ("Val", "eval"), ("summary", "summary"), ("fast", None)],
)
def test_any_phase_key(log, key, text, phase):
    row = only(log({key: text, "loss": 1}))
    assert row.phase == phase
    assert (key in row.values) == (phase is None)


def test_nan_tokens_and_nulls_are_numbers_that_are_missing(log):
    path = log('{"step": 1, "loss": NaN, "x": -Infinity}', '{"step": 2, "loss": null}')
    first, second = ForeignRun(path, ADAPTER)
    assert first.notes == ("nonfinite:loss=nan", "nonfinite:x=-inf")
    assert second.metrics == {"loss": None}


def test_bad_lines_are_named_with_their_numbers_and_reasons(log):
    deep, digits = "[" * 100_000, '{"a": ' + "1" * 9999 + "}"
    path = log({"loss": 1}, "", "no json", "[1]", deep, digits, {"text": "a"}, {"loss": 2}, '{"loss": 3')
    rows, bad = read(path)
    assert [row.values["loss"] for row in rows] == [1, 2]
    assert [line.number for line in bad] == [3, 4, 5, 6, 7, 9]
    for line, reason in zip(
        bad, ["no JSON", "no object", "too deep", "digits", "no metric", "no JSON"], strict=True
    ):
        assert reason in line.reason


def test_samples_amid_records_of_a_loss_are_no_steps(log):
    sample = {"source": "policy", "step": 0, "passed": False, "score": 0.5}
    path = log(
        *[sample] * 3,
        {"step": 1, "loss": 1.0, "note": "warm"},
        {"step": 1, "accuracy": 0.5, "split": "val", "source": "policy"},
        {"step": 1, "gpu": 0.5},
        sample,
    )
    rows, bad = read(path)
    assert [row.step for row in rows] == [1, 1, 1]
    assert [line.number for line in bad] == [1, 2, 3, 7]
    assert "sample" in bad[0].reason


def test_texts_in_a_log_without_a_loss_are_kept(log):
    assert only(log({"step": 1, "score": 0.5, "func": "a"})).values == {"score": 0.5, "func": "a"}


def test_crlf_bom_gzip_and_a_cut_end(tmp_path):
    path = tmp_path / "log.jsonl.gz"
    whole = b"\xef\xbb\xbf" + b"".join(b'{"step": %d, "loss": 1.5}\r\n' % step for step in range(5000))
    path.write_bytes(gzip.compress(whole)[:-500])
    rows, bad = read(path)
    assert [row.step for row in rows] == list(range(len(rows)))
    assert 0 < len(rows) < 5000
    assert "cut short" in bad[-1].reason


def test_a_million_keys_and_lines_of_megabytes(tmp_path):
    path = tmp_path / "log.jsonl"
    wide = {f"metric{number}": 1.0 for number in range(10**6)}
    path.write_text(json.dumps(wide) + "\n" + json.dumps({"loss": 1, "text": "x" * 5_000_000}) + "\n")
    assert sure(path) == 0.5
    rows, bad = read(path)
    assert [len(row.values) for row in rows] == [10**6, 2]
    assert bad == []


# Whose file is it?


@pytest.mark.parametrize(
    ("name", "lines", "confidence"),
    [
        ("log.txt", ['{"loss": 1}'] * 9 + ["text"] + ['{"loss": 1}'] * 3, 0.9),
        ("log.txt", ['{"loss": 1}'] * 5 + ["text"] + ['{"loss": 1}'] * 3, 0),
        ("log.jsonl", ['{"loss": 1}', '{"loss": 1'], 0.9),
        ("log.json", ['{"loss": 1}', '{"loss": 2}'], 0.9),
        ("log.jsonl", ['{"metrics": {"loss": 1}}'], 0.9),
        ("data.jsonl", ['{"prompt": "a", "completion": "b"}'], 0),
        ("summary.json", ['{"train/loss": 1, "_step": 5, "_runtime": 7}'], 0),
        ("summary.txt", ['{"train/loss": 1, "_wandb": {"runtime": 5}}'], 0),
        ("state.txt", ['{"global_step": 1, "log_history": []}'], 0),
        ("state.json", ["{", '  "loss": 1', "}"], 0),
        ("list.json", ['[{"loss": 1}]'], 0),
        ("log.txt", ["{'loss': 1}"], 0),
        ("log.jsonl", ["{'loss': 1}", "{'loss': 1}"], 0),
        ("empty.jsonl", [], 0),
    ],
)
def test_confidence(log, name, lines, confidence):
    assert sure(log(*lines, name=name)) == confidence


def test_our_own_events_are_read_elsewhere(log):
    assert sure(log("torn", encode(event(1)).decode(), encode(event(2)).decode())) == 0
    assert sure(log(encode(event(1)).decode(), encode(event(2)).decode())) == 0


def test_a_folder_is_no_log(tmp_path):
    assert sure(tmp_path) == 0


# Any bytes; what json writes.

jsonish = st.lists(st.sampled_from([*'{}[]":,\n', '"loss"', '"data"', '"step"', "1e999", "NaN", "null"]))


@given(st.one_of(st.binary(), jsonish.map("".join).map(str.encode)))
def test_any_bytes_are_rows_or_bad(data):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "log.jsonl"
        path.write_bytes(data)
        sure(path)
        rows, bad = read(path)
        encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
        text = data.decode(encoding, "replace").replace("\0", "")  # a hole is no line
        assert rows or bad or not text.strip("\ufeff\x1b").strip()
        list(ForeignRun(path, ADAPTER))


metrics = st.dictionaries(st.sampled_from(["loss", "kl", "reward", "a/b"]), st.floats(), min_size=1)


@given(st.lists(st.tuples(st.integers(0, 10**9), metrics)))
def test_what_json_writes_comes_back(records):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "log.jsonl"
        path.write_text("".join(json.dumps({"step": step, **logged}) + "\n" for step, logged in records))
        rows, bad = read(path)
        assert repr([(row.step, row.values) for row in rows]) == repr(records)
        assert bad == []
