"""No hook raises or changes anything, whatever it is given and in whatever order it is called."""

import copy
import itertools
import json
import math
import random
from collections import Counter
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

import tiny
from integrations import trainings
from integrations.witness import read
from rldk.integrations.trl import RLDKCallback, event_builder
from rldk.metrics.values import measure

HOOKS = sorted(name for name in vars(TrainerCallback) if name.startswith("on_"))
FOLDERS = itertools.count()
common = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Hostile:
    """Raises whenever it is looked at."""

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("hostile\nin two lines")

    __float__ = __str__ = __repr__ = __int__ = __index__ = __bool__ = __len__ = __iter__ = _refuse
    __getattr__ = __format__ = _refuse


class HostileFloat(float):
    """A float whose conversion raises."""

    def __float__(self) -> float:
        raise RuntimeError("hostile")

    __str__ = __repr__ = __float__  # type: ignore[assignment]


class HostileMapping(dict):
    """A mapping that cannot be iterated."""

    def items(self) -> Any:
        raise RuntimeError("hostile")


KEYS = st.one_of(
    st.sampled_from(
        ["loss", "eval_loss", "reward", "kl", "num_tokens", "learning_rate", "lr", "step", "episode"]
    ),
    st.sampled_from(
        ["train_runtime", "completions/mean_length", "reward_mean", "phase", "wall_time", "epoch"]
    ),
    st.text(max_size=8),
    st.integers(),
    st.none(),
    st.booleans(),
    st.tuples(st.text(max_size=3)),
    st.builds(Hostile),
)
NUMBERS = st.one_of(
    st.floats(),
    st.integers(),
    st.sampled_from([2**63, 2**64, -(10**300), 10**400, 5e-324, 1.7976931348623157e308, -0.0]),
    st.booleans(),
    st.floats().map(np.float64),
    st.floats(width=32).map(np.float32),
    st.integers(-(2**31), 2**31 - 1).map(np.int32),
    st.floats(width=32).map(torch.tensor),
    st.integers(-9, 9).map(lambda number: np.array([number])),
    st.floats(width=32).map(lambda number: torch.tensor([[number]], dtype=torch.bfloat16)),
    st.fractions(max_denominator=9),
)
VALUES = st.one_of(
    NUMBERS,
    st.none(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), NUMBERS, max_size=3),
    st.sampled_from([torch.zeros(3), torch.empty(0), torch.ones(1, device="meta"), np.zeros((2, 2)), 1 + 2j]),
    st.builds(Hostile),
    st.builds(HostileFloat),
    st.builds(HostileMapping, a=st.floats()),
    st.sampled_from([object(), Counter, math.sin]),
)
LOGS = st.dictionaries(KEYS, VALUES, max_size=8)


def number(value: Any) -> float | int | None:
    """`value` as the finite number that a record must hold; None where there is none."""
    if isinstance(value, (Hostile, HostileFloat)):
        return None
    if isinstance(value, torch.Tensor):
        value = value.item() if value.numel() == 1 and value.device.type == "cpu" else None
    elif isinstance(value, np.ndarray):
        value = value.item() if value.size == 1 else None
    elif isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Fraction):
        value = float(value)
    if not isinstance(value, (int, float)):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # an int that no float can hold, and so no JSON reader
        return None


def numbers(logs: dict[Any, Any]) -> Counter[float | int]:
    """Every finite number in `logs`."""
    found: Counter[float | int] = Counter()
    for value in logs.values():
        inner = value.values() if type(value) is dict else [value]
        found.update(n for n in map(number, inner) if n is not None)
    return found


def same(one: Any, other: Any) -> bool:
    """Whether nothing was changed: the same objects, and inner dicts alike."""
    return list(map(id, one)) == list(map(id, other)) and all(
        a is b for a, b in zip(one.values(), other.values(), strict=True)
    )


class Begun:
    """A callback in the midst of a training that nobody trains, until the `with` block ends."""

    def __init__(self, folder: Path, model: Any, optimizer: Any = None, **options: Any) -> None:
        self.args = TrainingArguments(**trainings.options(folder))
        self.state = TrainerState(is_world_process_zero=True, max_steps=10)
        self.control = TrainerControl()
        self.callback = trainings.recorder(folder, enable_resource_monitoring=False, **options)
        self.given = {"model": model, "optimizer": optimizer}
        self._offset = 0
        self.call("on_train_begin")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.call("on_train_end")

    def call(self, hook: str, **kwargs: Any) -> None:
        given = self.given | {"metrics": {}} | kwargs
        result = getattr(self.callback, hook)(self.args, self.state, self.control, **given)
        assert result is None  # a hook that returns something replaces the trainer's control

    def log(self, logs: dict[Any, Any]) -> list[dict[str, Any]]:
        """The records that `logs` made."""
        self.state.global_step += 1
        self.call("on_step_end")
        self.call("on_log", logs=logs)
        with self.callback.files.events.open("rb") as file:
            file.seek(self._offset)
            lines = file.read()
        self._offset += len(lines)
        assert lines.endswith(b"\n")
        return [json.loads(line, parse_constant=pytest.fail) for line in lines.splitlines()]


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    model = tiny.Line()
    with Begun(tmp_path_factory.mktemp("begun"), model, torch.optim.AdamW(model.parameters())) as begun:
        yield begun


