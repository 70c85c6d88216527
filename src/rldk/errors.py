"""The error tree. Every message says what failed, where, and what to type next.

    RLDKError
    ├── EventError              a line or a value is no Event
    ├── RunNotFoundError        the path has no run
    ├── AmbiguousRunError       the path has several runs, and the command takes a single run
    ├── UnknownFormatError      the file is no log in a known format
    └── MissingDependencyError  an optional package is not installed (also an ImportError)

No error reaches a training: `rldk.recording` and the callbacks catch every exception and continue.
"""

from collections.abc import Sequence

__all__ = [
    "AmbiguousRunError",
    "EventError",
    "MissingDependencyError",
    "RLDKError",
    "RunNotFoundError",
    "UnknownFormatError",
]


class RLDKError(Exception):
    """Base of all errors that rldk raises on purpose."""


class EventError(RLDKError, ValueError):
    """A line that is not strict JSON, or JSON that does not follow the Event schema."""


class RunNotFoundError(RLDKError, FileNotFoundError):
    """The path holds no run that rldk can read."""


class UnknownFormatError(RLDKError):
    """The file is no log in a format that rldk knows."""

    def __init__(self, path: object, tried: Sequence[str], likeness: str | None = None) -> None:
        """`tried` are the names of the formats that rldk tried, `likeness` what the file looks like."""
        hint = f"But {likeness}." if likeness else "If you know the format, name it with: --input-format NAME"
        super().__init__(
            f"{path} has no metrics in a format that rldk knows (tried: {', '.join(tried)}). {hint}"
        )


class AmbiguousRunError(RLDKError):
    """The path has several runs, and the command takes a single run."""

    def __init__(self, path: object, runs: Sequence[str]) -> None:
        """`runs` are the paths of these runs."""
        listed = "\n".join(f"  {run}" for run in runs)
        super().__init__(f"{path} has {len(runs)} runs; name one of them:\n{listed}")
        self.runs = tuple(runs)


class MissingDependencyError(RLDKError, ImportError):
    """A feature needs a package that rldk does not install by itself."""

    def __init__(self, feature: str, package: str) -> None:
        """`package` is the name for pip."""
        super().__init__(f"{feature} needs {package}. Install it with: pip install {package}")
