"""`rldk runs`: the runs below a folder, with their state and last metrics."""

import os
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rldk.cli.output import echo_json, echo_lines, text_or_json
from rldk.errors import RLDKError
from rldk.report.text import plain
from rldk.runs import RecordedRun, Run
from rldk.runs.event_reader import last_event
from rldk.schema.event import Event, Phase
from rldk.schema.files import RunFiles, list_runs
from rldk.schema.run_info import RunEnd

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["runs"]

SHOWN = ("reward_mean", "rewards_margins", "loss", "kl_mean", "entropy_mean", "grad_norm")
"""Metrics in the table; if a run logs none of them, its first few."""

WIDE = 72
"""Smallest width, in columns, at which the table has room for the start time."""
COLOURS = {"running": "green", "unfinished": "yellow", "completed": ""}


@click.command(short_help="List the runs in a folder.")
@click.argument("folder", default="./rldk_logs", type=click.Path(path_type=Path))
@text_or_json
def runs(folder: Path, kind: str) -> None:
    """List the runs in FOLDER and below it, with their state, step and last metrics.

    \b
    running      a live process records it
    completed    it did all its steps
    stopped      it ended itself before the last step
    exception    an error ended it
    interrupted  Ctrl-C ended it
    terminated   a signal ended it, such as SIGTERM
    unknown      it ended, and rldk does not know how
    unfinished   it has no end: its process was killed, or the machine went down
    """
    if folder.is_file():
        raise RLDKError(f"{folder} is a file; to see its content: rldk info {folder}")
    if not folder.is_dir():
        raise RLDKError(f"the folder {folder} does not exist; name the folder of your runs: rldk runs FOLDER")
    rows = sorted((_row(*found) for found in _find(folder)), key=lambda row: row["started"] or "")
    if kind == "json":
        echo_json(rows)
    elif rows:
        _show(folder, rows)
    else:
        echo_lines(f"rldk: no runs in {folder}", err=True)


def _find(folder: Path) -> Iterator[tuple[RunFiles, list[Path]]]:
    """The runs below a folder, with the files of their events."""
    for parent, below, _ in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for files, listing in list_runs(Path(parent)).items():
            if listing.parts or files.run in listing.others:
                yield files, listing.parts


def _last(run: Run, parts: list[Path], phase: Phase | None = None) -> Event | None:
    try:
        return last_event(parts, phase)
    except FileNotFoundError:  # a part was finished or compressed meanwhile
        return run.last(phase)


def _row(files: RunFiles, parts: list[Path]) -> dict[str, Any]:
    run = RecordedRun(files)
    last, train = _last(run, parts), _last(run, parts, "train")
    info = run.info
    end = info.end or RunEnd()
    return {
        "run": run.run_id,
        "path": str(files.folder / files.run_id),
        "state": run.state,
        "how": end.how,
        "started": info.attempts[0].started if info.attempts else None,
        "step": last.step if last else end.step,
        "wall_time": last.wall_time if last else end.wall_time,
        "metrics": train.metrics if train else {},
    }


def _show(folder: Path, rows: list[dict[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from rldk.report.terminal import console_on, printing

    console = console_on(sys.stdout)
    wide = console.width >= WIDE
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", expand=True)
    table.add_column("run", overflow="fold")
    if wide:
        table.add_column("started", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("step", justify="right", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("last train record", no_wrap=True, ratio=1)  # only this column shrinks
    for row in rows:
        table.add_row(
            Text(plain(os.path.relpath(row["path"], folder))),
            *([_started(row["started"])] if wide else []),
            _state(row),
            "-" if row["step"] is None else f"{row['step']:,}",
            _duration(row["wall_time"]),
            Text(plain(_metrics(row["metrics"]))),
        )
    with printing(console) as out:
        out.print(table)


def _metrics(metrics: dict[str, Any]) -> str:
    shown = {name: metrics[name] for name in SHOWN if name in metrics} or dict(list(metrics.items())[:4])
    return ", ".join(
        f"{name}={'none' if value is None else format(value, '.4g')}" for name, value in shown.items()
    )


def _state(row: dict[str, Any]) -> "Text":
    from rich.text import Text

    word = plain(str(row["how"])) if row["state"] == "ended" else row["state"]
    return Text(word, COLOURS.get(word, "red"))


def _started(time: str | None) -> str:
    """An ISO time as day and minute, in the local time zone."""
    try:
        return f"{datetime.fromisoformat(time or '').astimezone():%m-%d %H:%M}"
    except ValueError:
        return "-"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
