"""Rows of other people's logs as Events: every number is kept, and what was not said is not invented."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from rldk import RLDKError, open_run
from rldk.cli import main
from rldk.runs.adapters.base import Adapter, Row
from rldk.runs.event_reader import BadLine
from rldk.runs.foreign_run import COUNTED, ForeignRun
from rldk.runs.metric_table import write_jsonl
from rldk.schema.event import decode, encode
from rldk.schema.run_info import RunInfo

GRPO = {"loss": 0.1, "reward": 0.5, "reward_std": 0.2, "completions/mean_length": 99.0, "kl": 0.01}


def foreign(tmp_path, *rows, mapping=None, dialect=None, bad=()):
    """A run whose adapter yields these rows; plain dicts are rows without a step."""
    made = [row if isinstance(row, Row) else Row(row) for row in rows]

    def read(path, on_bad):
        for number in bad:
            on_bad(BadLine(path, number, "bad"))
        yield from made

    path = tmp_path / "log.fake"
    path.touch()
    adapter = Adapter(name="fake", what="", confidence=lambda _: 1.0, rows=read, dialect=dialect)
    return ForeignRun(path, adapter, mapping)


def jsonl(tmp_path, *records, name="log.jsonl"):
    path = tmp_path / name
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    return path


def failing(path, on_bad):
    yield Row({"loss": 1.0}, 1)
    raise KeyError("oops")


def test_an_adapter_that_fails_is_named_and_what_the_system_says_passes(tmp_path):
    path = tmp_path / "log.fake"
    for rows in (failing, lambda *_: None, lambda: None):
        run = ForeignRun(path, Adapter("fake", "", lambda _: 1.0, rows))
        for use in (list, lambda run: run.dialect):
            with pytest.raises(RLDKError, match=r"the format fake failed on .*log\.fake: (Key|Type)Error"):
                use(run)
    run = ForeignRun(path, Adapter("fake", "", lambda _: 1.0, lambda path, _: path.open()))
    with pytest.raises(FileNotFoundError):
        list(run)


# Steps


REWINDING = [1, 2, 3, 4, 2, 3, 4, 5, 0, 1]
LOGS = {
    "log.jsonl": "".join(json.dumps({"step": n, "loss": 1 / (n + 1)}) + "\n" for n in REWINDING),
    "log.csv": "step,loss\n" + "".join(f"{n},{1 / (n + 1)}\n" for n in REWINDING),
    "train.log": "".join(f"{{'loss': {1 / (n + 1)}, 'grad_norm': 1.0, 'step': {n}}}\n" for n in REWINDING),
    "verl.log": "".join(f"step:{n} - actor/pg_loss:{1 / (n + 1)} - actor/lr:1e-06\n" for n in REWINDING),
    "pairs.log": "".join(f"step {n} | loss {1 / (n + 1)} | reward 0.5\n" for n in REWINDING),
    "trainer_state.json": json.dumps({"log_history": [{"step": n, "loss": 1 / (n + 1)} for n in REWINDING]}),
}


def test_a_log_shows_its_format_without_being_read(tmp_path):
    def refuse(path, on_bad):
        raise AssertionError

    run = ForeignRun(tmp_path / "train.log", Adapter("toy-log", "a log", lambda _: 1.0, refuse))
    assert repr(run) == f"<ForeignRun {tmp_path}/train.log: toy-log>"
    assert run._repr_markdown_() == "**train**: toy-log"


@pytest.mark.parametrize("name", LOGS)
def test_steps_that_go_back_are_kept_in_the_order_of_the_log(tmp_path, name):
    # A foreign log does not say whether a rewind is a resume or another run: no record may be dropped.
    (tmp_path / name).write_text(LOGS[name])
    run = open_run(tmp_path / name)
    assert [one.step for one in run] == REWINDING
    assert run.columns()["step"].tolist() == REWINDING
    assert run.bad_lines == []
    told = CliRunner().invoke(main, ["info", str(tmp_path / name), "-f", "json"])
    assert json.loads(told.stdout)[0]["steps_back"] == 2


def test_steps_that_the_log_does_not_say_are_counted_and_noted(tmp_path):
    logs = [{"eval_loss": 9}, {"loss": 1}, {"loss": 2}, {"eval_loss": 3}, {"loss": 4}, {"train_runtime": 5}]
    run = foreign(tmp_path, *logs)
    assert [(one.step, one.phase) for one in run] == [
        *((0, "eval"), (1, "train"), (2, "train"), (2, "eval"), (3, "train"), (3, "summary")),
    ]
    assert all(COUNTED in one.notes for one in run)


def test_steps_that_the_log_says_are_kept_and_not_noted(tmp_path):
    run = foreign(tmp_path, Row({"loss": 1}, 10), Row({"loss": 2}, 5), Row({"eval_loss": 2}, 5))
    assert [(one.step, one.notes) for one in run] == [(10, ()), (5, ()), (5, ())]


def test_an_evaluation_without_a_step_is_at_the_step_before_it(tmp_path):
    run = foreign(tmp_path, Row({"loss": 1}, 10), {"eval_loss": 2}, Row({"loss": 1}, 20), {"train_loss": 1})
    assert [one.step for one in run][:2] == [10, 10]
    assert COUNTED in list(run)[1].notes


def test_steps_that_no_event_holds_become_ones_that_it_does(tmp_path):
    run = foreign(tmp_path, Row({"loss": 1}, -5), Row({"loss": 2}, 2**80))
    for one in run:
        assert decode(encode(one)) == one
    assert [one.step for one in run] == [0, 2**80]
    assert run.columns()["step"].tolist() == [0, 2**63 - 1]


# Numbers and times


def test_numbers_in_texts_are_numbers_and_other_texts_are_notes(tmp_path):
    (one,) = foreign(tmp_path, {"loss": "0.5", "lr": " 1e-6 ", "n": "7", "name": "x", "date": "2024_01"})
    assert {key: one.metrics[key] for key in ("loss", "n")} == {"loss": 0.5, "n": 7}
    assert 1e-6 in one.metrics.values()
    assert {"text:name=x", "text:date=2024_01"} <= set(one.notes)
    assert "date" not in one.metrics


@pytest.mark.parametrize("text", ["nan", "NaN", "inf", "-Infinity"])
def test_texts_that_are_not_finite_are_none_and_noted(tmp_path, text):
    (one,) = foreign(tmp_path, {"loss": text})
    assert one.metrics == {"loss": None}
    assert str(dict(one.nonfinite())["loss"]) == str(float(text))
    assert encode(one)


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([1_700_000_000.0, 1_700_000_002.5], [0.0, 2.5]),
        ([1_700_000_000, None, 1_700_000_001], [0, None, 1]),
        ([None, 1_700_000_000.0, 1_700_000_004.0], [None, 0.0, 4.0]),
        ([3.5, 4.5], [3.5, 4.5]),
        ([0, 1e5], [0, 1e5]),
        ([None, None], [None, None]),
        ([math.nan, 1_700_000_000.0, math.inf, 1_700_000_001.0], [None, 0, None, 1]),
    ],
)
def test_times_are_seconds_since_the_first(tmp_path, times, expected):
    run = foreign(tmp_path, *(Row({"loss": 1}, 1, time) for time in times))
    assert [one.wall_time for one in run] == expected


def test_nothing_is_invented(tmp_path):
    (one,) = foreign(tmp_path, {"loss": 1})
    assert one.rng.seed is None
    assert one.data_slice.batch_size is None
    assert one.model_info.git_sha is None
    assert one.model_info.run_id == "log"
    assert foreign(tmp_path).info == RunInfo()


def test_rows_without_a_value_are_no_events_and_a_text_alone_is(tmp_path):
    run = foreign(tmp_path, {}, {"nested": {}}, {"text": "x"}, {"loss": 1})
    assert [one.metrics for one in run] == [{}, {"loss": 1}]
    assert foreign(tmp_path).last() is None
    assert list(foreign(tmp_path)) == []


# Phases and the state


def test_phases_come_from_the_row_or_else_from_the_keys(tmp_path):
    run = foreign(
        tmp_path,
        Row({"loss": 1}, phase="eval"),
        {"eval_loss": 1},
        {"eval/loss": 1},
        {"train_runtime": 3, "train_loss": 1},
        {"anything": 1},
        {"train/loss": 1, "eval/loss": 1},
    )
    assert [one.phase for one in run] == ["eval", "eval", "eval", "summary", "train", "train"]
    assert run.state == "ended"
    assert run.last("summary").metrics["train_runtime"] == 3
    assert foreign(tmp_path, {"loss": 1}).state == "unfinished"


CLOSING = {"train_runtime": 9.0, "train_loss": 0.5}
TRAIN = ({"loss": 0.5, "reward": 0.3}, {"reward": 0.3}, {"train/loss": 0.5, "train/reward": 0.3})


@pytest.mark.parametrize("train", TRAIN, ids=str)
@pytest.mark.parametrize("prefix", ["", "train/"])
@pytest.mark.parametrize("absent", ["left out", None, math.nan])
def test_a_row_of_a_train_record_and_the_closing_summary_is_both(tmp_path, train, prefix, absent):
    closing = {f"{prefix}{key}": value for key, value in CLOSING.items()}
    others = {} if absent == "left out" else dict.fromkeys((*closing, "eval_loss", "mine"), absent)
    rows = ({**train, "mine": 1.0}, train, train | closing)
    run = foreign(tmp_path, *(Row(others | row, step) for step, row in enumerate(rows, 1)))
    *_, before, last, summary = run
    assert (before.step, before.phase, last.step, last.phase) == (2, "train", 3, "train")
    held = [{k: v for k, v in one.metrics.items() if v is not None} for one in (before, last, summary)]
    assert held[0] == held[1]
    assert len(held[1]) == len(train)
    assert (summary.step, summary.phase, len(held[2])) == (3, "summary", len(CLOSING))
    assert run.state == "ended"


def test_keys_without_a_value_say_nothing_of_the_phase(tmp_path):
    columns = dict.fromkeys(("loss", "eval_loss", "eval_runtime", "train_runtime"))
    rows = ({"reward": 1.0}, {"eval_loss": 1.0}, {"train_runtime": 9.0}, {"loss": math.nan})
    run = foreign(tmp_path, *(columns | row for row in rows))
    assert [one.phase for one in run] == ["train", "eval", "summary", "train"]


def test_a_summary_with_other_values_is_no_train_record(tmp_path):
    train = {"loss": 0.5, "reward": 0.3, "epoch": 0.5}
    # TRL adds the metrics of the steps since the last record; ms-swift adds its own.
    for more in ({"reward": 0.3, "epoch": 1.0}, {"memory(GiB)": 9.0, "epoch": 1.0}):
        *_, last = foreign(tmp_path, Row(train, 1), Row(train, 2), Row({**CLOSING, **more}, 2))
        assert last.phase == "summary"
        assert len(last.metrics) == len(CLOSING) + len(more)


def test_a_runtime_in_each_train_record_is_no_summary(tmp_path):
    for tracker in ("", "train/"):
        train = {f"{tracker}loss": 0.5, f"{tracker}train_runtime": 9.0}
        run = foreign(tmp_path, *(Row(train, step) for step in (1, 2, 3)))
        assert [one.phase for one in run] == ["train"] * 3
        assert run.state == "unfinished"
        run = foreign(tmp_path, Row(train, 1), Row({f"{tracker}train_runtime": 9.0}, 1))
        assert run.state == "ended"


# Names


def test_the_dialect_and_the_algorithm_are_told_by_the_keys(tmp_path):
    run = foreign(tmp_path, GRPO)
    assert (run.dialect, run.algorithm) == ("trl", "grpo")
    (one,) = run
    assert one.metrics["reward_mean"] == 0.5
    assert foreign(tmp_path, {"x": 1}).dialect is None
    assert foreign(tmp_path, {"x": 1}).algorithm is None
    assert foreign(tmp_path, {"actor/pg_loss": 1, "critic/rewards/mean": 2}).dialect == "verl"


def test_the_dialect_that_the_format_knows_is_not_guessed(tmp_path):
    assert foreign(tmp_path, GRPO, dialect="verl").dialect == "verl"
    assert list(foreign(tmp_path, GRPO, dialect="verl"))[0].metrics.keys() >= {"loss", "reward"}  # noqa: RUF015


def test_what_a_tracker_made_of_the_keys_has_the_same_names(tmp_path):
    plain = foreign(tmp_path, GRPO, {f"eval_{key}": value for key, value in GRPO.items()})
    tracked = foreign(
        tmp_path,
        {f"train/{key}": value for key, value in GRPO.items()},
        {f"eval/{key}": value for key, value in GRPO.items()},
    )
    assert [one.metrics for one in tracked] == [one.metrics for one in plain]
    assert [one.phase for one in tracked] == ["train", "eval"]
    assert (tracked.dialect, tracked.algorithm) == ("trl", "grpo")


def test_unknown_keys_are_kept_as_they_are(tmp_path):
    run = foreign(tmp_path, {**GRPO, "my/own metric": 3, "eval/mine": 4, "nested": {"a": {"b": 5}}})
    (one,) = run
    assert one.metrics["my/own metric"] == 3
    assert one.metrics["eval/mine"] == 4
    assert one.metrics["nested/a/b"] == 5


def test_the_users_names_win_over_the_dialect(tmp_path):
    run = foreign(tmp_path, {**GRPO, "my/score": 7}, mapping={"my/score": "reward_mean", "kl": "my_kl"})
    (one,) = run
    assert one.metrics["reward_mean"] == 7
    assert one.metrics["reward"] == 0.5  # the dialect's reading of it has been given away
    assert one.metrics["my_kl"] == 0.01


def test_a_name_for_a_key_that_this_log_has_not_changes_nothing(tmp_path):
    plain, mapped = foreign(tmp_path, GRPO), foreign(tmp_path, GRPO, mapping={"absent": "reward_mean"})
    assert list(plain) == list(mapped)


def test_two_keys_never_share_a_name(tmp_path):
    (one,) = foreign(tmp_path, {"reward": 1, "reward_mean": 2, "a": 3}, mapping={"a": "reward_mean"})
    assert sorted(one.metrics.values()) == [1, 2, 3]
    assert one.metrics["reward_mean"] == 2


# Passes


def test_a_log_can_be_read_as_often_as_one_likes_and_bad_lines_are_told_once(tmp_path):
    run = foreign(tmp_path, GRPO, GRPO, bad=(3, 9))
    assert list(run) == list(run) == list(run.follow())
    assert [bad.number for bad in run.bad_lines] == [3, 9]
    assert run.last() == list(run)[-1]


# Every number


keys = st.sampled_from(
    ["loss", "reward", "reward_mean", "eval_loss", "train/loss", "step", "a", ""]
) | st.text(max_size=5)
number = st.integers(-(2**70), 2**70) | st.floats()
leaves = (
    number | number.map(str) | st.booleans() | st.text(max_size=5) | st.none() | st.lists(number, max_size=2)
)
values = st.recursive(
    st.dictionaries(keys, leaves, max_size=6), lambda inner: st.dictionaries(keys, inner | leaves, max_size=4)
)
rows = st.builds(
    Row,
    values,
    st.none() | st.integers(-5, 2**70),
    st.none() | st.floats(),
    st.none() | st.sampled_from(["train", "eval", "summary"]),
)


def numbers_in(value):
    """Every number of a row, as text: nan is nan."""
    if isinstance(value, dict):
        return [found for item in value.values() for found in numbers_in(item)]
    return [str(float(value))] if isinstance(value, bool | int | float) else []


def numbers_as_text(values):
    """Those that stand as texts, as in CSV; a text within a nested object stays a text."""
    for value in values.values():
        if isinstance(value, str) and "_" not in value:
            try:
                yield str(float(value))
            except ValueError:
                continue


@given(st.lists(rows, max_size=6), st.dictionaries(keys, keys.filter(bool), max_size=3))
def test_every_number_of_every_row_is_in_an_event(tmp_path_factory, made, mapping):
    run = foreign(tmp_path_factory.getbasetemp(), *made, mapping=mapping)
    wanted, found = [], []
    for row in made:
        wanted += [*numbers_in(row.values), *numbers_as_text(row.values)]
    for one in run:
        back = decode(encode(one))
        assert back == one
        assert one.step >= 0
        assert one.wall_time is None or math.isfinite(one.wall_time)
        found += [str(float(value)) for value in one.metrics.values() if value is not None]
        found += [str(value) for _, value in one.nonfinite() if value is not None]
    assert sorted(found) == sorted(wanted)
    run.columns()


# As Events: exported, checked, read again


LOG = [
    {"step": 1, "timestamp": 1_700_000_000, **GRPO, "mine": "x"},
    {"step": 2, "timestamp": 1_700_000_002, **GRPO, "kl": float("nan")},
    {"step": 2, **{f"eval_{key}": value for key, value in GRPO.items()}},
    {"step": 3, "loss": float("-inf"), "grad_norm": 1},
    {"step": 3, "train_runtime": 60.0},
]


def test_an_exported_log_is_a_valid_events_file_with_the_same_events(tmp_path):
    source = open_run(jsonl(tmp_path, *LOG))
    output = tmp_path / "out" / "run_events.jsonl"
    output.parent.mkdir()
    runner = CliRunner()
    done = runner.invoke(main, ["export", str(source.path), "-f", "jsonl", "-o", str(output)])
    assert done.exit_code == 0, done.output
    assert runner.invoke(main, ["validate", str(output)]).exit_code == 0
    again = open_run(output)
    assert again.format == "rldk"
    assert list(again) == list(source)
    for phase in ("train", "eval", "summary"):
        mine, theirs = again.columns(phase), source.columns(phase)
        assert mine.keys() == theirs.keys()
        for name, column in mine.items():
            np.testing.assert_array_equal(column, theirs[name])


def test_the_loop_of_the_specification_reads_an_exported_log(tmp_path):
    source = open_run(jsonl(tmp_path, *LOG))
    with (tmp_path / "events.jsonl").open("wb") as file:
        write_jsonl(source, file)
    events = []
    with (tmp_path / "events.jsonl").open() as f:
        for line in f:
            events.append(json.loads(line))
    df = pd.DataFrame(events)
    df.to_csv(tmp_path / "events.csv", index=False)
    assert df["step"].tolist() == [1, 2, 2, 3, 3]
    assert df["metrics"][0]["reward_mean"] == 0.5
    assert len(pd.read_csv(tmp_path / "events.csv")) == 5


def test_the_state_is_that_of_the_newest_pass_over_the_log(tmp_path):
    passes = []

    def rows(path, on_bad):
        passes.append(path)
        yield Row({"loss": 1.0}, 1)
        yield Row({"train_runtime": 9.0, "train_loss": 1.0}, 1)

    run = ForeignRun(tmp_path, Adapter("x", "x", lambda probe: 1.0, rows))
    list(run)
    before = len(passes)
    assert run.state == "ended"
    assert len(passes) == before
