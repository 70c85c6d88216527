"""The modules of a package, so that a rule, an adapter or a dialect is one new file and no entry in a list.

Invariant: the order is that of the names, on every machine.
"""

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

__all__ = ["modules_of"]


def modules_of(package: str) -> Iterator[tuple[str, ModuleType]]:
    """Imports each module of a package, and yields it with its own name, in order of the names; no packages.

    Args:
        package: the full name of the package.

    Example:
        >>> [name for name, module in modules_of("rldk.runs.adapters") if hasattr(module, "ADAPTER")][:3]
        ['completions', 'console', 'jsonl']
    """
    found = iter_modules(import_module(package).__path__)
    for name in sorted(one.name for one in found if not one.ispkg):
        yield name, import_module(f"{package}.{name}")
