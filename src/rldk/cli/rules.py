"""`rldk rules`: the rules of the doctor, and how each decides."""

import sys
from typing import TYPE_CHECKING

import click

from rldk.cli.output import echo_json, text_or_json
from rldk.errors import RLDKError
from rldk.health import Rule, find_rule, installed_rules

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["rules"]

COLOURS = {"info": "blue", "warning": "yellow", "critical": "red"}


@click.command(short_help="List the rules of the doctor, or explain a rule.")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@text_or_json
def rules(names: tuple[str, ...], kind: str) -> None:
    """List the rules of the doctor, or explain the rules NAME.

    The list includes the rules of installed packages (entry points of the group rldk.rules).

    NAME is the name or the code of a rule. Its page says how the rule decides, which healthy runs look
    similar, what to do, its sources, and the thresholds for rldk doctor --threshold. A single NAME may also
    be a word in names of rules, such as reward: rldk then lists these rules.

    \b
    Examples:
      rldk rules
      rldk rules entropy-collapse
      rldk rules reward
      rldk rules REW002 --format json
    """
    explains = bool(names)
    try:
        chosen = [find_rule(name) for name in names] or list(installed_rules())
    except ValueError as error:
        word = names[0].lower()
        chosen = [rule for rule in installed_rules() if word in rule.name]
        if len(names) > 1 or not chosen:
            raise RLDKError(str(error)) from None
        explains = False
    if kind == "json":
        from rldk.report.rule_page import row

        rows = [row(rule) | ({"page": rule.page()} if explains else {}) for rule in chosen]
        echo_json(rows)
        return
    from rldk.report.terminal import WIDEST, console_on, printing

    with printing(console_on(sys.stdout, WIDEST if explains else None)) as console:
        if explains:
            for number, rule in enumerate(chosen):
                console.print("\n" * (number > 0), end="")
                _page(console, rule)
        else:
            _table(console, chosen)


def _table(console: "Console", chosen: list[type[Rule]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("code", "name", "up to"):
        table.add_column(title, no_wrap=True)
    table.add_column("finds", overflow="fold")
    for rule in chosen:
        word = rule.severity.word
        table.add_row(rule.code, Text(rule.name, "bold"), Text(word, COLOURS[word]), Text(rule.summary()))
    console.print(table)
    console.print(Text("\nrldk rules NAME explains how a rule decides, and its thresholds.", "dim"))


def _page(console: "Console", rule: type[Rule]) -> None:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from rldk.report.rule_page import options, properties, sections

    (_, lead), *rest = sections(rule)
    console.print(Text.assemble((rule.name, "bold"), f" ({rule.code})"))
    console.print(Text(_joined(lead)))
    console.print()
    grid = Table.grid(padding=(0, 2, 0, 0))
    for word, value in properties(rule):
        grid.add_row(Text(word, "dim"), Text(value))
    console.print(grid)
    for title, text in rest:
        console.print(Text(f"\n{title}", "bold"))
        console.print(Padding(Text(_joined(text)), (0, 0, 0, 2)))
    chosen = options(rule)
    if chosen:
        console.print(Text("\nThresholds", "bold"))
        table = Table.grid(padding=(0, 2, 0, 0))
        for option in chosen:
            table.add_row(f"  {option.name}", option.default, Text(option.meaning))
        console.print(table)
        example = f"rldk doctor RUN --threshold {rule.name}.{chosen[0].name}={chosen[0].default}"
        console.print(Text(f"  {example}", "cyan"), soft_wrap=True)


def _joined(text: str) -> str:
    """Each paragraph as a single line, for the terminal to wrap; lists and code keep their lines."""
    lines: list[str] = []
    for line in text.splitlines():
        new = not line.strip() or line.lstrip().startswith(("- ", "* ", "|")) or line.startswith("    ")
        if new or not lines or not lines[-1].strip():
            lines.append(line)
        else:
            lines[-1] += f" {line.strip()}"
    return "\n".join(lines)
