"""Lines that wait for a disk, in order, and no more bytes of them than memory may hold.

Invariant: lines leave in the order in which they came. One thread takes them, others add to them, and no lock
is needed for it: a signal may interrupt either anywhere.
"""

from collections import deque

__all__ = ["Lines"]


class Lines:
    """A queue of lines.

    Args:
        max_bytes: beyond this the oldest are dropped, and counted; the newest stays, whatever its size.
    """

    def __init__(self, max_bytes: int) -> None:
        self.dropped = 0
        """Lines that were dropped."""
        self._max_bytes = max_bytes
        self._lines: deque[bytes] = deque()
        # Each counter is written by one side alone.
        self._added = self._dropped_bytes = self._taken = 0

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def next_size(self) -> int:
        """Bytes of the oldest line; 0 where none waits."""
        try:
            return len(self._lines[0])
        except IndexError:
            return 0

    def add(self, line: bytes) -> None:
        """Append a line."""
        self._lines.append(line)
        self._added += len(line)
        while self._added - self._dropped_bytes - self._taken > self._max_bytes and len(self._lines) > 1:
            try:
                oldest = self._lines.popleft()
            except IndexError:  # the other side was faster
                return
            self._dropped_bytes += len(oldest)
            self.dropped += 1

    def take(self, room: float) -> list[bytes]:
        """Take away the oldest lines, one at least, that fit into so many bytes; none where none wait."""
        lines: list[bytes] = []
        while True:
            try:
                if lines and room < len(self._lines[0]):
                    return lines
                line = self._lines.popleft()
            except IndexError:
                return lines
            self._taken += len(line)
            room -= len(line)
            lines.append(line)
