"""Columns are what a loop over the events gives; the libraries behind them are loaded only when used."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import event, lines, logged, record, resumed, write_run
from processes import run_script
from rldk import open_run
from rldk.runs import RecordedRun
from rldk.runs.columns import columns_of
from rldk.schema.event import PHASES, encode, nonfinite_note
from rldk.schema.files import RunFiles


def naive(events, phase="train"):
    """The columns as a plain loop makes them: step, wall_time, then each metric, NaN where absent."""
    chosen = [one for one in events if one.phase == phase]
    table = {
        "step": [min(one.step, 2**63 - 1) for one in chosen],
        "wall_time": [math.nan if one.wall_time is None else one.wall_time for one in chosen],
    }
    rows = [{**one.metrics, **dict(one.nonfinite())} for one in chosen]
    for name in dict.fromkeys(name for row in rows for name in row):
        fixed = f"metrics/{name}" if name in table else name
        values = [row.get(name) for row in rows]
        table[fixed] = [math.nan if value is None else float(value) for value in values]
    return table


def same(columns, table):
    assert columns.keys() == table.keys()
    assert columns["step"].dtype == np.int64
    assert all(column.dtype == np.float64 for name, column in columns.items() if name != "step")
    for name, values in table.items():
        np.testing.assert_array_equal(columns[name], values, err_msg=name)


names = st.sampled_from(["loss", "reward_mean", "kl", "a", "b", "wall_time", "é"])
numbers = st.floats() | st.integers(-(2**70), 2**70) | st.none()


@st.composite
def made_events(draw):
    logs = draw(st.dictionaries(names, numbers, max_size=5))
    notes = [nonfinite_note(n, v) for n, v in logs.items() if v is None or not math.isfinite(v)]
    metrics = {n: None if v is None or not math.isfinite(v) else v for n, v in logs.items()}
    phase = draw(st.sampled_from([*PHASES, "train", "train"]))
    return event(draw(st.integers(0, 2**70) | st.integers(0, 99)), phase, (*notes, "text:x=y"), **metrics)


@given(st.lists(made_events(), max_size=30))
def test_they_are_what_a_loop_over_the_events_gives(tmp_path_factory, events):
    run = RecordedRun(write_run(tmp_path_factory.mktemp("run"), *events))
    for phase in PHASES:
        same(run.columns(phase), naive(events, phase))


def test_thousands_of_records_whose_metrics_come_and_go(tmp_path):
    def of(step):
        metrics = {f"m{number}": step * number for number in range(step % 7)}
        return event(step, "train" if step % 3 else "eval", **metrics)

    events = [of(step) for step in range(20_000)]
    run = RecordedRun(record(tmp_path, events, rotate_mb=0.5, compress=True))
    for phase in ("train", "eval"):
        same(run.columns(phase), naive(events, phase))


def test_infinities_are_restored_and_none_is_nan(tmp_path):
    notes = [nonfinite_note(name, float(name)) for name in ("inf", "-inf", "nan")]
    notes.append(nonfinite_note("none", None))
    metrics = dict.fromkeys(("inf", "-inf", "nan", "none", "unexplained"))
    columns = RecordedRun(write_run(tmp_path, event(1, "train", tuple(notes), **metrics))).columns()
    found = {name: str(columns[name][0]) for name in metrics}
    assert found == {"inf": "inf", "-inf": "-inf", "nan": "nan", "none": "nan", "unexplained": "nan"}


def test_an_empty_run_has_empty_columns(tmp_path):
    for columns in (RecordedRun(RunFiles(tmp_path, "none")).columns(), columns_of([])):
        same(columns, {"step": [], "wall_time": []})


def test_records_without_metrics_have_a_step_and_a_time(tmp_path):
    same(
        RecordedRun(write_run(tmp_path, event(1), event(2))).columns(),
        {"step": [1, 2], "wall_time": [0.5, 1.0]},
    )


def test_what_a_resume_superseded_is_in_no_column(tmp_path):
    files = write_run(tmp_path, *map(logged, range(1, 9)), resumed(5, 4, again=1), logged(6))
    columns = RecordedRun(files).columns()
    assert columns["step"].tolist() == [1, 2, 3, 4, 5, 6]
    assert columns["again"].tolist()[4] == 1
    assert np.isnan(columns["again"]).sum() == 5


def test_bad_lines_cost_no_column_and_are_told(tmp_path):
    files = write_run(tmp_path, logged(1))
    with files.events.open("ab") as file:
        file.write(b"{torn\n" + lines(logged(2)))
    run = RecordedRun(files)
    assert run.columns()["step"].tolist() == [1, 2]
    assert [bad.number for bad in run.bad_lines] == [2]


@pytest.mark.parametrize("step", [2**63 - 1, 2**63, 2**64, 10**30])
def test_a_step_beyond_int64_becomes_the_greatest_and_costs_no_other_row(tmp_path, step):
    run = RecordedRun(write_run(tmp_path, logged(1), logged(step), logged(2)))
    assert run.columns()["step"].tolist() == [1, 2**63 - 1, 2]


def test_an_integer_beyond_all_floats_becomes_an_infinity(tmp_path):
    files = write_run(tmp_path)
    line = encode(event(1, big=7, small=-7, other=1.5)).replace(b":7", b":1" + b"0" * 400)
    files.events.write_bytes(line.replace(b":-7", b":-1" + b"0" * 400) + b"\n" + lines(logged(2, other=2)))
    columns = RecordedRun(files).columns()
    assert [columns[name][0] for name in ("big", "small", "other")] == [math.inf, -math.inf, 1.5]
    assert columns["other"][1] == 2


def test_a_metric_by_the_name_of_a_fixed_column_does_not_take_its_place(tmp_path):
    columns = RecordedRun(write_run(tmp_path, event(3, step=0.5, wall_time=7))).columns()
    same(columns, {"step": [3], "wall_time": [1.5], "metrics/step": [0.5], "metrics/wall_time": [7]})


def test_columns_may_be_written_to(tmp_path):
    columns = RecordedRun(write_run(tmp_path, logged(1, loss=2))).columns()
    for column in columns.values():
        column[:] = column + 1
    assert columns["loss"].tolist() == [3]


# pandas and pyarrow


def test_pandas_and_arrow_hold_the_same_columns(tmp_path):
    events = [logged(1), logged(2, "train", ("nonfinite:loss=inf",), loss=None), logged(3, kl=2), logged(4)]
    run = RecordedRun(write_run(tmp_path, *events))
    frame, table = run.to_pandas(), run.to_arrow()
    assert list(frame.columns) == table.column_names == list(run.columns())
    assert frame["step"].dtype == np.int64
    pd.testing.assert_frame_equal(frame, table.to_pandas())
    same({name: frame[name].to_numpy() for name in frame}, naive(events))
    assert len(run.to_pandas("eval")) == len(run.to_arrow("eval")) == 0


def test_a_foreign_run_has_the_columns_of_its_events(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text(
        '{"step": 1, "loss": 0.5, "epoch": 0.1}\n{"step": 1, "eval_loss": Infinity}\n'
        '{"step": 2, "loss": NaN, "mine": "7", "none": null}\n{"loss": -Infinity}\n'
    )
    run = open_run(path)
    assert run.format == "jsonl"
    for phase in PHASES:
        same(run.columns(phase), naive(run, phase))
    same({name: run.to_pandas()[name].to_numpy() for name in run.to_pandas()}, naive(run))
    assert run.to_arrow().column_names == list(run.columns())
    assert run.columns("eval")["eval_loss"].tolist() == [math.inf]


def test_the_libraries_are_loaded_only_when_they_are_used(tmp_path):
    write_run(tmp_path, logged(1))
    (tmp_path / "log.jsonl").write_text('{"step": 1, "loss": 0.5}\n' * 2)
    done = run_script(
        """
        import sys
        from rldk import open_run
        def loaded():
            return [name for name in ("numpy", "pandas", "pyarrow", "torch") if name in sys.modules]
        runs = [open_run(path) for path in sys.argv[1:]]
        for run in runs:
            list(run), run.last(), run.state, list(run.follow())
        print(loaded())
        for use in ("columns", "to_arrow", "to_pandas"):
            for run in runs:
                getattr(run, use)()
            print(loaded())
        """,
        tmp_path / "run",
        tmp_path / "log.jsonl",
    )
    assert done.stderr == ""
    first, *others = map(eval, done.stdout.splitlines())
    assert first == []
    # pyarrow looks for pandas itself.
    assert others[0] == ["numpy"]
    assert "pyarrow" in others[1]
    assert "pandas" in others[2]


@pytest.mark.parametrize(("use", "package"), [("to_pandas", "pandas"), ("to_arrow", "pyarrow")])
def test_a_missing_library_is_one_clear_error(tmp_path, use, package):
    write_run(tmp_path, logged(1))
    done = run_script(
        f"""
        import sys
        sys.modules["{package}"] = None
        from rldk import RLDKError, open_run
        try:
            open_run(sys.argv[1]).{use}()
        except RLDKError as error:
            print(error)
        """,
        tmp_path,
    )
    assert "pip install " in done.stdout
    assert package in done.stdout
