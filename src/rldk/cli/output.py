"""Plain output of commands: `--format text|json`, lines for people, JSON for scripts, errors.

Invariant: only printable characters of a name from a log or a disk reach a terminal.
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
    """Print lines for people, on stderr if `err` is true, with unprintable characters escaped."""
    click.echo("\n".join(map(plain, lines)), err=err)


def message_of(error: Exception) -> str:
    """The text of an error, with the file of a system error; line breaks stay."""
    text = str(error)
    if isinstance(error, OSError) and not isinstance(error, RLDKError):
        where = f"{error.filename}: " if error.filename is not None else ""
        text = f"{where}{error.strerror or error}"
    elif isinstance(error, click.ClickException):
        text = error.format_message()
    return "\n".join(map(plain, text.split("\n")))
