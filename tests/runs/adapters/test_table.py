"""CSV and TSV: sparse cells, exports of W&B and of rldk, rows that do not fit."""

import csv
import gzip
import io
import math
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import event
from rldk.runs.adapters.base import Probe
from rldk.runs.adapters.table import ADAPTER
from rldk.runs.foreign_run import ForeignRun
from rldk.runs.metric_table import write_csv


@pytest.fixture
def table(tmp_path):
    """Writes these lines to a file."""

    def write(*lines, name="log.csv", end="\n"):
        path = tmp_path / name
        path.write_bytes("".join(line + end for line in lines).encode())
        return path

    return write


def read(path):
    bad = []
    return list(ADAPTER.rows(path, bad.append)), bad


def rows(path):
    found, bad = read(path)
    assert bad == []
    return found


def sure(path):
    return ADAPTER.confidence(Probe(path))


# The formats that are known.


def test_stable_baselines3(tmp_path):
    path = tmp_path / "progress.csv"
    with path.open("w", newline="") as file:
        names = [
            "train/loss",
            "time/total_timesteps",
            "time/iterations",
            "time/time_elapsed",
            "rollout/ep_rew_mean",
        ]
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        for number in (1, 2):
            writer.writerow(
                {"time/total_timesteps": 1024 * number, "time/iterations": number, "time/time_elapsed": 3}
                | ({"train/loss": 0.5} if number == 2 else {"rollout/ep_rew_mean": -7.5})
            )
    assert sure(path) == 0.85
    assert rows(path) == [
        ({"time/iterations": "1", "rollout/ep_rew_mean": "-7.5"}, 1024, 3, None),
        ({"train/loss": "0.5", "time/iterations": "2"}, 2048, 3, None),
    ]
    assert [e.metrics["iterations"] for e in ForeignRun(path, ADAPTER)] == [1, 2]


def test_a_plot_that_wandb_exports(table):
    path = table(
        '"Step","my - run - train/loss","my - run - train/loss__MIN","my - run - train/loss__MAX"',
        '"5","0.5","0.4","0.6"',
        '"6","","",""',
        '"7","NaN","0.3","0.3"',
    )
    assert sure(path) == 0.85
    found, bad = read(path)
    assert found == [({"train/loss": "0.5"}, 5, None, None), ({"train/loss": "NaN"}, 7, None, None)]
    assert [(line.number, line.reason) for line in bad] == [(3, "no metric in it")]


def test_a_plot_of_several_runs_keeps_their_names(table):
    (row,) = rows(table("Step,a - loss,b - loss", "5,1,2"))
    assert row.values == {"a - loss": "1", "b - loss": "2"}


def test_a_history_that_wandb_exports_has_the_trainers_steps(table):
    path = table(
        ",_step,_runtime,_timestamp,train/loss,train/global_step,profiling/a",
        "0,0,1.5,1700000000.5,1.0,10,",
        "1,1,1.6,1700000001.5,,,0.5",
    )
    assert rows(path) == [
        ({"train/loss": "1.0"}, 10, 1700000000.5, None),
        ({"profiling/a": "0.5"}, 10, 1700000001.5, None),
    ]


def test_our_own_export_comes_back(tmp_path):
    events = [
        event(1, loss=0.5, reward_mean=2),
        event(2, "train", ("nonfinite:loss=nan",), loss=None),
        event(2, "eval", eval_x=0.5),
        event(3, "summary", train_runtime=3.0),
    ]
    path = tmp_path / "r_metrics.csv"
    with path.open("wb") as file:
        write_csv(events, file)
    assert sure(path) == 0.85
    run = ForeignRun(path, ADAPTER)
    for mine, found in zip(events, run, strict=True):
        assert (found.step, found.wall_time, found.phase) == (mine.step, mine.wall_time, mine.phase)
        assert (found.metrics, found.notes) == (mine.metrics, mine.notes)


# Any table.


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_delimiters_newlines_bom_and_quotes(table, delimiter, end):
    lines = [["\ufeffstep", '"a, b; c"', "loss"], ["1", '"5"', "0.5"], ["2", "", "0.25"]]
    path = table(*map(delimiter.join, lines), end=end)
    assert sure(path) == 0.85
    assert rows(path) == [
        ({"a, b; c": "5", "loss": "0.5"}, 1, None, None),
        ({"loss": "0.25"}, 2, None, None),
    ]


def test_progress_texts_are_no_numbers_but_a_step(table):
    path = table("global_step/max_steps,other,loss", "5/441,6/441,0.5")
    assert rows(path) == [({"other": "6/441", "loss": "0.5"}, 5, None, None)]


@pytest.mark.parametrize("step", ["five", "1.5", "nan", "-3"])
def test_what_is_no_whole_number_is_no_step(table, step):
    assert rows(table("step,loss", f"{step},0.5")) == [({"step": step, "loss": "0.5"}, None, None, None)]


def test_rows_that_do_not_fit_are_named(table):
    path = table("step,loss,kl", "1,2,3", "2,3", "3,4,5,6", "4,5,6,,", 'x,"5', "step,loss,kl", "7,8,9")
    found, bad = read(path)
    assert [row.step for row in found] == [1, 4, 7]
    assert [(line.number, line.reason) for line in bad] == [
        (3, "2 cells, where the header has 3"),
        (4, "4 cells, where the header has 3"),
        (6, "2 cells, where the header has 3"),
        (7, "no metric in it"),
    ]


