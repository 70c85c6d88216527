"""Files of `torch.save`, read without torch and without running what their pickle says.

Owns the stand-ins for tensors. Invariant: of a pickle only containers, numbers and texts are built;
everything else that it names becomes a stand-in that does nothing, and the bytes of tensors stay on disk.

The format is that of torch/serialization.py: an uncompressed zip with `*/data.pkl`, whose persistent ids
`("storage", type, key, location, elements)` name the files `*/data/{key}`, and with `*/byteorder`.
"""

import io
import os
import pickle
import struct
import zipfile
from typing import Any, NamedTuple

from rldk.checkpoints.safetensors import BITS, Entry

__all__ = ["TensorStandIn", "TorchFile", "UnreadableError", "open_torch"]

MAX_PICKLE = 16_000_000
"""Bytes of `data.pkl`, about 220 a parameter of an Adam; a larger one would hold the interpreter too long."""
MAX_AT_ONCE = 64_000_000
"""Bytes that the directory of the zip may take."""
_STORAGES = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
    "UntypedStorage": "U8",
}
_DTYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}


class UnreadableError(Exception):
    """The file cannot be examined; `args[0]` says why, in words.

    Args:
        words: why.
        damaged: it is broken, and not only of a kind that is not known here.
    """

    def __init__(self, words: str, *, damaged: bool) -> None:
        super().__init__(words)
        self.damaged = damaged


class TensorStandIn(NamedTuple):
    """Where a tensor's bytes are."""

    key: str
    """Of its storage."""
    dtype: str
    """In the words of safetensors."""
    offset: int
    """Elements before its first in the storage."""
    elements: int


class TorchFile(NamedTuple):
    """What a file holds."""

    content: Any
    """Containers, numbers, texts, and stand-ins."""
    storages: dict[str, tuple[int, int]]
    """Key of a storage -> offset of its bytes in the file, and how many they are."""

    def entry(self, tensor: TensorStandIn) -> Entry | None:
        """The bytes of a tensor whose elements lie side by side; None where the file lacks them."""
        begin, size = self.storages.get(tensor.key, (0, -1))
        width = BITS[tensor.dtype] // 8
        start, length = tensor.offset * width, tensor.elements * width
        if start < 0 or length < 0 or start + length > size:
            return None
        first = begin + start
        return Entry(tensor.key, tensor.dtype, (tensor.elements,), tensor.elements, first, first + length)


def open_torch(fd: int) -> TorchFile:
    """Read an open file, all but the bytes of its tensors.

    Raises:
        UnreadableError: it cannot be examined.
        OSError: the disk cannot read it.
    """
    if os.pread(fd, 2, 0) != b"PK":
        # before torch 1.6: a bare pickle, which begins with its protocol
        old = os.pread(fd, 1, 0) == b"\x80"
        words = "it is in the format before torch 1.6" if old else "it is no file of torch.save"
        raise UnreadableError(words, damaged=not old)
    try:
        with zipfile.ZipFile(_Bounded(fd)) as archive:
            return _read(fd, archive)
    except UnreadableError:
        raise
    except zipfile.BadZipFile as error:
        raise UnreadableError(f"cut short, or no zip ({error})"[:200], damaged=True) from None
    except OSError:
        raise
    except Exception as error:  # a pickle can raise anything
        words = f"its pickle cannot be read ({type(error).__name__}: {error})"[:200]
        raise UnreadableError(words, damaged=True) from None


