"""The error tree. Every message says what failed, where, and what to type next.

    RLDKError
    ├── EventError              a line or a value that is no Event
    ├── RunNotFoundError        no run at that path
    ├── AmbiguousRunError       several runs where one was asked for
    └── MissingDependencyError  an optional package is absent (also an ImportError)

Nothing here reaches a training: `rldk.recording` and the callbacks catch what they meet and go on.
"""

from collections.abc import Sequence

__all__ = [
    "AmbiguousRunError",
    "EventError",
    "MissingDependencyError",
    "RLDKError",
    "RunNotFoundError",
]


class RLDKError(Exception):
    """Base of all errors that rldk raises on purpose."""


class EventError(RLDKError, ValueError):
    """A line that is not strict JSON, or JSON that does not follow the Event schema."""


class RunNotFoundError(RLDKError, FileNotFoundError):
    """The path holds no run that rldk can read."""


class AmbiguousRunError(RLDKError):
    """The path holds several runs, and the command takes one."""

    def __init__(self, path: object, runs: Sequence[str]) -> None:
        """`runs` are the paths that would each be taken as an answer."""
        listed = "\n".join(f"  {run}" for run in runs)
        super().__init__(f"{path} holds {len(runs)} runs; name one of them:\n{listed}")
        self.runs = tuple(runs)


class MissingDependencyError(RLDKError, ImportError):
    """A feature needs a package that rldk does not install by itself."""

    def __init__(self, feature: str, package: str, extra: str) -> None:
        """`extra` is the name of the rldk extra that brings `package`."""
        super().__init__(f"{feature} needs {package}. Install it with: pip install 'rldk[{extra}]'")
