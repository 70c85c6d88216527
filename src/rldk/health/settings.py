"""Which rules judge a run, with which options.

Invariant: an unknown rule or option is an error that names the nearest one, never ignored.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from math import isfinite
from typing import Any

import msgspec

from rldk.health.context import RunContext
from rldk.health.monitor import Monitor
from rldk.health.rule import Rule, RuleOptions
from rldk.health.rules import RULES

__all__ = ["Settings", "find_rule", "options_of", "select"]

_BY_NAME = {rule.name: rule for rule in RULES} | {rule.code: rule for rule in RULES}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How a run is to be judged, as a user says it and as `{run_id}_run.json` keeps it.

    Raises:
        TypeError: as `check`.
        ValueError: as `check`.
    """

    select: tuple[str, ...] | None = None
    """Names, codes or families of the rules to judge by; None: all."""
    ignore: tuple[str, ...] = ()
    """Names, codes or families of the rules to leave out."""
    thresholds: dict[str, dict[str, Any]] = {}
    """Options by rule, where they are not to have their defaults."""
    truth_metric: str | None = None
    """The metric that the reward is a proxy of."""

    def check(self) -> "Settings":
        """Itself, if every name in it is one.

        Raises:
            TypeError: the options of a rule are no mapping.
            ValueError: there is no such rule or option, or a value is of the wrong type.
        """
        select(self.select, self.ignore)
        options_of(self.thresholds)
        for name, options in self.thresholds.items():
            for option, value in options.items():
                if isinstance(value, float) and not isfinite(value):
                    raise ValueError(f"{name}.{option} must be a finite number, not {value}")
        return self

    def overridden_by(self, given: "Settings") -> "Settings":
        """These settings, where `given` does not say otherwise.

        A threshold of `given` replaces that option alone. What `given` selects by name is judged, also where
        these settings leave it out.
        """
        thresholds: dict[str, dict[str, Any]] = {}
        for one in (self.thresholds, given.thresholds):
            for name, changes in one.items():
                thresholds.setdefault(find_rule(name).name, {}).update(changes)
        return Settings(
            select=given.select or self.select,
            ignore=given.ignore if given.select else given.ignore or self.ignore,
            thresholds=thresholds,
            truth_metric=given.truth_metric or self.truth_metric,
        )

    def monitor(
        self, context: RunContext, on_failure: Callable[[str, Exception], None] | None = None
    ) -> Monitor:
        """A Monitor that judges a run so."""
        truth = self.truth_metric or context.truth_metric
        context = msgspec.structs.replace(context, truth_metric=truth)
        rules = select(self.select, self.ignore)
        return Monitor(context, rules, options_of(self.thresholds), on_failure)


def select(
    select: Iterable[str] | None = None, ignore: Iterable[str] | None = None
) -> tuple[type[Rule], ...]:
    """The rules named by `select` (all by default) less those named by `ignore`.

    Args:
        select: names (`non-finite`), codes (`OPT001`) or families (`OPT`).
        ignore: the same.

    Raises:
        ValueError: a name that is none; the message names the nearest one.
    """
    selected = set(RULES) if select is None else _named(select)
    unwanted = set() if ignore is None else _named(ignore)
    return tuple(rule for rule in RULES if rule in selected and rule not in unwanted)


def find_rule(name: str) -> type[Rule]:
    """The rule of a name or a code.

    Raises:
        ValueError: there is none; the message names the nearest one.
    """
    rule = _BY_NAME.get(name) or _BY_NAME.get(name.upper()) or _BY_NAME.get(name.lower())
    if rule is None:
        raise ValueError(f"no rule {name!r}{_nearest(name, _BY_NAME)}; list them with: rldk rules")
    return rule


def options_of(thresholds: Mapping[str, Mapping[str, Any]] | None) -> dict[type[Rule], RuleOptions]:
    """The options of each rule that `thresholds` names, the others of the rule being its defaults.

    Raises:
        TypeError: the options of a rule are no mapping.
        ValueError: a rule or an option that is none, or a value of the wrong type.
    """
    options = {}
    for name, changes in (thresholds or {}).items():
        rule = find_rule(name)
        if not isinstance(changes, Mapping):
            raise TypeError(f"the options of {name} must be a mapping such as {{'records': 20}}")
        try:
            options[rule] = msgspec.convert(dict(changes), rule.Options)
        except msgspec.ValidationError as error:
            known = ", ".join(rule.Options.__struct_fields__) or "none"
            raise ValueError(f"options of {rule.name}: {error}; it has: {known}") from None
    return options


def _named(names: Iterable[str]) -> set[type[Rule]]:
    if isinstance(names, str):
        names = (names,)
    found: set[type[Rule]] = set()
    for name in names:
        family = [rule for rule in RULES if len(name) == 3 and rule.code.startswith(name.upper())]
        found.update(family or (find_rule(name),))
    return found


def _nearest(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, 1, 0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""
