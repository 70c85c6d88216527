"""`measure`: no value harms, none is lost, none is invented."""

import enum
import math
import reprlib
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rldk.metrics.dialects.trl import TRL
from rldk.metrics.values import measure
from rldk.schema.event import DataSlice, Event, ModelInfo, Rng, decode, encode

canonical = TRL.reader("grpo")


class Hostile:
    """Everything that can be asked of it raises."""

    def _refuse(self, *args):
        raise RuntimeError("no")

    __float__ = __int__ = __index__ = __bool__ = __len__ = __iter__ = _refuse
    __str__ = __repr__ = __eq__ = __lt__ = __getitem__ = __array__ = _refuse
    __hash__ = object.__hash__


class HostileItem:
    """Looks like a tensor."""

    dtype = "float32"
    shape = ()

    def item(self):
        raise RuntimeError("no")


class Text(str):
    __slots__ = ()


class Loud(str):
    __slots__ = ()

    def __str__(self):
        raise RuntimeError("no")

    __repr__ = __format__ = __str__


class Float(float):
    pass


class Level(enum.IntEnum):
    HIGH = 3


def cyclic():
    inner = {"x": 1.5}
    inner["again"] = inner
    inner["list"] = [inner]
    return inner


class Shown:
    """Holds a value; hypothesis, which shows what it draws, meets no repr that raises."""

    def __init__(self, value):
        self.value = value

    def __repr__(self):
        return reprlib.repr(self.value)


WORDS = ["reward", "reward_mean", "lr", "learning_rate", "kl", "kl_mean", "loss", "step", "a", "a/b",
         "a/b#2", "rewards/len/mean", "eval_reward", "eval_eval_x", "wall_time", ""]  # fmt: skip
keys = (
    st.sampled_from(WORDS)
    | st.text(max_size=8)
    | st.sampled_from(WORDS).map(Text)
    | st.none()
    | st.integers()
    | st.tuples(st.integers(), st.text(max_size=3))
    | st.builds(Hostile)
    | st.builds(lambda: Loud("loud"))
)
shapes = st.lists(st.integers(0, 2), max_size=3)
dtypes = st.sampled_from(
    [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool, torch.complex64]
)
tensors = st.builds(lambda shape, dtype: torch.ones(shape, dtype=dtype), shapes, dtypes)
arrays = st.builds(
    lambda shape, kind: np.ones(shape).astype(kind),
    shapes,
    st.sampled_from(["f2", "f8", "i4", "O", "U3", "c8"]),
)
plain = (
    st.floats()
    | st.integers()
    | st.booleans()
    | st.sampled_from([10**400, -(10**400), -(2**70), 1e308, -1e308, 5e-324, -0.0, 2**63, 2**64])
)
others = (
    st.none()
    | st.text(max_size=300)
    | st.lists(st.floats(), max_size=2)
    | st.sets(st.integers(), max_size=2)
    | st.binary(max_size=3)
    | st.decimals()
    | st.fractions()
    | st.complex_numbers()
    | tensors
    | arrays
    | st.builds(cyclic)
    | st.sampled_from(
        [Shown(x) for x in (
            Hostile(), HostileItem(), Text("t"), Loud("l"), Float(1.5), Float("nan"), Level.HIGH,
            Hostile, object(),
            Decimal("sNaN"), Decimal("1e999"), Fraction(10**400), (1, 2), range(3), (x for x in ()), Ellipsis,
            np.float32("nan"), np.float64(2.5), np.int8(3), np.bool_(True), np.longdouble(7.25),
            np.clongdouble(1), np.array(None), np.array({"x": 1}), np.datetime64("2020-01-01"),
            np.timedelta64(5, "s"),
            np.zeros(1, dtype=[("a", "f4")]), torch.ones((), requires_grad=True), torch.ones(1, 1) * 3,
            torch.ones((), device="meta"), torch.tensor(float("inf")), torch.ones(2).to_sparse(),
        )]
    ).map(lambda shown: shown.value)
)  # fmt: skip
values = st.recursive(plain | others, lambda inner: st.dictionaries(keys, inner, max_size=3), max_leaves=8)


logs = st.dictionaries(keys, values, max_size=8).map(Shown)


def finite_numbers(value, within=()):
    """Every plain finite number in nested dicts, as often as it is there."""
    if isinstance(value, dict):
        if id(value) not in within:
            for item in value.values():
                yield from finite_numbers(item, (*within, id(value)))
    elif isinstance(value, int | float) and type(value).__name__ != "Hostile":
        try:
            if math.isfinite(value):
                yield value
        except OverflowError:
            pass


def leaves(value, within=()):
    """How many values a dict holds; a dict within itself is one."""
    if isinstance(value, dict) and id(value) not in within:
        return sum(leaves(item, (*within, id(value))) for item in value.values())
    return 1


def notes_of_kinds(notes, kinds=("nonfinite:", "text:", "not_recorded:")):
    return sum(note.startswith(kinds) for note in notes)


@settings(max_examples=500)
@given(logs)
def test_any_logs_are_measured_and_nothing_in_them_is_changed_lost_or_unwritable(shown):
    given_logs = shown.value
    before = [(key, value) for key, value in given_logs.items()]
    metrics, notes = measure(given_logs, canonical)

    after = list(given_logs.items())
    assert len(after) == len(before)
    for (old_key, old), (new_key, new) in zip(before, after, strict=True):
        assert old_key is new_key
        assert old is new

    recorded = [value for value in metrics.values() if value is not None]
    for number in finite_numbers(given_logs):
        assert number in recorded
        recorded.remove(number)

    # Each value is a number, or a note says what it was; a None has both.
    missing = sum(value is None for value in metrics.values())
    assert missing == notes_of_kinds(notes, ("nonfinite:",))
    assert len(metrics) - missing + notes_of_kinds(notes) == leaves(given_logs)

    event = Event(
        step=1,
        wall_time=0.0,
        metrics=metrics,
        rng=Rng(),
        data_slice=DataSlice(),
        model_info=ModelInfo(),
        notes=tuple(notes),
    )
    assert decode(encode(event)) == event


