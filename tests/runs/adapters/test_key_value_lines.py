"""Console lines of `key: value` and `key=value`."""

import gzip
import math
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldk.runs.adapters.base import Probe
from rldk.runs.adapters.key_value_lines import ADAPTER


def rows_of(text):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.log")
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "replace"))
        return list(ADAPTER.rows(path, [].append))


def confidence(folder, content, name="run.log"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return ADAPTER.confidence(Probe(path))


@pytest.mark.parametrize(
    ("line", "step", "values"),
    [
        (
            "Epoch:[1/1](20/4292), loss: 0.6605, learning_rate: 0.00000004, epoch_time: 9.000min",
            20,
            {"loss": 0.6605, "learning_rate": 4e-8, "epoch_time": 9.0},
        ),
        ("Epoch:[2/3](20/400), loss: 0.5, lr: 1e-5", 420, {"loss": 0.5, "lr": 1e-5}),
        ("step 20 | loss 0.5 | lr 1e-5", 20, {"loss": 0.5, "lr": 1e-5}),
        ("step 20/400 | loss 0.5 | lr 1e-5", 20, {"loss": 0.5, "lr": 1e-5}),
        ("iter 100: loss 2.31, time 12ms", 100, {"loss": 2.31, "time": 12.0}),
        ("step 5: train loss 2.5, val loss 2.75", 5, {"loss": 2.5, "eval_loss": 2.75}),
        (
            "2026-04-19 06:27:39,968 [INFO] global_step=7 loss=-.5 acc=56% it=1.5it/s",
            7,
            {"loss": -0.5, "acc": 56.0, "it": 1.5},
        ),
        ("loss=nan kl=inf", None, {"loss": math.nan, "kl": math.inf}),
        ("[30/90] mean_reward: 1.5; policy/entropy: 0.25", 30, {"mean_reward": 1.5, "policy/entropy": 0.25}),
        ("Step: 3, Loss: 0.5, Tokens: 12", 3, {"Loss": 0.5, "Tokens": 12.0}),
        ("epoch 1 loss 0.5 lr 0.1", None, {"epoch": 1.0, "loss": 0.5, "lr": 0.1}),
    ],
)
def test_lines_of_pairs(line, step, values):
    for text in (line, f"\x1b[32m{line}\x1b[0m\r\n", f"noise\r{line}\n", gzip.compress(line.encode())):
        (row,) = rows_of(text)
        assert row.step == step
        assert repr(row.values) == repr(values)


@pytest.mark.parametrize(
    "line",
    [
        "Final train loss: 0.2883",
        "the loss 0.5 is smaller than the reward 3 of before",
        "epochs=3 | lr=1e-4 | batch=2 | seed=42",
        "GRPOConfig(learning_rate=1e-6, beta=0.04, loss_type=grpo, router_aux_loss_coef=0.001)",
        "{'loss': 0.5, 'lr': 0.1}",
        '{"loss": 0.5, "lr": 0.1}',
        "loss: 12:30:05, at: 12:31",
        "answer: [], gold: [], reward: 0.0",
        "step: 3, loss: 0.5",
        "loss: 0.5, " + "x" * 20_000 + ", lr: 0.1",
    ],
)
def test_other_lines_are_none(line):
    assert rows_of(line) == []


def test_how_sure_it_is(tmp_path):
    line = "step 20 | loss 0.5 | lr 1e-5\n"
    assert confidence(tmp_path, "hello\n" + line) == 0.4
    assert 0 < confidence(tmp_path, "noise\n" * 100_000 + line) <= 0.4
    assert confidence(tmp_path, "noise\n") == 0
    assert confidence(tmp_path, b"\0\1" + line.encode()) == 0
    assert confidence(tmp_path, '{"a": "' + line.strip() + '"}\n', "a.jsonl") == 0
    assert confidence(tmp_path, "a,b\n" + line, "a.csv") == 0


@given(
    st.floats(),
    st.floats(),
    st.integers(0, 10**9),
    st.sampled_from([": ", "=", ":"]),
    st.sampled_from([", ", " | ", " - "]),
)
def test_numbers_come_back_exactly(loss, lr, step, joint, between):
    pairs = {"step": step, "loss": loss, "lr": lr}
    (row,) = rows_of(between.join(f"{key}{joint}{value!r}" for key, value in pairs.items()))
    assert row.step == step
    assert repr(row.values) == repr({"loss": loss, "lr": lr})


@given(
    st.lists(
        st.sampled_from(["loss", ":", "=", " ", "0.5", "1e-5", "|", ", ", "step 3", "(3/4)"])
        | st.text(max_size=4)
    ).map("".join)
)
def test_any_text_is_survived(text):
    rows_of(text)


@pytest.mark.parametrize("piece", ["a@", "a 1 ", " ", "a", "loss: 0.5, ", "1", "a:", "[1/2]", "train "])
def test_long_lines_end_soon(piece):
    rows_of(piece * ((1 << 14) // len(piece)))


@pytest.mark.parametrize(
    ("line", "values"),
    [
        (
            "Iter 63: Train loss 0.010, Chosen reward -8.0, Rejected reward -16.4, Learning Rate 1e-05",
            {"loss": 0.01, "rewards/chosen": -8.0, "rewards/rejected": -16.4, "learning_rate": 1e-5},
        ),
        (
            "iteration 5/ 900 | lm loss: 2.3E+00 | grad norm: nan | learning rate: 3E-04 |",
            {"loss": 2.3, "grad_norm": math.nan, "learning_rate": 3e-4},
        ),
        ("Epoch: [0]  [340/1504]  lr: 0.00003  closs: 1.2 (1.3)", {"loss": 1.2, "lr": 3e-5}),
    ],
)
def test_words_of_a_console_are_the_keys_of_trainers(line, values):
    (row,) = rows_of(line)
    assert {key: row.values[key] for key in values} == pytest.approx(values, nan_ok=True)


def test_the_closing_block_of_transformers_is_a_summary(tmp_path):
    text = "saved\n***** train metrics *****\n  epoch = 2.9\n  train_loss = 0.0\n  train_runtime = 0:02:59\n"
    (row,) = rows_of(text + "done\n")
    assert (row.phase, row.values["train_loss"]) == ("summary", "0.0")
    assert confidence(tmp_path, text) > 0.1
