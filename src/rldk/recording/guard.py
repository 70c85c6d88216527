"""The guard: no exception of rldk reaches the training.

Invariant: a guarded hook returns normally whatever happens inside; the first failure of each kind is
said in one line without secrets, all are counted. `KeyboardInterrupt` and `SystemExit` are the user's and
pass.
"""

import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from rldk._log import warn
from rldk.recording.redaction import redact_text, shortened

__all__ = ["Guard", "guarded"]

LINE_CHARS = 200
"""How much of an exception's text is said."""

T = TypeVar("T")


class Guard:
    """Counts what went wrong inside hooks, and says each kind once."""

    def __init__(self) -> None:
        self.failures = 0
        """Exceptions caught so far."""
        self._warned: set[str] = set()

    def caught(self, where: str, error: Exception) -> None:
        """Count `error`; the first of its kind at this place is logged with the line it came from."""
        self.failures += 1
        frame = traceback.extract_tb(error.__traceback__)[-1] if error.__traceback__ else None
        location = f"{frame.filename}:{frame.lineno}" if frame else "unknown place"
        kind = f"{where} {type(error).__name__} {location}"
        if kind not in self._warned and len(self._warned) < 100:
            self._warned.add(kind)
            warn(
                "rldk: %s failed, training goes on: %s: %s (%s)",
                where,
                type(error).__name__,
                _first_line(error),
                location,
            )

    def attempt(self, what: str, make: Callable[[], T], default: T) -> T:
        """`make()`, or `default` where it raises: a run is recorded even if this cannot be known."""
        try:
            return make()
        except Exception as error:
            self.caught(what, error)
            return default


H = TypeVar("H", bound=Callable[..., None])


def guarded(hook: H) -> H:
    """Wrap a hook, a method of an object that has a `guard`: what it raises goes there, no further."""

    @wraps(hook)
    def safe(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            hook(self, *args, **kwargs)
        except Exception as error:
            self.guard.caught(hook.__name__, error)

    return cast(H, safe)


def _first_line(error: Exception) -> str:
    try:
        return redact_text(shortened(str(error).partition("\n")[0], 2 * LINE_CHARS))[:LINE_CHARS]
    except Exception:
        return "no message"
