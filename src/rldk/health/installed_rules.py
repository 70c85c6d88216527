"""The available rules: rldk's own, rules that installed packages register, and rules that a caller passes.

Invariant: names and codes are unique. rldk ignores a plug-in that fails or clashes, with one warning; a
caller's rule that fails or clashes is an error.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from typing import get_args

from rldk._log import warn
from rldk._plugins import plugins
from rldk.health.observation import ObservationKind
from rldk.health.rule import QuestionName, Rule, RuleOptions, SampleKind, Severity
from rldk.health.rules import RULES
from rldk.schema.event import Phase

__all__ = ["installed_rules", "known_rules"]

_NAME, _CODE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*"), re.compile(r"[A-Z]+[0-9]+")
_TEXTS: dict[str, tuple[str, ...]] = {
    "needs": (),
    "explained_by": (),
    "kinds": get_args(ObservationKind),
    "phases": get_args(Phase),
    "shown_by": get_args(SampleKind),
    "answers": get_args(QuestionName),
}
"""The members of a rule that are tuples of texts, and the texts that each may hold; empty: any."""


@lru_cache(maxsize=1)
def installed_rules() -> tuple[type[Rule], ...]:
    """The rules of rldk, then the rules of the entry points `rldk.rules`, sorted by entry point.

    An entry point is a rule, or a list or tuple of rules. rldk loads them at the first call.

    Example:
        In the `pyproject.toml` of a package:

        ```toml
        [project.entry-points."rldk.rules"]
        my-rules = "my_package.rules:RULES"
        ```
    """
    rules = list(RULES)
    for source, rule in plugins("rldk.rules"):
        try:
            valid = _validated(rule, rules)
        except Exception as error:
            warn("rldk: a rule of the plug-in %s is left out: %s", source, error)
        else:
            rules.append(valid)
    return tuple(rules)


def known_rules(own: Iterable[type[Rule]] = ()) -> tuple[type[Rule], ...]:
    """The installed rules and those of the caller.

    Args:
        own: rules of the caller; a rule that is installed too appears once.

    Raises:
        TypeError: an entry is not a subclass of Rule, or a member of the class has the wrong type.
        ValueError: a rule has no name, code, severity or default of an option, or clashes with another rule.
    """
    rules = list(installed_rules())
    for rule in own:
        if rule not in rules:
            rules.append(_validated(rule, rules))
    return tuple(rules)


def _validated(rule: object, others: Iterable[type[Rule]]) -> type[Rule]:
    """The rule; raises where it is not complete or clashes with another rule."""
    if not (isinstance(rule, type) and issubclass(rule, Rule)):
        raise TypeError(f"{rule!r} is no subclass of rldk.Rule")
    lacking = [name for name in ("code", "name", "severity") if not hasattr(rule, name)]
    if lacking:
        raise ValueError(f"{rule.__qualname__} has no {' and no '.join(lacking)}")
    if not _NAME.fullmatch(rule.name):
        raise ValueError(f"the name {rule.name!r} of a rule must be lower-case words, such as low-reward")
    if not _CODE.fullmatch(rule.code):
        raise ValueError(f"the code {rule.code!r} of {rule.name} must be like MY001")
    for other in others:
        if rule.name == other.name or rule.code == other.code:
            raise ValueError(f"{rule.name} ({rule.code}) clashes with {other.name} ({other.code})")
    _check_members(rule)
    try:
        TopologicalSorter({known.name: known.explained_by for known in (*others, rule)}).prepare()
    except CycleError as error:  # its findings would have no root, and the page would not show them
        raise ValueError(f"{rule.name} explains itself: {' by '.join(error.args[1])}") from None
    return rule


def _check_members(rule: type[Rule]) -> None:
    """Raises where a member of the class is not what the Monitor and the pages rely on."""
    if not isinstance(rule.severity, Severity):
        raise TypeError(f"the severity of {rule.name} must be a Severity, not {rule.severity!r}")
    for member, allowed in _TEXTS.items():
        given = getattr(rule, member)
        if not (isinstance(given, tuple) and all(isinstance(text, str) for text in given)):
            raise TypeError(f"`{member}` of {rule.name} must be a tuple of texts, not {given!r}")
        unknown = set(given) - set(allowed or given)
        if unknown:
            raise ValueError(f"{rule.name} names {min(unknown)!r}, which is none of {', '.join(allowed)}")
    if not (isinstance(rule.Options, type) and issubclass(rule.Options, RuleOptions)):
        raise TypeError(f"the options of {rule.name} must be a subclass of RuleOptions, not {rule.Options!r}")
    try:
        rule.Options()
    except Exception as error:
        raise ValueError(f"each option of {rule.name} must have a default: {error}") from None
