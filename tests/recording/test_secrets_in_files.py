"""Secrets that are planted anywhere in what a run records are in none of its files.

`pytest --hypothesis-profile=thorough` plants 2,000 of each kind.
"""

import json
import re
import sys
import tempfile
from dataclasses import make_dataclass
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from recording_one import begin
from rldk.recording.environment import environment
from rldk.recording.redaction import redact_command
from rldk.recording.token_shapes import SHAPES
from rldk.schema.event import DataSlice, Event, ModelInfo, Rng

NAMES = [
    "hub_token", "HF_TOKEN", "hfToken", "accessToken", "apiKey", "api_key", "apikey", "openai_key",
    "wandb_key", "WANDB_API_KEY", "judge_pwd", "passphrase", "cookie", "bearer", "dsn",
    "connection_string", "private_key", "privateKey", "ssh_key", "client_secret", "clientSecret",
    "secrets", "passwords", "credentials", "creds", "aws_secret_access_key", "webhook",
    "authorization", "x-api-key", "auth", "api_keys", "token", "password", "db_passwd",
]  # fmt: skip
HARMLESS = ["judge", "options", "a", "reward_model", "kwargs", "0", "headers", "env"]

tokens = st.sampled_from(SHAPES).flatmap(
    lambda shape: st.from_regex(re.compile(shape.pattern, re.ASCII), fullmatch=True)
)
passwords = st.text("abcXYZ0189_-+/=.!$%^&*#@~?,;:(){}[]<>|", min_size=1, max_size=30).map(
    lambda text: f"Zq{text}9xW"  # no other text holds it
)


class Told:
    """An object whose text is its own."""

    def __init__(self, text):
        self.text = text

    def __repr__(self):
        return self.text


def _quoted(name, secret):
    """Texts that hold a named secret between quotes: any secret."""
    return [
        json.dumps({"x": 1, name: secret, "y": [2]}),
        json.dumps(json.dumps({"x": 1, name: secret})),
        repr({"x": 1, name: secret, "y": (2,)}),
        repr([("x", 1), (name, secret)]),
        f"Judge(url='x', {name.replace('-', '_')}={secret!r}, max_tokens=5)",
        json.dumps([{"name": name, "value": secret}]),
        f"the command {['train.py', '--' + name, secret, '--steps', '5']} failed",
        repr({name: secret.encode()}),
    ]


def _bare(name, secret):
    """Texts that hold a named secret as it is."""
    return [
        f"{name}={secret}",
        f"{name}: {secret}",
        f"+judge.{name}={secret}",
        f"line\n  {name} = {secret}\nline",
        f"train.py --{name} {secret}",
        f"train.py --{name}={secret} --steps 5",
    ]


def _shaped(secret):
    """Texts that hold a token of a known shape."""
    return [
        secret,
        f"401 for {secret}, it is wrong",
        f"['{secret}']",
        f"https://{secret}@host/x",
        f"x\n{secret}\ny",
    ]


@st.composite
def planted(draw):
    """A secret and a text that holds it."""
    if draw(st.booleans()):
        secret = draw(tokens)
        texts = _shaped(secret) + _quoted(draw(st.sampled_from(NAMES)), secret)
    else:
        secret, name = draw(passwords), draw(st.sampled_from(NAMES))
        texts = _quoted(name, secret) + _bare(name, secret)
        texts += [
            f"https://me:{re.sub('[<>]', '', secret)}@host/x",
            f"https://host/x?{name}={quote(secret)}&y=1",
        ]
    text = draw(st.sampled_from(texts))
    return secret, text


@st.composite
def configurations(draw):
    """A secret and a nested configuration that holds it."""
    if draw(st.booleans()):
        secret, value = draw(planted())
    else:
        secret, name = draw(passwords), draw(st.sampled_from(NAMES))
        value = draw(
            st.sampled_from(
                [
                    {name: secret},
                    {name: [secret]},
                    {name: {"inner": secret}},
                    {name: secret.encode()},
                    [(name, secret)],
                    [[name, secret], ["x", 1]],
                    {"name": name, "value": secret},
                    ["--" + name, secret],
                    [f"--{name}={secret}"],
                    SimpleNamespace(**{name.replace("-", "_"): secret}),
                    make_dataclass("Judge", [name.replace("-", "_")])(secret),
                    Path(f"/data/{name}={secret}"),
                ]
            )
        )
    for _ in range(draw(st.integers(0, 5))):
        key = draw(st.sampled_from(HARMLESS))
        value = draw(
            st.sampled_from(
                [
                    {key: value, "max_tokens": 5},
                    [1, value],
                    (value, None),
                    SimpleNamespace(**{f"f{key}": value}),
                    make_dataclass("Options", ["inner"])(value),
                    Told(f"Options(inner={value!r})"),
                    {"x": json.dumps(value, default=repr)},
                ]
            )
        )
    return secret, {"trainer_dir": "/out", "args": {"learning_rate": 1e-6, "option": value}}


