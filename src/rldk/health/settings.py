"""Which rules judge a run, with which options.

Invariant: an unknown rule or option is an error that names the nearest one, never ignored.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from math import isfinite
from typing import Any

import msgspec

from rldk._log import warn
from rldk.health.context import RunContext
from rldk.health.installed_rules import known_rules
from rldk.health.monitor import Monitor
from rldk.health.rule import Rule, RuleOptions
from rldk.health.rules import RULES

__all__ = ["Settings", "find_rule", "options_of", "select"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How rldk judges a run.

    Example:
        ```python
        from rldk.health import RunContext, Settings

        settings = Settings(ignore=("SYS",), thresholds={"entropy-collapse": {"share": 0.4}})
        monitor = settings.check().monitor(RunContext(algorithm="grpo"))
        ```
    """

    select: tuple[str, ...] | None = None
    """Names, codes or families of the rules to judge by; None: all."""
    ignore: tuple[str, ...] | None = None
    """Names, codes or families of the rules to ignore; None: none, or the recorded ones."""
    thresholds: dict[str, dict[str, Any]] = {}
    """Options by rule, where they differ from their defaults."""
    truth_metric: str | None = None
    """The metric that the reward is a proxy for."""
    rules: tuple[type[Rule], ...] = ()
    """The caller's own rules, which judge together with the installed ones."""

    @classmethod
    def of_record(cls, recorded: object, rules: Iterable[type[Rule]] = ()) -> "Settings":
        """The settings that `to_record` returned, as far as they are valid here.

        Names that this rldk does not know are ignored. Rules that judged the run and are not installed here
        are ignored with one warning.

        Args:
            recorded: `judging` of an attempt in `{run_id}_run.json`; anything but a mapping gives the
                defaults.
            rules: rules of the caller, which may have judged the run.

        Raises:
            TypeError: as `known_rules`.
            ValueError: as `known_rules`.
        """
        own = tuple(rules)
        known_rules(own)  # else no name would be valid

        def valid(names: object) -> tuple[str, ...]:
            return tuple(name for name in _texts(names) if _is_valid(cls(select=(name,), rules=own)))

        data = recorded if isinstance(recorded, dict) else {}
        truth, selected, judged = (data.get(field) for field in ("truth_metric", "select", "rules"))
        known = valid(judged)
        if missing := tuple(name for name in _texts(judged) if name not in known):
            _warn_missing(missing)
        return cls(
            select=valid(selected) or (() if selected == [] else None),
            ignore=valid(data.get("ignore")) or None,
            thresholds=_valid_thresholds(data.get("thresholds"), own),
            truth_metric=truth if isinstance(truth, str) else None,
            rules=own,
        )

    def to_record(self) -> dict[str, Any]:
        """The settings as `{run_id}_run.json` stores them, with the names of rules that are not rldk's
        own.
        """
        others = [rule.name for rule in select(self.select, self.ignore, self.rules) if rule not in RULES]
        data: dict[str, Any] = {
            "select": self.select,
            "ignore": self.ignore or (),
            "thresholds": self.thresholds,
            "truth_metric": self.truth_metric,
        }
        return data | {"rules": others} if others else data

    def check(self) -> "Settings":
        """These settings, if every name in them is known.

        Raises:
            TypeError: the options of a rule are not a mapping, or an own rule is not a subclass of Rule.
            ValueError: a rule or an option does not exist, a value is not finite or has the wrong type, or an
                own rule clashes with another rule.
        """
        select(self.select, self.ignore, self.rules)
        options_of(self.thresholds, self.rules)
        return self

    def overridden_by(self, given: "Settings") -> "Settings":
        """These settings, overridden by `given`: an empty tuple overrides, None does not.

        A threshold of `given` replaces only that option. Rules that `given` selects are judged, even where
        these settings ignore them.
        """
        rules = tuple(dict.fromkeys((*self.rules, *given.rules)))
        thresholds: dict[str, dict[str, Any]] = {}
        for options_by_rule in (self.thresholds, given.thresholds):
            for name, changes in options_by_rule.items():
                thresholds.setdefault(find_rule(name, rules).name, {}).update(changes)
        return Settings(
            select=self.select if given.select is None else given.select,
            ignore=self.ignore if given.select is None and given.ignore is None else given.ignore,
            thresholds=thresholds,
            truth_metric=given.truth_metric or self.truth_metric,
            rules=rules,
        )

    def monitor(
        self, context: RunContext, on_failure: Callable[[str, Exception], None] | None = None
    ) -> Monitor:
        """A Monitor that judges a run by these settings.

        Raises:
            TypeError: as `check`.
            ValueError: as `check`.
        """
        truth = self.truth_metric or context.truth_metric
        context = msgspec.structs.replace(context, truth_metric=truth)
        rules = select(self.select, self.ignore, self.rules)
        return Monitor(context, rules, options_of(self.thresholds, self.rules), on_failure)


