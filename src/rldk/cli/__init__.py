"""The `rldk` command. Commands are short: they parse arguments and call what does the work.

Exit codes: 0 nothing to report, 1 findings (bad lines), 2 the input or the arguments are wrong.
"""

from rldk.cli.main import main

__all__ = ["main"]
