"""Secrets that must not be written down."""

import json

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
        (["--token", "s3cret", "x"], ["--token", BLANK, "x"]),
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
    assert redact("header 'Authorization: Bearer abc.def-123'") == f"header 'Authorization: Bearer {BLANK}"
