"""Hostile files, byte by byte: pickles, zips and headers that ask for more than their bytes justify."""

import io
import json
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROTOCOL = b"\x80\x02"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQ"


def zipped(pickled: bytes, parts: dict[str, bytes] | None = None) -> bytes:
    """A file of torch.save around a pickle, with one storage of four bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a/data.pkl", pickled)
        for name, content in ({"a/byteorder": b"little", "a/data/0": bytes(4)} | (parts or {})).items():
            archive.writestr(name, content)
    return out.getvalue()


def header(tensors: Any, size: int = 0) -> bytes:
    """A safetensors file with this header and as many zeros behind it."""
    text = tensors if isinstance(tensors, bytes) else json.dumps(tensors).encode()
    return len(text).to_bytes(8, "little") + text + bytes(size)


def _many_tensors() -> bytes:
    """Each of 600,000 moments of one parameter is another tensor of one element."""
    kept = REBUILD + b"q\x000" + STORAGE + b"q\x010" + b"K\x01\x85q\x020"
    each = (b"J" + struct.pack("<i", at) + b"h\x00(h\x01K\x00h\x02h\x02tR" for at in range(600_000))
    return PROTOCOL + kept + state(b"}(" + b"".join(each) + b"u")


def state(moments: bytes) -> bytes:
    """An optimizer whose only parameter holds this dict."""
    groups = b"]}(X\x06\x00\x00\x00params]K\x00aX\x02\x00\x00\x00lrG?PbM\xd2\xf1\xa9\xfcua"
    return b"}(X\x05\x00\x00\x00state}K\x00" + moments + b"sX\x0c\x00\x00\x00param_groups" + groups + b"u."


def _extents() -> bytes:
    """A tensor with three million extents of 2^38."""
    extents = b"\x8a\x05" + (1 << 38).to_bytes(5, "little") + b"q\x00" + b"h\x00" * 3_000_000
    return PROTOCOL + REBUILD + b"(" + STORAGE + b"K\x00(" + extents + b"ttR."


def _laughs() -> bytes:
    """One dict of moments, 60,000 of it: parameters that share what they hold."""
    inner = b"}(" + b"".join(b"X\x04\x00\x00\x00" + b"%04dK\x01" % at for at in range(2000)) + b"u"
    parameters = b"".join(b"J" + struct.pack("<i", at) + b"h\x00" for at in range(60_000))
    groups = b"]}X\x06\x00\x00\x00params](K\x00K\x01K\x02esa"
    shared = b"}X\x01\x00\x00\x00x" + inner + b"q\x00s(" + parameters + b"u"
    return PROTOCOL + b"}(X\x05\x00\x00\x00state" + shared + b"X\x0c\x00\x00\x00param_groups" + groups + b"u."


def _groups() -> bytes:
    """A million groups that are one, with a million parameters."""
    one = b"}X\x06\x00\x00\x00params](" + b"K\x01" * 1_000_000 + b"esq\x00"
    return (
        PROTOCOL
        + b"}(X\x05\x00\x00\x00state}X\x0c\x00\x00\x00param_groups]("
        + one
        + b"h\x00" * 90_000
        + b"eu."
    )


PICKLES: dict[str, Callable[[], bytes]] = {
    "a tuple nested two million deep as a key": lambda: PROTOCOL + b"})" + b"\x85" * 2_000_000 + b"K\x01s.",
    "a list nested two million deep": lambda: PROTOCOL + b"]" * 2_000_000 + b"a" * 1_999_999 + b".",
    "a bytearray of 12 GiB": lambda: b"\x80\x05\x96" + struct.pack("<Q", 12 << 30) + b".",
    "bytes of eight exabytes": lambda: b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f.",
    "a long of 2 GiB": lambda: PROTOCOL + b"\x8b\xff\xff\xff\x7f.",
    "a memo index of four thousand millions": lambda: PROTOCOL + b"}r\xff\xff\xff\xff.",
    "three million extents": _extents,
    "a tensor for each of 600,000 parameters": _many_tensors,
    "parameters that share two thousand moments": _laughs,
    "groups that share a million parameters": _groups,
    "16 MB of dicts": lambda: PROTOCOL + b"}" * 15_900_000 + b".",
    "16 MB of lists in the memo": lambda: PROTOCOL + b"]\x94" * 7_900_000 + b".",
    "BUILD on a function of torch": lambda: (
        PROTOCOL + REBUILD + b"(N}X\x0c\x00\x00\x00__defaults__(K\x07tstb."
    ),
    "BUILD on OrderedDict": lambda: (
        PROTOCOL + b"ccollections\nOrderedDict\n(N}X\x0c\x00\x00\x00__defaults__(K\x07tstb."
    ),
    "os.system": lambda: PROTOCOL + b"cos\nsystem\nX\x04\x00\x00\x00exit\x85R.",
    "os.system in the way of protocol 0": lambda: b"(S'exit'\nios\nsystem\n.",
}
"""Pickles of an optimizer.pt."""


def _zip_of_many() -> bytes:
    return zipped(b"N.", {f"a/data/{at}": b"" for at in range(1, 30_000)})


def _overlapping() -> bytes:
    """The directory lists one part of 8 MB under 2,000 names."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a/data.pkl", b"N.")
        archive.writestr("a/byteorder", bytes(8_000_000))
        info = archive.getinfo("a/byteorder")
        archive.filelist.extend([info] * 2000)
    return out.getvalue()


