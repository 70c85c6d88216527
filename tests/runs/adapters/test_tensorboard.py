"""TensorBoard's files, made by torch's own writer: rows by step and phase, attempts, cut files."""

import gzip
import math
import random
import shutil
import struct
import sys

import pytest

from rldk.errors import AmbiguousRunError, MissingDependencyError
from rldk.runs.adapters.base import Probe
from rldk.runs.adapters.tensorboard import ADAPTER
from rldk.runs.foreign_run import ForeignRun

pytest.importorskip("tensorboard")


def write(folder, *events, begin=1_700_000_000.0, suffix=""):
    """One events file: (step, tag, value), a second apart."""
    from torch.utils.tensorboard import SummaryWriter

    before = set(folder.rglob("*tfevents*"))
    writer = SummaryWriter(str(folder), filename_suffix=suffix)
    writer.add_text("args", "{}")
    for seconds, (step, tag, value) in enumerate(events):
        writer.add_scalar(tag, value, step, walltime=begin + seconds)
    writer.close()
    (made,) = set(folder.rglob("*tfevents*")) - before
    return made


def train(step, loss=0.5):
    return [(step, "train/loss", loss), (step, "train/epoch", step / 100)]


def read(path):
    bad = []
    return list(ADAPTER.rows(path, bad.append)), bad


def steps(rows, phase="train"):
    return [row.step for row in rows if row.phase == phase]


# One file.


def test_a_log_is_a_row_with_the_keys_of_the_trainer(tmp_path):
    file = write(
        tmp_path,
        (5, "train/loss", 0.5),
        (5, "train/rewards/f/mean", 1.25),
        (5, "train/epoch", 0.125),
        (10, "train/loss", 0.25),
    )
    (first, second), bad = read(file)
    assert first.values == {"loss": 0.5, "rewards/f/mean": 1.25, "epoch": 0.125}
    assert (first.step, first.wall_time, first.phase) == (5, 1_700_000_000.0, "train")
    assert (second.step, second.wall_time, second.values) == (10, 1_700_000_003.0, {"loss": 0.25})
    assert bad == []
    assert ADAPTER.confidence(Probe(file)) == ADAPTER.confidence(Probe(tmp_path)) == 0.95


def test_training_evaluation_and_summary_of_one_step_are_rows_of_their_own(tmp_path):
    file = write(
        tmp_path,
        *train(10),
        (10, "eval/loss", 2.0),
        (10, "eval/runtime", 3.0),
        (10, "train/epoch", 0.1),
        (10, "train/train_runtime", 60.0),
        (10, "train/train_loss", 0.75),
        (10, "train/epoch", 0.1),
    )
    rows, _ = read(file)
    assert [(row.phase, set(row.values)) for row in rows] == [
        ("train", {"loss", "epoch"}),
        ("eval", {"eval_loss", "eval_runtime", "epoch"}),
        ("summary", {"train_runtime", "train_loss", "epoch"}),
    ]
    assert ForeignRun(file, ADAPTER).state == "ended"


def test_two_evaluations_at_one_step_are_two_rows(tmp_path):
    file = write(tmp_path, (0, "eval/loss", 2.0), (0, "eval/loss", 1.0))
    assert [row.values for row in read(file)[0]] == [{"eval_loss": 2.0}, {"eval_loss": 1.0}]


def test_numbers_that_are_not_finite_arrive(tmp_path):
    values = [math.nan, math.inf, -math.inf]
    file = write(tmp_path, *((step, "train/loss", value) for step, value in enumerate(values)))
    assert [str(row.values["loss"]) for row in read(file)[0]] == ["nan", "inf", "-inf"]


def test_scalars_of_the_newer_kind_are_read_and_other_summaries_are_not(tmp_path):
    import numpy as np
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(tmp_path))
    writer.add_scalar("train/loss", 0.5, 1, new_style=True)
    writer.add_histogram("weights", np.arange(10.0), 1)
    writer.add_tensor("train/vector", __import__("torch").ones(3), 1)
    writer.close()
    rows, bad = read(next(tmp_path.iterdir()))
    assert [row.values for row in rows] == [{"loss": 0.5}]
    assert bad == []


def test_tags_of_stable_baselines_stay_as_they_are(tmp_path):
    file = write(
        tmp_path,
        (1000, "eval/mean_reward", 3.0),
        (2048, "rollout/ep_rew_mean", 20.0),
        (2048, "time/fps", 900.0),
        (4096, "time/fps", 800.0),
        (4096, "train/loss", 0.5),
    )
    rows, _ = read(file)
    assert [(row.step, row.phase, dict(row.values)) for row in rows] == [
        (1000, "eval", {"eval/mean_reward": 3.0}),
        (2048, "train", {"rollout/ep_rew_mean": 20.0, "time/fps": 900.0}),
        (4096, "train", {"time/fps": 800.0, "train/loss": 0.5}),
    ]


# Several files.


