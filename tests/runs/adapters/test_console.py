"""Dicts that trainers print, among whatever else a console holds."""

import gzip
import json
import math
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldk.runs.adapters.base import Probe
from rldk.runs.adapters.console import ADAPTER
from rldk.runs.foreign_run import COUNTED, ForeignRun


def rows_of(text, bad=None):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.log")
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "replace"))
        return list(ADAPTER.rows(path, [].append if bad is None else bad.append))


def values_of(text):
    return [dict(row.values) for row in rows_of(text)]


def confidence(folder, content, name="run.log"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return ADAPTER.confidence(Probe(path))


def test_records_anywhere_in_a_line_and_several_in_one():
    text = "  5%|5   | 10/200 [00:10<01:00]{'loss': 0.5, 'epoch': 0.1} done {'loss': 0.25, 'epoch': 0.2}\n"
    assert values_of(text) == [{"loss": 0.5, "epoch": 0.1}, {"loss": 0.25, "epoch": 0.2}]


@pytest.mark.parametrize(
    ("printed", "value"),
    [
        ("0.5", 0.5),
        ("'1e-06'", "1e-06"),
        ("np.float64(0.5)", 0.5),
        ("numpy.float32(-1e-05)", -1e-5),
        ("np.int64(3)", 3),
        ("tensor(0.5)", 0.5),
        ("tensor([0.5], device='cuda:0')", 0.5),
        ("tensor(0.25, device='cuda:0', grad_fn=<MulBackward0>)", 0.25),
        ("np.float64(inf)", math.inf),
        ("-inf", -math.inf),
        ("None", None),
        ("7", 7),
        ("'5%'", "5%"),
    ],
)
def test_values_as_they_are_printed(printed, value):
    (row,) = values_of(f"{{'loss': 1.0, 'grad_norm': 2.0, 'x': {printed}}}")
    assert row["x"] == value
    assert type(row["x"]) is type(value)


def test_quoted_and_nan_become_numbers_and_notes_of_the_event(tmp_path):
    path = tmp_path / "run.log"
    path.write_text("{'loss': '0.06238', 'grad_norm': nan, 'epoch': '0.1'}\n")
    (event,) = ForeignRun(path, ADAPTER)
    assert event.metrics["loss"] == 0.06238
    assert event.metrics["grad_norm"] is None
    assert COUNTED in event.notes


def test_json_with_nan_in_a_text_log():
    rows = rows_of('Run\nlog:\n{"loss": NaN, "grad_norm": 1e3, "m": {"kl": 0.1}, "step": 10}\n')
    assert [row.step for row in rows] == [10]
    assert math.isnan(rows[0].values["loss"])
    assert rows[0].values["m"] == {"kl": 0.1}


def test_escapes_and_braces_in_strings():
    assert values_of(r"""{'loss': 0.5, 'a"}{': 1.0, 'b\'\\': 2.0, "it's": 3.0}""") == [
        {"loss": 0.5, 'a"}{': 1.0, "b'\\": 2.0, "it's": 3.0}
    ]


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("{'loss': 0.5, 'step': 12}", 12),
        ("{'loss': 0.5, 'global_step': '12'}", 12),
        ("{'loss': 0.5, 'grad_norm': 1.0, 'global_step/max_steps': '12/400'}", 12),
        ("(Actor pid=7) Global step 12: {'policy_loss': 0.5, 'kl': 0.1}", 12),
        ("step 12/400 {'loss': 0.5}", 12),
        ("[step=12] {'loss': 0.5}", 12),
        ("step 12 of step 400 {'loss': 0.5}", None),
        ("step 1.5 s {'loss': 0.5}", None),
        ("{'loss': 0.5}", None),
        ("Global step 12: {'reward': 0.5}", 12),
    ],
)
def test_the_step(line, step):
    (row,) = rows_of(line)
    assert row.step == step
    assert "step" not in row.values


def test_each_dict_has_the_step_that_is_said_before_it():
    assert [row.step for row in rows_of("step 1 {'loss': 1.0} step 2 {'loss': 2.0} {'loss': 3.0}")] == [
        1,
        2,
        2,
    ]


@pytest.mark.parametrize(
    "line",
    [
        "{'role': 'user', 'content': 'the loss'}",
        "{'learning_rate': 1e-06, 'weight_decay': 0.1, 'num_train_epochs': 3}",
        "{'learning_rate': 1e-06, 'optim': 'adamw', 'epoch': 1}",
        "{'hidden_size': 64, 'router_aux_loss_coef': 0.001, 'use_kl_loss': False, 'loss_type': 'grpo'}",
        "{'policy_loss': {'loss_mode': 'vanilla', 'clip_cov_ratio': 0.0002}}",
        "{'eval_steps': 100, 'eval_strategy': 'steps'}",
        "{'step': 0, 'agent': 'a', 'strike': 'N/A', 'reward': -0.67} of type {'step': Number}",
        "reward parts: {'format': 1.0, 'reward': 0.5}",
        '{"source": "policy", "step": 0, "passed": false, "score": 0.0}',
        "{'loss': 'mse'}",
        "({'pad_token_id', 'cache'})",
        "{'loss': 0.5",
        "{}{{}}}{",
        "{'loss': 0.5, 'x': " + "[" * 50_000,
        "{'loss': 0.5, 'pad': '" + "x" * 70_000 + "'}",
    ],
)
def test_decoys_are_no_records(line):
    assert rows_of(line) == []


