"""The parser of safetensors headers against the library, and against files that are not whole."""

import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open

from checkpoints.files import file_bytes, matrix
from rldk.checkpoints.safetensors import MAX_EXAMINED, Header, read_header

WHOLE = file_bytes({"a.weight": matrix(), "b.bias": matrix(3, 1), "c": np.arange(4)})
HEADER = 8 + int.from_bytes(WHOLE[:8], "little")


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("headers") / "model.safetensors"


def parsed(path, content) -> Header:
    path.write_bytes(content)
    fd = os.open(path, os.O_RDONLY)
    try:
        return read_header(fd, len(content))
    finally:
        os.close(fd)


def library_takes(path) -> bool:
    try:
        with safe_open(path, "np") as file:
            list(file.keys())
    except (SafetensorError, OSError):
        return False
    return True


def test_a_whole_file_is_whole(scratch):
    header = parsed(scratch, WHOLE)
    assert header.fault is None
    assert [(one.name, one.dtype, one.shape) for one in header.entries] == [
        ("a.weight", "F32", (8, 6)),
        ("b.bias", "F32", (3, 1)),
        ("c", "I64", (4,)),
    ]
    assert header.entries[-1].end == len(WHOLE)


def test_cut_at_any_byte_it_is_never_called_whole(scratch):
    for end in range(len(WHOLE)):
        header = parsed(scratch, WHOLE[:end])
        assert header.fault is not None, end
        assert all(entry.end <= end for entry in header.entries)


@given(st.integers(0, HEADER - 1), st.integers(1, 255))
def test_with_any_byte_of_the_header_flipped_it_is_whole_only_if_the_library_takes_it(scratch, at, flip):
    content = bytearray(WHOLE)
    content[at] ^= flip
    header = parsed(scratch, bytes(content))
    assert all(HEADER <= entry.start <= entry.end <= len(content) for entry in header.entries)
    if library_takes(scratch):
        assert header.fault is None
    elif header.fault is None:  # what the library refuses besides: names and dtypes of its own
        assert sum(entry.end - entry.start for entry in header.entries) == len(content) - HEADER


@given(st.binary(max_size=300))
def test_any_bytes_give_an_answer(scratch, content):
    assert parsed(scratch, content).fault is not None


@given(st.binary(max_size=200))
def test_any_json_like_header_gives_an_answer(scratch, text):
    parsed(scratch, len(text).to_bytes(8, "little") + text + bytes(16))


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"a": ("F32", [3], b"\0" * 8)}, "8 bytes, but F32 [3]"),
        ({"a": ("F32", [-1, -2], b"\0" * 8)}, "negative shape"),
        ({"a": ("F32", [1 << 40] * 9, b"\0" * 8)}, "bytes, but F32"),
    ],
)
def test_a_tensor_that_cannot_be_is_named(scratch, tensors, words):
    assert words in parsed(scratch, file_bytes(tensors)).fault


def test_a_gap_and_an_overlap_are_named(scratch):
    for old, new in ((b"[192, 204]", b"[193, 205]"), (b"[192, 204]", b"[191, 203]")):
        assert old in WHOLE
        assert "do not follow" in parsed(scratch, WHOLE.replace(old, new)).fault


@pytest.mark.parametrize("end", [0, -4])
def test_of_tensors_that_share_bytes_none_is_read(scratch, end):
    once = {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}
    text = json.dumps({str(at): once for at in range(9)}).encode()
    content = len(text).to_bytes(8, "little") + text + bytes(4 + end)
    header = parsed(scratch, content)
    assert "do not follow" in header.fault
    assert header.entries == []


def test_a_large_header_is_not_read(scratch):
    scratch.write_bytes((MAX_EXAMINED + 1).to_bytes(8, "little"))
    os.truncate(scratch, MAX_EXAMINED + 100)
    fd = os.open(scratch, os.O_RDONLY)
    header = read_header(fd, MAX_EXAMINED + 100)
    os.close(fd)
    assert header.fault is None
    assert "too large" in header.unread


def test_a_dtype_of_the_future_is_no_fault(scratch):
    header = parsed(scratch, file_bytes({"a": ("F3_E1M1", [3], b"\0" * 8)}))
    assert header.fault is None
    assert header.entries[0].dtype == "F3_E1M1"
