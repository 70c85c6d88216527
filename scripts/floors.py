"""Prints the lowest version of each package that pyproject.toml allows, as constraints for pip.

Invariant: a requirement without a lower bound is an error. torch is left out: the lowest that is allowed has
no build for the newest Python, and `make test-lowest` names one itself.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
GROUP = "test"
LEFT_OUT = ("rldk", "torch")


def requirements() -> list[str]:
    """What rldk requires, with every extra, and what its tests require."""
    read: dict[str, Any] = tomllib.loads(PROJECT.read_text())
    extras = read["project"]["optional-dependencies"]
    lists: list[list[str]] = [
        read["project"]["dependencies"],
        *extras.values(),
        read["dependency-groups"][GROUP],
    ]
    return [requirement for one in lists for requirement in one]


def floor(requirement: str) -> str:
    """`name==version` of `name>=version`."""
    name, _, version = requirement.partition(">=")
    if not re.fullmatch(r"[\w.]+", version):
        raise ValueError(f"{requirement} has no lower bound: write it in {PROJECT} as name>=version")
    return f"{name}=={version}"


def main() -> None:
    """Print a line a package."""
    wanted = {one for one in requirements() if re.split(r"\W", one)[0] not in LEFT_OUT}
    print(*sorted(map(floor, wanted)), sep="\n")


if __name__ == "__main__":
    main()
