"""`rldk validate`: is every line of an events file a whole Event?"""

from pathlib import Path
from typing import Any

import click

from rldk.cli.output import echo_json, text_or_json
from rldk.cli.progress import counting
from rldk.cli.reading import input_options, log_of
from rldk.errors import UnknownFormatError
from rldk.event import escaped, json_schema
from rldk.runs.validation import Validation, check, check_run

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
    tool (then what it holds is read). Bad lines are listed with file, line and reason.

    \b
    Exit code: 0 all lines are good, 1 some are not, 2 a file cannot be read.
    """
    if schema:
        echo_json(json_schema())
        return
    if not paths:
        raise click.UsageError("name at least one events file, run or log")
    results = [(path, _check(path, input_format, mapping)) for path in paths]
    if kind == "json":
        found = escaped([_plain(*result) for result in results])
        echo_json(found)
    else:
        for path, result in results:
            _show(path, result)
    ctx.exit(1 if any(result.bad for _, result in results) else 0)


def _check(path: Path, input_format: str | None, mapping: dict[str, str]) -> Validation:
    """A file that holds events by its name is checked by itself; else what the path names, whole."""
    try:
        run = log_of(path, input_format, mapping)
        if input_format is None and path.is_file() and path in run.parts:
            return check([path])
        return check_run(run, counting(run, "checking"))
    except UnknownFormatError:
        return check([path])  # none of its lines is an Event, and each is told so


def _show(path: Path, result: Validation) -> None:
    for bad in result.bad_lines:
        click.echo(escaped(f"{bad.path}:{bad.number}: {bad.reason}"))
    if result.bad > len(result.bad_lines):
        click.echo(f"... and {result.bad - len(result.bad_lines):,} more bad lines")
    phases = ", ".join(f"{count:,} {phase}" for phase, count in result.phases.items())
    steps = "" if result.first_step is None else f", steps {result.first_step:,} to {result.last_step:,}"
    resumes = f", {_counted(result.resumes, 'resume')}" if result.resumes else ""
    verdict = _counted(result.bad, "bad line") if result.bad else "no bad lines"
    events = _counted(result.records, "event")
    click.echo(escaped(f"{path}: {events} ({phases or 'none'}){steps}{resumes}; {verdict}"))


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _plain(path: Path, result: Validation) -> dict[str, Any]:
    bad_lines = [{"file": str(b.path), "line": b.number, "reason": b.reason} for b in result.bad_lines]
    return {"path": str(path)} | result._asdict() | {"bad_lines": bad_lines}
