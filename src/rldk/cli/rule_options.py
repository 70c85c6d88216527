"""The doctor's options on the command line: algorithm, rules, thresholds."""

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, TypeVar

import click
import msgspec

from rldk.health import options_of, select
from rldk.health.context import known_algorithms

__all__ = ["fail_on_option", "rule_options", "settings_options"]

fail_on_option = click.option(
    "--fail-on",
    type=click.Choice(["info", "warning", "critical", "never"]),
    default="warning",
    show_default=True,
    help="Lowest severity that makes the exit code 1.",
)
"""`--fail-on`, for commands that judge."""

F = TypeVar("F", bound=Callable[..., Any])


def settings_options(command: F) -> F:
    """`--algorithm`, `--truth-metric`, `--select`, `--ignore` and `--threshold`, under these names."""
    options = (
        click.option(
            "--algorithm",
            metavar="NAME",
            callback=_algorithm,
            help="Algorithm of the run (grpo, dpo, sft, ...), if the log does not name it.",
        ),
        click.option(
            "--truth-metric",
            metavar="METRIC",
            help="Metric of the real goal behind the reward, such as rewards/accuracy/mean.",
        ),
    )
    command = rule_options(command)
    for option in reversed(options):
        command = option(command)
    return command


def rule_options(command: F) -> F:
    """`--select`, `--ignore` and `--threshold`, the last as `thresholds`."""
    options = (
        click.option(
            "--select",
            metavar="RULE",
            multiple=True,
            callback=_rules,
            help="Use only these rules: names, codes or families (OPT). Repeat, or use commas.",
        ),
        click.option(
            "--ignore",
            metavar="RULE",
            multiple=True,
            callback=_rules,
            help="Do not use these rules.",
        ),
        click.option(
            "--threshold",
            "thresholds",
            metavar="RULE.OPTION=VALUE",
            multiple=True,
            callback=_thresholds,
            help="Set a threshold of a rule: no-learning.records=200 (see: rldk rules NAME).",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _algorithm(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    known, name = known_algorithms(), value.lower()
    if name not in known:
        near = get_close_matches(name, known, 3, 0.4) or sorted(known)
        raise click.BadParameter(f"unknown algorithm {value!r}; known: {', '.join(near)}", context, option)
    return name


def _rules(
    context: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...] | None:
    names = tuple(name.strip() for value in values for name in value.split(",") if name.strip())
    if values and not names:
        raise click.BadParameter("name a rule; list them with: rldk rules", context, option)
    try:
        select(names)
    except ValueError as error:
        raise click.BadParameter(str(error), context, option) from None
    return names or None


def _thresholds(
    context: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for value in values:
        key, equals, text = value.partition("=")
        rule, dot, name = key.rpartition(".")
        if not (equals and dot and rule and name and text):
            raise click.BadParameter(f"{value!r} is not of the form RULE.OPTION=VALUE", context, option)
        try:
            setting = msgspec.json.decode(text)
        except msgspec.DecodeError:
            setting = text
        found.setdefault(rule, {})[name] = setting
    try:
        options_of(found)
    except (TypeError, ValueError) as error:
        raise click.BadParameter(str(error), context, option) from None
    return found