def test_a_resume_supersedes_what_the_attempt_before_logged_from_its_first_step(tmp_path):
    write(tmp_path, *(event for step in (10, 20, 30, 40) for event in train(step, 1.0)), suffix=".z")
    write(
        tmp_path, *(event for step in (30, 40, 50) for event in train(step)), begin=1_700_001_000, suffix=".a"
    )
    rows, _ = read(tmp_path)
    assert [(row.step, row.values["loss"]) for row in rows] == [
        *((10, 1.0), (20, 1.0)),
        *((30, 0.5), (40, 0.5), (50, 0.5)),
    ]


def test_a_later_resume_from_an_earlier_step_supersedes_all_between(tmp_path):
    for number, begin in enumerate((10, 30, 20)):
        events = [event for step in range(begin, 60, 10) for event in train(step, float(number))]
        write(tmp_path, *events, begin=1_700_000_000 + 1000 * number, suffix=f".{number}")
    assert [(row.step, row.values["loss"]) for row in read(tmp_path)[0]] == [
        *((10, 0.0), (20, 2.0), (30, 2.0), (40, 2.0), (50, 2.0)),
    ]


def test_an_evaluation_afterwards_supersedes_nothing(tmp_path):
    write(tmp_path, *train(10), *train(20), suffix=".a")
    write(tmp_path, (10, "eval/loss", 1.0), (10, "train/epoch", 0.1), begin=1_700_001_000, suffix=".b")
    rows, _ = read(tmp_path)
    assert steps(rows) == [10, 20]
    assert steps(rows, "eval") == [10]


def test_a_file_that_is_named_is_read_alone(tmp_path):
    first = write(tmp_path, *train(10), *train(20), suffix=".a")
    write(tmp_path, *train(10), begin=1_700_001_000, suffix=".b")
    assert steps(read(first)[0]) == [10, 20]


def test_the_only_sub_folder_is_the_run_and_several_are_several_runs(tmp_path):
    write(tmp_path / "Nov24_host", *train(10))
    assert 0 < ADAPTER.confidence(Probe(tmp_path)) < 0.95
    assert steps(read(tmp_path)[0]) == [10]
    write(tmp_path / "Nov25_host", *train(20))
    with pytest.raises(AmbiguousRunError, match="Nov25_host"):
        read(tmp_path)


# Files that are broken, or none.


def test_of_a_cut_file_what_is_whole_is_read(tmp_path):
    file = write(tmp_path, *train(10), *train(20), *train(30))
    whole = file.read_bytes()
    for size in range(len(whole)):
        file.write_bytes(whole[:size])
        rows, bad = read(file)
        assert steps(rows) == [10, 20, 30][: len(rows)]
        assert len(bad) <= 1
    assert steps(rows) == [10, 20, 30]
    assert "cut short" in bad[0].reason


def test_a_damaged_record_is_skipped_and_told(tmp_path):
    file = write(tmp_path, *train(10), *train(20), *train(30))
    data = file.read_bytes()
    at = data.index(b"train/loss", data.index(b"train/loss") + 1)
    file.write_bytes(data[:at] + b"x" + data[at + 1 :])
    rows, bad = read(file)
    assert [row.values.get("loss") for row in rows] == [0.5, None, 0.5]
    assert ["checksum" in one.reason for one in bad] == [True]


def test_a_length_beyond_all_reason_is_no_reason_to_allocate_it(tmp_path):
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    file = write(tmp_path, *train(10))
    length = struct.pack("<Q", 1 << 62)
    file.write_bytes(file.read_bytes() + length + struct.pack("<I", masked_crc32c(length)) + b"x" * 99)
    rows, bad = read(file)
    assert steps(rows) == [10]
    assert len(bad) == 1


def test_no_mutation_of_a_file_raises(tmp_path):
    file = write(tmp_path, *train(10), *train(20))
    whole, chance = file.read_bytes(), random.Random(0)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        file.write_bytes(data[: chance.randint(1, len(data))])
        ADAPTER.confidence(Probe(file))
        read(file)


def test_a_packed_file_is_read(tmp_path):
    file = write(tmp_path, *train(10))
    packed = tmp_path / "events.out.tfevents.1.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    assert ADAPTER.confidence(Probe(packed)) == 0.95
    assert steps(read(packed)[0]) == [10]


@pytest.mark.parametrize(
    ("name", "content"),
    [("log.txt", b"{'loss': 1.0}"), ("tfevents.csv", b"Wall time,Step,Value\n1,2,3\n"), ("empty", b"")],
)
def test_other_files_are_not_taken(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert ADAPTER.confidence(Probe(tmp_path / name)) == 0
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    assert ADAPTER.confidence(Probe(tmp_path)) == 0
    assert read(tmp_path)[1] != []


def test_without_the_library_the_message_says_what_to_install(tmp_path, monkeypatch):
    file = write(tmp_path, *train(10))
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    with pytest.raises(MissingDependencyError, match=r"pip install tensorboard"):
        read(file)
