"""`rldk export`: a run as a table."""

import sys
from pathlib import Path

import click

from rldk.cli.progress import counting
from rldk.cli.reading import input_options, log_of
from rldk.files import RunFiles, replacing
from rldk.runs.tables import WRITERS

__all__ = ["export"]


@click.command(short_help="Write a run as CSV, JSON, JSONL or Parquet.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "-f",
    "--format",
    "kind",
    type=click.Choice(list(WRITERS)),
    help="Format of the output. Default: by the ending of FILE, else csv.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write. Default: stdout."
)
@input_options
def export(
    run: Path, kind: str | None, output: Path | None, input_format: str | None, mapping: dict[str, str]
) -> None:
    """Export the metrics of RUN: at any time, also while it is running.

    RUN is a run's name in its folder (rldk_logs/my_run), a folder that holds one run, any file of a run,
    or a log of another tool (see: rldk info). After a resume each train step appears once.

    \b
    csv      one row a record, one column a metric; nan and inf are spelled out
    json     the same rows, and count, mean, std, min, max, first, last of each metric
    jsonl    the Events themselves, in one file: parts joined, superseded steps left out
    parquet  the same table for pandas, Polars, DuckDB; needs: pip install pyarrow

    \b
    Examples:
      rldk export rldk_logs/my_run -o my_run.csv
      rldk export rldk_logs/my_run -f jsonl | jq .metrics.reward_mean
    """
    found = log_of(run, input_format, mapping)
    if kind is None:
        kind = output.suffix[1:] if output and output.suffix else "csv"
        if kind not in WRITERS:
            raise click.UsageError(f"no format is called {kind!r}; say one with: -f {'|'.join(WRITERS)}")
    write = WRITERS[kind]
    events = counting(found, "exporting")
    if output is not None:
        _refuse_recordings(output, run)
        with output.open("wb") if _is_special(output) else replacing(output) as file:
            write(events, file)
        click.echo(f"{output}: {events.count:,} records", err=True)
    elif kind == "parquet" and sys.stdout.isatty():
        raise click.UsageError("Parquet is binary: name a file with -o FILE")
    else:
        stdout = sys.stdout.buffer
        write(events, stdout)
        stdout.flush()
    if not events.count:
        click.echo(f"rldk: {run} holds no records", err=True)
    for bad in found.bad_lines[:5]:
        click.echo(f"rldk: skipped {bad.path}:{bad.number}: {bad.reason}", err=True)
    if found.bad_count > 5:
        click.echo(f"rldk: skipped {found.bad_count:,} lines in all; see: rldk validate {run}", err=True)


def _is_special(output: Path) -> bool:
    """A pipe, a device: it is written to, and never replaced."""
    return output.exists() and not output.is_file()


def _refuse_recordings(output: Path, run: Path) -> None:
    """Refuse to write over what a training recorded; its tables can be made again, its events cannot."""
    if not output.parent.is_dir():
        raise click.UsageError(f"there is no folder {output.parent}")
    owner = RunFiles.of(output)
    if owner is not None and owner.parts() and output in (owner.metrics_csv, owner.metrics_json):
        return
    if output.exists() and run.exists() and output.samefile(run):
        raise click.UsageError(f"{output} is the log itself; choose another name for the export")
    if owner is not None and owner.exist() and output not in (owner.metrics_csv, owner.metrics_json):
        raise click.UsageError(
            f"{output} is a file of the run {owner.run_id}; choose another name for the export"
        )
