"""Progress of long work. It appears only on a terminal, on stderr."""

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from rldk.report.text import plain

__all__ = ["ProgressCounter", "measuring"]

T = TypeVar("T")
_EVERY = 2_000
_SECONDS = 0.1


class ProgressCounter(Generic[T]):
    """An iterable that shows how many items it has yielded: `for x in ProgressCounter(xs, "reading")`.

    Each iteration counts from 0.
    """

    def __init__(self, items: Iterable[T], what: str) -> None:
        self._items = items
        self._what = what
        self.count = 0
        """Number of items in the last iteration."""

    def __iter__(self) -> Iterator[T]:
        self.count = 0
        if not sys.stderr.isatty():
            for item in self._items:
                self.count += 1
                yield item
            return
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (
            SpinnerColumn(),
            TextColumn("{task.description} {task.completed:,.0f}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(escape(plain(self._what)))
            for item in self._items:
                self.count += 1
                if self.count % _EVERY == 0:
                    progress.update(task, completed=self.count)
                yield item


@contextmanager
def measuring(what: str, done: Callable[[], int], total: int) -> Iterator[None]:
    """Show a bar while the body reads.

    Args:
        what: description of the work, for people.
        done: returns the bytes read so far; called from another thread.
        total: approximate number of bytes to read.
    """
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(escape(plain(what)), total=total)
        over = threading.Event()

        def look() -> None:
            while not over.wait(_SECONDS):
                progress.update(task, completed=min(done(), total))

        looking = threading.Thread(target=look, daemon=True)
        looking.start()
        try:
            yield
        finally:
            over.set()
            looking.join()
