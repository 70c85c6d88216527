"""Reading a run, ours or another tool's: its events, its columns, tables of its metrics."""

from rldk.runs.opening import open_run
from rldk.runs.run import Run

__all__ = ["Run", "open_run"]