@pytest.mark.parametrize(
    "line",
    [
        "{'train_runtime': '1409', 'train_loss': '0.01', 'epoch': '0.3'}",
        "{'eval_loss': 0.6, 'eval_runtime': 3.0, 'epoch': 1.0}",
        "{'rewards/f/mean': 0.5, 'rewards/f/std': 0.1}",
        "{'reward': 0.5, 'kl': 0.0, 'epoch': 0.1}",
        "{'loss': 0.0, 'reward': 1.0}",
        "{'loss': nan}",
    ],
)
def test_records(line):
    assert len(rows_of(line)) == 1


PLAIN = "  1%|x| 1/9 [00:01]\n{'loss': 0.5, 'epoch': 0.1}\n  2%|x| 2/9 [00:02]\n{'loss': 0.4, 'epoch': 0.2}\n"


@pytest.mark.parametrize(
    "text",
    [
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace("\n", "\r\r\n\n"),
        PLAIN.replace("{'", "\x1b[32m{'").replace("}", "}\x1b[0m\x1b[A").replace("0.5", "\x1b[1m0.5"),
        "\ufeff" + PLAIN,
        PLAIN.encode("utf-16"),
        gzip.compress(PLAIN.encode()),
    ],
    ids=["CRLF", "CR", "CR CRLF LF", "colours", "byte order mark", "UTF-16", "gzip"],
)
def test_line_ends_colours_and_encodings_change_nothing(text):
    assert rows_of(text) == rows_of(PLAIN)
    assert len(rows_of(PLAIN)) == 2


def test_a_dict_that_the_terminal_broke():
    text = "Global step 4: {'loss': 0.5, 'grad_n\norm': 1.2\n5, 'epoch': 0.1}\n"
    text += "{'loss': 0.4}\n{'loss': 0.\n{'loss': 0.3}\n"
    rows = rows_of(text)
    assert [dict(row.values) for row in rows] == [
        {"loss": 0.5, "grad_norm": 1.25, "epoch": 0.1},
        {"loss": 0.4},
        {"loss": 0.3},
    ]
    assert rows[0].step == 4


def bar(done, total=100):
    return f"\r {done}%|##   | {done}/{total} [00:10<01:00, 1.0it/s]"


def test_the_progress_bar_tells_the_step_where_it_moves_with_the_records():
    text = "\rMap: 100%|##| 7/7 [00:00<00:00]" + bar(0)
    for done in (10, 20, 30):
        text += bar(done - 1) + bar(done) + f"\r    \r{{'loss': 1.0, 'epoch': {done / 50}}}\n" + bar(done)
        text += bar(8, 8) + f"\r{{'eval_loss': 1.0, 'epoch': {done / 50}}}\n"
    text += "{'train_runtime': 5.0, 'epoch': 2.0}\n"
    assert [row.step for row in rows_of(text)] == [10, 10, 20, 20, 30, 30, 30]


@pytest.mark.parametrize(
    "text",
    [
        # Output that was buffered: the bar is far ahead of the record that follows it.
        bar(50) + "{'loss': 1.0, 'epoch': 0.1}\n{'eval_loss': 1.0}\n{'loss': 2.0, 'epoch': 0.2}\n" + bar(99),
        # A bar that lags behind by one.
        bar(9) + "{'loss': 1.0, 'epoch': 1.0}\n" + bar(19) + "{'loss': 1.0, 'epoch': 2.0}\n",
        # One record is no evidence.
        bar(10) + "{'loss': 1.0, 'epoch': 1.0}\n",
        "{'loss': 1.0}\n" + bar(10) + "{'loss': 1.0}\n" + bar(20) + "{'loss': 1.0}\n",
    ],
)
def test_a_bar_that_cannot_be_trusted_is_not_used(text):
    rows = rows_of(text)
    assert rows
    assert {row.step for row in rows} == {None}


