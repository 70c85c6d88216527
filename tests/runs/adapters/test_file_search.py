"""Searching a file for its first record: also where the file is cut, and the record lies across blocks."""

import gzip
import random
import re

import pytest

from rldk import open_run
from rldk.runs.adapters import file_search
from rldk.runs.adapters.base import Probe
from rldk.runs.adapters.file_search import contains

NEEDLE = re.compile(rb"needle:\d+!")
RECORD = "{'loss': 0.5, 'grad_norm': 0.1, 'epoch': 0.1}\n"


def noise(lines):
    """Output that packs badly, so that a cut file is long."""
    chance = random.Random(0)
    return "".join(f"noise {chance.randbytes(30).hex()}\n" for _ in range(lines))


def written(tmp_path, data):
    path = tmp_path / "train.log"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("at", [0, 8_190, (1 << 17) - 3, (1 << 20) - 4, 3 << 20])
def test_a_record_is_found_wherever_it_lies(tmp_path, packed, at):
    data = b"x" * at + b"needle:12!" + b"y" * 100
    path = written(tmp_path, gzip.compress(data) if packed else data)
    assert contains(Probe(path), NEEDLE)
    assert not contains(Probe(path), re.compile(b"pin"))


def test_no_more_is_read_than_was_said(tmp_path, monkeypatch):
    monkeypatch.setattr(file_search, "SCAN_BYTES", 1 << 20)
    assert not contains(Probe(written(tmp_path, b"x" * (3 << 20) + b"needle:1!")), NEEDLE)


@pytest.mark.parametrize("kept", [10, 1_000])
def test_the_only_record_before_the_cut_of_a_gzip_file_is_found(tmp_path, kept):
    whole = gzip.compress((noise(3_000) + RECORD + noise(200)).encode())
    before = len(gzip.compress((noise(3_000) + RECORD).encode()))
    path = written(tmp_path, whole[: before + kept])
    run = open_run(path)
    assert run.format == "console"
    assert [one.metrics["loss"] for one in run] == [0.5]
    assert "cut short" in run.bad_lines[0].reason
