"""Tries the packages of dist/ as users get them: the wheels installed without torch, the sdist unpacked.

Invariant: nothing is imported from this checkout; what fails ends the script with a status above 0.

`python scripts/check_package.py TEST_PYTHON [ARGUMENTS OF PIP]` makes an environment for the wheels with pip.
TEST_PYTHON is the Python of an environment with TRL and the test dependencies; it collects the sdist's tests.
"""

import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
LIGHT_IMPORT = """\
import importlib.util, sys, rldk
heavy = [name for name in ("torch", "transformers", "trl") if importlib.util.find_spec(name)]
assert not heavy, f"the environment holds {heavy}"
assert "site-packages" in rldk.__file__, f"imported from {rldk.__file__}"
print(rldk.__version__)
"""


def run(*command: str | Path, cwd: Path, expected: int = 0, **environment: str) -> str:
    """What a command prints; an exit status other than `expected` ends the script with its output."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**_without_python_paths(), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != expected:
        line = " ".join(map(str, command))
        sys.exit(f"{done.stdout}\n{line}\nended with {done.returncode} and not {expected}")
    return done.stdout


def _without_python_paths() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


def check(text: str, wanted: str) -> None:
    """End the script where a command did not print the pattern `wanted`."""
    if not re.search(wanted, text):
        sys.exit(f"{text}\nlacks: {wanted}")


def trainer_state(last: float) -> str:
    """A trainer_state.json of 60 records of a reward that rises; the last gradient norm is `last`."""
    history: list[dict[str, Any]] = [
        {
            "step": step,
            "loss": 0.01 * (step % 3),
            "reward": 0.2 + 0.01 * step + 0.02 * (step % 3),
            "reward_std": 0.3,
            "kl": 0.0005 * step,
            "entropy": 1.5 - 0.005 * step,
            "grad_norm": 1.0 + 0.1 * (step % 3),
        }
        for step in range(1, 61)
    ]
    history[-1]["grad_norm"] = last
    return json.dumps({"global_step": 60, "log_history": history})


def check_wheel(wheel: Path, scripts: Path, arguments: list[str], folder: Path) -> None:
    """Install the wheel, and use the command line and the module."""
    run(scripts / "pip", "install", "-q", *arguments, wheel, cwd=ROOT)
    version = run(scripts / "python", "-c", LIGHT_IMPORT, cwd=folder).strip()
    check(wheel.name, rf"^rldk-{re.escape(version)}-py3-")
    check(run(scripts / "rldk", "--help", cwd=folder), r"(?m)^Usage: rldk .*(?s:.*)^  doctor ")
    log = folder / "trainer_state.json"
    log.write_text(trainer_state(last=1.0))
    check(run(scripts / "rldk", "doctor", log, cwd=folder), "^HEALTHY")
    log.write_text(trainer_state(last=float("nan")))
    check(run(scripts / "rldk", "doctor", log, cwd=folder, expected=1), "non-finite")
    print(f"{wheel.name}: installed without torch; rldk --help, rldk doctor and import rldk work")


def check_plugin(wheel: Path, scripts: Path, folder: Path) -> None:
    """Install the example of a package that adds to rldk, and read a log that only it knows."""
    log = folder / "toyrl.log"
    log.write_text("[iteration 1]\nreturn/avg = 0.5\n")
    run(scripts / "rldk", "info", log, cwd=folder, expected=2)
    run(scripts / "pip", "install", "-q", "--no-index", "--no-deps", wheel, cwd=folder)
    check(
        run(scripts / "rldk", "info", log, cwd=folder), r"toyrl-log, dialect toyrl(?s:.*)known +reward_mean"
    )
    check(run(scripts / "rldk", "rules", "low-reward", cwd=folder), "MY001")
    print(f"{wheel.name}: rldk knows the rule, the adapter and the dialect that it registers")


def check_sdist(sdist: Path, python: str, folder: Path) -> None:
    """Unpack the sdist, collect all its tests, and run those of the files that its pages name."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    root = folder / sdist.name.removesuffix(".tar.gz")
    # pytest stops with a status above 0 where a file cannot be collected, also one that -k leaves out.
    command = (python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "links or documents or targets")
    print(f"{sdist.name}: {run(*command, cwd=root, PYTHONPATH=str(root / 'src')).splitlines()[-1]}")


def main() -> None:
    """Try the files of dist/."""
    python, *arguments = sys.argv[1:]
    (wheel,) = DIST.glob("rldk-*.whl")
    (plugin,) = DIST.glob("rldk_example_plugin-*.whl")
    (sdist,) = DIST.glob("*.tar.gz")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        venv.create(folder / "venv", with_pip=True)
        scripts = folder / "venv" / "bin"
        check_wheel(wheel, scripts, arguments, folder)
        check_plugin(plugin, scripts, folder)
        check_sdist(sdist, os.path.abspath(python), folder)


if __name__ == "__main__":
    main()
