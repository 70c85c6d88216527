"""Reads the pickles of `torch.save` with an interpreter of opcodes that calls no function.

Owns the meaning of each opcode, and the limits of a pickle. Invariant: whatever the bytes, it only builds
lists, dicts, tuples, numbers, texts and `TensorStandIn`.

Why not `pickle.Unpickler`: BUILD changes the objects that `find_class` hands out, an opcode allocates the
bytes that it names before it reads them, and the hash of a deeply nested tuple overflows the stack of C.
Here a length is checked against the bytes that follow, a key is a scalar, and an opcode takes constant time
or the time of the items that it removes.

The opcodes are those that Python 3 writes in the protocols 2 to 5, as `pickletools` describes them.
"""

import pickle
import pickletools
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from rldk.checkpoints.safe_open import TimeLimit, UnreadableError

__all__ = ["MAX_OPERATIONS", "TensorStandIn", "read_pickle"]

MAX_OPERATIONS = 8_000_000
"""Opcodes of a pickle; torch writes one in 2.4 bytes. Each may build an object of about 80 bytes."""
MAX_EXTENTS = 64
"""Dimensions of a tensor, as torch limits them."""
MAX_ARGUMENTS = 16
"""Arguments of a function such as `_rebuild_tensor_v2`, which takes 7."""
CHECK_EVERY = 1024
"""Opcodes, and entries of dicts, between two checks of the time."""
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
_TENSORS = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3")


class TensorStandIn(NamedTuple):
    """Where a tensor's bytes are."""

    key: str
    """The key of its storage."""
    dtype: str
    """Its dtype, as safetensors names it."""
    offset: int
    """Elements in the storage before its first one."""
    elements: int
    shape: tuple[int, ...] = ()
    contiguous: bool = True
    """Whether its elements lie in the order of its shape, without gaps or repeats."""


class _Inert:
    """Stands for an object that rldk does not need. It has no attribute to change."""

    __slots__ = ()


class _Type(NamedTuple):
    """A dtype, or a type of storage."""

    dtype: str


class _Storage(NamedTuple):
    key: str
    dtype: str


_OTHER, _TENSOR, _PARAMETER, _ORDERED, _MISSING = _Inert(), _Inert(), _Inert(), _Inert(), _Inert()


def read_pickle(raw: bytes, limit: TimeLimit) -> Any:
    """The content of a pickle; an inert object stands for each object of another kind.

    Raises:
        UnreadableError: it is damaged, or beyond a limit.
    """
    try:
        return _Machine(raw, limit).run()
    except UnreadableError:
        raise
    except (IndexError, struct.error):  # stack, memo or bytes are shorter than an opcode needs
        raise _damaged("an opcode lacks its operands") from None
    except UnicodeDecodeError as error:
        raise _damaged(f"a text is no UTF-8: {error.reason}") from None


def _damaged(why: str) -> UnreadableError:
    return UnreadableError(f"its pickle cannot be read ({why})", damaged=True)


