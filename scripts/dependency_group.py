"""Prints the requirements of `[dependency-groups]` entries, for a pip that cannot read them itself.

`python scripts/dependency_group.py test` prints them on one line, quoted for a shell as pip needs them.
"""

import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def main() -> None:
    """Print the groups that the arguments name."""
    groups = tomllib.loads(PROJECT.read_text())["dependency-groups"]
    print(" ".join(requirement for name in sys.argv[1:] for requirement in groups[name]))


if __name__ == "__main__":
    main()
