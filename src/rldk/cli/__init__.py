"""The `rldk` command. Each command parses its arguments and calls the function that does the work.

Exit codes: 0 nothing to report, 1 findings (or bad lines), 2 the input or the arguments are wrong.
"""

from rldk.cli.main import main

__all__ = ["main"]
