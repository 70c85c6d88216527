"""Files of torch.save: read as torch reads them, and harmless whatever they hold."""

import io
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rldk.checkpoints.pickles import TensorStandIn
from rldk.checkpoints.safe_open import UnreadableError
from rldk.checkpoints.scan import Scanner
from rldk.checkpoints.torch_file import TorchFile, open_torch


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("torch") / "file.pt"


def read(path: Path) -> TorchFile:
    fd = os.open(path, os.O_RDONLY)
    try:
        return open_torch(fd)
    finally:
        os.close(fd)


def values(path: Path, file: TorchFile, tensor: TensorStandIn):
    fd = os.open(path, os.O_RDONLY)
    try:
        return Scanner().load(fd, file.entry(tensor))
    finally:
        os.close(fd)


def zipped(path: Path, pickled: bytes, **options) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr("a/data.pkl", pickled)
        archive.writestr("a/byteorder", "little")
    return path


def test_tensors_are_where_torch_put_them(scratch):
    shared = torch.randn(10, 4)
    content = {
        "plain": shared[2:5],
        "half": torch.randn(3).bfloat16(),
        "parameter": torch.nn.Parameter(torch.randn(2, 2)),
        "list": [1, 2.5, "x", None, True, (3,)],
        "ordered": OrderedDict(a=1),
        "eighth": torch.randn(5).to(torch.float8_e4m3fn),
    }
    torch.save(content, scratch)
    file = read(scratch)
    told = file.content
    assert told["list"] == content["list"]
    assert told["ordered"] == {"a": 1}
    for name in ("plain", "half", "parameter", "eighth"):
        got = torch.from_numpy(values(scratch, file, told[name]))
        assert torch.equal(got, content[name].detach().float().reshape(-1)), name


class Harm:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_what_a_pickle_asks_for_is_not_done(scratch, tmp_path):
    harm = tmp_path / "harm"
    zipped(scratch, pickle.dumps({"state": Harm(harm), "other": torch.optim.SGD, "n": 1}))
    assert read(scratch).content["n"] == 1
    assert not harm.exists()


@pytest.mark.parametrize(
    "pickled",
    [
        b"",
        b"\x80\x02.",
        b"garbage",
        b"\x80\x02}r\xff\xff\xff\x7f.",  # a memo index of two thousand millions
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",  # bytes of eight exabytes
        b"(" * 10_000 + b".",
        b"\x80\x02" + b"](" * 5_000 + b".",
        b"I" + b"9" * 100_000 + b"\n.",
        pickle.dumps({"a": 1})[:-2],
    ],
)
def test_a_hostile_pickle_is_told_in_words_or_read(scratch, pickled):
    try:
        read(zipped(scratch, pickled))
    except UnreadableError as error:
        assert error.damaged or "torch does not write" in str(error)
        assert "pickle" in str(error)


def test_compressed_parts_are_not_unpacked(scratch):
    zipped(scratch, pickle.dumps(bytes(1_000_000)), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(UnreadableError, match="compressed") as caught:
        read(scratch)
    assert not caught.value.damaged


def test_the_old_format_is_told_apart_from_damage(scratch):
    torch.save({"a": torch.ones(2)}, scratch, _use_new_zipfile_serialization=False)
    with pytest.raises(UnreadableError, match=r"before torch 1\.6") as caught:
        read(scratch)
    assert not caught.value.damaged


def _saved() -> bytes:
    buffer = io.BytesIO()
    state = {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(40)}}
    torch.save({"state": state, "param_groups": [{"lr": 0.1, "params": [0]}]}, buffer)
    return buffer.getvalue()


WHOLE = _saved()


@given(st.integers(0, len(WHOLE) - 1))
def test_cut_at_any_byte_it_is_never_called_whole(scratch, end):
    scratch.write_bytes(WHOLE[:end])
    with pytest.raises(UnreadableError) as caught:
        read(scratch)
    assert caught.value.damaged


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_with_any_byte_flipped_nothing_else_is_raised(scratch, at, flip):
    content = bytearray(WHOLE)
    content[at] ^= flip
    scratch.write_bytes(content)
    try:
        file = read(scratch)
    except UnreadableError:
        return
    assert all(begin + length <= len(content) for begin, length in file.storages.values())
