"""The options of all commands that read logs: `--input-format`, `--map`, and `[tool.rldk.map]`."""

import tomllib
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import click

from rldk.errors import RLDKError
from rldk.runs import Run, open_run

__all__ = ["input_options", "log_of"]

F = TypeVar("F", bound=Callable[..., Any])


class _FormatOption(click.Option):
    """The option `--input-format`; it loads the adapters to name them only when somebody asks for help."""

    def get_help_record(self, context: click.Context) -> tuple[str, str] | None:
        from rldk.runs.adapters import adapters
        from rldk.runs.opener import OURS

        formats = ", ".join((OURS, *(adapter.name for adapter in adapters())))
        self.help = f"Format of the log. By default rldk detects it. Formats: {formats}."
        return super().get_help_record(context)


def input_options(command: F) -> F:
    """The options `--input-format` and `--map`, as arguments `input_format` and `mapping`."""
    command = click.option(
        "--map",
        "mapping",
        metavar="KEY=METRIC",
        multiple=True,
        callback=_pairs,
        help="Metric of a key in the log: my/score=reward_mean. Or use [tool.rldk.map] in pyproject.toml.",
    )(command)
    return click.option("--input-format", metavar="NAME", cls=_FormatOption)(command)


def log_of(path: Path, input_format: str | None, mapping: dict[str, str]) -> Run:
    """The run at `path`, with the names of `[tool.rldk.map]`; names on the command line override them."""
    return open_run(path, input_format=input_format, mapping={**_project_names(), **mapping})


def _pairs(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    names = {}
    for value in values:
        key, equals, metric = value.rpartition("=")
        if not (key and equals and metric):
            raise click.BadParameter(f"{value!r} is not of the form KEY=METRIC", context, option)
        names[key] = metric
        _check_metric(metric)
    return names


def _check_metric(name: str) -> None:
    """Warn of a name that no rule of rldk reads: it is misspelt, or key and metric are in the wrong order."""
    from rldk.metrics import METRICS, metric_of

    if metric_of(name) is None:
        near = get_close_matches(name, METRICS, n=1, cutoff=0.8)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        click.echo(
            f"rldk: --map KEY=METRIC: {name!r} is no metric of rldk{hint}; no rule of rldk reads it", err=True
        )


def _project_names() -> dict[str, str]:
    """`[tool.rldk.map]` of the pyproject.toml in the working directory."""
    try:
        with Path("pyproject.toml").open("rb") as file:
            names: Any = tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RLDKError(f"rldk cannot read [tool.rldk.map] in pyproject.toml: {error}") from None
    for table in ("tool", "rldk", "map"):
        names = names.get(table, {}) if isinstance(names, dict) else None
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise RLDKError('[tool.rldk.map] in pyproject.toml must have lines of the form "key" = "metric"')
    return names