def test_how_sure_it_is(tmp_path):
    record = "{'loss': 0.5, 'grad_norm': 1.0}\n"
    assert confidence(tmp_path, "hello\n" + record) == 0.6
    assert 0 < confidence(tmp_path, "noise\n" * 200_000 + record) <= 0.6
    assert confidence(tmp_path, "nothing of the kind\n{'actor': {'lr': 1e-06,\n") == 0
    assert confidence(tmp_path, b"\0\1" + record.encode()) == 0
    assert confidence(tmp_path, "") == 0
    rows = "".join(json.dumps({"loss": 0.5, "step": step}) + "\n" for step in range(9))
    assert confidence(tmp_path, rows, "log.jsonl") <= 0.1
    assert confidence(tmp_path, rows, "log.txt") <= 0.1
    assert confidence(tmp_path, json.dumps({"log_history": [{"loss": 0.5, "step": 1}]}), "state.json") <= 0.1
    damaged = gzip.compress(b"noise\n" * 100_000 + record.encode() * 9)[:-20]
    assert confidence(tmp_path, damaged, "run.log.gz") >= 0


def test_a_line_of_open_braces_is_given_up_and_said():
    bad = []
    start = time.monotonic()
    assert rows_of("{'a" * 300_000 + "\n{'loss': 0.5}\n", bad)[0].values == {"loss": 0.5}
    assert time.monotonic() - start < 60
    assert [line.number for line in bad] == [1]


KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).map("m_".__add__)
METRICS = st.dictionaries(KEYS, st.floats() | st.integers() | st.none(), max_size=8)


@given(METRICS, st.floats())
def test_a_printed_dict_comes_back_exactly(metrics, loss):
    logs = {"loss": loss, **metrics}
    (row,) = rows_of(f"  3%|  | 3/90 [00:02<01:10]{logs}\n")
    assert [*map(repr, row.values.items())] == [*map(repr, logs.items())]


@pytest.mark.parametrize(
    "piece",
    ["{", "{'", "{'a", "{'a':", "{'a':{", "{'loss': 1, ", "{ ", "'", "{'a': [", "step 1 ", "{'{':1}", "}"],
)
def test_long_lines_end_soon(piece):
    rows_of(piece * (10**6 // len(piece)))


FRAGMENTS = [
    "{",
    "}",
    "'loss'",
    "'",
    '"',
    ":",
    "0.5",
    "[",
    "]",
    "(",
    ")",
    "nan",
    "\\",
    "\n",
    "\r",
    " step 3 ",
    ",",
    "\x1b[",
]


@given(st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=5), max_size=40).map("".join))
def test_any_text_is_survived(text):
    for row in rows_of(text):
        assert row.values


@given(st.binary(max_size=200))
def test_any_bytes_are_survived(data):
    rows_of(data)


@pytest.mark.parametrize(
    "text",
    [
        "'loss': 0.5, 'grad_norm': 1.5, 'reward': 0.25, 'epoch': 0.1",  # without braces
        "0.0, 'loss': 0.5, 'grad_norm': 1.5, 'reward': 0.25, 'epoch': 0.1}",  # the beginning is cut
        "x {'loss': '0.5', 'grad_norm': '1.5', 'l  's0   eo/chosen': 'nan', 'reward': '0.25', 'epoch': 0.1}",
    ],
)
def test_a_piece_of_a_dict_is_a_record(text):
    (values,) = values_of(text)
    assert values == {"loss": 0.5, "grad_norm": 1.5, "reward": 0.25, "epoch": 0.1}


@pytest.mark.parametrize("text", ["'loss': 0.5, 'epoch': 0.1", "'beta': 0.1, 'epsilon': 0.2, 'seed': 42"])
def test_a_few_named_numbers_are_no_record(text):
    assert rows_of(text) == []


def test_a_dict_that_pprint_wrapped_and_sorted_is_one_record(tmp_path):
    text = "{'completions/clipped_ratio': 0.0,\n 'epoch': 0.1,\n 'grad_norm': 1.5,\n 'loss': 0.5}\n"
    assert confidence(tmp_path, text) > 0.5
    assert values_of(text)[0]["loss"] == 0.5


def test_a_record_that_is_printed_twice_with_more_digits_counts_once():
    short = "[INFO] >> {'loss': 1.9000, 'learning_rate': 4.9985e-05, 'epoch': 0.03}\n"
    whole = "{'loss': 1.9000012, 'grad_norm': 0.5, 'learning_rate': 4.998452e-05, 'epoch': 0.03}\n"
    assert [row.get("grad_norm") for row in values_of(short + whole + short + whole)] == [0.5, 0.5]


@pytest.mark.parametrize("loss", ["1.9", "1.7"])
def test_records_with_the_same_keys_or_other_values_are_no_twins(loss):
    one = f"{{'loss': {loss}, 'learning_rate': 1e-05, 'epoch': 0.03}}\n"
    other = "{'loss': 1.8, 'grad_norm': 0.5, 'learning_rate': 1e-05, 'epoch': 0.03}\n"
    assert len(rows_of(one + one + other)) == 3


def test_rows_of_ppo_have_texts_and_no_loss():
    text = "{'eps': 0, 'objective/kl': '3.3', 'loss/policy_avg': '-0.003', 'elapsed_time': '6m 42s'}"
    assert len(rows_of(text)) == 1
