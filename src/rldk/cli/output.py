"""How commands print without a page: `--format text|json`, lines for people, JSON for scripts, errors.

Invariant: of a name from a log or a disk only printable characters reach a terminal.
"""

from typing import Any

import click
import msgspec

from rldk.errors import RLDKError
from rldk.report.text import plain

__all__ = ["echo_json", "echo_lines", "message_of", "text_or_json"]

text_or_json = click.option(
    "-f",
    "--format",
    "kind",
    type=click.Choice(["text", "json"]),
    default="text",
    help="Format of the output.",
)
"""The option `--format`, as argument `kind`."""


def echo_json(value: Any) -> None:
    """Print plain data as JSON, indented."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def echo_lines(*lines: str, err: bool = False) -> None:
    """Print lines for people, on stderr where `err` is true; what does not print is spelled out."""
    click.echo("\n".join(map(plain, lines)), err=err)


def message_of(error: Exception) -> str:
    """What an error says, and of an error of the system also of which file; several lines stay such."""
    text = str(error)
    if isinstance(error, OSError) and not isinstance(error, RLDKError):
        where = f"{error.filename}: " if error.filename is not None else ""
        text = f"{where}{error.strerror or error}"
    elif isinstance(error, click.ClickException):
        text = error.format_message()
    return "\n".join(map(plain, text.split("\n")))