@pytest.mark.compat
@settings(common, max_examples=300)
@given(logs=LOGS)
def test_every_finite_number_of_any_logs_is_on_disk(begun, logs):
    before, control = dict(logs), copy.copy(begun.control)
    (record,) = begun.log(logs)
    assert record["step"] == begun.state.global_step
    recorded = Counter(value for value in record["metrics"].values() if value is not None)
    assert not numbers(logs) - recorded
    assert not recorded - numbers(logs)
    assert same(logs, before)
    assert begun.control == control
    assert begun.callback.guard.failures == 0


@pytest.mark.compat
def test_ten_thousand_keys(begun):
    logs = {f"metric/{i}": i / 7 for i in range(10_000)}
    (record,) = begun.log(logs)
    assert record["metrics"] == logs


@pytest.mark.compat
def test_hostile_logs_are_noted_and_the_next_record_is_whole(begun):
    (record,) = begun.log({"loss": 1.5, "a": Hostile(), Hostile(): 2.5, "b": 10**400, "c": HostileFloat(1.0)})
    assert record["metrics"]["loss"] == 1.5
    assert 2.5 in record["metrics"].values()
    assert sum(note.startswith("not_recorded:") for note in record["notes"]) == 3
    (record,) = begun.log({"loss": 2.0})
    assert record["metrics"] == {"loss": 2.0}


@pytest.mark.parametrize("make", [type(None), list, int, str, HostileMapping, Hostile])
@pytest.mark.compat
def test_logs_that_are_no_logs_do_not_raise(make, begun):
    begun.call("on_log", logs=make())
    records = begun.log({"loss": 3.0})
    assert records[-1]["metrics"] == {"loss": 3.0}


@pytest.mark.compat
def test_what_reward_functions_did_in_an_evaluation_is_taken_on_ranks_that_record_nothing(tmp_path):
    """Else the next step of that rank would be told as slow."""
    callback = RLDKCallback(tmp_path / "logs")
    asked = []
    callback._recording.session = SimpleNamespace(
        is_training=True,
        wall_time=1.0,
        metrics=lambda phase, step: asked.append((phase, step)) or {},
        log=lambda event: None,
    )
    state = callback._recording.state = TrainerState(is_world_process_zero=False, global_step=3)
    callback.on_log(TrainingArguments(str(tmp_path)), state, TrainerControl(), logs={"eval_loss": 1.0})
    assert asked == [("eval", 3)]


@pytest.mark.compat
def test_a_log_is_measured_once_also_where_it_may_stop_the_training(tmp_path, monkeypatch):
    measured = []
    monkeypatch.setattr(event_builder, "measure", lambda *given: measured.append(given) or measure(*given))
    with Begun(tmp_path, tiny.Line(), stop_on="critical") as begun:
        for _ in range(10):
            begun.log({"loss": math.nan})
    assert begun.control.should_training_stop
    assert len(measured) == 10


def test_no_random_state_is_touched(tmp_path):
    def states():
        numpy_state = np.random.get_state()[1].tolist()  # noqa: NPY002 - the one that trainers use
        return random.getstate(), numpy_state, torch.get_rng_state().tolist()

    model = tiny.Line()
    before = states()
    with Begun(tmp_path, model) as begun:
        for hook in HOOKS:
            begun.call(hook, logs={"loss": 1.0})
    assert states() == before


ANYTHING = st.one_of(
    st.none(), st.integers(), st.text(max_size=3), st.builds(Hostile), st.builds(SimpleNamespace)
)


@pytest.mark.compat
@settings(common, max_examples=40)
@given(calls=st.lists(st.tuples(st.sampled_from(HOOKS), st.integers(0, 9)), min_size=1, max_size=12))
def test_no_order_of_hooks_raises(tmp_path, calls):
    """Real arguments; steps go up, down, or start above 0."""
    folder = tmp_path / str(next(FOLDERS))
    callback = trainings.recorder(folder, enable_resource_monitoring=False)
    args, control = TrainingArguments(**trainings.options(folder)), TrainerControl()
    logged = 0
    for hook, step in calls:
        state = TrainerState(is_world_process_zero=True, max_steps=9, global_step=step)
        kwargs = {"model": tiny.Line(), "metrics": {}}
        if hook == "on_log":
            kwargs["logs"] = {"loss": float(logged)}
            logged += 1
        assert getattr(callback, hook)(args, state, control, **kwargs) is None
    callback.on_train_end(args, state, control)
    assert callback.guard.failures == 0
    paths = folder.glob("*_events.jsonl")
    losses = [line["metrics"]["loss"] for path in paths for line in read(path)]
    assert sorted(losses) == [float(index) for index in range(logged)]


@pytest.mark.compat
@settings(common, max_examples=60)
@given(
    hooks=st.lists(st.sampled_from(HOOKS), min_size=1, max_size=6),
    args=ANYTHING,
    state=ANYTHING,
    control=ANYTHING,
    kwargs=st.dictionaries(st.sampled_from(["model", "optimizer", "logs", "processing_class"]), ANYTHING),
)
def test_no_argument_of_a_hook_makes_it_raise(tmp_path, hooks, args, state, control, kwargs):
    callback = trainings.recorder(tmp_path / str(next(FOLDERS)), enable_resource_monitoring=False)
    for hook in hooks:
        assert getattr(callback, hook)(args, state, control, **(kwargs | {"metrics": {}})) is None


@pytest.mark.compat
@settings(common, max_examples=25)
@given(model=ANYTHING, optimizer=ANYTHING)
def test_a_strange_model_or_optimizer_costs_no_record(tmp_path, model, optimizer):
    with Begun(tmp_path / str(next(FOLDERS)), model, optimizer) as begun:
        (record,) = begun.log({"loss": 1.0})
    assert record["metrics"] == {"loss": 1.0}