def test_a_cell_of_megabytes_is_a_bad_row(table):
    found, bad = read(table("step,loss", "1,2", "2," + "9" * 3_000_000, "3,4"))
    assert [row.step for row in found] == [1, 3]
    assert [line.number for line in bad] == [3]


def test_a_header_of_megabytes_is_no_header(table):
    path = table("loss," + "x" * 3_000_000, "1,2")
    found, bad = read(path)
    assert found == []
    assert "no header" in bad[0].reason


def test_columns_of_one_name_are_all_kept(table):
    (row,) = rows(table("step,loss,loss,loss", "1,2,3,4"))
    assert row.values == {"loss": "2", "loss#2": "3", "loss#3": "4"}


def test_a_million_columns(table):
    path = table("loss," + "m," * 10**6, ",5" * 10**6 + ",", "5" + "," * (10**6 + 1))
    assert sure(path) == 0.85
    first, second = rows(path)
    assert len(first.values) == 10**6
    assert second.values == {"loss": "5"}


def test_gzip_and_a_cut_end(tmp_path):
    path = tmp_path / "log.csv.gz"
    whole = b"step,loss\n" + b"".join(b"%d,%f\n" % (step, 1 / (step + 1)) for step in range(50_000))
    path.write_bytes(gzip.compress(whole)[:-500])
    found, bad = read(path)
    assert [row.step for row in found] == list(range(len(found)))
    assert 0 < len(found) < 50_000
    assert "cut short" in bad[-1].reason


# Whose file is it?


@pytest.mark.parametrize(
    ("name", "lines", "confidence"),
    [
        ("log.txt", ["step,loss", "1,0.5", "2,0.5"], 0.85),
        ("log.csv", ["step,loss", "1,0.5", "2"], 0.85),
        ("log.csv", ["step,loss"], 0.85),
        ("log.txt", ["step,loss"], 0),
        ("log.csv", ["loss", "0.5"], 0),
        ("log.csv", ["name,loss", "a,b", "c,d"], 0),
        ("log.csv", ["height,width", "1,2"], 0),
        ("log.csv", ["1,2", "3,4"], 0),
        ("log.csv", ["step,loss", "1", "2", "3"], 0),
        ("log.jsonl", ['{"step": 1, "loss": 2}'] * 3, 0),
        ("log.json", ['[{"step": 1, "loss": 2}', '{"step": 1, "loss": 2}]'], 0),
        ("log.txt", ["step 1, loss: 0.5, kl: 0.1", "step 2, loss: 0.5, kl: 0.1"], 0),
        ("log.txt", ["Epoch 1, starting", "loss: 0.5", "done"], 0),
        ("log.csv", [], 0),
    ],
)
def test_confidence(table, name, lines, confidence):
    assert sure(table(*lines, name=name)) == confidence


def test_a_folder_is_no_table(tmp_path):
    assert sure(tmp_path) == 0


# Any bytes; what csv writes.

tabular = st.lists(st.sampled_from([*',;\t"\n\r 1', "step", "loss", "__MIN", " - ", "nan"]))


@given(st.one_of(st.binary(), tabular.map("".join).map(str.encode)))
def test_any_bytes_end(data):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "log.csv"
        path.write_bytes(data)
        sure(path)
        read(path)
        list(ForeignRun(path, ADAPTER))


names = st.lists(
    st.text("abc/_ ,\"'é", min_size=1).map(str.strip).filter(bool),
    min_size=1,
    unique_by=lambda name: name.replace(" / ", "/"),
)


@given(st.data(), names, st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_what_csv_writes_comes_back(data, metrics, quoting):
    cells = st.one_of(st.none(), st.floats(), st.integers())
    logged = data.draw(
        st.lists(st.tuples(*[cells] * len(metrics)).filter(lambda row: any(map(_is_there, row))))
    )
    text = io.StringIO()
    writer = csv.writer(text, quoting=quoting)
    writer.writerow(["step", *metrics])
    writer.writerows([step, *row] for step, row in enumerate(logged))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "log.csv"
        path.write_text(text.getvalue(), encoding="utf-8", newline="")
        found = rows(path)
    assert [row.step for row in found] == list(range(len(logged)))
    for row, mine in zip(found, logged, strict=True):
        # A notebook's table puts spaces around the slash of a key.
        pairs = zip(metrics, mine, strict=True)
        want = {name.replace(" / ", "/"): cell for name, cell in pairs if _is_there(cell)}
        assert {name: _number(cell) for name, cell in row.values.items()} == {
            name: _number(cell) for name, cell in want.items()
        }


def _is_there(cell):
    return cell is not None


def _number(cell):
    number = float(cell)
    return "nan" if math.isnan(number) else number


def test_the_table_of_a_notebook_has_the_keys_of_the_trainer(tmp_path):
    path = tmp_path / "notebook.tsv"
    path.write_text(
        "Step\tTraining Loss\tValidation Loss\trewards / right / mean\n10\t1.9\t1.8\t0.5\n20\t1.7\tNo "
        "log\t0.6\n"
    )
    rows = list(ADAPTER.rows(path, [].append))
    assert [(row.step, row.phase, dict(row.values)) for row in rows] == [
        (10, "train", {"loss": "1.9", "rewards/right/mean": "0.5"}),
        (10, "eval", {"eval_loss": "1.8"}),
        (20, None, {"loss": "1.7", "rewards/right/mean": "0.6"}),
    ]
