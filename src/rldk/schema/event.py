"""The Event: one logged step of a training, and its JSON form.

Owns the schema that every line of `{run_id}_events.jsonl` follows. Invariant: an encoded Event is one line of
strict JSON (no `NaN`, no newline), and `decode(encode(event)) == event` for every Event whose metrics are
finite or None. A value that was not finite is None in `metrics`, and `notes` spell it out.
"""

import inspect
import math
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

import msgspec

from rldk.errors import EventError

__all__ = [
    "PHASES",
    "SCHEMA_VERSION",
    "DataSlice",
    "Event",
    "ModelInfo",
    "Number",
    "Phase",
    "Rng",
    "SlimEvent",
    "decode",
    "decode_slim",
    "encode",
    "encode_into",
    "escaped",
    "json_schema",
    "nonfinite_note",
    "nonfinite_values",
    "resumed_note",
]

SCHEMA_VERSION = 1
"""Version of the Event schema; grows when a field is added, removed or changes its meaning."""

Number = int | float
Phase = Literal["train", "eval", "summary"]
PHASES: tuple[Phase, ...] = ("train", "eval", "summary")
Count = Annotated[int, msgspec.Meta(ge=0)]

_NONFINITE = "nonfinite:"
_RESUMED = "resumed:from_step="
_SPELLED = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf, "none": None}