class _Machine:
    """The state of one pickle: its stack, its memo, and the position in its bytes."""

    def __init__(self, raw: bytes, limit: TimeLimit) -> None:
        self.raw = raw
        self.at = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: list[Any] = []
        self._limit = limit
        self._entries = 0

    def run(self) -> Any:
        raw, size, stop = self.raw, len(self.raw), pickle.STOP[0]
        for count in range(MAX_OPERATIONS):
            if count % CHECK_EVERY == 0:
                self._limit.check()
            if self.at >= size:
                raise _damaged("it ends without STOP")
            code = raw[self.at]
            self.at += 1
            operation = _OPERATIONS.get(code)
            if operation is not None:
                operation(self)
            elif code == stop:
                return self.stack[-1]
            else:
                raise _unknown(code)
        words = f"its pickle has more than {MAX_OPERATIONS:,} opcodes: rldk does not examine it"
        raise UnreadableError(words, damaged=False)

    def take(self, count: int) -> bytes:
        """The next bytes.

        Raises:
            UnreadableError: there are fewer.
        """
        begin, self.at = self.at, self.at + count
        if self.at > len(self.raw):
            raise _damaged(f"an opcode names {count:,} bytes, {len(self.raw) - begin:,} are left")
        return self.raw[begin : self.at]

    def take_counted(self, form: struct.Struct) -> bytes:
        """The bytes that follow their count."""
        (count,) = form.unpack_from(self.raw, self.at)
        self.at += form.size
        return self.take(count)

    def take_line(self) -> str:
        end = self.raw.find(b"\n", self.at)
        if end < 0:
            raise _damaged("a name has no end")
        line = self.raw[self.at : end]
        self.at = end + 1
        return line.decode()

    def pop_items(self) -> list[Any]:
        """The items above the last mark."""
        begin = self.marks.pop()
        items = self.stack[begin:]
        del self.stack[begin:]
        return items

    def set_entry(self, target: Any, key: Any, value: Any) -> None:
        """Set an entry of a dict. A state of torch has no keys of other types than these."""
        self._entries += 1
        if self._entries % CHECK_EVERY == 0:  # integers can be chosen so that a dict is slow
            self._limit.check()
        if type(target) is dict and type(key) in _KEYS:
            target[key] = value


_KEYS = (str, int, float, bool, type(None))
_Operation = Callable[[_Machine], None]


def _skip(width: int) -> _Operation:
    def skip(machine: _Machine) -> None:
        machine.take(width)

    return skip


def _constant(value: Any) -> _Operation:
    def push(machine: _Machine) -> None:
        machine.stack.append(value)

    return push


def _number(form: struct.Struct) -> _Operation:
    def push(machine: _Machine) -> None:
        machine.stack.append(form.unpack_from(machine.raw, machine.at)[0])
        machine.at += form.size

    return push


def _long(form: struct.Struct) -> _Operation:
    def push(machine: _Machine) -> None:
        """No counter of an optimizer needs more than 64 bits, and a long number takes long to hash."""
        digits = machine.take_counted(form)
        value = int.from_bytes(digits, "little", signed=True) if len(digits) <= 9 else 1 << 64
        machine.stack.append(value if abs(value) < 1 << 63 else _OTHER)

    return push


def _text(form: struct.Struct) -> _Operation:
    def push(machine: _Machine) -> None:
        machine.stack.append(str(machine.take_counted(form), "utf-8", "surrogatepass"))

    return push


def _bytes(form: struct.Struct) -> _Operation:
    def push(machine: _Machine) -> None:
        machine.take_counted(form)
        machine.stack.append(_OTHER)

    return push


def _get(form: struct.Struct) -> _Operation:
    def get(machine: _Machine) -> None:
        value = machine.memo[form.unpack_from(machine.raw, machine.at)[0]]
        machine.at += form.size
        if value is _MISSING:
            raise _damaged("it recalls what it never stored")
        machine.stack.append(value)

    return get


def _put(form: struct.Struct) -> _Operation:
    def put(machine: _Machine) -> None:
        (index,) = form.unpack_from(machine.raw, machine.at)
        machine.at += form.size
        memo, top = machine.memo, machine.stack[-1]
        if index == len(memo):  # as every pickler counts
            memo.append(top)
            return
        if index > len(machine.raw):
            raise _damaged(f"it stores a value under the number {index:,}")
        memo.extend([_MISSING] * (index + 1 - len(memo)))
        memo[index] = top

    return put


def _memoize(machine: _Machine) -> None:
    machine.memo.append(machine.stack[-1])


def _tuple(count: int) -> _Operation:
    def build(machine: _Machine) -> None:
        if len(machine.stack) < count:
            raise IndexError
        machine.stack[-count:] = [tuple(machine.stack[-count:])]

    return build


