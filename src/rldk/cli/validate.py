"""`rldk validate`: is every line of an events file a whole Event?"""

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
@click.option("--schema", is_flag=True, help="Print the JSON Schema of an Event, and do nothing else.")
@click.pass_context
def validate(
    ctx: click.Context,
    paths: tuple[Path, ...],
    input_format: str | None,
    mapping: dict[str, str],
    kind: str,
    schema: bool,
) -> None:
    """Check every line of events files against the Event schema, or that a foreign log can be read.

    PATH is an events file (also a .gz part), a run (then all its parts are checked), or a log of another
    tool (then what it holds is read). Bad lines are listed with file, line and reason. Globs may be
    quoted: rldk validate "rldk_logs/*". What several paths name is checked once.

    \b
    Exit code: 0 all lines are good, 1 some are not, 2 a path cannot be read.
    """
    if schema:
        echo_json(json_schema())
        return
    if not paths:
        raise click.UsageError("name at least one events file, run or log")
    seen: set[Hashable] = set()

    def one(path: Path) -> tuple[Path, Validation] | None:
        known, validate_it = _checking(path, input_format, mapping)
        if known in seen:
            return None
        seen.add(known)
        result = validate_it()
        if kind == "text":
            _show(path, result)
        return path, result

    results, failed = for_each(expanded(paths), one)
    if kind == "json":
        echo_json(escaped([_plain(*result) for result in results]))
    bad = any(result.bad for _, result in results)
    ctx.exit(2 if failed else 1 if bad else 0)


def _checking(
    path: Path, input_format: str | None, mapping: dict[str, str]
) -> tuple[Hashable, Callable[[], Validation]]:
    """What the path names, and what checks it: a file that holds events alone, else the whole run."""
    lines = partial(ProgressCounter, what=f"checking lines of {path.name}")
    try:
        run = log_of(path, input_format, mapping)
    except UnknownFormatError:
        return path.absolute(), lambda: check([path], lines)  # none is an Event, and each is told so
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
