"""`python -m rldk` is the `rldk` command."""

from rldk.cli import main

main(prog_name="rldk")