class Rng(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The seeds that the run started from; None where a seed is not set or cannot be known."""

    seed: int | None = None
    """`args.seed`, with which the trainer seeds every generator."""
    python_hash_seed: int | None = None
    """`PYTHONHASHSEED` of the process; None when it is unset or `random`."""
    torch_seed: int | None = None
    """`torch.initial_seed()` when the training began."""
    numpy_seed: int | None = None
    """Seed of numpy's global generator: `args.seed`."""
    random_seed: int | None = None
    """Seed of the standard `random`: `args.seed`."""


class DataSlice(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How much data the Event covers, over all ranks; None where it cannot be known."""

    tokens_in: int | None = None
    """Tokens read since the last train record: prompts online, whole sequences offline."""
    tokens_out: int | None = None
    """Tokens generated since the last train record; 0 for trainers that generate nothing."""
    batch_size: Count | None = None
    """Sequences (online: completions) that one optimizer step uses, over all ranks."""
    sequence_length: Count | None = None
    """The longest sequence, in tokens, that the configuration allows."""


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Which run, which code and which model; None where it cannot be known."""

    run_id: str | None = None
    """The run's name, as in its file names."""
    git_sha: str | None = None
    """Commit checked out in the working directory when the run started."""
    phase: Phase = "train"
    """Kind of the record: a train step, an evaluation, or the trainer's closing summary."""
    model_name: str | None = None
    """Name or path that the model was loaded from."""
    model_size: Count | None = None
    """Number of parameters, adapters included."""
    optimizer: str | None = None
    """Class of the optimizer behind accelerate's wrapper."""
    scheduler: str | None = None
    """`args.lr_scheduler_type`."""


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One record of a run: what the trainer logged at once, with the state behind it.

    A trainer may log several times at one step (train, one eval per dataset, the summary). Each log is its
    own Event, and `model_info.phase` shows which kind it is.
    """

    step: Count
    """`global_step`: optimizer steps done."""
    wall_time: float | None
    """Seconds since the run began, continued across a resume; None where a foreign log has no time."""
    metrics: dict[str, int | float | None]
    """Every logged number, by canonical name (`rldk.metrics`) or else by the trainer's own. A metric that was
    not logged is absent, never 0; a metric that was not finite is None, see `notes`."""
    rng: Rng
    """Seeds of the run."""
    data_slice: DataSlice
    """Size of the data behind the record."""
    model_info: ModelInfo
    """Identity of the run and its model."""
    notes: tuple[str, ...]
    """Facts that fit in no other field, as `kind:text`: `nonfinite:grad_norm=nan` (also `inf`, `-inf`,
    `none`); `text:...` and `not_recorded:...` for logged values that are not numbers; `resumed:from_step=N`
    on the first record of a resumed run."""

    @property
    def phase(self) -> Phase:
        """`train`, `eval` or `summary`."""
        return self.model_info.phase

    @property
    def resumed_from(self) -> int | None:
        """The checkpoint's step, on the first record after a resume; else None."""
        for note in self.notes:
            if note.startswith(_RESUMED) and note[len(_RESUMED) :].isdecimal():
                return int(note[len(_RESUMED) :])
        return None

    def nonfinite(self) -> Iterator[tuple[str, float | None]]:
        """The metrics that are None in `metrics`, with the value that the trainer gave."""
        return nonfinite_values(self.notes)


def nonfinite_values(notes: Iterable[str]) -> Iterator[tuple[str, float | None]]:
    """The metrics that `notes` say were not finite, with the value that the trainer gave."""
    for note in notes:
        if note.startswith(_NONFINITE):
            name, _, spelled = note[len(_NONFINITE) :].rpartition("=")
            if spelled in _SPELLED:
                yield name, _SPELLED[spelled]


def nonfinite_note(name: str, value: float | None) -> str:
    """The note for a metric that JSON cannot hold: NaN, an infinity, or None."""
    return f"{_NONFINITE}{name}={'none' if value is None else value}"


def resumed_note(step: int) -> str:
    """The note on the first record of a run that resumes from a checkpoint of `step`."""
    return f"{_RESUMED}{step}"


def _plain(value: Any) -> Any:
    """Converts a value that msgspec does not know, such as a numpy scalar in a configuration."""
    return value.item() if hasattr(value, "item") else str(value)


_encoder = msgspec.json.Encoder(enc_hook=_plain)
_decoder = msgspec.json.Decoder(Event)


def encode(event: Event) -> bytes:
    """One line of strict JSON in UTF-8, without the newline.

    Text that UTF-8 cannot hold (lone surrogates, as in names of broken files) is escaped.
    """
    try:
        return _encoder.encode(event)
    except UnicodeEncodeError:
        return _encoder.encode(escaped(msgspec.to_builtins(event)))


def encode_into(event: Event, buffer: bytearray) -> None:
    """`encode` into `buffer`, replacing its contents: a reused buffer saves an allocation."""
    try:
        _encoder.encode_into(event, buffer)
    except UnicodeEncodeError:
        buffer[:] = encode(event)


def decode(line: bytes | str) -> Event:
    """The Event of one line.

    Raises:
        EventError: the line is not strict JSON, or does not follow the schema; the message says where.
    """
    try:
        return _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError) as error:
        raise EventError(str(error)) from None


class _PhaseOnly(msgspec.Struct, frozen=True, gc=False):
    phase: Phase = "train"


class SlimEvent(msgspec.Struct, frozen=True, gc=False):
    """The part of an Event that a table needs; the other fields are not decoded."""

    step: Count
    """As in Event."""
    wall_time: float | None
    """As in Event."""
    metrics: dict[str, int | float | None]
    """As in Event, but with infinities restored, and NaN for other values that are not numbers."""
    model_info: _PhaseOnly
    """Only the phase."""
    notes: tuple[str, ...]
    """As in Event."""


_slim_decoder = msgspec.json.Decoder(SlimEvent)


def decode_slim(line: bytes | str) -> SlimEvent:
    """Decode the part of an Event that a table needs, in two thirds of the time of `decode`.

    Raises:
        EventError: as `decode`, but a fault in a skipped field goes unnoticed.
    """
    try:
        event = _slim_decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError) as error:
        raise EventError(str(error)) from None
    if event.notes:
        event.metrics.update(nonfinite_values(event.notes))
    return event


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of one line of an events file."""
    (reference,), components = msgspec.json.schema_components([Event], ref_template="#/$defs/{name}")
    for kind in (Event, Rng, DataSlice, ModelInfo):  # releases of msgspec differ in the indentation
        components[kind.__name__]["description"] = inspect.cleandoc(kind.__doc__ or "")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"rldk-event-v{SCHEMA_VERSION}",
        "title": f"rldk Event, version {SCHEMA_VERSION}",
        **reference,
        "$defs": components,
    }


def escaped(value: Any) -> Any:
    """Plain data with every character escaped that UTF-8 cannot hold."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {escaped(key): escaped(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [escaped(item) for item in value]
    return value
