"""A checkpoint as a page in a terminal, as Markdown, and as an object.

Invariant: the three have the same content; names from the files cannot move the cursor, open markup or break
a table.
"""

import shlex
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from rldk._version import __version__
from rldk.health.text import literal
from rldk.report.checkpoint_phrases import (
    CheckpointReport,
    amount,
    facts,
    share,
    subject,
    unexamined,
    verdict,
)
from rldk.report.checkpoint_table import LayerRow, rows_of
from rldk.report.markdown import family_lines, folded
from rldk.report.sparkline import sparkline
from rldk.report.terminal import COLOURS, WIDEST, commands_to_type, family_parts, printing
from rldk.report.text import number, plain, sentence, strict

__all__ = ["as_markdown", "as_object", "print_checkpoint"]

ROWS = 24
"""Most rows of the table without --verbose."""
NOTES = 5
"""Most lines under *Not examined* without --verbose."""
LAYERS = "layer by layer"
WIDE = 80
"""Smallest width, in columns, at which the table has room for the number of parameters."""
BLOCKS = 12
"""Most blocks for the layers of a row."""


def print_checkpoint(console: Console, report: CheckpointReport, *, verbose: bool = False) -> None:
    """Print the page.

    Args:
        console: the console to print on.
        report: the checkpoint.
        verbose: show each group of tensors, every remedy, and all parts not examined.
    """
    width = min(console.width, WIDEST)
    with printing(console) as out:
        out.print(Group(*_parts(report, width, verbose)), width=width)
        for line in commands_to_type(_commands(report, verbose=verbose), width):
            out.print(line, soft_wrap=True)


def as_markdown(report: CheckpointReport) -> str:
    """The page as Markdown."""
    lines = [f"### rldk: {report.status.upper()}", "", literal(subject(report)), ""]
    lines += [f"**{literal(verdict(report))}**", ""]
    lines += [literal(report.chosen), ""] if report.chosen else []
    findings = report.diagnosis.findings
    for finding in findings:
        if finding.caused_by is None:
            lines += family_lines(finding, findings, report.location)
    lines += [f"- {title}: {literal(text)}" for title, text in facts(report)]
    rows = rows_of(report.found, findings, every=False)
    if rows:
        lines += ["", *folded("By layer", _markdown_table(rows))]
    if notes := unexamined(report):
        lines += ["", *folded("Not examined", [f"- {literal(sentence(note))}" for note in notes])]
    return "\n".join(lines).rstrip() + "\n"


def as_object(report: CheckpointReport) -> dict[str, Any]:
    """The page as plain data for strict JSON; `checkpoint` is the analysis, as a run records it."""
    findings = msgspec.to_builtins(report.diagnosis.findings, enc_hook=str)
    found: dict[str, Any] = strict(
        {
            "rldk": __version__,
            "source": report.source,
            "path": report.found.path,
            "chosen": report.chosen or None,
            "compared_with": report.compared_with or None,
            "status": report.status,
            "verdict": verdict(report),
            "findings": findings,
            "not_examined": unexamined(report),
            "checkpoint": report.found.detail(),
        }
    )
    return found


def _parts(report: CheckpointReport, width: int, verbose: bool) -> list[RenderableType]:
    status, findings = report.status, report.diagnosis.findings
    parts: list[RenderableType] = [
        Text.assemble((status.upper(), COLOURS[status]), "  ", (subject(report), "bold")),
        Text(verdict(report)),
    ]
    if report.chosen:
        parts.append(Text(plain(report.chosen), "dim"))
    for finding in findings:
        if finding.caused_by is None:
            parts += [Text(), *family_parts(finding, findings, report.location, verbose=verbose)]
    parts += [Text(), _facts(report)]
    rows = rows_of(report.found, findings, every=verbose)
    if rows:
        shown = rows if verbose else rows[:ROWS]
        parts += [Text(), _table(shown, width)]
        if len(shown) < len(rows):
            parts.append(Text(f"  and {len(rows) - len(shown):,} more: --verbose lists them", "dim"))
    if notes := unexamined(report):
        parts += [Text(), Text("Not examined", "bold")]
        shown_notes = notes if verbose else notes[:NOTES]
        parts += [Padding(Text(sentence(note), "dim"), (0, 0, 0, 2)) for note in shown_notes]
        if len(shown_notes) < len(notes):
            parts.append(Text(f"  and {len(notes) - NOTES} more: --verbose lists them", "dim"))
    return [*parts, Text(), Text("Next", "bold")]


