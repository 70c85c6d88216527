"""Small safetensors files and checkpoint folders, written byte by byte."""

import json
from pathlib import Path
from typing import Any

import numpy as np

_DTYPES = {"float32": "F32", "float64": "F64", "float16": "F16", "int64": "I64", "uint8": "U8"}


def file_bytes(tensors: dict[str, Any], **meta: str) -> bytes:
    """A safetensors file of arrays; (dtype, shape, bytes) says what numpy cannot."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **meta}}
    body = b""
    for name, array in tensors.items():
        dtype, shape, raw = array if isinstance(array, tuple) else _plain(array)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(raw)]}
        body += raw
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def _plain(array: np.ndarray) -> tuple[str, list[int], bytes]:
    return _DTYPES[array.dtype.name], list(array.shape), array.tobytes()


def save(folder: Path, tensors: dict[str, Any], *, step: int | None = None, name: str = "model") -> Path:
    """A folder with one file of weights, and with what says the step."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.safetensors").write_bytes(file_bytes(tensors))
    if step is not None:
        log = [{"step": at, "learning_rate": 1e-3} for at in range(1, step + 1)]
        state = {"global_step": step, "log_history": log, "best_model_checkpoint": None}
        (folder / "trainer_state.json").write_text(json.dumps(state))
    return folder


def matrix(rows: int = 8, columns: int = 6, seed: int = 0) -> np.ndarray:
    """Normal weights."""
    return np.random.default_rng(seed).normal(0, 0.02, (rows, columns)).astype(np.float32)
