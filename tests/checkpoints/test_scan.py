"""Measuring tensors: every dtype against torch, and chunks that add up."""

import math
import os
import zlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from checkpoints.files import file_bytes
from rldk.checkpoints.safetensors import read_header
from rldk.checkpoints.scan import CHUNK, CutShortError, Scanner

FLOATS = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}
SIZES = [0, 1, 7, CHUNK - 1, CHUNK, 2 * CHUNK + 3]


def opened(path, size=None):
    fd = os.open(path, os.O_RDONLY)
    return fd, read_header(fd, size or path.stat().st_size).entries


def pair(tmp_path, before, after):
    for name, tensor in (("old", before), ("new", after)):
        save_file({"w": tensor}, tmp_path / name)
    return opened(tmp_path / "old"), opened(tmp_path / "new")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", FLOATS)
def test_every_dtype_is_measured_as_torch_would(tmp_path, dtype, size):
    rng = torch.Generator().manual_seed(size)
    before = torch.randn(size, generator=rng).to(FLOATS[dtype])
    after = before.clone()
    after[::3] = torch.randn(size, generator=rng).to(FLOATS[dtype])[::3]
    (old, (entry_old,)), (new, (entry,)) = pair(tmp_path, before, after)
    assert entry.dtype == dtype
    found = Scanner().measure(new, entry, (old, entry_old))
    a, b = after.double(), before.double()
    assert found.squares == pytest.approx(float((a * a).sum()), rel=1e-4)
    assert found.moved == pytest.approx(float(((a - b) ** 2).sum()), rel=1e-4)
    bits, bits_before = after.view(torch.uint8).numpy(), before.view(torch.uint8).numpy()
    differ = (bits != bits_before).reshape(size, -1).any(axis=1) if size else bits
    assert found.changed == int(differ.sum())  # 0.0 and -0.0 differ
    assert found.crc == zlib.crc32(bits.tobytes())
    assert (found.nan, found.inf) == (0, 0)


@pytest.mark.parametrize("dtype", FLOATS)
def test_nan_and_infinities_are_counted_and_left_out_of_the_norm(tmp_path, dtype):
    values = torch.ones(CHUNK + 5)
    values[3] = values[CHUNK + 1] = math.nan
    values[7] = values[CHUNK + 2] = -math.inf
    values[9] = math.inf
    tensor = values.to(FLOATS[dtype])
    _, (fd, (entry,)) = pair(tmp_path, tensor, tensor)
    found = Scanner().measure(fd, entry)
    floats = tensor.double()  # E4M3 has no infinities: torch saturates
    assert (found.nan, found.inf) == (2, int(torch.isinf(floats).sum()))
    assert found.lowest == int(torch.isneginf(floats).sum())
    finite = floats[torch.isfinite(floats)]
    assert found.squares == pytest.approx(float((finite * finite).sum()), rel=1e-4)


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "BF16", "F16"])
def test_every_code_is_decoded_as_torch_does(tmp_path, dtype):
    count = 256 if dtype.startswith("F8") else 1 << 16
    codes = np.arange(count, dtype=np.uint8 if count == 256 else np.uint16)
    path = tmp_path / "codes"
    path.write_bytes(file_bytes({"w": (dtype, [count], codes.tobytes())}))
    fd, (entry,) = opened(path)
    ours = Scanner().load(fd, entry)
    theirs = torch.from_numpy(codes).view(FLOATS[dtype]).float().numpy()
    np.testing.assert_array_equal(ours, theirs)


def test_squares_beyond_float32_are_no_infinities(tmp_path):
    tensor = torch.full((10,), 1e30)
    _, (fd, (entry,)) = pair(tmp_path, tensor, tensor)
    found = Scanner().measure(fd, entry)
    assert (found.nan, found.inf) == (0, 0)
    assert found.squares == pytest.approx(1e61, rel=1e-3)


def test_integers_are_compared_and_have_no_norm(tmp_path):
    before = torch.arange(CHUNK + 9)
    after = before.clone()
    after[-2:] = 0
    (old, (entry_old,)), (new, (entry,)) = pair(tmp_path, before, after)
    found = Scanner().measure(new, entry, (old, entry_old))
    assert (found.changed, found.squares, found.moved) == (2, None, None)


@pytest.mark.parametrize(
    ("dtype", "elements", "changed"),
    [("NEW_96", 5, None), ("F4", 120, None), ("F6_E2M3", 80, None), ("NEW_16", 30, 3), ("NEW_8", 60, 4)],
)
def test_elements_of_a_dtype_that_is_not_known_are_counted_if_numpy_has_their_size(
    tmp_path, dtype, elements, changed
):
    after = bytearray(60)
    after[0] = after[20] = after[21] = after[50] = 1
    for name, raw in (("old", bytes(60)), ("new", bytes(after))):
        (tmp_path / name).write_bytes(file_bytes({"w": (dtype, [elements], raw)}))
    (old, (entry_old,)), (new, (entry,)) = opened(tmp_path / "old"), opened(tmp_path / "new")
    assert Scanner().measure(new, entry, (old, entry_old)).changed == changed
    assert Scanner().measure(old, entry_old, (old, entry_old)).changed == 0


def test_a_file_that_shrinks_while_it_is_read_is_told(tmp_path):
    tensor = torch.ones(3 * CHUNK)
    _, (fd, (entry,)) = pair(tmp_path, tensor, tensor)
    os.truncate(tmp_path / "new", CHUNK * 6)
    with pytest.raises(CutShortError):
        Scanner().measure(fd, entry)