def select(
    select: Iterable[str] | None = None,
    ignore: Iterable[str] | None = None,
    rules: Iterable[type[Rule]] = (),
) -> tuple[type[Rule], ...]:
    """The rules that `select` names (all by default), without the rules that `ignore` names.

    Args:
        select: names (`non-finite`), codes (`OPT001`) or families (`OPT`).
        ignore: the same.
        rules: the caller's own rules, in addition to the installed ones.

    Raises:
        ValueError: no rule has such a name; the message suggests the nearest one.
    """
    known = known_rules(rules)
    selected = set(known) if select is None else _named(select, known)
    unwanted = set() if ignore is None else _named(ignore, known)
    return tuple(rule for rule in known if rule in selected and rule not in unwanted)


def find_rule(name: str, rules: Iterable[type[Rule]] = ()) -> type[Rule]:
    """The rule of a name or a code.

    Args:
        name: the name or the code.
        rules: the caller's own rules, in addition to the installed ones.

    Raises:
        ValueError: no rule has this name; the message suggests the nearest one.
    """
    rule = _called(name, RULES)  # loads no plug-ins for a rule of rldk
    if rule is not None:
        return rule
    known = known_rules(rules)
    rule = _called(name, known)
    if rule is None:
        names = [text for rule in known for text in (rule.name, rule.code)]
        raise ValueError(f"no rule {name!r}{_nearest(name, names)}; list them with: rldk rules")
    return rule


def options_of(
    thresholds: Mapping[str, Mapping[str, Any]] | None, rules: Iterable[type[Rule]] = ()
) -> dict[type[Rule], RuleOptions]:
    """The options of each rule that `thresholds` names; options that it does not name have their defaults.

    Args:
        thresholds: options by rule, by the rule's name or code.
        rules: the caller's own rules, in addition to the installed ones.

    Raises:
        TypeError: the options of a rule are not a mapping.
        ValueError: a rule or an option does not exist, or a value is not finite or has the wrong type.
    """
    merged: dict[type[Rule], dict[str, Any]] = {}
    for name, changes in (thresholds or {}).items():
        if not isinstance(changes, Mapping):
            raise TypeError(f"the options of {name} must be a mapping such as {{'records': 20}}")
        merged.setdefault(find_rule(name, rules), {}).update(changes)  # by its name, its code, or both
    return {rule: _options(rule, changes) for rule, changes in merged.items()}


def _options(rule: type[Rule], changes: dict[str, Any]) -> RuleOptions:
    for option, value in changes.items():
        if isinstance(value, float) and not isfinite(value):
            raise ValueError(f"{rule.name}.{option} must be a finite number, not {value}")
    try:
        return msgspec.convert(changes, rule.Options)
    except msgspec.ValidationError as error:
        known = ", ".join(rule.Options.__struct_fields__) or "none"
        raise ValueError(f"options of {rule.name}: {error}; it has: {known}") from None


def _called(name: str, known: Iterable[type[Rule]]) -> type[Rule] | None:
    """The rule with this name or code, in upper or lower case."""
    return next((rule for rule in known if name.lower() in (rule.name, rule.code.lower())), None)


def _named(names: Iterable[str], known: Iterable[type[Rule]]) -> set[type[Rule]]:
    if isinstance(names, str):
        names = (names,)
    found: set[type[Rule]] = set()
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"name a rule by a string such as 'non-finite', not by {name!r}")
        family = [rule for rule in known if rule.family() == name.upper()]
        found.update(family or (find_rule(name, known),))
    return found


def _texts(names: object) -> list[str]:
    """The strings in a recorded list of names; empty for anything else."""
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _valid_thresholds(recorded: object, rules: tuple[type[Rule], ...]) -> dict[str, dict[str, Any]]:
    """The options of what was recorded that are valid here, each by itself."""
    thresholds: dict[str, dict[str, Any]] = {}
    for name, options in recorded.items() if isinstance(recorded, dict) else ():
        for option, value in options.items() if isinstance(options, dict) else ():
            if _is_valid(Settings(thresholds={name: {option: value}}, rules=rules)):
                thresholds.setdefault(name, {})[option] = value
    return thresholds


def _is_valid(settings: Settings) -> bool:
    try:
        settings.check()
    except (TypeError, ValueError):
        return False
    return True


@lru_cache
def _warn_missing(rules: tuple[str, ...]) -> None:
    """Warn once per process and set of names."""
    warn("rldk: ignoring rules of the live run that are not installed here: %s", ", ".join(rules))


def _nearest(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, 1, 0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""
