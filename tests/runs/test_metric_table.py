"""The metric table: the same in every format, whatever was logged."""

import csv
import io
import json
import math
import sys

import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from events import event, lines, resumed, write_run
from processes import run_script
from rldk.errors import RLDKError
from rldk.runs import RecordedRun, metric_table
from rldk.runs.metric_table import WRITERS, Survey, write_csv, write_json, write_jsonl, write_parquet
from rldk.schema.event import decode, nonfinite_note

FIXED = ["step", "phase", "wall_time"]


def made(write, events):
    file = io.BytesIO()
    write(events, file)
    assert not file.closed
    return file.getvalue()


def csv_rows(events):
    return list(csv.DictReader(io.StringIO(made(write_csv, events).decode(), newline="")))


def strict(text):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


# Carriage returns aside: the csv module of Python 3.11 does not quote them.
metric_names = st.sampled_from(["loss", "reward_mean", "step", "phase", "wall_time"]) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=6
)
logged = st.dictionaries(metric_names, st.floats() | st.none() | st.integers(-(2**70), 2**70), max_size=5)
rows = st.lists(
    st.tuples(st.integers(0, 2**62), st.sampled_from(["train", "eval", "summary"]), logged), max_size=6
)


def as_event(step, phase, values):
    """An Event as `measure` would make it."""
    odd = [name for name, value in values.items() if value is None or not math.isfinite(value)]
    notes = tuple(nonfinite_note(name, values[name]) for name in odd)
    metrics = {name: None if name in odd else value for name, value in values.items()}
    return replace(event(step, phase, notes), metrics=metrics)


def column(name):
    return f"metrics/{name}" if name in FIXED else name


@given(rows)
def test_all_formats_hold_the_same_table(rows):
    events = [as_event(*row) for row in rows]
    columns = list(dict.fromkeys(column(name) for _, _, values in rows for name in values))

    from_csv = made(write_csv, events).decode()
    header, *body = csv.reader(io.StringIO(from_csv, newline=""))
    from_json = strict(made(write_json, events))["steps"]
    table = pyarrow.parquet.read_table(io.BytesIO(made(write_parquet, events)))
    from_jsonl = [decode(line) for line in made(write_jsonl, events).splitlines()]

    assert header == table.column_names == FIXED + columns
    assert len(body) == len(from_json) == table.num_rows == len(from_jsonl) == len(rows)
    assert from_jsonl == events
    from_parquet = table.to_pylist()
    for (step, phase, values), cells, plain, typed in zip(rows, body, from_json, from_parquet, strict=True):
        cells = dict(zip(header, cells, strict=True))  # noqa: PLW2901
        assert (cells["step"], cells["phase"], cells["wall_time"]) == (str(step), phase, str(step / 2))
        assert (plain["step"], plain["phase"], plain["wall_time"]) == (step, phase, step / 2)
        assert (typed["step"], typed["phase"], typed["wall_time"]) == (step, phase, step / 2)
        assert set(plain) == {*FIXED, *map(column, values)}
        for name in columns:
            value = {column(own): value for own, value in values.items()}.get(name)
            if value is None:
                assert cells[name] == ""
                assert typed[name] is None
                assert plain.get(name) is None
            elif math.isnan(value):
                assert cells[name] == "nan"
                assert math.isnan(typed[name])
                assert plain[name] is None
            else:
                assert float(cells[name]) == typed[name] == value or typed[name] == float(value)
                assert cells[name] == str(value)
                assert plain[name] == (value if math.isfinite(value) else None)


def test_what_is_not_finite_is_spelled_in_csv_and_null_in_json():
    values = {"a": math.nan, "b": math.inf, "c": -math.inf, "d": None, "e": 1e308}
    events = [as_event(1, "train", values)]
    (row,) = csv_rows(events)
    assert [row[name] for name in "abcde"] == ["nan", "inf", "-inf", "", "1e+308"]
    found = strict(made(write_json, events))
    assert found["steps"][0] == {
        "step": 1, "phase": "train", "wall_time": 0.5, "a": None, "b": None, "c": None, "d": None, "e": 1e308,
    }  # fmt: skip
    assert found["summary"]["a"]["nonfinite"] == 1


