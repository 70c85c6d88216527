"""Secrets that must not be written down."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldk.recording.redaction import BLANK, redact, redact_command

TOKENS = [
    "hf_abcdefghijklmnopqrstuvwxyz",
    "sk-proj-abcdefghijklmnop1234",
    "ghp_abcdefghijklmnopqrstuv",
    "AKIAABCDEFGHIJKLMNOP",
    "xoxb-1234567890-abc",
    "AIzaabcdefghijklmnopqrstuvwxyz123456",
]
SECRET_NAMES = [
    "hub_token", "push_to_hub_token", "token", "HF_TOKEN", "WANDB_API_KEY", "api_key", "apikey", "password",
    "aws_secret_access_key", "client.secret", "auth", "credentials", "x-auth-header", "db_passwd",
]  # fmt: skip
HARMLESS_NAMES = [
    "max_tokens", "num_tokens", "eos_token", "pad_token", "pad_token_id", "image_token", "learning_rate",
    "author", "use_token_level_loss", "mask_truncated_completions", "include_num_input_tokens_seen", "keys",
]  # fmt: skip


@pytest.mark.parametrize("name", SECRET_NAMES)
@pytest.mark.parametrize("value", ["s3cret", 12345, ["s3cret"], {"inner": "s3cret"}, b"s3cret"])
def test_a_value_under_a_secret_name_is_blanked(name, value):
    assert redact({name: value}) == {name: BLANK}


@pytest.mark.parametrize("name", SECRET_NAMES)
@pytest.mark.parametrize("value", [None, True, False])
def test_whether_a_secret_is_set_may_be_known(name, value):
    assert redact({name: value}) == {name: value}


@pytest.mark.parametrize("name", HARMLESS_NAMES)
def test_a_name_that_only_sounds_alike_keeps_its_value(name):
    assert redact({name: "<eos>", "other": {name: 512}}) == {name: "<eos>", "other": {name: 512}}


@pytest.mark.parametrize("token", TOKENS)
def test_a_token_of_a_known_service_is_blanked_wherever_it_stands(token):
    value = {
        "note": f"use {token}, please",
        "list": [token],
        token: 1,
        "bytes": token.encode(),
        "t": (token,),
    }
    assert token not in json.dumps(redact(value))
    assert token not in json.dumps(redact_command(["train.py", token, f"--note=with {token}"]))


def test_a_login_in_an_address_is_blanked():
    assert redact("https://me:pw@host/path") == f"https://{BLANK}@host/path"
    assert redact("https://host/path") == "https://host/path"


class Mute:
    def __str__(self):
        raise RuntimeError


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.builds(Mute),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner),
        max_leaves=10,
    )
)
def test_anything_becomes_plain_data_for_json(value):
    json.dumps(redact(value))


def test_data_that_holds_itself_has_an_end():
    knot = []
    knot.append({"again": knot})
    json.dumps(redact(knot))


@pytest.mark.parametrize(
    ("arguments", "safe"),
    [
        (["--token", "s3cret", "s3cret"], ["--token", BLANK, BLANK]),
        (["--token", "s3cret", "s3=cret", "y.py"], ["--token", BLANK, BLANK, "y.py"]),
        (["--password", "-s3cret", "-v", "x"], ["--password", BLANK, "-v", "x"]),
        (["--token=s3cret", "x"], [f"--token={BLANK}", "x"]),
        (["--hub_token", "s3cret"], ["--hub_token", BLANK]),
        (["--hub-token", "s3cret"], ["--hub-token", BLANK]),
        (["-token", "s3cret"], ["-token", BLANK]),
        (["WANDB_API_KEY=s3cret"], [f"WANDB_API_KEY={BLANK}"]),
        (["--token", "--verbose", "x"], ["--token", "--verbose", "x"]),
        (["--token"], ["--token"]),
        (["--max_tokens", "512"], ["--max_tokens", "512"]),
        (["--learning_rate", "1e-6", "--beta=0.1"], ["--learning_rate", "1e-6", "--beta=0.1"]),
        (["token", "x"], ["token", "x"]),
        (["--token", "s3cret", "--token", "s3cret"], ["--token", BLANK, "--token", BLANK]),
    ],
)
def test_secret_options_of_a_command_line_lose_their_values(arguments, safe):
    assert redact_command(["train.py", *arguments]) == ["train.py", *safe]


@pytest.mark.parametrize(
    "argument",
    ["--wandb-api-key", "--openai-api-key", "--private-key", "--aws-secret-access-key", "--authorization"],
)
def test_options_with_dashes_are_secrets_too(argument):
    assert redact_command([argument, "abc"]) == [argument, BLANK]
    assert redact_command([f"{argument}=abc"]) == [f"{argument}={BLANK}"]


def test_a_bearer_token_is_blanked_wherever_it_stands():
    assert redact("header 'Authorization: Bearer abc.def-123'") == f"header 'Authorization: {BLANK}'"
    assert redact("with bearer abc.def-123 it fails") == f"with bearer {BLANK} it fails"


@dataclass
class Judge:
    url: str = "https://judge/v1"
    api_key: str = "s3cret"
    max_tokens: int = 512


@dataclass
class Outer:
    inner: Judge = field(default_factory=Judge)
    names: tuple[str, ...] = ("a",)


class Struct(msgspec.Struct):
    api_key: str = "s3cret"


class Pair(NamedTuple):
    api_key: str = "s3cret"
    steps: int = 3


class Positional:
    """Its text has no names."""

    def __init__(self):
        self.api_key = "s3cret-value"

    def __repr__(self):
        return f"Positional({self.api_key!r})"


class Slotted:
    __slots__ = ("token",)

    def __init__(self):
        self.token = "s3cret-value"

    def __str__(self):
        return f"<{self.token}>"


class Model:
    """As pydantic's models are."""

    model_fields: ClassVar = {"api_key": None}

    def __init__(self):
        self.api_key = "s3cret"


