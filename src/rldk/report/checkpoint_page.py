"""A checkpoint as a page in a terminal, as Markdown, and as an object.

Invariant: the three say the same, and names from the files are text: they move no cursor, open no markup and
break no table.
"""

import shlex
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from rldk import __version__
from rldk.report.checkpoint_table import Row, rows_of
from rldk.report.checkpoint_words import Looked, about, amount, facts, share, unexamined, verdict
from rldk.report.markdown import folded, literal
from rldk.report.markdown import story as story_in_markdown
from rldk.report.sparkline import sparkline
from rldk.report.terminal import COLOURS, WIDEST, commands_to_type, printing, story
from rldk.report.words import number, plain, sentence, strict

__all__ = ["as_markdown", "as_object", "print_checkpoint"]

ROWS = 24
"""Rows of the table, unless all are asked for."""
NOTES = 5
"""Lines of what was not examined."""
LAYERS = "layer by layer"
WIDE = 80
"""Columns from which the table tells sizes: below, the names of the parts need the room more."""
BLOCKS = 12
"""Columns for the layers of a row."""


def print_checkpoint(console: Console, looked: Looked, *, verbose: bool = False) -> None:
    """Print the page.

    Args:
        console: where to.
        looked: the checkpoint.
        verbose: each group of tensors in a row of its own, every remedy, all that was not examined.
    """
    width = min(console.width, WIDEST)
    with printing(console) as out:
        out.print(Group(*_parts(looked, width, verbose)), width=width)
        for line in commands_to_type(_commands(looked, verbose=verbose), width):
            out.print(line, soft_wrap=True)


def as_markdown(looked: Looked) -> str:
    """The page as Markdown."""
    lines = [f"### rldk: {looked.status.upper()}", "", literal(about(looked)), ""]
    lines += [f"**{literal(verdict(looked))}**", ""]
    lines += [literal(looked.chosen), ""] if looked.chosen else []
    findings = looked.diagnosis.findings
    for finding in findings:
        if finding.caused_by is None:
            lines += story_in_markdown(finding, findings, looked.place)
    lines += [f"- {title}: {literal(text)}" for title, text in facts(looked)]
    rows = rows_of(looked.found, findings, every=False)
    if rows:
        lines += ["", *folded("By layer", _markdown_table(rows))]
    if told := unexamined(looked):
        lines += ["", *folded("Not examined", [f"- {literal(sentence(one))}" for one in told])]
    return "\n".join(lines).rstrip() + "\n"


def as_object(looked: Looked) -> dict[str, Any]:
    """The page as plain data that strict JSON holds; `checkpoint` is the analysis, as a run records it."""
    findings = msgspec.to_builtins(looked.diagnosis.findings, enc_hook=str)
    found: dict[str, Any] = strict(
        {
            "rldk": __version__,
            "source": looked.source,
            "path": looked.found.path,
            "chosen": looked.chosen or None,
            "compared_with": looked.compared_with or None,
            "status": looked.status,
            "verdict": verdict(looked),
            "findings": findings,
            "not_examined": unexamined(looked),
            "checkpoint": looked.found.detail(),
        }
    )
    return found


def _parts(looked: Looked, width: int, verbose: bool) -> list[RenderableType]:
    status, findings = looked.status, looked.diagnosis.findings
    parts: list[RenderableType] = [
        Text.assemble((status.upper(), COLOURS[status]), "  ", (about(looked), "bold")),
        Text(verdict(looked)),
    ]
    if looked.chosen:
        parts.append(Text(plain(looked.chosen), "dim"))
    for finding in findings:
        if finding.caused_by is None:
            parts += [Text(), *story(finding, findings, looked.place, verbose=verbose)]
    parts += [Text(), _facts(looked)]
    rows = rows_of(looked.found, findings, every=verbose)
    if rows:
        shown = rows if verbose else rows[:ROWS]
        parts += [Text(), _table(shown, width)]
        if len(shown) < len(rows):
            parts.append(Text(f"  and {len(rows) - len(shown):,} more: --verbose lists them", "dim"))
    if told := unexamined(looked):
        parts += [Text(), Text("Not examined", "bold")]
        shown_notes = told if verbose else told[:NOTES]
        parts += [Padding(Text(sentence(one), "dim"), (0, 0, 0, 2)) for one in shown_notes]
        if len(shown_notes) < len(told):
            parts.append(Text(f"  and {len(told) - NOTES} more: --verbose lists them", "dim"))
    return [*parts, Text(), Text("Next", "bold")]


def _facts(looked: Looked) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    for title, text in facts(looked):
        grid.add_row(title, Text(text))
    return grid


def _compared(rows: Sequence[Row]) -> bool:
    return any(row.unchanged is not None or row.drift is not None for row in rows)


def _top(rows: Sequence[Row]) -> float:
    """The value of the highest block: one scale for all, so that rows can be compared."""
    return max((value or 0.0 for row in rows if not row.mark for value in row.series), default=0.0)


def _table(rows: Sequence[Row], width: int) -> Table:
    """By part and layer; in the last column what is odd, or the drift (else the norm) of each layer."""
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
        told = Text(row.mark, "bold yellow") if row.mark else Text(_blocks(row, top), "cyan")
        table.add_row(Text(plain(row.name)), *values, told)
    return table


def _values(row: Row, *, compared: bool) -> list[str]:
    if not compared:
        return [number(row.norm)]
    unchanged = "-" if row.unchanged is None else share(row.unchanged)
    return [unchanged, "-" if row.drift is None else f"{row.drift:.2g}"]


def _blocks(row: Row, top: float) -> str:
    return sparkline([value or None for value in row.series], BLOCKS, top).rstrip()


def _markdown_table(rows: Sequence[Row]) -> list[str]:
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


def _commands(looked: Looked, *, verbose: bool) -> list[tuple[str, str]]:
    """What to type next, and what it does."""
    path, findings = shlex.quote(plain(looked.source)), looked.diagnosis.findings
    told = []
    if findings:
        told.append((f"rldk rules {findings[0].rule}", "how this was decided, and what looks alike"))
    if looked.status in ("critical", "warning") and looked.earlier is not None:
        told.append((f"rldk checkpoint {shlex.quote(plain(looked.earlier))}", "is the one before it good?"))
    if looked.run is not None:
        told.append((f"rldk doctor {shlex.quote(plain(looked.run))}", "what the run says"))
    if looked.found.compared is None and looked.read:
        told.append((f"rldk checkpoint {path} OTHER", "what changed since another one"))
    if not verbose and any(row.layers > 1 for row in rows_of(looked.found, (), every=False)):
        told.append((f"rldk checkpoint {path} -v", "each layer in a row"))
    return told or [(f"rldk checkpoint {path} --format json", "all facts")]
