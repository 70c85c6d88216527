"""Saying what went wrong, from inside a training.

Invariant: `warn` raises nothing: neither a log handler of the user's that fails, nor a closed terminal,
ends a training because rldk had something to say.
"""

import logging
from contextlib import suppress

__all__ = ["logger", "warn"]

logger = logging.getLogger("rldk")


def warn(message: str, *args: object) -> None:
    """Log one line at WARNING."""
    with suppress(Exception):
        logger.warning(message, *args)