def _read(fd: int, archive: zipfile.ZipFile) -> TorchFile:
    size = os.fstat(fd).st_size
    root, pickled, storages = None, None, {}
    for info in archive.infolist():
        if info.compress_type != zipfile.ZIP_STORED:
            raise UnreadableError("its parts are compressed, which torch does not do", damaged=False)
        folder, _, name = info.filename.partition("/")
        if name == "data.pkl":
            root, pickled = folder, info
        elif name == "byteorder" and archive.read(info)[:8] == b"big":
            raise UnreadableError("its numbers are big-endian", damaged=False)
        elif name.startswith("data/"):
            storages[name.removeprefix("data/")] = info
    if pickled is None or root is None:
        raise UnreadableError("its data.pkl is missing", damaged=True)
    if pickled.file_size > MAX_PICKLE:
        words = f"its pickle of {pickled.file_size:,} bytes is too large to examine"
        raise UnreadableError(words, damaged=False)
    content = _Unpickler(io.BytesIO(archive.read(pickled))).load()
    places = {key: (_begin(fd, info), info.file_size) for key, info in storages.items()}
    if any(begin + length > size for begin, length in places.values()):
        raise UnreadableError("cut short: a tensor ends behind the end of the file", damaged=True)
    return TorchFile(content, places)


def _begin(fd: int, info: zipfile.ZipInfo) -> int:
    """Offset of a part's bytes: behind its local header (APPNOTE 4.3.7), whose padding aligns them."""
    raw = os.pread(fd, 30, info.header_offset)
    if len(raw) < 30 or raw[:4] != b"PK\x03\x04":
        raise UnreadableError("cut short, or its parts are not where its directory says", damaged=True)
    name, extra = struct.unpack("<HH", raw[26:30])
    return int(info.header_offset + 30 + name + extra)


class _Bounded(io.RawIOBase):
    """A file as `zipfile` reads it, in pieces of a bounded size.

    The descriptor stays open when this is closed.
    """

    def __init__(self, fd: int) -> None:
        self._fd, self._size, self._at = fd, os.fstat(fd).st_size, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max((0, self._at, self._size)[whence] + offset, 0)
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = max(self._size - self._at, 0)
        size = left if size is None or size < 0 else min(size, left)
        if size > MAX_AT_ONCE:
            raise UnreadableError("the directory of its zip is too large to examine", damaged=False)
        raw = os.pread(self._fd, size, self._at)
        self._at += len(raw)
        return raw


class _StandIn:
    """Whatever a pickle names that is not needed; it takes every argument and does nothing."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, item: Any) -> None:
        pass

    def extend(self, items: Any) -> None:
        pass


class _Named(_StandIn):
    """A dtype, or a type of storage: only its name counts."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype


class _Storage(NamedTuple):
    key: str
    dtype: str


def _tensor(storage: Any, offset: Any = 0, size: Any = (), *rest: Any) -> Any:
    """What `torch._utils._rebuild_tensor_v2` and `_v3` would build; the latter's last argument is a dtype."""
    if not isinstance(storage, _Storage) or not isinstance(offset, int) or not isinstance(size, tuple):
        return _StandIn()
    elements = 1
    for extent in size:
        elements *= extent if isinstance(extent, int) and 0 <= extent < 1 << 40 else 0
    told = rest[-1] if rest and isinstance(rest[-1], _Named) else storage
    return TensorStandIn(storage.key, told.dtype, offset, min(elements, 1 << 62))


def _parameter(data: Any = None, *_: Any) -> Any:
    return data


def _ordered(items: Any = ()) -> dict[Any, Any]:
    return dict(items)


_KNOWN = {
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("collections", "OrderedDict"): _ordered,
}


# In Python and not in C, whose memo makes room for any index that a pickle names: gigabytes.
class _Unpickler(pickle._Unpickler):  # noqa: SLF001
    def find_class(self, module: str, name: str) -> Any:
        if (known := _KNOWN.get((module, name))) is not None:
            return known
        if module in ("torch", "torch.storage") and name in _STORAGES:
            return _Named(_STORAGES[name])
        if module == "torch" and name in _DTYPES:
            return _Named(_DTYPES[name])
        return _StandIn

    def persistent_load(self, pid: Any) -> Any:
        if isinstance(pid, tuple) and len(pid) >= 3 and pid[0] == "storage" and isinstance(pid[1], _Named):
            return _Storage(str(pid[2]), pid[1].dtype)
        return _StandIn()
