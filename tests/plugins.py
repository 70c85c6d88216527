"""Packages that register rules, as if they were installed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rldk.health import installed_rules

Register = Callable[..., None]


def register(folder: Path, patch: pytest.MonkeyPatch, *entry_points: str, **modules: str) -> None:
    """Make a package in a folder, and put it on the path.

    Args:
        folder: where its files go.
        patch: takes it from the path again.
        entry_points: such as `mine = my_module:RULES`, of the group `rldk.rules`.
        modules: source by the name of a module.
    """
    info = folder / f"{folder.name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {folder.name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(["[rldk.rules]", *entry_points, ""]))
    for name, source in modules.items():
        (folder / f"{name}.py").write_text(source)
    patch.syspath_prepend(folder)
    installed_rules.cache_clear()


@contextmanager
def rules_loaded_anew() -> Iterator[None]:
    """The rules of other packages are loaded at the next call, and again after this."""
    installed_rules.cache_clear()
    try:
        yield
    finally:
        installed_rules.cache_clear()