def _bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(200_000_000))
    return out.getvalue()


def _twice() -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("a/data.pkl", b"N.")
        archive.writestr("a/data.pkl", b"}.")
    return out.getvalue()


ZIPS: dict[str, Callable[[], bytes]] = {
    "30,000 parts": _zip_of_many,
    "2,000 parts over the same 8 MB": _overlapping,
    "a part that unpacks to 200 MB": _bomb,
    "two pickles": _twice,
}
"""Zips of an optimizer.pt."""


def tensor(begin: int, end: int, dtype: str = "U8", shape: list[int] | None = None) -> dict[str, Any]:
    """A tensor of a header."""
    shape = [end - begin] if shape is None else shape
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


WEIGHTS: dict[str, tuple[Callable[[], bytes], int]] = {
    "3,000 tensors over the same GB": (
        lambda: header({f"t{at}": tensor(0, 1 << 30) for at in range(3000)}),
        1 << 30,
    ),
    "3,000 tensors over the same GB, cut short": (
        lambda: header({"z": tensor(0, 1 << 40)} | {f"t{at}": tensor(0, 1 << 30) for at in range(3000)}),
        1 << 30,
    ),
    "100,000 tensors without bytes": (
        lambda: header({f"layers.{at}.m": tensor(0, 0) for at in range(100_000)}),
        0,
    ),
    "two million extents": (
        lambda: header(b'{"a":{"dtype":"F32","shape":[0' + b",0" * 2_000_000 + b'],"data_offsets":[0,0]}}'),
        0,
    ),
    "a name of 15 MB of dots": (lambda: header({"a." * 7_500_000 + "weight": tensor(0, 4)}), 4),
    "a header of nothing but brackets": (lambda: header(b"[" * 15_000_000), 0),
}
"""model.safetensors, and zeros that follow it: a hole in the file."""


def _names_of_dots() -> bytes:
    """Fifteen modules with a million dots each."""
    names = [f"{at}" + ".a" * 400_000 + ".lora_A.weight" for at in range(15)]
    return header({name: tensor(4 * at, 4 * at + 4, "F32", [1, 1]) for at, name in enumerate(names)}, 60)


def _first_all_a() -> tuple[bytes, int]:
    """A thousand lora_A of 16 million elements, of which no lora_B is there: a hole of 16 GB."""
    size = 1 << 24
    return header(
        {
            f"m{i}.lora_A.weight": tensor(i * size, i * size + size, "F8_E4M3", [64, size // 64])
            for i in range(60)
        }
    ), 60 * size


ADAPTERS: dict[str, Callable[[], tuple[bytes, int]]] = {
    "names of 400,000 dots": lambda: (_names_of_dots(), 0),
    "matrices that wait for their pair": _first_all_a,
}
"""adapter_model.safetensors, and zeros that follow it."""

TEXTS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a state of empty records": (
        "trainer_state.json",
        lambda: b'{"log_history":[{}' + b",{}" * 20_000_000 + b"]}",
    ),
    "a state whose step is a list": (
        "trainer_state.json",
        lambda: b'{"global_step":[0' + b",[]" * 20_000_000 + b"]}",
    ),
    "a state of 300 MB of zeros": ("trainer_state.json", lambda: bytes(300_000_000)),
    "a path of 50 MB": (
        "trainer_state.json",
        lambda: b'{"best_model_checkpoint":"' + b"/a" * 25_000_000 + b'"}',
    ),
    "a configuration of empty lists": ("config.json", lambda: b'{"a":[[]' + b",[]" * 5_000_000 + b"]}"),
    "a configuration of empty lists and NaN": (
        "config.json",
        lambda: b'{"a":[NaN' + b",[]" * 5_000_000 + b"]}",
    ),
    "a configuration of brackets": ("config.json", lambda: b"[" * 3_000_000),
    "architectures nested deeply": (
        "config.json",
        lambda: b'{"architectures":[' + b"[" * 900 + b"]" * 900 + b"]}",
    ),
    "a tokenizer of empty lists": (
        "tokenizer.json",
        lambda: b'{"model":{"vocab":[[]' + b",[]" * 12_000_000 + b"]}}",
    ),
    "a tokenizer of pairs": (
        "tokenizer.json",
        lambda: b'{"model":{"vocab":[["",0]' + b',["",0]' * 5_000_000 + b"]}}",
    ),
    "steps beyond a double": (
        "trainer_state.json",
        lambda: b'{"log_history":[{"step":1.7e308,"learning_rate":1},{"step":-1.7e308,"learning_rate":1}]}',
    ),
}
"""Name of a JSON file beside healthy weights, and what it holds."""


def write(folder: Path, name: str, content: bytes, hole: int = 0) -> None:
    """A file, and a hole behind it."""
    with (folder / name).open("wb") as file:
        file.write(content)
        file.truncate(len(content) + hole)
