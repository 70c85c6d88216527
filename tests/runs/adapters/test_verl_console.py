"""verl's console."""

import gzip
import math
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldk.runs.adapters.base import Probe
from rldk.runs.adapters.verl_console import ADAPTER
from rldk.runs.foreign_run import ForeignRun

RAY = "\x1b[36m(TaskRunner pid=46086)\x1b[0m "


def rows_of(text):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.log")
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "replace"))
        return list(ADAPTER.rows(path, [].append))


def confidence(folder, content, name="run.log"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return ADAPTER.confidence(Probe(path))


LINE = "step:12 - actor/entropy:0.14 - actor/pg_clipfrac:np.float64(0.0) - actor/pg_loss:-3.5e-05 - n:7"
VALUES = {"actor/entropy": 0.14, "actor/pg_clipfrac": 0.0, "actor/pg_loss": -3.5e-05, "n": 7}


@pytest.mark.parametrize(
    "text",
    [
        LINE,
        RAY + LINE + "\n",
        RAY + LINE + "\r\n",
        "Training Progress:   4%|4  | 12/300 [10:00<1:00, 9s/it]\r" + RAY + LINE,
        f"{LINE} [repeated 2x across cluster]",
        LINE.replace("0.14", "np.float64(0.14)").replace("-3.5e-05", "np.float32(-3.5e-05)"),
        "step:N - not this\nwe go step:\n" + LINE,
        gzip.compress(LINE.encode(), mtime=0),
    ],
)
def test_a_line_is_a_row(text):
    (row,) = rows_of(text)
    assert row.step == 12
    assert row.values == VALUES
    assert row.phase is None


def test_nan_none_text_and_odd_keys_survive():
    (row,) = rows_of(
        "step:3 - a/b:nan - c:np.float64(-inf) - d:None - e:1e-3 - 2 - val-core/my set/acc/mean@1:0.5 - f:w"
    )
    assert math.isnan(row.values["a/b"])
    assert row.values["c"] == -math.inf
    assert row.values["d"] is None
    assert row.values["e"] == "1e-3 - 2"
    assert row.values["val-core/my set/acc/mean@1"] == 0.5
    assert row.values["f"] == "w"


def test_a_line_of_validation_alone_is_an_evaluation(tmp_path):
    path = tmp_path / "run.log"
    path.write_text(
        "step:0 - val/test_score/x:0.0\n"
        "step:0 - val-core/x/reward/mean@4:0.5 - val-aux/x/reward/std@4:0.1\n"
        "step:1 - actor/pg_loss:0.1 - val/test_score/x:0.5\n"
    )
    events = [*ForeignRun(path, ADAPTER)]
    assert [event.model_info.phase for event in events] == ["eval", "eval", "train"]
    assert [event.step for event in events] == [0, 0, 1]


@pytest.mark.parametrize(
    "line",
    ["let us go step by step: a - b:1", "step:1 - then do: x", "timing_s/step:1 - a:2", "step:1 -", "step:1"],
)
def test_other_lines_are_none(line):
    assert rows_of(line) == []


def test_how_sure_it_is(tmp_path):
    assert confidence(tmp_path, RAY + LINE) == 0.95
    assert confidence(tmp_path, "noise\n" * 200_000 + LINE) == 0.95
    assert confidence(tmp_path, "noise\n" * 20_000) == 0
    assert confidence(tmp_path, b"\0\1" + LINE.encode()) == 0
    assert confidence(tmp_path, '{"text": "' + LINE + '"}', "a.jsonl") <= 0.1


KEYS = st.from_regex(r"[a-z_]+(/[a-z_]+){0,2}(@[0-9])?", fullmatch=True).filter(lambda key: key[:3] != "val")


@given(
    st.dictionaries(KEYS, st.floats() | st.integers(), min_size=1, max_size=9),
    st.integers(0, 10**9),
    st.booleans(),
)
def test_numbers_come_back_exactly(metrics, step, wrapped):
    form = "{}:np.float64({!r})" if wrapped else "{}:{!r}"
    line = " - ".join([f"step:{step}", *(form.format(*item) for item in metrics.items())])
    (row,) = rows_of(RAY + line + "\n")
    assert row.step == step
    assert [*map(repr, row.values.items())] == [*map(repr, metrics.items())]


@given(
    st.lists(
        st.sampled_from(["step:1 - ", "a/b:", "0.5", " - ", ":", "\r", "\n", " "]) | st.text(max_size=4)
    ).map("".join)
)
def test_any_text_is_survived(text):
    rows_of(text)


@pytest.mark.parametrize("piece", ["step:1 - ", " - a", "step:1 - a:1 - ", " ", "[repeated "])
def test_long_lines_end_soon(piece):
    rows_of(piece * (10**6 // len(piece)))
