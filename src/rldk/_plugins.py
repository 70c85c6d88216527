"""What installed packages add to rldk, by their entry points: rules, adapters, dialects.

Invariant: nothing is loaded before it is asked for; a plug-in that fails is left out with one warning a
process, and nothing is raised.
"""

from collections.abc import Iterable
from functools import cache
from typing import Literal, Protocol, TypeVar

from rldk._log import warn

__all__ = ["Group", "named_plugins", "plugins"]

Group = Literal["rldk.rules", "rldk.adapters", "rldk.dialects"]


class _HasName(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_HasName)


@cache
def plugins(group: Group) -> tuple[tuple[str, object], ...]:
    """What the entry points of a group stand for, each with the entry point's value, in order of their names.

    An entry point may stand for a list or a tuple; each of its items comes by itself.

    Example:
        In the `pyproject.toml` of a package:

        ```toml
        [project.entry-points."rldk.adapters"]
        my-log = "my_package.my_log:ADAPTER"
        ```

        >>> plugins("rldk.adapters")
        ()
    """
    from importlib.metadata import entry_points  # brings `email` along, and most commands need neither

    try:
        registered = sorted(entry_points(group=group), key=lambda one: (one.name, one.value))
    except Exception as error:  # one package's metadata is broken, and hides those of all
        warn("rldk: plug-ins of %s are left out: %s: %s", group, type(error).__name__, error)
        return ()
    found: list[tuple[str, object]] = []
    for entry_point in registered:
        try:
            loaded = entry_point.load()
        except (Exception, SystemExit) as error:  # a script that ends itself, imported by its module's name
            warn("rldk: the plug-in %s is left out: %s: %s", entry_point.value, type(error).__name__, error)
            continue
        items = loaded if isinstance(loaded, list | tuple) else (loaded,)
        found += [(entry_point.value, item) for item in items]
    return tuple(found)


def named_plugins(group: Group, kind: type[N], reserved: Iterable[str]) -> list[tuple[str, N]]:
    """The plug-ins of a group that are of a kind and have a name of their own, each with its entry point.

    Args:
        group: the group.
        kind: the class that they must be instances of.
        reserved: the names that rldk uses itself; of two plug-ins of one name the first is in.
    """
    taken = set(reserved)
    found = []
    for source, item in plugins(group):
        if not isinstance(item, kind) or not isinstance(item.name, str):
            warn("rldk: the plug-in %s is left out: %r is no %s", source, item, kind.__name__)
        elif item.name in taken:
            warn("rldk: the plug-in %s is left out: there is another %r", source, item.name)
        else:
            taken.add(item.name)
            found.append((source, item))
    return found
