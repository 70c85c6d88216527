"""Prints the requirements of a `[dependency-groups]` entry, for a pip that cannot read them itself.

`python scripts/dependency_group.py test` prints them on one line, quoted for a shell as pip needs them.
"""

import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def main() -> None:
    """Print the group that the first argument names."""
    groups = tomllib.loads(PROJECT.read_text())["dependency-groups"]
    print(" ".join(groups[sys.argv[1]]))


if __name__ == "__main__":
    main()
