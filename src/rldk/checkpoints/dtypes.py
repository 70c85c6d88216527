"""Converts the bytes of tensors to float32, as numpy has no bfloat16 and no fp8.

Invariant: a value that float32 can hold is exact; NaN stays NaN, and an infinity stays one.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

__all__ = ["FLOATS", "WIDTH", "into_float32"]

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]


def _e4m3(code: int) -> float:
    """OCP OFP8 E4M3 ("FN"): bias 7, no infinities, NaN where all bits below the sign are set."""
    sign, exponent, mantissa = 1 - 2 * (code >> 7), (code >> 3) & 15, code & 7
    if code & 0x7F == 0x7F:
        return float("nan")
    if exponent == 0:
        return float(sign * mantissa / 8 * 2.0**-6)
    return float(sign * (1 + mantissa / 8) * 2.0 ** (exponent - 7))


_E4M3 = np.array([_e4m3(code) for code in range(256)], np.float32)
# OCP OFP8 E5M2 is the upper byte of a float16, by the same specification.
_E5M2 = (np.arange(256, dtype=np.uint16) << 8).view(np.float16).astype(np.float32)


def _bf16(raw: Bytes, out: Floats) -> None:
    bits = out.view(np.uint32)
    bits[...] = raw.view(np.uint16)  # a bfloat16 is the upper half of a float32
    np.left_shift(bits, 16, out=bits)


def _plain(dtype: str) -> Callable[[Bytes, Floats], None]:
    def decode(raw: Bytes, out: Floats) -> None:
        # a float64 beyond float32 becomes infinite; a signalling NaN becomes a quiet one
        with np.errstate(over="ignore", invalid="ignore"):
            np.copyto(out, raw.view(dtype), casting="same_kind")

    return decode


def _table(values: Floats) -> Callable[[Bytes, Floats], None]:
    def decode(raw: Bytes, out: Floats) -> None:
        np.take(values, raw, out=out, mode="clip")  # a mode other than "raise" needs no copy

    return decode


FLOATS: Mapping[str, Callable[[Bytes, Floats], None]] = {
    "F64": _plain("<f8"),
    "F32": _plain("<f4"),
    "F16": _plain("<f2"),
    "BF16": _bf16,
    "F8_E4M3": _table(_E4M3),
    "F8_E5M2": _table(_E5M2),
}
"""Dtype, as safetensors names it -> the function that fills float32 with its bytes."""
WIDTH: Mapping[str, int] = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1}
"""Bytes of an element."""


def into_float32(dtype: str, raw: Bytes, out: Floats) -> Floats:
    """Write the elements of `raw` to the beginning of `out`."""
    view = out[: raw.size // WIDTH[dtype]]
    FLOATS[dtype](raw, view)
    return view