def _tuple_of_items(machine: _Machine) -> None:
    machine.stack.append(tuple(machine.pop_items()))


def _list(machine: _Machine) -> None:
    machine.stack.append([])


def _append(machine: _Machine) -> None:
    item = machine.stack.pop()
    if type(target := machine.stack[-1]) is list:
        target.append(item)


def _extend(machine: _Machine) -> None:
    items = machine.pop_items()
    if type(target := machine.stack[-1]) is list:
        target.extend(items)


def _dict(machine: _Machine) -> None:
    machine.stack.append({})


def _set_entry(machine: _Machine) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    machine.set_entry(machine.stack[-1], key, value)


def _set_entries(machine: _Machine) -> None:
    items = machine.pop_items()
    target = machine.stack[-1]
    for key, value in zip(items[::2], items[1::2], strict=False):
        machine.set_entry(target, key, value)


def _frozenset(machine: _Machine) -> None:
    machine.pop_items()
    machine.stack.append(_OTHER)


def _mark(machine: _Machine) -> None:
    machine.marks.append(len(machine.stack))


def _pop(machine: _Machine) -> None:
    machine.stack.pop()


def _drop_items(machine: _Machine) -> None:
    machine.pop_items()


def _duplicate(machine: _Machine) -> None:
    machine.stack.append(machine.stack[-1])


def _global(machine: _Machine) -> None:
    module, name = machine.take_line(), machine.take_line()
    machine.stack.append(_named(module, name))