def _facts(report: CheckpointReport) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    for title, text in facts(report):
        grid.add_row(title, Text(text))
    return grid


def _compared(rows: Sequence[LayerRow]) -> bool:
    return any(row.unchanged is not None or row.drift is not None for row in rows)


def _top(rows: Sequence[LayerRow]) -> float:
    """The value of the highest block: all rows share a scale, so that you can compare them."""
    return max((value or 0.0 for row in rows if not row.mark for value in row.series), default=0.0)


def _table(rows: Sequence[LayerRow], width: int) -> Table:
    """By part and layer; the last column is the mark of the row, or the drift (else the norm) by layer."""
    compared, top = _compared(rows), _top(rows)
    last = max([len(row.mark) for row in rows] + [BLOCKS, len(LAYERS)])
    wide = width >= WIDE
    numbers = (39 if compared else 25) - (0 if wide else 12)
    longest = max(min(max(len(plain(row.name)) for row in rows), width - numbers - last), 16)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(
        "By layer", width=longest, no_wrap=True, overflow="ellipsis", header_style="bold not dim"
    )
    if wide:
        table.add_column("parameters", justify="right", no_wrap=True)
    if compared:
        table.add_column("bit-equal", justify="right", no_wrap=True)
        table.add_column("||dW||/||W||", justify="right", no_wrap=True)
    else:
        table.add_column("||W||", justify="right", no_wrap=True, min_width=9)
    table.add_column(LAYERS, no_wrap=True)
    for row in rows:
        values = [*([amount(row.parameters)] if wide else []), *_values(row, compared=compared)]
        cell = Text(row.mark, "bold yellow") if row.mark else Text(_blocks(row, top), "cyan")
        table.add_row(Text(plain(row.name)), *values, cell)
    return table


def _values(row: LayerRow, *, compared: bool) -> list[str]:
    if not compared:
        return [number(row.norm)]
    unchanged = "-" if row.unchanged is None else share(row.unchanged)
    return [unchanged, "-" if row.drift is None else f"{row.drift:.2g}"]


def _blocks(row: LayerRow, top: float) -> str:
    return sparkline([value or None for value in row.series], BLOCKS, top).rstrip()


def _markdown_table(rows: Sequence[LayerRow]) -> list[str]:
    compared, top = _compared(rows), _top(rows)
    titles = ["bit-equal", "drift"] if compared else ["norm"]
    lines = [
        f"| {' | '.join(['part', 'parameters', *titles, LAYERS])} |",
        f"| --- | --: |{' --: |' * len(titles)} --- |",
    ]
    for row in rows:
        cells = [literal(row.name), amount(row.parameters), *_values(row, compared=compared)]
        lines.append(f"| {' | '.join([*cells, row.mark or _blocks(row, top)])} |")
    return lines


def _commands(report: CheckpointReport, *, verbose: bool) -> list[tuple[str, str]]:
    """The next commands, each with its purpose."""
    path, findings = shlex.quote(plain(report.source)), report.diagnosis.findings
    commands = []
    if findings:
        commands.append((f"rldk rules {findings[0].rule}", "how the rule decides"))
    if report.status in ("critical", "warning") and report.earlier is not None:
        commands.append(
            (f"rldk checkpoint {shlex.quote(plain(report.earlier))}", "is the previous checkpoint good?")
        )
    if report.run is not None:
        commands.append((f"rldk doctor {shlex.quote(plain(report.run))}", "judge the whole run"))
    if report.found.compared is None and report.read:
        commands.append((f"rldk checkpoint {path} OTHER", "compare with another checkpoint"))
    if not verbose and any(row.layers > 1 for row in rows_of(report.found, (), every=False)):
        commands.append((f"rldk checkpoint {path} -v", "show each layer"))
    return commands or [(f"rldk checkpoint {path} --format json", "all facts")]
