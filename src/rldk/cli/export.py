"""`rldk export`: a run as a table."""

import sys
from pathlib import Path

import click

from rldk.cli.progress import counting
from rldk.cli.reading import input_options, log_of
from rldk.files import replacing
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
    parquet  the same table for pandas, Polars, DuckDB; needs: pip install 'rldk[parquet]'

    \b
    Examples:
      rldk export rldk_logs/my_run -o my_run.csv
      rldk export rldk_logs/my_run -f jsonl | jq .metrics.reward_mean
    """
    found = log_of(run, input_format, mapping)
    if kind is None:
        ending = output.suffix[1:] if output else ""
        kind = ending if ending in WRITERS else "csv"
    write = WRITERS[kind]
    events = counting(found, "exporting")
    if output is not None:
        with replacing(output) as file:
            write(events, file)
    elif kind == "parquet" and sys.stdout.isatty():
        raise click.UsageError("Parquet is binary: name a file with -o FILE")
    else:
        stdout = sys.stdout.buffer
        write(events, stdout)
        stdout.flush()
    for bad in found.bad_lines[:5]:
        click.echo(f"rldk: skipped {bad.path}:{bad.number}: {bad.reason}", err=True)
    if len(found.bad_lines) > 5:
        click.echo(f"rldk: skipped {len(found.bad_lines):,} lines in all; see: rldk validate {run}", err=True)
