"""Writes the files of constraints/: the exact version of every package of both environments.

pip resolves each environment anew, in an environment of its own, and installs nothing into it. Invariant:
a file names the packages that any machine needs. CUDA comes with torch on some machines only, so its
packages are left out, and so is the local part of a version (`+cpu`).

`python scripts/pin_constraints.py [ARGUMENTS OF PIP]` writes the files with the newest releases of today.
"""

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
TORCH = "torch==2.13.0"
TOOLS = ["pip", "hatchling", "editables"]
"""What installs rldk: pip, and the packages with which it builds rldk."""
CUDA = ("cuda-", "nvidia-", "triton")
USED_EVERYWHERE = "nvidia-ml-py"


class Environment(NamedTuple):
    """One environment of the Makefile."""

    about: str
    trl: list[str]
    groups: list[str]


ENVIRONMENTS = {
    "trl-1.16": Environment(
        "the newest TRL that was checked",
        ["trl==1.16.0", "transformers==5.24.0"],
        ["test", "writers", "package", "lint"],
    ),
    "trl-0.23": Environment(
        "the oldest TRL that rldk supports", ["trl==0.23.1", "transformers==4.57.6"], ["test"]
    ),
}


def resolve(python: str, environment: Environment, arguments: list[str]) -> dict[str, str]:
    """The version of each package of an environment, by name, without those that CUDA needs."""
    groups = [f"--group={ROOT / 'pyproject.toml'}:{group}" for group in environment.groups]
    wanted = [TORCH, *environment.trl, *TOOLS, f"{ROOT}[trl]", *groups]
    command = [python, "-m", "pip", "install", "-q", "--dry-run", "--ignore-installed", "--report=-"]
    report = json.loads(subprocess.check_output([*command, *arguments, *wanted]))
    found = {entry["metadata"]["name"].lower(): entry["metadata"]["version"] for entry in report["install"]}
    return {
        name.replace("_", "-"): version.partition("+")[0]
        for name, version in found.items()
        if name != "rldk" and (name == USED_EVERYWHERE or not name.startswith(CUDA))
    }


def render(environment: Environment, versions: dict[str, str]) -> str:
    """The text of a file of constraints."""
    head = [
        f"# Every package of the environment with {environment.about}.",
        "# Made by `make constraints` with Python {}.{}; never edited by hand.".format(*sys.version_info),
    ]
    return "\n".join([*head, *(f"{name}=={version}" for name, version in sorted(versions.items())), ""])


def main() -> None:
    """Resolve both environments with the newest pip, and write their files."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = f"{folder}/bin/python"
        subprocess.check_call([python, "-m", "pip", "install", "-q", "--upgrade", *sys.argv[1:], "pip"])
        for name, environment in ENVIRONMENTS.items():
            path = ROOT / "constraints" / f"{name}.txt"
            path.write_text(render(environment, resolve(python, environment, sys.argv[1:])))
            print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
