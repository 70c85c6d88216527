"""`rldk info`: what is this log, and what is in it?"""

import shutil
from collections import Counter
from collections.abc import Hashable
from itertools import pairwise
from pathlib import Path
from typing import Any

import click

from rldk.cli.log_options import input_options, log_of
from rldk.cli.many_runs import expanded, for_each, identity
from rldk.cli.output import echo_json, echo_lines, text_or_json
from rldk.cli.progress import ProgressCounter
from rldk.errors import MissingDependencyError
from rldk.metrics import metric_of
from rldk.runs import Run
from rldk.schema.event import escaped

__all__ = ["info"]

WIDEST = 100
"""Largest width of the page, in columns."""
MAX_NAMES = 500
"""Most names of known metrics on the page, and of unknown metrics; the JSON has all names."""


@click.command(short_help="Describe a log: format, steps, metrics.")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@input_options
@text_or_json
@click.pass_context
def info(
    ctx: click.Context,
    paths: tuple[Path, ...],
    input_format: str | None,
    mapping: dict[str, str],
    kind: str,
) -> None:
    """Describe each PATH: format, dialect, algorithm, steps, known and unknown metrics, oddities.

    PATH is a run of rldk, or any log that rldk reads: trainer_state.json or a checkpoint, a console log of
    TRL or verl, JSONL, CSV, TensorBoard, W&B offline, trackio, TRL's completions. You may quote globs: rldk
    info "output*/checkpoint-40". rldk describes each run once.
    """
    seen: set[Hashable] = set()

    def described(path: Path) -> dict[str, Any] | None:
        run = log_of(path, input_format, mapping)
        if (known := identity(run)) in seen:
            return None
        summary: dict[str, Any] = escaped(describe(run))
        if kind == "text":
            echo_lines(*[""] * bool(seen), *_page(summary))
        seen.add(known)
        return summary

    found, failed = for_each(expanded(paths), described)
    if kind == "json":
        echo_json(found)
    ctx.exit(2 if failed else 0)


def describe(run: Run) -> dict[str, Any]:
    """The description of a run, from a single pass over it."""
    phases: Counter[str] = Counter()
    steps: list[int] = []
    metrics: Counter[str] = Counter()
    counted = nonfinite = 0
    for event in ProgressCounter(run, f"reading {run.run_id}"):
        phases[event.phase] += 1
        metrics.update(event.metrics.keys())
        counted += "step:counted" in event.notes
        nonfinite += any(True for _ in event.nonfinite())
        if event.phase == "train":
            steps.append(event.step)
    samples = _samples(run)
    differences = [later - earlier for earlier, later in pairwise(steps)]
    usual = Counter(d for d in differences if d > 0).most_common(1)
    every = usual[0][0] if usual else None
    return {
        "path": str(run.path),
        "format": run.format,
        "dialect": run.dialect,
        "algorithm": run.algorithm,
        "state": run.state,
        "records": dict(phases),
        "first_step": min(steps, default=None),
        "last_step": max(steps, default=None),
        "every": every,
        "gaps": sum(d > every for d in differences) if every else 0,
        "repeated_steps": sum(d == 0 for d in differences),
        "steps_back": sum(d < 0 for d in differences),
        "samples": samples,
        "steps_counted": bool(counted),
        "records_with_nonfinite": nonfinite,
        "bad_lines": run.bad_count,
        "first_bad_lines": [f"{b.path}:{b.number}: {b.reason}" for b in run.bad_lines[:3]],
        "known": sorted(name for name in metrics if metric_of(name)),
        "unknown": sorted(name for name in metrics if not metric_of(name)),
    }


def _samples(run: Run) -> int | str:
    """The number of samples, or the reason why rldk cannot count them."""
    try:
        return len(run.samples())
    except MissingDependencyError as error:
        return str(error)


def _page(summary: dict[str, Any]) -> list[str]:
    """The description, for people, in lines."""
    records = ", ".join(f"{count:,} {phase}" for phase, count in summary["records"].items()) or "none"
    lines = [
        summary["path"],
        f"  format     {summary['format']}"
        + (f", dialect {summary['dialect']}" if summary["dialect"] else ""),
        f"  algorithm  {summary['algorithm'] or 'unknown'}",
        f"  state      {summary['state']}",
        f"  records    {records}",
    ]
    if summary["last_step"] is not None:
        every = f", every {summary['every']:,}" if summary["every"] else ""
        lines.append(f"  steps      {summary['first_step']:,} to {summary['last_step']:,}{every}")
    if samples := summary["samples"]:
        lines.append(f"  samples    {samples:,}" if isinstance(samples, int) else f"  samples    {samples}")
    lines += [f"  note       {quirk}" for quirk in _quirks(summary)]
    for kind in ("known", "unknown"):
        lines += _wrapped(f"  {kind:<9}  ", summary[kind])
    return lines


def _quirks(summary: dict[str, Any]) -> list[str]:
    counts = {
        "gaps": "gaps between steps",
        "repeated_steps": "train records that repeat a step",
        "steps_back": "train records that go back to an earlier step",
        "records_with_nonfinite": "records with a value that is not finite",
        "bad_lines": "unreadable lines",
    }
    quirks = [f"{text}: {summary[name]:,}" for name, text in counts.items() if summary[name]]
    if summary["steps_counted"]:
        quirks.insert(0, "the log has no steps: rldk counts the train records")
    if summary["unknown"] and not summary["known"]:
        quirks.append("rldk knows no key of the log: name them with --map KEY=METRIC (docs/metrics.md)")
    return [*quirks, *summary["first_bad_lines"]]


def _wrapped(head: str, names: list[str]) -> list[str]:
    """`names` after `head`, in lines as wide as the terminal, and of at most 100 characters."""
    if not names:
        return [f"{head}none"]
    if len(names) > MAX_NAMES:
        names = [*names[:MAX_NAMES], f"and {len(names) - MAX_NAMES:,} more (all of them: -f json)"]
    width = min(shutil.get_terminal_size((WIDEST, 0)).columns, WIDEST)
    lines = [head]
    for name in names:
        if len(lines[-1]) + len(name) > width - 2 and lines[-1].strip():
            lines.append(" " * len(head))
        lines[-1] += f"{name}, "
    lines[-1] = lines[-1].removesuffix(", ")
    return [line.rstrip() for line in lines]
