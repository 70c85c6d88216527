"""The observer of the reward functions of one training: it takes their calls and says what they show.

Invariant: a call costs the training two clocks, a count and a reference; texts are held until their batch is
reduced, which is at the next batch or `drain`, so memory does not grow with the run. Nothing raises.
"""

import threading
from collections import Counter, deque
from collections.abc import Sequence
from functools import partial
from math import isfinite
from random import Random
from time import perf_counter
from typing import Any, Literal
from weakref import WeakValueDictionary

from rldk.recording.completion_stats import Batch, Ends, function_facts, numbers, text_facts, total_rewards
from rldk.recording.guard import Guard
from rldk.recording.sample_selection import SampleReservoir
from rldk.schema.sample import RecordedSample

__all__ = ["PREFIX", "SAMPLES_A_STEP", "Call", "RewardObserver", "observer_of"]

PREFIX = "reward_functions"
"""First part of the names of what is measured of a reward function."""
SAMPLES_A_STEP = 4
"""Samples that are kept of a step, unless told otherwise."""
MAX_FUNCTIONS = 32
"""Reward functions that are told apart; real runs have one to ten."""

Observed = Literal["train", "eval"]

_observers: WeakValueDictionary[int, "RewardObserver"] = WeakValueDictionary()


def observer_of(state: Any) -> "RewardObserver | None":
    """The observer of the training whose `TrainerState` this is; None where nothing listens."""
    return _observers.get(id(state))


class Call:
    """One call of a reward function.

    Args:
        function: what tells the function from others of its name.
        name: the name that the trainer knows it by.
        index: its place in the list of reward functions; None where not known.
        of: how many reward functions the trainer has; None where not known.
        inputs: the keyword arguments of the call.
    """

    __slots__ = (
        "began",
        "completions",
        "ended",
        "error",
        "function",
        "ids",
        "index",
        "name",
        "of",
        "output",
        "prompts",
        "size",
    )

    def __init__(
        self, function: Any, name: str, index: int | None, of: int | None, inputs: dict[str, Any]
    ) -> None:
        self.function = function
        self.name = name
        self.index = index
        self.of = of
        self.prompts = inputs.get("prompts")
        self.completions: Sequence[Any] = inputs["completions"]
        self.size = len(self.completions)
        self.ids = inputs.get("completion_ids")
        self.output: list[Any] | None = None
        """What it returned, copied; None where it failed, or what it returned can be read once only."""
        self.error: str | None = None
        """What went wrong, in a few words."""
        self.began = self.ended = perf_counter()

    def returned(self, output: Any) -> None:
        """The function returned."""
        self.ended = perf_counter()
        if type(output) is list or type(output) is tuple:
            self.output = list(output)
        elif hasattr(output, "tolist") and getattr(getattr(output, "device", None), "type", "cpu") == "cpu":
            values = output.tolist()
            self.output = values if isinstance(values, list) else [values]
        if self.output is not None and len(self.output) != self.size:
            self.error = f"returned {len(self.output)} values for {self.size} completions"
            self.output = None

    def raised(self, error: BaseException) -> None:
        """The function raised."""
        self.ended = perf_counter()
        self.error = f"raised {type(error).__name__}"