def test_a_metric_that_was_not_logged_is_an_empty_cell_and_no_zero():
    events = [event(1, loss=0.5), event(2, reward_mean=0.0)]
    assert [(row["loss"], row["reward_mean"]) for row in csv_rows(events)] == [("0.5", ""), ("", "0.0")]
    table = pyarrow.parquet.read_table(io.BytesIO(made(write_parquet, events)))
    assert table["reward_mean"].to_pylist() == [None, 0.0]
    assert "reward_mean" not in strict(made(write_json, events))["steps"][0]


def test_metrics_named_like_the_fixed_columns_do_not_overwrite_them():
    events = [as_event(7, "train", {"step": 100, "phase": 1, "wall_time": 2})]
    for row in (csv_rows(events)[0], strict(made(write_json, events))["steps"][0]):
        found = {name: str(value) for name, value in row.items()}
        assert found == {
            "step": "7", "phase": "train", "wall_time": "3.5",
            "metrics/step": "100", "metrics/phase": "1", "metrics/wall_time": "2",
        }  # fmt: skip


def test_integers_that_a_float_rounds_are_exported_to_every_format():
    events = [event(1, tokens=2**53 + 1, flos=2**70, more=-(2**64))]
    table = pyarrow.parquet.read_table(io.BytesIO(made(write_parquet, events))).to_pylist()
    assert table[0]["flos"] == 2.0**70
    assert csv_rows(events)[0]["tokens"] == str(2**53 + 1)


def test_a_step_beyond_int64_is_refused_by_parquet_alone_and_named():
    events = [event(1, loss=1.0), event(2**63 - 1, loss=2.0)]
    table = pyarrow.parquet.read_table(io.BytesIO(made(write_parquet, events)))
    assert table["step"].to_pylist() == [1, 2**63 - 1]
    events.append(event(2**63, loss=3.0))
    with pytest.raises(RLDKError, match=rf"record 3 has the step {2**63}, .* -f csv, -f json or -f jsonl"):
        made(write_parquet, events)
    assert csv_rows(events)[2]["step"] == str(2**63)
    assert strict(made(write_json, events))["steps"][2]["step"] == 2**63


def test_more_columns_than_parquet_takes_are_refused_by_parquet_alone(monkeypatch):
    monkeypatch.setattr(metric_table, "MAX_PARQUET_COLUMNS", 10)
    events = [event(1, **{f"m{number}": 1.0 for number in range(11)})]
    with pytest.raises(RLDKError, match=r"11 metrics are too many columns .* -f jsonl"):
        made(write_parquet, events)
    assert len(csv_rows(events)[0]) == 14


def a_new_name_a_step(count):
    for step in range(1, count + 1):
        yield event(step, loss=1.0, **{f"m{step}": 2.0})
        if step % 100 == 0:
            yield event(step, "eval", eval_loss=3.0)


def test_a_new_name_at_every_step_makes_no_table_that_grows_with_the_square_of_the_steps(caplog):
    events = [*a_new_name_a_step(2_000)]
    rows = csv_rows(events)
    assert [*rows[0]] == [*FIXED, "loss", "eval_loss"]
    assert len(rows) == 2_020
    assert pyarrow.parquet.read_table(io.BytesIO(made(write_parquet, events))).num_columns == 5
    line = (
        "rldk: the table leaves out 2,000 metrics that fewer than 1 in 100 records hold; "
        "rldk export -f json has them"
    )
    assert [one.getMessage() for one in caplog.records] == [line, line]
    assert strict(made(write_json, events))["steps"][-2]["m2000"] == 2.0


def test_a_table_is_whole_that_is_wide_or_sparse_but_not_both(caplog):
    wide = [event(step, **{f"layer/{number}": 1.0 for number in range(1_500)}) for step in range(1, 3)]
    assert len(csv_rows(wide)[0]) == 1_503
    assert len(csv_rows([*a_new_name_a_step(990)])[0]) == 995
    assert not caplog.records


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_run_without_a_record_is_an_empty_table(write):
    made(write, [])


