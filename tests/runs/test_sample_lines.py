"""The samples that rldk recorded, as they are read."""

import os

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import event, write_run
from rldk import open_run
from rldk.runs import RecordedRun, Sample
from rldk.runs.line_reader import MAX_LINE
from rldk.runs.sample_lines import SampleLines, holds_samples
from rldk.schema.run_info import RunInfo
from sample_lines import line, recorded, run_with, write_samples

MESSAGES = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "1 + 1?"}]


def read(path):
    bad = []
    return list(SampleLines(path, RunInfo()).read(bad.append)), bad


def test_each_line_is_a_sample(tmp_path):
    files = run_with(
        tmp_path,
        recorded(3, "2", index=5, group=1, why=("best", "cut"), end="cut", length=512, cut_chars=9),
        recorded(4, [{"role": "assistant", "content": "2"}], prompt=MESSAGES, phase="eval"),
        recorded(4, "", rewards={"a": None, "b": 1.0}, reward=None, length=None, end=None, why=()),
    )
    run = open_run(tmp_path)
    first, second, third = run.samples()
    assert first == Sample(
        step=3,
        prompt="a question",
        completion="2",
        rewards={"accuracy": 0.5},
        phase="train",
        group=1,
        index=5,
        reward=0.5,
        length=512,
        end="cut",
        why=("best", "cut"),
        cut_chars=9,
    )
    assert (second.prompt, second.phase) == (MESSAGES, "eval")
    assert (third.missing, third.score, third.length, third.end) == (["a"], 1.0, None, None)
    assert len(run.samples()) == 3
    assert run.bad_lines == []
    for path in (files.samples, files.folder / files.run_id):
        assert len(open_run(path).samples()) == 3


def test_a_samples_file_alone_is_a_run_and_a_file_that_is_only_named_so_is_not(tmp_path):
    files = run_with(tmp_path, recorded(1))
    files.events.unlink()
    run = open_run(files.samples)
    assert (run.run_id, list(run), len(run.samples())) == ("run", [], 1)
    other = tmp_path / "loss_samples.jsonl"
    other.write_text('{"step": 1, "loss": 0.5}\n' * 9)
    assert not holds_samples(other)
    assert open_run(other).format == "jsonl"


def test_what_is_no_sample_is_told_with_its_place_and_the_others_are_read(tmp_path):
    good = line(recorded(1))
    bad = [
        b"garbage\n",
        b"\0\0\0\n",
        b'{"step": 1}\n',
        b"[" * 100_000 + b"\n",
        good.replace(b'"step":1', b'"step":"1"'),
        good.replace(b'"train"', b'"warmup"'),
        good.replace(b"0.5", b"NaN"),
        good.replace(b'"an answer"', b"17"),
        good.replace(b'"an answer"', b'"\\ud800"'),
        good.replace(b'"an answer"', b'"\xff"'),
        good[: len(good) // 2],  # torn, and the file ends
    ]
    files = run_with(tmp_path, b"".join(good + one for one in bad))
    run = open_run(tmp_path)
    assert [sample.step for sample in run.samples()] == [1] * len(bad)
    assert [(one.path, one.number) for one in run.bad_lines] == [
        (files.samples, 2 * number) for number in range(1, len(bad) + 1)
    ]
    assert all(one.reason.startswith("no sample: ") for one in run.bad_lines)
    assert len(run.samples()) == len(bad)
    assert run.bad_count == len(bad)  # a second pass counts none twice


def test_ten_megabytes_are_a_sample_and_a_line_beyond_all_reason_is_not(tmp_path):
    long = "word " * 2_000_000
    files = run_with(tmp_path, recorded(1, long), b"x" * (MAX_LINE + 1) + b"\n", recorded(2))
    found, bad = read(files.samples)
    assert [sample.step for sample in found] == [1, 2]
    assert found[0].completion == long
    assert [one.number for one in bad] == [2]


def test_keys_of_a_newer_recorder_are_no_matter(tmp_path):
    files = run_with(tmp_path, line(recorded(1), mood="good", attempt=1))
    assert read(files.samples) == ([next(iter(open_run(tmp_path).samples()))], [])


def test_what_a_resume_superseded_is_left_out(tmp_path):
    files = write_samples(
        write_run(tmp_path, event(1, loss=1.0)),
        *(line(recorded(step, f"first {step}"), attempt=1) for step in range(1, 6)),
        *(line(recorded(step, f"second {step}"), attempt=2) for step in range(4, 9)),
        *(line(recorded(step, f"third {step}"), attempt=3) for step in (3, 4)),
    )
    info = {"attempts": [{"from_step": 0}, {"from_step": 3}, {"from_step": 2}, "no attempt"][:3]}
    files.run.write_bytes(msgspec.json.encode(info))
    assert [sample.completion for sample in RecordedRun(files).samples()] == [
        "first 1",
        "first 2",
        "third 3",
        "third 4",
    ]


@pytest.mark.parametrize("attempts", [None, 5, ["x", {"from_step": "y"}], [{}, {}]])
def test_a_run_json_that_says_nothing_of_attempts_costs_no_sample(tmp_path, attempts):
    files = run_with(tmp_path, line(recorded(0), attempt=1), line(recorded(0), attempt=7))
    files.run.write_bytes(msgspec.json.encode({"attempts": attempts}))
    assert len(RecordedRun(files).samples()) == 2


def test_samples_of_a_live_run_are_found_as_they_come(tmp_path):
    files = run_with(tmp_path, recorded(1))
    samples = RecordedRun(files).samples()
    assert len(samples) == 1
    with files.samples.open("ab") as file:
        file.write(line(recorded(2)))
    assert [sample.step for sample in samples] == [1, 2]


def test_a_file_that_is_gone_is_told(tmp_path):
    files = run_with(tmp_path, recorded(1))
    run = RecordedRun(files)
    samples = run.samples()
    os.unlink(files.samples)
    assert list(samples) == []
    assert "unreadable file" in run.bad_lines[0].reason


@given(data=st.binary(max_size=300))
def test_any_bytes_are_samples_or_told(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any") / "x_samples.jsonl"
    path.write_bytes(data)
    found, bad = read(path)
    assert len(found) + len(bad) == sum(1 for one in data.split(b"\n") if one.strip(b" \t\n\r\x0b\x0c"))


@given(cut=st.integers(0, 200), sample=st.text(max_size=30))
def test_a_line_cut_at_any_byte_costs_only_itself(tmp_path_factory, cut, sample):
    whole = line(recorded(1, sample))
    path = tmp_path_factory.mktemp("cut") / "x_samples.jsonl"
    path.write_bytes(whole + whole[: min(cut, len(whole) - 2)])
    found, bad = read(path)
    assert [one.completion for one in found] == [sample]
    assert len(bad) == (cut > 0)
