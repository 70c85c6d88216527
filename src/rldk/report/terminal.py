"""A diagnosis as a page in a terminal: the verdict, the findings, the metrics, the next commands.

Invariant: the page has the same content without colour, at 80 columns and in a pipe.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule as Line
from rich.table import Table
from rich.text import Text

from rldk.health import Finding
from rldk.report.curve import GAP, MARK
from rldk.report.examination import Examination
from rldk.report.phrases import (
    commands,
    family,
    headline,
    last_good,
    main_metrics,
    named,
    rows_show,
    samples_of,
    since,
    unchecked,
)
from rldk.report.text import counted, listed, number, plain, sentence

__all__ = [
    "COLOURS",
    "alert_line",
    "commands_to_type",
    "console_on",
    "family_parts",
    "print_page",
    "printing",
]

COLOURS = {
    "healthy": "bold green",
    "info": "bold blue",
    "warning": "bold yellow",
    "critical": "bold red",
    "insufficient-data": "bold",
}
WIDEST = 100
"""Largest width of the page, in columns: longer lines of prose are hard to read."""
CAUSES, REMEDIES, ANSWERS, GROUPS, NAMES, SAMPLES = 3, 5, 3, 3, 4, 2
"""Most items of each kind on the page."""


def print_page(console: Console, exam: Examination, *, verbose: bool = False) -> None:
    """Print the page of one run."""
    width = min(console.width, WIDEST)
    with printing(console) as out:
        out.print(Group(*_parts(exam, width, verbose)), width=width)
        for line in commands_to_type(commands(exam), width):
            out.print(line, soft_wrap=True)  # unwrapped, so that the user can copy the command


def console_on(file: TextIO, widest: int | None = None) -> Console:
    """A console that writes to a stream. Characters that the stream cannot encode become question marks.

    Args:
        file: the stream.
        widest: the most columns to use.
    """
    if hasattr(file, "reconfigure"):
        file.reconfigure(errors="replace")
    console = Console(file=file, highlight=False)
    if widest is not None:
        console.width = min(console.width, widest)
    return console


@contextmanager
def printing(console: Console) -> Iterator[Console]:
    """A console to print on. In a pipe, it removes the blanks that rich appends to lines."""
    if console.is_terminal:
        yield console
        return
    with console.capture() as page:
        yield console
    if text := page.get():
        console.out("\n".join(line.rstrip() for line in text.splitlines()), highlight=False)


def alert_line(finding: Finding) -> Text:
    """One line for a finding that has just opened or become more severe."""
    return Text.assemble(
        (f"{finding.severity.upper():<8} ", COLOURS[finding.severity]),
        (f"{finding.rule} ", "bold"),
        f"at step {finding.last_step:,} (since {finding.onset_step:,}): {sentence(finding.message)}",
    )


def _parts(exam: Examination, width: int, verbose: bool) -> list[RenderableType]:
    status = exam.diagnosis.status
    parts: list[RenderableType] = [
        Text.assemble((status.upper(), COLOURS[status]), "  ", (named(exam), "bold")),
        Text(headline(exam)),
    ]
    if exam.bad_lines:
        parts.append(Text(f"rldk could not read {counted(exam.bad_lines, 'line')} of the log.", "yellow"))
    findings = exam.diagnosis.findings
    for finding in findings:
        if finding.caused_by is None:
            when = partial(_when, exam)
            parts += [Text(), *family_parts(finding, findings, when, verbose=verbose)]
    if statements := rows_show(exam):
        parts += [Text(), _title("What these rows show"), _indented(_list(statements, "-"))]
    if exam.records:
        parts += [Text(), _numbers(exam, width)]
    if exam.answers:
        parts += [Text(), _title("Is this normal?")]
        parts += [_indented(_answer(answer.question, answer.text)) for answer in exam.answers[:ANSWERS]]
    if exam.diagnosis.not_checked:
        parts += [Text(), *_unchecked(exam, verbose)]
    parts += [Text(), _title("Next")]
    return parts


def _title(text: str) -> Text:
    return Text(text, "bold")


def _indented(part: RenderableType, by: int = 2) -> Padding:
    return Padding(part, (0, 0, 0, by))


def _when(exam: Examination, finding: Finding) -> str:
    return since(exam, finding).lower()


def family_parts(
    finding: Finding, findings: Sequence[Finding], when: Callable[[Finding], str], *, verbose: bool
) -> list[RenderableType]:
    """A root finding, which no other finding explains, and its effects.

    Args:
        finding: the root finding.
        findings: all findings of the diagnosis.
        when: gives the onset or the location of a finding, as text for the middle of a sentence.
        verbose: show every cause and every remedy.
    """
    colour = COLOURS[finding.severity]
    head = Text.assemble(
        (f"{finding.severity} ", colour), (finding.rule, "bold"), f" ({finding.code}) ", when(finding)
    )
    parts: list[RenderableType] = [
        Line(head, align="left", style=colour.removeprefix("bold "), characters="─")
    ]
    parts.append(_indented(Text(sentence(finding.message))))
    parts += _advice(finding, verbose)
    if finding.last_good_step is not None:
        parts.append(_indented(Text(last_good(finding))))
    parts += _samples(finding)
    explained = family(findings, finding)
    if explained:
        parts.append(_indented(Text("This explains", "bold")))
        for depth, effect in explained:
            line = Text.assemble(
                (f"{effect.severity} {effect.rule}", COLOURS[effect.severity].removeprefix("bold ")),
                f" {when(effect)}: {sentence(effect.message)}",
            )
            parts.append(_indented(line, 2 + 2 * depth))
    return parts


def _advice(finding: Finding, verbose: bool) -> list[RenderableType]:
    """Causes and remedies; a single line of each for a finding of severity info."""
    if finding.severity == "info" and not verbose:
        lists = (("Likely: ", finding.causes), ("Try: ", finding.remedies))
        return [
            _indented(Text.assemble((word, "bold"), sentence(items[0]))) for word, items in lists if items
        ]
    causes = finding.causes if verbose else finding.causes[:CAUSES]
    remedies = finding.remedies if verbose else finding.remedies[:REMEDIES]
    parts: list[RenderableType] = []
    if causes:
        parts += [_indented(Text("Likely because", "bold")), _indented(_list(causes, "-"), 4)]
    if remedies:
        parts += [_indented(Text("Do this", "bold")), _indented(_list(remedies, ""), 4)]
    return parts


def _samples(finding: Finding) -> list[RenderableType]:
    """The first and the last of the samples that show a finding."""
    evidence = samples_of(finding, SAMPLES)
    if not evidence:
        return []
    lines = [Text.assemble(f"{where}: ", (text, "italic")) for where, text in evidence]
    return [_indented(Text("In the samples", "bold")), *(_indented(line, 4) for line in lines)]


def _list(items: list[str], mark: str) -> Table:
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column()
    for index, item in enumerate(items, 1):
        text = Text(sentence(item))
        text.highlight_regex("`[^`]+`", "cyan")  # options
        grid.add_row(mark or f"{index}.", text)
    return grid


def _numbers(exam: Examination, width: int) -> RenderableType:
    """The main metrics, each with a curve that marks the onset of the worst finding."""
    worst, first = exam.worst, exam.first_step or 0
    onset = worst.onset_step if worst is not None and worst.onset_step > first else None
    names = main_metrics(exam)
    longest = min(max(len(plain(name)) for name in [*names, "Metrics"]), 28)
    columns = 3 if onset is not None else 2
    spark = max(min(width - longest - 11 * columns - 4, 48), 8)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("Metrics", width=longest, no_wrap=True, overflow="ellipsis", header_style="bold not dim")
    table.add_column("first", justify="right", no_wrap=True, min_width=9)
    if onset is not None:
        table.add_column(f"at {onset:,}", justify="right", no_wrap=True, min_width=9)
    table.add_column("last", justify="right", no_wrap=True, min_width=9)
    broken = any(exam.curves[name].nonfinite for name in names)
    legend = [f"{MARK} onset"] * (onset is not None) + [f"{GAP} not finite"] * broken
    table.add_column(", ".join(legend), no_wrap=True)
    for name in names:
        curve = exam.curves[name]
        values = (
            [curve.first, curve.newest] if onset is None else [curve.first, curve.at(onset), curve.newest]
        )
        table.add_row(Text(plain(name)), *map(number, values), Text(curve.spark(spark, onset), "cyan"))
    return table


def _answer(question: str, text: str) -> Text:
    return Text.assemble((f"{question} ", "italic"), plain(text))


def _unchecked(exam: Examination, verbose: bool) -> list[RenderableType]:
    groups = unchecked(exam)
    shown = groups if verbose else groups[:GROUPS]
    total = len(exam.diagnosis.not_checked)
    parts: list[RenderableType] = [_title(f"Not checked ({counted(total, 'rule')})")]
    for how, rules in shown:
        names = (
            rules
            if verbose or len(rules) <= NAMES
            else [*rules[: NAMES - 1], f"{len(rules) - NAMES + 1} more"]
        )
        parts.append(_indented(Text.assemble(f"{listed(names)}: ", (how, "dim"))))
    rest = sum(len(rules) for _, rules in groups[len(shown) :])
    if rest:
        parts.append(_indented(Text(f"and {rest} more: --verbose lists them.", "dim")))
    return parts


def commands_to_type(commands: Sequence[tuple[str, str]], width: int) -> list[Text]:
    """Commands, each with its reason if it fits. Print them without wrapping, so that users can copy them."""
    lines = []
    for command, why in commands:
        fits = len(command) + len(why) + 6 <= width
        lines.append(Text.assemble("  ", (command, "cyan"), (f"  # {why}" if fits else "", "dim")))
    return lines
