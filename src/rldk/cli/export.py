"""`rldk export`: runs as tables."""

import os
import sys
from collections import Counter
from collections.abc import Hashable, Sequence
from pathlib import Path

import click

from rldk.cli.log_options import input_options, log_of
from rldk.cli.many_runs import expanded, for_each, identity
from rldk.cli.output import echo_lines
from rldk.cli.progress import ProgressCounter
from rldk.runs import Run
from rldk.runs.metric_table import WRITERS
from rldk.schema.files import RunFiles, replacing, safe_run_id

__all__ = ["export"]


@click.command(short_help="Write runs as CSV, JSON, JSONL or Parquet.")
@click.argument("paths", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-f",
    "--format",
    "kind",
    type=click.Choice(list(WRITERS)),
    help="Format of the output. Default: the ending of FILE, else csv.",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE|FOLDER",
    help="File to write, or folder for one file a run. Default, or `-`: stdout.",
)
@input_options
@click.pass_context
def export(
    ctx: click.Context,
    paths: tuple[Path, ...],
    kind: str | None,
    output: str | None,
    input_format: str | None,
    mapping: dict[str, str],
) -> None:
    """Export the metrics of each RUN, at any time, also while it is running.

    RUN is a run (rldk_logs/my_run), a folder that holds one run, any file of a run, or a log of another tool
    (see: rldk info). Each train step appears once, also after a resume.

    Several runs, or a quoted glob, need a folder. rldk writes one file a run, FOLDER/my_run.csv. If two runs
    have the same name, rldk puts the name of their folder first. A single run also goes into FOLDER if FOLDER
    exists or ends with a slash.

    \b
    csv      one row a record, one column a metric; nan and inf as text
    json     the same rows, and count, mean, std, min, max, first, last of each metric
    jsonl    the Events in one file, without the steps that a resume replaced
    parquet  the same table for pandas, Polars, DuckDB; needs: pip install pyarrow

    \b
    Examples:
      rldk export rldk_logs/my_run -o my_run.csv
      rldk export rldk_logs/my_run -f jsonl | jq .metrics.reward_mean
      rldk export "rldk_logs/*" -f parquet -o tables/
    """
    seen: set[Hashable] = set()
    if output == "-":
        output = None

    def opened(path: Path) -> tuple[Path, Run] | None:
        run = log_of(path, input_format, mapping)
        if (known := identity(run)) in seen:
            return None
        seen.add(known)
        return path, run

    runs, failed = for_each(expanded(paths), opened)
    if not runs:
        ctx.exit(2)  # `for_each` has printed the reasons
    if output is not None and (output.endswith(("/", os.sep)) or Path(output).is_dir()):
        failed |= _to_folder(runs, Path(output), kind or "csv")
    elif len(runs) == 1:
        _to_file(*runs[0], None if output is None else Path(output), kind)
    elif output is None or Path(output).suffix or Path(output).exists():
        hint = "name a folder for their tables" if output is None else f"{output} is one file; name a folder"
        raise click.UsageError(f"these are {len(runs)} runs: {hint} with -o FOLDER")
    else:
        failed |= _to_folder(runs, Path(output), kind or "csv")
    ctx.exit(2 if failed else 0)


def _to_file(path: Path, run: Run, output: Path | None, kind: str | None) -> None:
    if kind is None:
        kind = output.suffix[1:] if output and output.suffix else "csv"
        if kind not in WRITERS:
            raise click.UsageError(f"rldk has no format {kind!r}; choose with: -f {'|'.join(WRITERS)}")
    if output is not None:
        if not output.parent.is_dir():
            raise click.UsageError(f"the folder {output.parent} does not exist")
        _refuse_recordings(output, [path])
    elif kind == "parquet" and sys.stdout.isatty():
        raise click.UsageError("Parquet is binary: name a file with -o FILE")
    _write(path, run, output, kind)


def _to_folder(runs: Sequence[tuple[Path, Run]], folder: Path, kind: str) -> bool:
    """Write a file a run; return whether any failed. A failure does not affect the other runs."""
    targets = [folder / f"{name}.{kind}" for name in _names([run for _, run in runs])]
    for target in targets:
        _refuse_recordings(target, [path for path, _ in runs])
    folder.mkdir(parents=True, exist_ok=True)

    def write(item: tuple[tuple[Path, Run], Path]) -> None:
        (path, run), target = item
        _write(path, run, target, kind)

    return for_each([*zip(runs, targets, strict=True)], write)[1]


def _names(runs: Sequence[Run]) -> list[str]:
    """A file name for each run: its own name, after the name of its folder if two runs share a name."""
    counts = Counter(run.run_id for run in runs)
    names: list[str] = []
    for run in runs:
        folder = run.path.absolute().parent.name
        name = run.run_id if counts[run.run_id] == 1 else safe_run_id(f"{folder}-{run.run_id}")
        number = 2
        unique = name
        while unique in names:
            unique, number = f"{name}-{number}", number + 1
        names.append(unique)
    return names


def _write(path: Path, run: Run, output: Path | None, kind: str) -> None:
    write = WRITERS[kind]
    events = ProgressCounter(run, f"exporting {run.run_id}")
    if output is not None:
        with output.open("wb") if _is_special(output) else replacing(output) as file:
            write(events, file)
        echo_lines(f"{output}: {events.count:,} records", err=True)
    else:
        stdout = sys.stdout.buffer
        write(events, stdout)
        stdout.flush()
    if not events.count:
        echo_lines(f"rldk: {path} has no records", err=True)
    for bad in run.bad_lines[:5]:
        echo_lines(f"rldk: skipped {bad.path}:{bad.number}: {bad.reason}", err=True)
    if run.bad_count > 5:
        echo_lines(f"rldk: skipped {run.bad_count:,} lines in total; see: rldk validate {path}", err=True)


def _is_special(output: Path) -> bool:
    """A pipe or a device: rldk writes to it and never replaces it."""
    return output.exists() and not output.is_file()


def _refuse_recordings(output: Path, paths: Sequence[Path]) -> None:
    """Refuse to overwrite the records of a training: its tables can be made again, its events cannot."""
    owner = RunFiles.of(output)
    if owner is not None and owner.parts() and output in (owner.metrics_csv, owner.metrics_json):
        return
    if output.exists() and any(path.exists() and output.samefile(path) for path in paths):
        raise click.UsageError(f"{output} is the log itself; choose another name for the export")
    if owner is not None and owner.exist() and output not in (owner.metrics_csv, owner.metrics_json):
        raise click.UsageError(
            f"{output} is a file of the run {owner.run_id}; choose another name for the export"
        )
