"""Secrets within texts."""

import json
import time
from random import Random

import pytest

from rldk.recording import secret_text
from rldk.recording.secret_text import BLANK, redact_text, shortened

S = "Sec-Ret/Val_1"
"""A secret of no known shape."""


@pytest.mark.parametrize(
    "text",
    [
        f"api_key={S}",
        f"api_key = '{S}'",
        f"api_key: {S}",
        f"api_key:={S} and more",
        f"api key: {S}",
        f"+judge.api_key={S}",
        f"export HF_TOKEN={S}",
        f"os.environ['HF_TOKEN'] = '{S}'",
        f"{{'api_key': '{S}', 'x': 1}}",
        json.dumps({"hubToken": S}),
        json.dumps(json.dumps({"hubToken": S})),
        json.dumps(json.dumps(json.dumps({"hubToken": S}))),
        repr({"api_key": S.encode()}),
        repr([("api_key", S)]),
        json.dumps([["api_key", S]]),
        json.dumps({"name": "HF_TOKEN", "value": S}),
        f"- name: HF_TOKEN\n  value: {S}\n",
        f"Judge(api_key={S!r}, url='x')",
        f"Judge(api_key=SecretStr({S!r}), url='x')",
        f"api_key=os.environ.get('X', '{S}')",
        f"def judge(api_key: str = '{S}'):",
        f"def judge(api_key: str | None = '{S}'):",
        f"{{'auth': {{'user': 'me', 'word': '{S}'}}, 'x': 1}}",
        f"https://me:{S}@host/path",
        f"https://me:p@{S}@host/path",
        f"https://{S.replace('/', '')}@host/path",
        f"https://host/score?api_key={S}&x=1",
        f"https://host/o?X-Amz-Credential=a&X-Amz-Signature={S}",
        f"https://host/c/b?sv=2020&sig={S}",
        f"https://host/?next=%2F%3Fapi_key%3D{S}",
        f"postgresql://u:{S}@db/x",
        f"Server=x;AccountKey={S};",
        f"curl -H 'X-Api-Key: {S}' https://host",
        f'curl -H "Authorization: Basic {S}" https://host',
        f"Authorization: Token {S}",
        f"Authorization: Digest username='me', response='{S}'",
        f"Cookie: a=1; session={S}",
        f"train.py --hub_token {S} --max_tokens 5",
        f"train.py --api-keys a {S} --max_tokens 5",
        f"Command '['train', '--secret_key', 'a', '{S}', '--max_tokens', '5']' failed",
        f"ValueError: a\\napi_key={S}",
        f"password='a\n{S}', x",
        f"password='{S}",
        f"password={S}'\"{S}",
        f"key=abcdefgh12345678{S}",
    ],
)
def test_the_value_of_a_secret_name_is_blanked(text):
    safe = redact_text(text)
    assert S not in safe
    assert S.replace("/", "") not in safe
    assert BLANK in safe
    assert redact_text(safe) == safe


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens=512, max_new_tokens: 64",
        "{'eos_token': '<|endoftext|>', 'pad_token_id': 0, 'tokens': 12}",
        "mean_token_accuracy: 0.61 at step 10",
        "entropy=0.5 key='eval_reward' primary_key=id",
        "token=None, hub_token=null, 'api_key': '', use_auth_token=False",
        "https://huggingface.co:443/@me/model?revision=main",
        "https://host/?time=12:30&mail=me@host",
        'File "/home/me/token.py", line 3, in secret_word',
        "in judge (secrets.py:41)",
        "AuthenticationError: the server refused",
        "KeyError: 'reward'",
        "sha 0123456789abcdef0123456789abcdef01234567 of run my_run-2",
        "[1.0, 2.0]: a - b -- c",
        "the tokens of the prompt, and the token that ends it",
        "RuntimeError: size of tensor a (3) must match tensor b (4)",
        "CUDA out of memory. Tried to allocate 2.00 GiB (GPU 0; 79.15 GiB total capacity)",
    ],
)
def test_a_text_without_a_secret_is_kept(text):
    assert redact_text(text) == text


def test_what_is_around_a_secret_is_kept():
    text = "401 for {'x': 1, 'api_key': 'abc', 'y': [2]} at https://u:p@h/x?a=1 with --token abc --steps 5"
    assert redact_text(text) == (
        f"401 for {{'x': 1, 'api_key': '{BLANK}', 'y': [2]}} at https://{BLANK}@h/x?a=1 "
        f"with --token {BLANK} --steps 5"
    )


def test_a_number_in_json_ends_where_it_ends():
    assert redact_text('{"secret":12,"step":3}') == f'{{"secret":{BLANK},"step":3}}'


def test_a_cut_takes_the_word_that_it_goes_through():
    assert shortened("one two three", 9) == "one two"
    assert shortened("one", 9) == "one"


MILLION = 1_000_000


@pytest.mark.parametrize(
    "piece",
    [
        "a", " ", "a:", "a=b ", "token=(", "token={'", 'token="', "token='\n",
        "token=\"token='token=`", "\\", "a://", "a://u:", "eyJ", "eyJaaaaaaaaaaaaaaa.",
        "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "bearer ", "basic ", "sk-", "M.", "1:A",
        "--token a ", "token: a[", "token: a|a|a|", "('token', 'x'), ", "'--token','a',",
        "name: token value: x ", "x-.webhook.office.com/", "api ", "aB", "Q~1", "token=}", "é=",
        "authorization: ",
    ],
)  # fmt: skip
def test_an_adversarial_text_takes_time_in_proportion(piece):
    short, long = piece * (MILLION // 40 // len(piece)), piece * (MILLION // 4 // len(piece))
    least = min(_seconds(short) for _ in range(2))
    assert _seconds(long) < 40 * max(least, 0.002)  # of ten times the text; a quadratic pass takes 100 times


@pytest.mark.parametrize("piece", ["key=(", "tokens=(", "key: {", "key=", "key=('", 'key=["'])
def test_a_value_that_is_kept_is_not_read_again_for_each_name_in_it(piece, monkeypatch):
    text = piece * (MILLION // len(piece))
    find, read = secret_text._value, 0

    def counted(*arguments):
        nonlocal read
        end, opening, closing = find(*arguments)
        read += end - arguments[1]
        assert read < 20 * len(text)
        return end, opening, closing

    monkeypatch.setattr(secret_text, "_value", counted)
    assert BLANK in redact_text(text)


def test_a_long_text_with_a_few_nested_names_is_kept():
    text = "key: [tokens: [key: [" + "1, " * (MILLION // 3) + "2]]]"
    assert redact_text(text) == text


def test_a_megabyte_of_everything_comes_to_an_end():
    pieces = [
        "token=",
        "'",
        '"',
        "{",
        "[",
        "(",
        "\\",
        "://",
        "@",
        ":",
        "eyJ",
        "-----BEGIN PRIVATE KEY-----",
        "--a ",
    ]
    random = Random(0)
    text = "".join(random.choice(pieces) for _ in range(MILLION // 4))
    assert _seconds(text) < 60


def _seconds(text):
    began = time.process_time()
    redact_text(text)
    return time.process_time() - began
