"""Asks the peers about the same runs: `python benchmarks/detection/peers.py [--only NAME] [--runs DIR]`.

Each peer is installed from PyPI into an environment of its own, is handed each run of the labelled set and
of the public logs in the form that it reads best (`peer_inputs.py`, `peer_drivers/`), and what it says is put
into our rule names (`peer_names.py`) and written to `verdicts/<peer>.json`, which `compare.py` and `score.py`
read. Invariant: a peer runs in a process that imports it and the standard library alone; a run on which it
fails is `null` in its verdicts, with the reason in `verdicts/about.json`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import peer_inputs
from peer_names import NAMES
from score import CORPUS, HERE, Said, corpus

from rldk.errors import RLDKError
from rldk.health import RULES

ENVIRONMENTS = Path("~/.cache/rldk-peers")
VERDICTS = HERE / "verdicts"
ABOUT = VERDICTS / "about.json"
LIBRARIES = ("numpy==2.4.6", "setuptools==65.5.0")
TRANSFORMERS = "transformers==5.23.0"
"""Where the callbacks of rlprobe and rlwatch come from; its part that they use needs no torch."""
PACKAGES: dict[str, tuple[str, ...]] = {
    "rldoctor": ("rldoctor[tensorboard]==0.2.0", "tbparse==0.0.9", "tensorboard==2.21.0", *LIBRARIES),
    "rlprobe": ("rlprobe==0.1.0", "pyarrow==26.0.1", "pydantic==2.14.3", TRANSFORMERS, *LIBRARIES),
    "rlwatch": ("rlwatch[monitoring]==0.5.1", "scipy==1.17.1", "diptest==0.12.0", TRANSFORMERS, *LIBRARIES),
}


def environment(peer: str, folder: Path) -> Path:
    """The Python of the peer's environment, which is made where it is not there or holds other versions."""
    home = folder.expanduser() / peer
    made = home / "made-for.txt"
    wanted = "\n".join(PACKAGES[peer])
    python = home / "bin" / "python"
    if not (made.is_file() and made.read_text() == wanted):
        print(f"{peer}: installing into {home}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        subprocess.run([python, "-m", "pip", "install", "-qq", *PACKAGES[peer]], check=True)
        made.write_text(wanted)
    return python


def runs(folder: Path, logs: Path) -> Iterator[tuple[str, Path, str | None, bool]]:
    """Name, path, truth metric, and whether it is a public log: of all that there is to judge."""
    labels = json.loads((HERE / "labels.json").read_text())
    for path in sorted(folder.iterdir()):
        if path.name in labels:
            yield path.name, path, labels[path.name]["truth_metric"], False
    if logs.is_dir():
        for run in corpus(logs):
            yield run.name, run.path, None, True


def tasks(folder: Path, logs: Path, work: Path) -> list[dict[str, Any]]:
    """All runs, converted, as the drivers are given them."""
    found = []
    for name, path, truth, public in runs(folder, logs):
        state: Path | None = work / f"{name}.json"
        unread = None
        try:
            peer_inputs.write(peer_inputs.trainer_state(path, truth), work / f"{name}.json")
        except RLDKError as error:
            state, unread = None, f"rldk cannot convert it: {error}"
        found.append(
            {
                "name": name,
                "state": state and str(state),
                "native": str(path.resolve()) if public else None,
                "unread": unread,
            }
        )
    return found


def ask(peer: str, python: Path, todo: list[dict[str, Any]], work: Path) -> tuple[dict[str, Any], Any]:
    """What the peer says of each run, and its versions. A death of its process costs one run."""
    answers: dict[str, Any] = {}
    versions = None
    driver = HERE / "peer_drivers" / f"{peer}_driver.py"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RLWATCH", "PYTHON"))}
    while todo:
        given, told = work / "tasks", work / "answers"
        given.write_text(json.dumps(todo))
        told.write_text("")
        log = work / "log"
        with log.open("w") as errors:
            done = subprocess.run(
                [python, driver, given, told], check=False, cwd=work, env=clean, stderr=errors, stdout=errors
            )
        first, *rest = [json.loads(line) for line in told.read_text().splitlines()] or [None]
        if first is None:
            raise SystemExit(f"{peer} does not start:\n{log.read_text()[-2000:]}")
        versions = first["versions"]
        answers |= {answer.pop("name"): answer for answer in rest}
        todo = [task for task in todo if task["name"] not in answers]
        if todo:
            answers[todo.pop(0)["name"]] = {"error": f"the process ended with {done.returncode}"}
    return answers, versions


def in_our_names(peer: str, found: list[dict[str, Any]]) -> list[Said]:
    """Each finding once for each of our rules that it means."""
    meant = NAMES[peer]
    unknown = {one["name"] for one in found} - set(meant)
    if unknown:
        raise SystemExit(f"peer_names.py does not know what {peer} means by {', '.join(sorted(unknown))}")
    return [
        Said(rule, one["severity"], one["step"], one["name"])
        for one in found
        for rule in meant[one["name"]] or (None,)
    ]


def keep(peer: str, answers: dict[str, Any], versions: Any) -> None:
    """The verdicts, one line a run, and what there is to know about them."""
    lines = []
    for name, answer in answers.items():
        verdict = in_our_names(peer, answer["found"]) if "found" in answer else None
        lines.append(f"{json.dumps(name)}: {msgspec.json.encode(verdict).decode()}")
    (VERDICTS / f"{peer}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    about = json.loads(ABOUT.read_text()) if ABOUT.is_file() else {}
    about[peer] = {
        "versions": versions,
        "read as it is": [name for name, answer in answers.items() if answer.get("form") == "as it is"],
        "not read": {name: answer["error"] for name, answer in answers.items() if "error" in answer},
    }
    ABOUT.write_text(json.dumps(about, indent=1, sort_keys=True) + "\n")


def main() -> None:
    """Convert, ask, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=PACKAGES, action="append", help="this peer; may be repeated")
    parser.add_argument("--runs", type=Path, default=HERE / "runs", help="folder of the labelled runs")
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="folder of INDEX.csv and files/")
    parser.add_argument("--envs", type=Path, default=ENVIRONMENTS, help="where the environments are kept")
    options = parser.parse_args()
    unknown = {rule for table in NAMES.values() for rules in table.values() for rule in rules}
    unknown -= {rule.name for rule in RULES}
    if unknown:
        raise SystemExit(f"peer_names.py names rules that there are not: {sorted(unknown)}")
    VERDICTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        begun = time.monotonic()
        todo = tasks(options.runs, options.corpus, work)
        print(f"{len(todo)} runs converted in {time.monotonic() - begun:.0f} s", file=sys.stderr)
        for peer in options.only or PACKAGES:
            python = environment(peer, options.envs)
            begun = time.monotonic()
            answers, versions = ask(peer, python, todo, work)
            keep(peer, answers, versions)
            failed = sum("error" in answer for answer in answers.values())
            took = time.monotonic() - begun
            print(f"{peer}: {len(answers)} runs in {took:.0f} s, {failed} not read", file=sys.stderr)


if __name__ == "__main__":
    main()
