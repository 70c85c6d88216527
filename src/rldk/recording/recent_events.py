"""The newest Events of a run, in memory: while it begins, or where no file takes them.

Invariant: their memory has a bound; what is beyond it is counted, the oldest first.
"""

from collections import deque

from rldk.schema.event import Event

__all__ = ["RecentEvents"]

_EVENT_BYTES, _METRIC_BYTES = 2_000, 150


class RecentEvents(deque[Event]):
    """A queue of Events.

    Args:
        max_bytes: about how much memory they may take; beyond it the oldest are dropped, and counted.
    """

    def __init__(self, max_bytes: int) -> None:
        self.dropped = 0
        """Events that were dropped."""
        super().__init__()
        self._max_bytes, self._bytes = max_bytes, 0

    def add(self, event: Event) -> None:
        """Append an event; the newest stays, whatever its size."""
        self.append(event)
        self._bytes += _size_of(event)
        while self._bytes > self._max_bytes and len(self) > 1:
            self._bytes -= _size_of(self.popleft())
            self.dropped += 1


def _size_of(event: Event) -> int:
    return _EVENT_BYTES + _METRIC_BYTES * len(event.metrics)
