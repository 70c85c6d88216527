"""`rldk runs`: the runs below a folder, and how they are doing."""

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from rldk.cli.output import echo_json, text_or_json
from rldk.errors import RLDKError
from rldk.files import RunFiles, runs_in
from rldk.runs import Run

__all__ = ["runs"]

SHOWN = ("reward_mean", "rewards_margins", "loss", "kl_mean", "entropy_mean", "grad_norm")
"""Metrics that the table shows, where a run logs them; else the first few that it logs."""


@click.command(short_help="List the runs in a folder.")
@click.argument("folder", default="./rldk_logs", type=click.Path(path_type=Path))
@text_or_json
def runs(folder: Path, kind: str) -> None:
    """List the runs in FOLDER and below it, with their state, step and last metrics.

    \b
    running     a live process records it
    completed   it did all its steps; stopped: it ended itself before that
    exception   an error ended it; interrupted: Ctrl-C; terminated: a signal, such as SIGTERM
    unknown     it went away without saying so
    unfinished  it has no end: its process was killed, or the machine went down
    """
    if folder.is_file():
        raise RLDKError(f"{folder} is a file; what is in it is told by: rldk info {folder}")
    if not folder.is_dir():
        raise RLDKError(f"there is no folder {folder}; name the one that holds your runs: rldk runs FOLDER")
    rows = sorted((_row(files) for files in _find(folder)), key=lambda row: row["started"] or "")
    if kind == "json":
        echo_json(rows)
    elif rows:
        _show(folder, rows)
    else:
        click.echo(f"rldk: no runs in {folder}", err=True)


def _find(folder: Path) -> Iterator[RunFiles]:
    for place, below, _ in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith("."))
        yield from runs_in(Path(place))


def _row(files: RunFiles) -> dict[str, Any]:
    run = Run(files)
    last, train = run.last(), run.last("train")
    info = run.info
    end, attempts = info.get("end"), info.get("attempts")
    end = end if isinstance(end, dict) else {}
    first = attempts[0] if isinstance(attempts, list) and attempts else None
    return {
        "run": run.run_id,
        "path": str(files.folder / files.run_id),
        "state": run.state,
        "how": end.get("how"),
        "started": first.get("started") if isinstance(first, dict) else None,
        "step": last.step if last else end.get("step"),
        "wall_time": last.wall_time if last else end.get("wall_time"),
        "metrics": train.metrics if train else {},
    }


def _show(folder: Path, rows: list[dict[str, Any]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, expand=True)
    table.add_column("run", overflow="fold")
    table.add_column("started", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("step", justify="right", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("last train record", no_wrap=True, ratio=1)  # it alone gives way where it is narrow
    for row in rows:
        table.add_row(
            escape(os.path.relpath(row["path"], folder)),
            _started(row["started"]),
            _state(row),
            "-" if row["step"] is None else f"{row['step']:,}",
            _duration(row["wall_time"]),
            escape(_metrics(row["metrics"])),
        )
    Console(highlight=False).print(table)


def _metrics(metrics: dict[str, Any]) -> str:
    shown = {name: metrics[name] for name in SHOWN if name in metrics} or dict(list(metrics.items())[:4])
    return ", ".join(
        f"{name}={'none' if value is None else format(value, '.4g')}" for name, value in shown.items()
    )


def _state(row: dict[str, Any]) -> str:
    if row["state"] != "ended":
        return {"running": "[green]running[/]", "unfinished": "[yellow]unfinished[/]"}[row["state"]]
    return "completed" if row["how"] == "completed" else f"[red]{row['how']}[/]"


def _started(time: str | None) -> str:
    """An ISO time as day and minute, where this machine is."""
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
