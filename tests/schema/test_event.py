"""The Event: what is written comes back, and is strict JSON by a published schema."""

import json
import math

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import event, events
from rldk.errors import EventError
from rldk.schema.event import (
    DataSlice,
    Event,
    ModelInfo,
    Rng,
    decode,
    encode,
    json_schema,
    nonfinite_note,
    resumed_note,
)

TOP = ["step", "wall_time", "metrics", "rng", "data_slice", "model_info", "notes"]

# All fields of version 1 of the schema.
EXAMPLE = """
{"step": 0, "wall_time": 10.5,
 "metrics": {"reward_mean": 0.5, "reward_std": 0.1, "kl_mean": 0.1, "entropy_mean": 0.8, "clip_frac": 0.2,
             "grad_norm": 1.0, "lr": 0.001, "loss": 0.4},
 "rng": {"seed": 42, "python_hash_seed": 42, "torch_seed": 42, "numpy_seed": 42, "random_seed": 42},
 "data_slice": {"tokens_in": 1000, "tokens_out": 500, "batch_size": 32, "sequence_length": 512},
 "model_info": {"run_id": "my_training_run", "git_sha": "abc123", "phase": "train", "model_name": "gpt2",
                "model_size": 124000000, "optimizer": "AdamW", "scheduler": "CosineAnnealingLR"},
 "notes": []}
"""


def strict(text):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


@given(events)
def test_what_was_encoded_decodes_to_the_same_event(one):
    assert decode(encode(one)) == one


@given(events)
def test_an_encoded_event_is_one_line_of_strict_json_with_the_seven_keys_in_order(one):
    line = encode(one)
    assert b"\n" not in line
    assert b"\r" not in line
    plain = strict(line)
    assert list(plain) == TOP
    assert list(plain["rng"]) == ["seed", "python_hash_seed", "torch_seed", "numpy_seed", "random_seed"]
    assert list(plain["data_slice"]) == ["tokens_in", "tokens_out", "batch_size", "sequence_length"]
    assert list(plain["model_info"]) == [
        "run_id", "git_sha", "phase", "model_name", "model_size", "optimizer", "scheduler",
    ]  # fmt: skip
    assert plain["metrics"] == one.metrics


@given(events)
def test_an_encoded_event_follows_the_published_schema(one):
    jsonschema.validate(json.loads(encode(one)), json_schema(), jsonschema.Draft202012Validator)


def test_the_schema_is_a_valid_schema_and_refuses_what_decode_refuses():
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    good = json.loads(EXAMPLE)
    wrong = [
        {**good, "step": -1},
        {**good, "step": 1.5},
        {**good, "metrics": {"loss": "nan"}},
        {**good, "notes": "none"},
        {**good, "model_info": {"phase": "test"}},
        {key: value for key, value in good.items() if key != "rng"},
    ]
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid(good)
    for one in wrong:
        assert not validator.is_valid(one), one
        with pytest.raises(EventError):
            decode(json.dumps(one))


def test_the_descriptions_in_the_schema_do_not_depend_on_the_release_of_msgspec(monkeypatch):
    def components(*arguments, **options):
        references, found = make(*arguments, **options)
        return references, {name: {**one, "description": "indented\n    text"} for name, one in found.items()}

    make, schema = msgspec.json.schema_components, json_schema()
    monkeypatch.setattr(msgspec.json, "schema_components", components)
    assert json_schema() == schema


def test_the_example_of_the_contract_decodes_value_for_value():
    found = decode(EXAMPLE)
    assert found == Event(
        step=0,
        wall_time=10.5,
        metrics={
            "reward_mean": 0.5,
            "reward_std": 0.1,
            "kl_mean": 0.1,
            "entropy_mean": 0.8,
            "clip_frac": 0.2,
            "grad_norm": 1.0,
            "lr": 0.001,
            "loss": 0.4,
        },
        rng=Rng(seed=42, python_hash_seed=42, torch_seed=42, numpy_seed=42, random_seed=42),
        data_slice=DataSlice(tokens_in=1000, tokens_out=500, batch_size=32, sequence_length=512),
        model_info=ModelInfo(
            run_id="my_training_run",
            git_sha="abc123",
            phase="train",
            model_name="gpt2",
            model_size=124_000_000,
            optimizer="AdamW",
            scheduler="CosineAnnealingLR",
        ),
        notes=(),
    )
    assert json.loads(encode(found)) == json.loads(EXAMPLE)


@given(st.text(st.characters(exclude_categories=()), min_size=1), st.integers(-(2**70), 2**70))
def test_text_that_utf8_cannot_hold_is_escaped_and_the_numbers_stay(text, number):
    line = encode(event(3, "train", (text,), **{text: number}))
    line.decode()
    found = decode(line)
    assert found.step == 3
    assert list(found.metrics.values()) == [number]
    escaped = text.encode("utf-8", "backslashreplace").decode()
    assert list(found.metrics) == [escaped]
    assert found.notes == (escaped,)


def test_a_value_that_is_not_finite_is_null_even_when_it_slipped_in():
    plain = strict(encode(event(1, loss=math.nan, kl_mean=-math.inf)))
    assert plain["metrics"] == {"loss": None, "kl_mean": None}


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"step": NaN}',
        b"\xff\xfe",
        EXAMPLE.replace("0.5", "NaN").encode(),
        EXAMPLE.replace("0.5", "1e999").encode(),
        EXAMPLE.replace('"step": 0', '"step": "0"').encode(),
        EXAMPLE.encode() + b"{}",
        b'{"metrics": ' * 100_000,
    ],
    ids=lambda line: line[:20],
)
def test_what_is_no_event_raises_an_event_error_with_a_reason(line):
    with pytest.raises(EventError) as caught:
        decode(line)
    assert str(caught.value)


def test_unknown_keys_of_a_later_version_are_no_error():
    assert decode(EXAMPLE.replace('"notes"', '"later": [1], "notes"')) == decode(EXAMPLE)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_a_nonfinite_value_is_told_from_its_note(value):
    one = event(1, "train", ("text:a=b", nonfinite_note("a=b/c", value)), **{"a=b/c": None})
    ((name, found),) = decode(encode(one)).nonfinite()
    assert name == "a=b/c"
    assert repr(found) == repr(value)


def test_a_nonfinite_note_spells_the_value_as_the_contract_says():
    assert nonfinite_note("grad_norm", math.nan) == "nonfinite:grad_norm=nan"
    assert nonfinite_note("grad_norm", math.inf) == "nonfinite:grad_norm=inf"
    assert nonfinite_note("grad_norm", -math.inf) == "nonfinite:grad_norm=-inf"
    assert nonfinite_note("grad_norm", None) == "nonfinite:grad_norm=none"


def test_notes_of_another_kind_name_no_nonfinite_value():
    one = event(1, "train", ("nonfinite:loss=huge", "text:nonfinite:loss=nan", "nonfinite"))
    assert list(one.nonfinite()) == []


def test_a_resume_is_told_from_its_note():
    assert event(11, "train", ("text:a=b", resumed_note(10))).resumed_from == 10
    assert resumed_note(10) == "resumed:from_step=10"


@pytest.mark.parametrize("note", ["resumed:from_step=", "resumed:from_step=x", "text:resumed:from_step=3"])
def test_a_note_that_only_looks_like_a_resume_is_none(note):
    assert event(11, "train", (note,)).resumed_from is None


def test_an_event_cannot_be_changed():
    with pytest.raises(AttributeError):
        event(1).step = 2