@pytest.mark.parametrize(
    ("value", "safe"),
    [
        (Judge(), {"url": "https://judge/v1", "api_key": BLANK, "max_tokens": 512}),
        (
            Outer(),
            {"inner": {"url": "https://judge/v1", "api_key": BLANK, "max_tokens": 512}, "names": ["a"]},
        ),
        (Struct(), {"api_key": BLANK}),
        (Pair(), {"api_key": BLANK, "steps": 3}),
        (SimpleNamespace(token="s3cret", x=1), {"token": BLANK, "x": 1}),
        (Model(), {"api_key": BLANK}),
        (Positional(), f"Positional('{BLANK}')"),
        (Slotted(), f"<{BLANK}>"),
        (Path("/a/token=s3cret"), f"/a/token={BLANK}"),
        (b"token=s3cret", f"token={BLANK}"),
        ([("api_key", "s3cret")], [["api_key", BLANK]]),
        (["Authorization", "Basic s3cret"], ["Authorization", BLANK]),
        (["X-Api-Key: s3cret"], [f"X-Api-Key: {BLANK}"]),
        ({"name": "HF_TOKEN", "value": "s3cret"}, {"name": "HF_TOKEN", "value": BLANK}),
        ({"value": "s3cret", "name": "HF_TOKEN"}, {"value": BLANK, "name": "HF_TOKEN"}),
        ({"name": "reward", "value": "x"}, {"name": "reward", "value": "x"}),
        (["--token", "s3cret", 5], ["--token", BLANK, BLANK]),
        (["-v", 5, {"token": "s3cret"}], ["-v", 5, {"token": BLANK}]),
        ({"wandb_tokens": ["s3cret"], "tokens": 5}, {"wandb_tokens": [BLANK], "tokens": 5}),
        ({"key": "eval_reward", "api_keys": {"a": 1}}, {"key": "eval_reward", "api_keys": BLANK}),
    ],
)
def test_an_object_becomes_its_fields_or_its_text_without_secrets(value, safe):
    assert redact({"x": value}) == {"x": safe}


def test_data_of_endless_depth_and_width_has_an_end():
    knot: list[object] = []
    knot.extend([knot] * 50)
    json.dumps(redact(knot))
    wide: list[object] = ["x"]
    for _ in range(12):
        wide = [wide] * 30
    json.dumps(redact(wide))


def test_a_huge_text_is_cut_and_its_secrets_are_blanked():
    text = redact("a " * 500_000 + "token=s3cret")
    assert len(text) < 1_001_000
    assert "s3cret" not in text