@st.composite
def errors(draw):
    """A secret and an exception that holds it somewhere."""
    secret, text = draw(planted())
    message = draw(st.sampled_from([text, (text,), {"why": text}, [1, text], Told(text), f"first\n{text}"]))
    error: BaseException = draw(st.sampled_from([ValueError, RuntimeError, KeyError, OSError]))(message)
    match draw(st.sampled_from(["itself", "cause", "context", "note", "group"])):
        case "cause":
            outer: BaseException = RuntimeError("the judge failed")
            outer.__cause__ = error
        case "context":
            outer = RuntimeError("the judge failed")
            outer.__context__ = error
        case "note":
            outer = RuntimeError("the judge failed")
            outer.add_note(text)
        case "group":
            outer = BaseExceptionGroup("several", [error, ValueError("x")])
        case _:
            outer = error
    return secret, outer


def _event(*notes):
    return Event(
        step=1,
        wall_time=0.0,
        metrics={"loss": 0.5},
        rng=Rng(),
        data_slice=DataSlice(),
        model_info=ModelInfo(),
        notes=notes,
    )


def _files(*, about=None, notes=(), error=None):
    """Every file of a run that recorded this, by name."""
    with tempfile.TemporaryDirectory() as folder:
        recorder = begin(Path(folder), about=about)
        try:
            recorder.record(_event(*notes))
            if error is not None:
                recorder._crash_recorder.note(error)
        finally:
            recorder.close()
        return {path.name: path.read_text() for path in Path(folder).iterdir()}


def _assert_absent(secret, files):
    for name, text in files.items():
        for form in (secret, json.dumps(secret)[1:-1], quote(secret)):
            assert form not in text, f"{form} is in {name}"


@given(configurations())
def test_no_secret_of_a_configuration_is_in_a_file(planted):
    secret, about = planted
    files = _files(about=about)
    assert "learning_rate" in files["run_run.json"]
    _assert_absent(secret, files)


@given(errors())
def test_no_secret_of_an_exception_is_in_a_file(planted):
    secret, error = planted
    files = _files(error=error)
    assert "=== rldk: the process ended" in files["run_crash.txt"]
    _assert_absent(secret, files)


@given(planted(), st.sampled_from(["x", "judge/answer"]))
def test_no_secret_of_a_logged_text_is_in_a_file(planted, name):
    secret, text = planted
    _assert_absent(secret, _files(notes=(f"text:{name}={text[:200]}", "nonfinite:grad_norm=nan")))


@given(passwords, st.sampled_from(NAMES))
def test_no_text_that_is_logged_as_a_secret_is_in_a_file(secret, name):
    _assert_absent(secret, _files(notes=(f"text:{name}=it is {secret}",)))


@st.composite
def commands(draw):
    """A secret and a command line that holds it."""
    secret, name = draw(passwords), draw(st.sampled_from(NAMES))
    if draw(st.booleans()):
        secret, text = draw(planted())
        given = draw(st.sampled_from([[text], ["--option", text], [f"--option={text}"], ["-H", text]]))
    else:
        given = draw(
            st.sampled_from(
                [
                    [f"--{name}", secret],
                    [f"--{name}", "x", secret],
                    [f"--{name}={secret}"],
                    [f"--{name}", f"-{secret}"],
                    [f"{name}={secret}"],
                    [f"+judge.{name}={secret}"],
                    ["-H", f"{name}: {secret}"],
                    ["--env", f"{name}={secret}"],
                    ["--judge", json.dumps({name: secret})],
                    [f"--judge={ {name: secret} }"],
                ]
            )
        )
    before, behind = (
        draw(st.sampled_from([[], ["--steps", "5"], ["-v"]])),
        draw(st.sampled_from([[], ["--beta", "0.1"]])),
    )
    return secret, ["train.py", *before, *given, *behind]


@given(commands())
def test_no_secret_of_a_command_line_is_in_a_file(planted):
    secret, arguments = planted
    command = redact_command(arguments)
    _assert_absent(secret, _files(about={"trainer_dir": "/out", "command": command}))
    assert command[0] == "train.py"


def test_the_command_of_this_process_is_recorded_without_secrets(monkeypatch):
    monkeypatch.setattr(
        sys, "argv", ["train.py", "--judge", '{"api_key": "s3cret-1"}', "--openai-key", "s3cret-2"]
    )
    files = _files(about={"trainer_dir": "/out", **environment()})
    _assert_absent("s3cret", files)
    assert "--openai-key" in files["run_run.json"]
