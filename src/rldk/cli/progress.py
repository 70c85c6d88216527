"""A progress line for reading long runs. It shows on a terminal only, on stderr."""

import sys
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

__all__ = ["counting"]

T = TypeVar("T")
_EVERY = 2_000


class counting(Generic[T]):  # noqa: N801 - reads as what it does: `for x in counting(xs, "reading")`
    """An iterable that counts aloud while it is iterated over, each time anew."""

    def __init__(self, items: Iterable[T], what: str) -> None:
        self._items = items
        self._what = what
        self.count = 0
        """How many items the last iteration gave."""

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
            task = progress.add_task(escape(self._what))
            for item in self._items:
                self.count += 1
                if self.count % _EVERY == 0:
                    progress.update(task, completed=self.count)
                yield item
