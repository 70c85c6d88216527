"""Lines that wait for a disk, in order, and no more bytes of them than memory may hold.

Invariant: lines leave in the order in which they came. One thread takes them, others add to them, and no lock
is needed for it: a signal may interrupt either anywhere.
"""

from collections import deque

__all__ = ["Lines"]


class Lines(deque[bytes]):
    """A queue of lines; its length and its truth cost what a deque's do, at each step of a training.

    Args:
        max_bytes: beyond this the oldest are dropped, and counted; the newest stays, whatever its size.
    """

    def __init__(self, max_bytes: int) -> None:
        self.dropped = 0
        """Lines that were dropped."""
        super().__init__()
        self._max_bytes = max_bytes
        # Each counter is written by one side alone.
        self._added = self._dropped_bytes = self._taken = 0

    @property
    def next_size(self) -> int:
        """Bytes of the oldest line; 0 where none waits."""
        try:
            return len(self[0])
        except IndexError:
            return 0

    def add(self, line: bytes) -> None:
        """Append a line."""
        self.append(line)
        self._added += len(line)
        while self._added - self._dropped_bytes - self._taken > self._max_bytes and len(self) > 1:
            try:
                oldest = self.popleft()
            except IndexError:  # the other side was faster
                return
            self._dropped_bytes += len(oldest)
            self.dropped += 1

    def take(self, room: float) -> list[bytes]:
        """Take away the oldest lines, one at least, that fit into so many bytes; none where none wait."""
        lines: list[bytes] = []
        while True:
            try:
                if lines and room < len(self[0]):
                    return lines
                line = self.popleft()
            except IndexError:
                return lines
            self._taken += len(line)
            room -= len(line)
            lines.append(line)