def test_an_empty_table_has_its_fixed_columns_and_is_json():
    assert made(write_csv, []) == b"step,phase,wall_time\n"
    assert strict(made(write_json, [])) == {"steps": [], "summary": {}}
    assert pyarrow.parquet.read_table(io.BytesIO(made(write_parquet, []))).column_names == FIXED


def test_a_superseded_branch_is_in_no_export_and_each_train_step_is_there_once(tmp_path):
    files = write_run(
        tmp_path,
        *(event(step, loss=1.0, dead=1) if step > 3 else event(step, loss=1.0) for step in range(1, 9)),
        event(8, "eval", eval_loss=1.0),
        resumed(4, 3, loss=2.0),
        event(5, loss=2.0),
    )
    run = RecordedRun(files)
    assert [row["step"] for row in csv_rows(run)] == ["1", "2", "3", "4", "5"]
    assert "dead" not in csv_rows(run)[0]
    found = strict(made(write_json, run))
    assert [row["step"] for row in found["steps"]] == [1, 2, 3, 4, 5]
    assert [row["loss"] for row in found["steps"]] == [1, 1, 1, 2, 2]
    assert set(found["summary"]) == {"loss"}
    table = pyarrow.parquet.read_table(io.BytesIO(made(write_parquet, run)))
    assert table["step"].to_pylist() == [1, 2, 3, 4, 5]
    assert [decode(line).step for line in made(write_jsonl, run).splitlines()] == [1, 2, 3, 4, 5]


class Growing:
    """A run to which a live training adds a record, with a metric of its own, at each pass."""

    def __init__(self, files):
        self.files = files
        self.passes = 0

    def __iter__(self):
        self.passes += 1
        with self.files.events.open("ab") as file:
            file.write(lines(event(100 + self.passes, **{f"new in pass {self.passes}": 1})))
        return iter(RecordedRun(self.files))


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_a_live_run_that_grows_between_the_passes_gives_the_table_of_the_first_pass(tmp_path, write):
    growing = Growing(write_run(tmp_path, event(1, loss=1), event(2, loss=2)))
    data = made(write, growing)
    assert growing.passes == 2
    if write is write_csv:
        header, *body = csv.reader(io.StringIO(data.decode()))
    else:
        table = pyarrow.parquet.read_table(io.BytesIO(data))
        header, body = table.column_names, table.to_pylist()
    assert header == [*FIXED, "loss", "new in pass 1"]
    assert len(body) == 3


def test_evaluations_and_the_closing_summary_do_not_mix_with_the_train_series():
    events = [
        event(1, loss=4.0),
        event(1, "eval", eval_loss=100.0, loss=100.0),
        event(2, loss=2.0),
        event(2, "summary", loss=50.0, train_runtime=9.0),
    ]
    for found in (Survey.of(events).summaries, strict(made(write_json, events))["summary"]):
        if not isinstance(found["loss"], dict):
            found = {name: one.to_dict() for name, one in found.items()}  # noqa: PLW2901
        assert list(found) == ["loss", "eval_loss", "train_runtime"]
        assert (found["loss"]["count"], found["loss"]["mean"]) == (2, 3.0)
        assert found["eval_loss"]["mean"] == 100.0
        assert found["train_runtime"]["last"] == 9.0


def test_without_pyarrow_the_error_names_what_to_install():
    result = run_script(
        """
        import io, sys
        sys.modules["pyarrow"] = None
        from rldk.errors import MissingDependencyError
        from rldk.runs.metric_table import write_csv, write_parquet
        write_csv([], io.BytesIO())
        try:
            write_parquet([], io.BytesIO())
        except MissingDependencyError as error:
            print(error)
        """
    )
    assert "pip install pyarrow" in result.stdout, result.stderr


def test_the_json_table_is_written_as_it_is_made():
    """A million records need no more memory than ten: the writer asks for the next when one is written."""

    class Sink(io.BytesIO):
        most = 0

        def write(self, data):
            self.most = max(self.most, len(data))
            return len(data)

    sink = Sink()
    write_json((event(step, loss=step / 2) for step in range(20_000)), sink)
    assert sink.most < 1_000
    assert sys.getsizeof(sink.getvalue()) < 100
