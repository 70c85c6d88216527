"""The interpreter of pickles: it builds what torch saved, and changes nothing else."""

import pickle
import struct
from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoints.hostile import PICKLES, PROTOCOL
from rldk.checkpoints import pickles
from rldk.checkpoints.pickles import read_pickle
from rldk.checkpoints.safe_open import TimeLimit, UnreadableError

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63) + 1, (1 << 63) - 1)
    | st.floats(allow_nan=False)
    | st.text()
)
KEYS = st.booleans() | st.integers(-(1 << 63) + 1, (1 << 63) - 1) | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner) | st.tuples(inner, inner),
    max_leaves=30,
)


def read(raw: bytes):
    return read_pickle(raw, TimeLimit())


@given(VALUES, st.integers(2, 5))
def test_containers_numbers_and_texts_are_those_of_python(value, protocol):
    assert read(pickle.dumps(value, protocol)) == value


def test_an_ordered_dict_is_a_dict():
    assert read(pickle.dumps(OrderedDict(a=1, b=[2]), 2)) == {"a": 1, "b": [2]}


def test_what_a_list_holds_twice_is_one_object():
    inner = [1]
    first, second = read(pickle.dumps([inner, inner], 2))
    assert first is second


def state_of_ours():
    """All that a pickle could reach, and what it could set there."""
    held = [value for value in vars(pickles).values() if callable(value)]
    return [(one, getattr(one, "__defaults__", None), dict(getattr(one, "__dict__", {}))) for one in held]


@pytest.mark.parametrize("name", ["BUILD on a function of torch", "BUILD on OrderedDict"])
def test_a_pickle_changes_no_object_of_ours(name):
    healthy = pickle.dumps(OrderedDict(a=1), 2)
    before, same = state_of_ours(), read(healthy)
    read(PICKLES[name]())
    assert state_of_ours() == before
    assert read(healthy) == same


def test_what_a_pickle_names_has_nothing_to_set():
    for named in (
        b"cos\nsystem\n.",
        b"ctorch._utils\n_rebuild_tensor_v2\n.",
        b"ccollections\nOrderedDict\n.",
    ):
        inert = read(PROTOCOL + named)
        with pytest.raises(AttributeError):
            inert.anything = 1
        assert not callable(inert)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x8e" + struct.pack("<Q", 1 << 62),
        b"\x96" + struct.pack("<Q", 1 << 62),
        b"\x8d" + struct.pack("<Q", 1 << 62),
        b"\x8b\xff\xff\xff\x7f",
        b"X\xff\xff\xff\xff",
        b"T\xff\xff\xff\x7f",
        b"Nr\xff\xff\xff\xff.",
        b"h\x05.",
        b"t.",
        b"\x87.",
        b"G\x00",
        b"K",
        b"cabc",
        b"",
    ],
)
def test_what_is_not_there_is_damage(raw):
    with pytest.raises(UnreadableError) as caught:
        read(PROTOCOL + raw)
    assert caught.value.damaged or "torch does not write" in str(caught.value)


def test_an_opcode_of_protocol_0_is_no_damage():
    with pytest.raises(UnreadableError, match="opcode INT, which torch does not write") as caught:
        read(b"I1\n.")
    assert not caught.value.damaged


def test_a_pickle_beyond_the_limit_of_opcodes_is_given_up(monkeypatch):
    monkeypatch.setattr(pickles, "MAX_OPERATIONS", 100)
    with pytest.raises(UnreadableError, match="more than 100 opcodes") as caught:
        read(PROTOCOL + b"N" * 200 + b".")
    assert not caught.value.damaged


def test_a_pickle_beyond_the_limit_of_time_is_given_up():
    with pytest.raises(UnreadableError, match="gave up after 0 s") as caught:
        read_pickle(PROTOCOL + b"N" * 5000 + b".", TimeLimit(0))
    assert not caught.value.damaged


def test_a_key_that_is_no_scalar_is_dropped():
    assert read(PROTOCOL + b"}(K\x01\x85K\x02K\x03K\x04u.") == {3: 4}