def _global_of_stack(machine: _Machine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    machine.stack.append(_named(module, name))


def _reduce(machine: _Machine) -> None:
    arguments = machine.stack.pop()
    machine.stack[-1] = _called(machine.stack[-1], arguments)


def _object(operands: int) -> _Operation:
    def build(machine: _Machine) -> None:
        """Stands for an object of an unknown class."""
        for _ in range(operands):
            machine.stack.pop()
        machine.stack[-1] = _OTHER

    return build


def _persistent(machine: _Machine) -> None:
    pid = machine.stack[-1]
    machine.stack[-1] = _OTHER
    if type(pid) is tuple and len(pid) >= 3 and type(pid[0]) is str and pid[0] == "storage":
        kind, key = pid[1:3]
        if type(kind) is _Type and type(key) is str:
            machine.stack[-1] = _Storage(key, kind.dtype)


def _unknown(code: int) -> UnreadableError:
    name = next((known.name for known in pickletools.opcodes if ord(known.code) == code), None)
    if name is None:
        return _damaged(f"no opcode is {code:#04x}")
    return UnreadableError(f"its pickle has the opcode {name}, which torch does not write", damaged=False)


def _named(module: Any, name: Any) -> Any:
    """The object that a pickle names, by the names of torch/_utils.py and torch/storage.py."""
    if type(module) is not str or type(name) is not str:
        return _OTHER
    if module == "torch._utils" and name in _TENSORS:
        return _TENSOR
    if module == "torch._utils" and name == "_rebuild_parameter":
        return _PARAMETER
    if module == "collections" and name == "OrderedDict":
        return _ORDERED
    dtype = _STORAGES.get(name) if module in ("torch", "torch.storage") else None
    dtype = dtype or (_DTYPES.get(name) if module == "torch" else None)
    return _OTHER if dtype is None else _Type(dtype)


def _called(function: Any, arguments: Any) -> Any:
    """The object that a function of torch would build; inert for any other function."""
    if type(arguments) is not tuple or len(arguments) > MAX_ARGUMENTS:
        return _OTHER
    if function is _TENSOR:
        return _tensor(*arguments)
    if function is _PARAMETER and arguments:
        return arguments[0]
    return {} if function is _ORDERED else _OTHER


def _tensor(storage: Any = None, offset: Any = 0, size: Any = (), *rest: Any) -> Any:
    """The tensor that `_rebuild_tensor_v2` or `_v3` of torch._utils would build; `_v3` ends with a dtype."""
    if type(storage) is not _Storage or type(offset) is not int or type(size) is not tuple:
        return _OTHER
    if len(size) > MAX_EXTENTS:
        return _OTHER
    elements, strides = 1, []
    for extent in reversed(size):
        strides.append(elements)
        elements *= extent if type(extent) is int and 0 <= extent < 1 << 40 else 0
    contiguous = not rest or type(rest[0]) is not tuple or _in_order(size, rest[0], strides[::-1])
    shape = size if elements or all(type(extent) is int for extent in size) else ()
    dtype = rest[-1].dtype if rest and type(rest[-1]) is _Type else storage.dtype
    return TensorStandIn(storage.key, dtype, offset, min(elements, 1 << 62), shape, contiguous)


def _in_order(size: tuple[Any, ...], strides: tuple[Any, ...], dense: list[int]) -> bool:
    """Whether strides are those of a tensor without gaps; that of an extent of 1 may be any."""
    return all(
        extent == 1 or stride == expected
        for extent, stride, expected in zip(size, strides, dense, strict=False)
    )


_BYTE, _SHORT, _INT, _SIZE = map(struct.Struct, ("<B", "<H", "<I", "<Q"))
_OPERATIONS: dict[int, _Operation] = {
    opcode[0]: operation
    for opcode, operation in {
        pickle.PROTO: _skip(1),
        pickle.FRAME: _skip(8),
        pickle.MARK: _mark,
        pickle.POP: _pop,
        pickle.POP_MARK: _drop_items,
        pickle.DUP: _duplicate,
        pickle.NONE: _constant(None),
        pickle.NEWTRUE: _constant(True),
        pickle.NEWFALSE: _constant(False),
        pickle.BININT: _number(struct.Struct("<i")),
        pickle.BININT1: _number(_BYTE),
        pickle.BININT2: _number(_SHORT),
        pickle.LONG1: _long(_BYTE),
        pickle.LONG4: _long(_INT),
        pickle.BINFLOAT: _number(struct.Struct(">d")),
        pickle.SHORT_BINUNICODE: _text(_BYTE),
        pickle.BINUNICODE: _text(_INT),
        pickle.BINUNICODE8: _text(_SIZE),
        pickle.SHORT_BINBYTES: _bytes(_BYTE),
        pickle.BINBYTES: _bytes(_INT),
        pickle.BINBYTES8: _bytes(_SIZE),
        pickle.BYTEARRAY8: _bytes(_SIZE),
        pickle.EMPTY_TUPLE: _constant(()),
        pickle.TUPLE1: _tuple(1),
        pickle.TUPLE2: _tuple(2),
        pickle.TUPLE3: _tuple(3),
        pickle.TUPLE: _tuple_of_items,
        pickle.EMPTY_LIST: _list,
        pickle.APPEND: _append,
        pickle.APPENDS: _extend,
        pickle.EMPTY_DICT: _dict,
        pickle.SETITEM: _set_entry,
        pickle.SETITEMS: _set_entries,
        pickle.EMPTY_SET: _constant(_OTHER),
        pickle.ADDITEMS: _drop_items,
        pickle.FROZENSET: _frozenset,
        pickle.BINGET: _get(_BYTE),
        pickle.LONG_BINGET: _get(_INT),
        pickle.BINPUT: _put(_BYTE),
        pickle.LONG_BINPUT: _put(_INT),
        pickle.MEMOIZE: _memoize,
        pickle.GLOBAL: _global,
        pickle.STACK_GLOBAL: _global_of_stack,
        pickle.REDUCE: _reduce,
        pickle.NEWOBJ: _object(1),
        pickle.NEWOBJ_EX: _object(2),
        pickle.BUILD: _pop,  # the state of an object, which is not needed
        pickle.BINPERSID: _persistent,
    }.items()
}
