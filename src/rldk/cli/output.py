"""What the commands that answer for people or for scripts have in common: `--format text|json`."""

from typing import Any

import click
import msgspec

__all__ = ["echo_json", "text_or_json"]

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
