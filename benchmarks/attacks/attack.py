"""What the attacks share: their arguments, and the report that each of them prints.

Invariant: a command exits 1 exactly when its report names a failure, and leaves no file of its own.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PATHS = [str(ROOT / "src"), str(ROOT / "tests"), str(HERE)]
"""Where an attacked process finds rldk, the trainings of the tests, and the scripts of the attacks."""
sys.path[:0] = PATHS


def options(doc: str, *, quick: int, full: int, what: str) -> argparse.Namespace:
    """The arguments of a command; with `--python` the command starts again in that environment.

    Args:
        doc: the docstring of the command.
        quick: how many tries a quick look takes.
        full: how many tries the page of the documentation reports.
        what: what is counted: "kills".
    """
    first, _, rest = doc.partition("\n")
    parser = argparse.ArgumentParser(description=first, epilog=rest)
    parser.add_argument("count", nargs="?", type=int, help=f"{what}, {quick} by default")
    parser.add_argument("--full", action="store_true", help=f"{full} {what}")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments and errors")
    parser.add_argument("--jobs", type=int, default=2, help="attacks at the same time, 2 by default")
    parser.add_argument("--only", action="append", help="attack this case alone; may be repeated")
    parser.add_argument("--python", help="the interpreter of the environment to attack, instead of this one")
    chosen = parser.parse_args()
    if chosen.count is None:
        chosen.count = full if chosen.full else quick
    if chosen.python:
        only = [word for case in chosen.only or () for word in ("--only", case)]
        numbers = [str(chosen.count), f"--seed={chosen.seed}", f"--jobs={chosen.jobs}"]
        os.execv(chosen.python, [chosen.python, sys.argv[0], *numbers, *only])
    return chosen


def chosen_cases(cases: dict[str, Any], only: list[str] | None) -> dict[str, Any]:
    """The cases that `--only` names, or all."""
    unknown = set(only or ()) - set(cases)
    if unknown:
        raise SystemExit(f"no such case: {', '.join(sorted(unknown))}; there are: {', '.join(cases)}")
    return {name: case for name, case in cases.items() if not only or name in only}


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="rldk-attack-")).resolve()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Report:
    """What an attack showed: numbers by case, and failures. Threads may share it.

    Numbers of one name add up if they are whole; of others the largest is kept.
    """

    def __init__(self, attack: str) -> None:
        self.attack = attack
        self.cases: dict[str, dict[str, float]] = {}
        self.failures: list[str] = []
        self._began = time.monotonic()
        self._lock = threading.Lock()

    def count(self, case: str, **numbers: float) -> None:
        """Add to the numbers of a case; a `_` in a name stands for a space."""
        with self._lock:
            known = self.cases.setdefault(case, {})
            for key, number in numbers.items():
                name = key.replace("_", " ")
                before = known.get(name, 0)
                known[name] = before + number if isinstance(number, int) else round(max(before, number), 3)

    def fail(self, case: str, text: str) -> None:
        """Note that a promise was broken."""
        with self._lock:
            self.failures.append(f"{case}: {text}")
            print(f"{self.attack}: {case}: {text}", file=sys.stderr, flush=True)

    def end(self) -> NoReturn:
        """Print the report as one JSON object and end the process."""
        packages = ("torch", "transformers", "trl")
        report = {
            "attack": self.attack,
            "versions": {name: version(name) for name in packages} | {"python": sys.version.split()[0]},
            "seconds": round(time.monotonic() - self._began),
            "cases": self.cases,
            "failures": self.failures,
        }
        print(json.dumps(report, indent=1))
        sys.exit(1 if self.failures else 0)