@given(st.dictionaries(st.sampled_from(WORDS), st.floats(allow_nan=False, allow_infinity=False)))
def test_numbers_of_a_trainer_keep_their_values_whatever_names_collide(given_logs):
    metrics, notes = measure(given_logs, canonical)
    assert sorted(metrics.values()) == sorted(given_logs.values())
    assert notes == []


def test_a_known_key_gets_its_canonical_name():
    metrics, notes = measure({"reward": 0.5, "learning_rate": 1e-6, "kl": 0.1, "mine": 3}, canonical)
    assert metrics == {"reward_mean": 0.5, "lr": 1e-6, "kl_mean": 0.1, "mine": 3}
    assert notes == []


@pytest.mark.parametrize("order", [1, -1])
def test_keys_that_would_share_a_name_keep_the_trainers_own(order):
    given_logs = {"reward": 1, "reward_mean": 2, "lr": 3, "learning_rate": 4}
    metrics, _ = measure(dict(list(given_logs.items())[::order]), canonical)
    assert metrics == given_logs


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (True, 1),
        (False, 0),
        (Level.HIGH, 3),
        (Float(1.5), 1.5),
        (Decimal("0.25"), 0.25),
        (Fraction(1, 4), 0.25),
        (np.float32(0.5), 0.5),
        (np.int64(-3), -3),
        (np.bool_(True), 1),
        (np.longdouble(7.25), 7.25),
        (np.array([[2.5]]), 2.5),
        (torch.tensor(2.5), 2.5),
        (torch.tensor([[7]]), 7),
        (torch.tensor(True), 1),
        (torch.tensor(0.5, dtype=torch.bfloat16, requires_grad=True), 0.5),
        (2**70, 2**70),
        (1e308, 1e308),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_holds_one_number_is_that_number(value, number):
    metrics, notes = measure({"x": value}, canonical)
    assert metrics == {"x": number}
    assert type(metrics["x"]) in (int, float)
    assert notes == []


@pytest.mark.parametrize(
    ("value", "note"),
    [
        (math.nan, "nonfinite:grad_norm=nan"),
        (math.inf, "nonfinite:grad_norm=inf"),
        (-math.inf, "nonfinite:grad_norm=-inf"),
        (None, "nonfinite:grad_norm=none"),
        (np.float32("nan"), "nonfinite:grad_norm=nan"),
        (torch.tensor(math.inf), "nonfinite:grad_norm=inf"),
        (Decimal("-Infinity"), "nonfinite:grad_norm=-inf"),
    ],
)
def test_what_is_not_finite_is_null_and_spelled_out(value, note):
    assert measure({"grad_norm": value}, canonical) == ({"grad_norm": None}, [note])


@pytest.mark.parametrize(
    ("value", "note"),
    [
        ("some text", "text:x=some text"),
        ("y" * 500, "text:x=" + "y" * 200),
        ([1, 2], "not_recorded:x=list of 2"),
        (b"abc", "not_recorded:x=bytes of 3"),
        (10**400, "not_recorded:x=int (OverflowError)"),
        (torch.ones(2, 3), "not_recorded:x=Tensor of shape (2, 3)"),
        (torch.ones(0), "not_recorded:x=Tensor of shape (0,)"),
        (torch.ones((), device="meta"), "not_recorded:x=Tensor on meta; log float(value) instead"),
        (Hostile(), "not_recorded:x=Hostile"),
        (HostileItem(), "not_recorded:x=HostileItem (RuntimeError)"),
        (np.array({"a": 1}), "not_recorded:x=ndarray of dict of 1"),
        (np.clongdouble(1), "not_recorded:x=clongdouble of clongdouble"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_number_is_a_note_and_no_metric(value, note):
    assert measure({"x": value}, canonical) == ({}, [note])


def test_nested_dicts_are_flattened_with_slashes():
    metrics, notes = measure({"a": {"b": {"c": 1}, "d": None}, 5: 2}, canonical)
    assert metrics == {"a/b/c": 1, "a/d": None, "5": 2}
    assert notes == ["nonfinite:a/d=none"]


def test_a_dict_that_holds_itself_many_times_has_an_end():
    knot = {"x": 1}
    knot.update((str(i), knot) for i in range(50))
    metrics, notes = measure({"knot": knot}, canonical)
    assert metrics == {"knot/x": 1}
    assert len(notes) == 50


def test_a_tensor_at_the_deepest_level_is_not_lost():
    nested = torch.tensor(4.0)
    for _ in range(8):
        nested = {"k": nested}
    metrics, notes = measure(nested, canonical)
    assert list(metrics.values()) + notes == [4.0]


def test_deeper_nesting_is_noted():
    nested = 1.0
    for _ in range(2000):
        nested = {"k": nested}
    metrics, (note,) = measure(nested, canonical)
    assert metrics == {}
    assert note.startswith("not_recorded:k/k/k")
    assert note.endswith("=dict of 1")


def test_a_mapping_that_breaks_while_it_is_read_keeps_what_was_read():
    class Breaks(dict):
        def items(self):
            yield "good", 1
            raise RuntimeError("no")

    assert measure({"x": Breaks()}, canonical) == ({"x/good": 1}, ["not_recorded:x=Breaks (RuntimeError)"])
