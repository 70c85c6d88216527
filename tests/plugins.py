"""Packages that register plug-ins, as if they were installed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rldk._plugins import plugins
from rldk.health import installed_rules
from rldk.metrics.dialects.detect import installed_dialects
from rldk.runs.adapters import adapters

CACHED = (plugins, installed_rules, adapters, installed_dialects)


def register(folder: Path, group: str, *entry_points: str, **modules: str) -> Path:
    """Make a package in a folder, which is to be put on the path.

    Args:
        folder: where its files go.
        group: the group of its entry points.
        entry_points: such as `mine = plugin_a:ADAPTER`.
        modules: source by the name of a module, which begins with `plugin_`.
    """
    info = folder / f"{folder.name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {folder.name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *entry_points, ""]))
    for name, source in modules.items():
        (folder / f"{name}.py").write_text(source)
    return folder


@contextmanager
def plugins_loaded_anew() -> Iterator[pytest.MonkeyPatch]:
    """Plug-ins are loaded at the next call, and again after this."""
    try:
        with pytest.MonkeyPatch.context() as patch:
            _forget()
            yield patch
    finally:
        _forget()


def _forget() -> None:
    for function in CACHED:
        function.cache_clear()
    for name in [name for name in sys.modules if name.startswith("plugin_")]:
        del sys.modules[name]
