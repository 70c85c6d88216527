"""`rldk validate`: is every line of an events file a valid Event?"""

from collections.abc import Callable, Hashable
from functools import partial
from pathlib import Path
from typing import Any

import click

from rldk.cli.log_options import input_options, log_of
from rldk.cli.many_runs import expanded, for_each, identity
from rldk.cli.output import echo_json, echo_lines, text_or_json
from rldk.cli.progress import ProgressCounter
from rldk.errors import UnknownFormatError
from rldk.runs import RecordedRun
from rldk.runs.validation import Validation, check, check_run
from rldk.schema.event import escaped, json_schema

__all__ = ["validate"]


@click.command(short_help="Check every line of events files, or of any log.")
@click.argument("paths", metavar="PATH...", nargs=-1, type=click.Path(path_type=Path))
@input_options
@text_or_json
@click.option("--schema", is_flag=True, help="Print the JSON Schema of an Event, and exit.")
@click.pass_context
def validate(
    ctx: click.Context,
    paths: tuple[Path, ...],
    input_format: str | None,
    mapping: dict[str, str],
    kind: str,
    schema: bool,
) -> None:
    """Check every line of events files against the Event schema, or try to read another tool's log.

    PATH is an events file (or a .gz part), a run with all its parts, or a log of another tool. rldk prints
    file, line and reason of each bad line. You may quote globs: rldk validate "rldk_logs/*". rldk checks each
    file once.

    \b
    Exit code: 0 all lines are good, 1 some lines are bad, 2 rldk cannot read a path.
    """
    if schema:
        echo_json(json_schema())
        return
    if not paths:
        raise click.UsageError("name an events file, a run or a log")
    seen: set[Hashable] = set()

    def validated(path: Path) -> tuple[Path, Validation] | None:
        known, validate_it = _checking(path, input_format, mapping)
        if known in seen:
            return None
        seen.add(known)
        result = validate_it()
        if kind == "text":
            _show(path, result)
        return path, result

    results, failed = for_each(expanded(paths), validated)
    if kind == "json":
        echo_json(escaped([_plain(*result) for result in results]))
    bad = any(result.bad for _, result in results)
    ctx.exit(2 if failed else 1 if bad else 0)


def _checking(
    path: Path, input_format: str | None, mapping: dict[str, str]
) -> tuple[Hashable, Callable[[], Validation]]:
    """The identity of the path and its check: a single events file, or the whole run."""
    lines = partial(ProgressCounter, what=f"checking lines of {path.name}")
    try:
        run = log_of(path, input_format, mapping)
    except UnknownFormatError:
        return path.absolute(), lambda: check([path], lines)  # reports each line: it is no Event
    if input_format is None and path.is_file() and isinstance(run, RecordedRun) and path in run.parts:
        return path.absolute(), lambda: check([path], lines)
    events = ProgressCounter(run, f"checking {run.run_id}")
    return identity(run), lambda: check_run(run, events, lines)


def _show(path: Path, result: Validation) -> None:
    for bad in result.bad_lines:
        echo_lines(f"{bad.path}:{bad.number}: {bad.reason}")
    if result.bad > len(result.bad_lines):
        echo_lines(f"... and {result.bad - len(result.bad_lines):,} more bad lines")
    phases = ", ".join(f"{count:,} {phase}" for phase, count in result.phases.items())
    steps = "" if result.first_step is None else f", steps {result.first_step:,} to {result.last_step:,}"
    resumes = f", {_counted(result.resumes, 'resume')}" if result.resumes else ""
    verdict = _counted(result.bad, "bad line") if result.bad else "no bad lines"
    events = _counted(result.records, "event")
    echo_lines(f"{path}: {events} ({phases or 'none'}){steps}{resumes}; {verdict}")


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _plain(path: Path, result: Validation) -> dict[str, Any]:
    bad_lines = [{"file": str(b.path), "line": b.number, "reason": b.reason} for b in result.bad_lines]
    return {"path": str(path)} | result._asdict() | {"bad_lines": bad_lines}
