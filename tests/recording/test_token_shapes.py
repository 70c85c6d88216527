"""The shapes of known services' tokens."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rldk.recording.token_shapes import SHAPES, blank_tokens


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.service)
@settings(max_examples=5)
@given(
    data=st.data(),
    around=st.sampled_from(["{}", "see {} here", "x={}", "('{}')", "a\\n{}", "%3D{}&", "\x1b[31m{}"]),
)
def test_a_token_of_each_service_is_blanked_wherever_it_is(shape, data, around):
    token = data.draw(st.from_regex(re.compile(shape.pattern, re.ASCII), fullmatch=True))
    assert token not in blank_tokens(around.format(token), "<>")


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.service)
@settings(max_examples=5)
@given(data=st.data())
def test_every_token_holds_the_mark_of_its_shape(shape, data):
    token = data.draw(st.from_regex(re.compile(shape.pattern, re.ASCII), fullmatch=True))
    assert shape.mark in token.lower()
    assert shape.source


@pytest.mark.parametrize(
    "text",
    [
        "0123456789abcdef0123456789abcdef01234567",  # a commit
        "550e8400-e29b-41d4-a716-446655440000",
        "Qwen/Qwen2.5-0.5B-Instruct",
        "hf_models/checkpoint-500",
        "/home/me/sk-runs",
        "a risk-averse-policy-with-long-name",
        "Basic configuration of the bearer bonds",
        "trl-lib/ultrafeedback_binarized",
        "meta-llama/Llama-3.1-8B",
    ],
)
def test_what_is_no_token_is_kept(text):
    assert blank_tokens(text, "<>") == text


@pytest.mark.parametrize(
    "kind", ["PRIVATE KEY", "RSA PRIVATE KEY", "OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK"]
)
@pytest.mark.parametrize("end", ["\n", "\\n"])
@pytest.mark.parametrize("closed", [True, False])
def test_a_private_key_is_blanked_to_its_end(kind, end, closed):
    lines = [f"-----BEGIN {kind}-----", "MIIEpAIBAAKCAQEA75", "c2VjcmV0", f"-----END {kind}-----"]
    text = blank_tokens("key " + end.join(lines[: 4 if closed else 3]) + (" behind" if closed else ""), "<>")
    assert text == ("key <> behind" if closed else "key <>")
