"""What the drivers of the peers share: the standard library alone, for each runs in the peer's environment.

`python <driver>.py TASKS ANSWERS`. TASKS is a JSON list of `{"name", "state", "native"}`: the run as a
`trainer_state.json`, and the public log as it was published; either may be null. ANSWERS gets a line of JSON
with the versions, and then a line for each run, written when it is done: `{"name", "found", "form"}`, or
`{"name", "error"}` where the peer failed. What the peer prints is thrown away.
"""

import contextlib
import io
import json
import signal
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

SECONDS = 300
"""How long a peer may take over one run."""

Found = list[dict[str, Any]]
Judge = Callable[[dict[str, Any], Path], tuple[Found, str]]
"""From a task and an empty folder to the findings, and to the form in which the run was read."""


def serve(judge: Judge, packages: tuple[str, ...]) -> None:
    """Let the peer judge all runs."""
    tasks = json.loads(Path(sys.argv[1]).read_text())
    signal.signal(signal.SIGALRM, _too_long)
    with Path(sys.argv[2]).open("a") as answers:
        _say(answers, {"versions": {name: version(name) for name in packages}})
        for task in tasks:
            _say(answers, {"name": task["name"], **_answer(judge, task)})


def history(task: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The logs of a run, and its configuration.

    Raises:
        ValueError: rldk could not read the run for the peer.
    """
    if task["state"] is None:
        raise ValueError(task["unread"])
    state = json.loads(Path(task["state"]).read_text())
    return state.pop("log_history"), state


def _answer(judge: Judge, task: dict[str, Any]) -> dict[str, Any]:
    try:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            signal.alarm(SECONDS)
            try:
                found, form = judge(task, Path(folder))
            finally:
                signal.alarm(0)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}".replace(str(task["native"]), task["name"])}
    return {"found": found, "form": form}


def _too_long(*_: object) -> None:
    raise TimeoutError(f"not done after {SECONDS} seconds")


def _say(file: Any, line: dict[str, Any]) -> None:
    file.write(json.dumps(line) + "\n")
    file.flush()