class _Window:
    """What was seen between two drains."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.seconds: dict[str, float] = {}
        self.facts: dict[str, tuple[float, int]] = {}
        self.busy = 0.0
        self.wall = 0.0
        self.steps = 0

    def mean(self, facts: dict[str, float], prefix: str = "") -> None:
        """Take the facts of a batch, of which the mean over batches will be told."""
        for name, value in facts.items():
            total, count = self.facts.get(prefix + name, (0.0, 0))
            self.facts[prefix + name] = total + value, count + 1

    def merge(self, other: "_Window") -> None:
        """Add what was seen in a later window."""
        for mine, theirs in (
            (self.calls, other.calls),
            (self.errors, other.errors),
            (self.seconds, other.seconds),
        ):
            mine.update(theirs)
        for name, (value, number) in other.facts.items():
            total, count = self.facts.get(name, (0.0, 0))
            self.facts[name] = total + value, count + number
        self.busy += other.busy
        self.wall += other.wall
        self.steps += other.steps


class RewardObserver:
    """Takes the calls of the reward functions of one trainer, from any thread.

    Args:
        state: the `TrainerState` that the trainer hands to its reward functions and its callbacks. The
            observer is found by it for as long as somebody holds the observer.
        guard: takes what goes wrong in here.
        ends: how a completion can end.
        weights: the trainer's `reward_weights`.
        samples: samples to keep a step; 0 for none.
        are_timed: whether `begin` and `finish` stand around the calls, so that their times mean something.
    """

    def __init__(
        self,
        state: Any,
        guard: Guard,
        *,
        ends: Ends = Ends(),  # noqa: B008 - it is frozen
        weights: Sequence[float] | None = None,
        samples: int = SAMPLES_A_STEP,
        are_timed: bool = True,
    ) -> None:
        self.state = state  # held, so that no other object gets its id
        self.called = False
        """Whether a reward function was called yet; until then there is nothing to drain or to take."""
        self.step_seconds: float | None = None
        """How long reward functions took of what was drained last; None where none was called."""
        self.last_error: str | None = None
        """The last thing that went wrong in a reward function, such as `accuracy raised ValueError`."""
        self._guard = guard
        self._ends = ends
        self._are_timed = are_timed
        self._weights = None if weights is None else [float(weight) for weight in weights]
        self._chooser = SampleReservoir(samples, Random(0))  # noqa: S311 - a choice of samples is no secret
        self._calls: deque[Call] = deque()
        self._names: dict[int, tuple[str, Any]] = {}
        self._now = _Window()
        self._waiting: dict[Observed, _Window] = {"train": _Window(), "eval": _Window()}
        self._reducing = threading.Lock()
        self._drained = perf_counter()
        _observers[id(state)] = self

    def begin(
        self, function: Any, name: str, index: int | None, of: int | None, inputs: dict[str, Any]
    ) -> Call | None:
        """A reward function is called; what `finish` is to be told when it is over, None if nothing is."""
        try:
            if len(inputs["completions"]) == 0:
                return None
            self.called = True
            if self._calls and self._calls[0].completions is not inputs["completions"]:
                self._reduce()
            return Call(function, name, index, of, inputs)
        except Exception as error:
            self._guard.caught("observing a reward function", error)
            return None

    def finish(self, call: Call, output: Any = None, error: BaseException | None = None) -> None:
        """A reward function returned, or raised."""
        try:
            if error is None:
                call.returned(output)
            else:
                call.raised(error)
            if call.error is not None:
                self.last_error = f"{call.name} {call.error}"
            self._calls.append(call)
        except Exception as failure:
            self._guard.caught("observing a reward function", failure)

    def drain(self, phase: Observed, step: int) -> list[RecordedSample]:
        """Reduce what was seen since the last call: it belongs to this step of this phase.

        Returns:
            The samples that are worth keeping; none where nothing was scored.
        """
        now = perf_counter()
        wall, self._drained = now - self._drained, now
        if phase == "train":
            self._waiting[phase].steps += 1
            self._waiting[phase].wall += wall
        self.step_seconds = None
        if not self._calls and not self._now.calls:
            return []  # a step that generates nothing
        self._reduce()
        seen, self._now = self._now, _Window()
        self.step_seconds = seen.busy if self._are_timed else None
        self._waiting[phase].merge(seen)
        kept: list[RecordedSample] = []
        return self._guard.attempt("choosing samples", lambda: self._chooser.take(step, phase), kept)

    def take(self, phase: Observed) -> dict[str, float]:
        """The metrics of what was drained since the last call, for the next Event of this phase.

        Empty where no reward function was called. Those of an evaluation begin with `eval_`.
        """
        window = self._waiting[phase]
        if not window.calls:
            return {}  # steps without a call count into the time of those to come
        self._waiting[phase] = _Window()
        means = {name: total / count for name, (total, count) in window.facts.items()}
        metrics = {name: mean for name, mean in means.items() if isfinite(mean)}  # of rewards of 1e200
        steps = max(window.steps, 1)
        for name, calls in window.calls.items():
            if self._are_timed:
                metrics[f"{PREFIX}/{name}/calls"] = float(calls)
                metrics[f"{PREFIX}/{name}/seconds"] = window.seconds[name] / steps
            metrics[f"{PREFIX}/{name}/errors"] = float(window.errors[name])
        if self._are_timed and window.wall > 0:
            metrics["reward_time_frac"] = min(window.busy / window.wall, 1.0)
        return metrics if phase == "train" else {f"eval_{name}": value for name, value in metrics.items()}

    def close(self) -> None:
        """Observe no more: let go of the state, and of the functions, which may hold a model."""
        if _observers.get(id(self.state)) is self:
            del _observers[id(self.state)]
        self.state = None
        self._names.clear()
        self._calls.clear()

    def _reduce(self) -> None:
        """Turn the calls into numbers and let go of their texts."""
        if not self._reducing.acquire(blocking=False):
            return  # another thread does
        try:
            batches: dict[int, list[Call]] = {}
            while self._calls:
                call = self._calls.popleft()
                batches.setdefault(id(call.completions), []).append(call)
            for calls in batches.values():
                self._guard.attempt("reading the rewards", partial(self._take_in, calls), None)
        finally:
            self._reducing.release()

    def _take_in(self, calls: list[Call]) -> None:
        """Reduce one batch."""
        calls.sort(key=lambda call: (call.index or 0, call.began))
        values: dict[str, list[float | None] | None] = {}
        now = self._now
        for call in calls:
            name = self._name(call)
            values[name] = self._values(call)
            now.calls[name] += 1
            now.errors[name] += call.error is not None
            now.seconds[name] = now.seconds.get(name, 0.0) + call.ended - call.began
        now.busy += _covered(calls)
        first = calls[0]
        if len(first.completions) != first.size:
            return  # a reward function emptied the list that it was given
        batch = Batch(first.prompts, first.completions, first.ids, values, self._ends)
        for name, row in values.items():
            if row is not None:
                now.mean(function_facts(row, batch.groups), f"{PREFIX}/{name}/")
        self._chooser.add(batch, self._totals(calls, list(values.values())))
        facts = text_facts(batch)
        if not _is_whole(calls):
            facts.pop("samples/unscored_frac", None)  # a reward model, which is not seen, may score the rest
        now.mean(facts)

    def _totals(self, calls: list[Call], rows: list[list[float | None] | None]) -> list[float | None] | None:
        """The reward of each completion, where all that goes into it was seen."""
        known = [row for row in rows if row is not None]
        if len(known) != len(calls) or not _is_whole(calls):
            return None
        weights = self._weights if self._weights is not None else [1.0] * len(known)
        ordered = calls[0].index is not None or len(calls) == 1
        if len(weights) != len(known) or (self._weights is not None and not ordered):
            return None
        return total_rewards(known, weights)

    def _values(self, call: Call) -> list[float | None] | None:
        """What a call returned, as numbers; None where it failed or cannot be read."""
        try:
            return None if call.output is None else numbers(call.output)
        except Exception:  # whatever the elements are, TRL will not take them for numbers either
            call.error = self.last_error = f"{call.name} returned what are no numbers"
            return None

    def _name(self, call: Call) -> str:
        """What a function is called in the records: its name, numbered where another has it too."""
        known = self._names.get(id(call.function))
        if known is not None:
            return known[0]
        taken = {name for name, _ in self._names.values()}
        name, number = call.name, 2
        while name in taken:
            name, number = f"{call.name}#{number}", number + 1
        if len(self._names) < MAX_FUNCTIONS:
            self._names[id(call.function)] = name, call.function
        return name


def _is_whole(calls: list[Call]) -> bool:
    """Whether every reward function of the trainer is among the calls, as far as is known."""
    sizes = {call.of for call in calls}
    return sizes == {None} or sizes == {len(calls)}


def _covered(calls: list[Call]) -> float:
    """Seconds in which at least one of the calls ran: asynchronous ones run at the same time."""
    covered, until = 0.0, 0.0
    for began, ended in sorted((call.began, call.ended) for call in calls):
        covered += max(ended - max(began, until), 0.0)
        until = max(until, ended)
    return covered
