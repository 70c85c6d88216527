"""Reading a run: its events, what else is known of it, and tables of its metrics."""

from rldk.runs.run import Run, open_run

__all__ = ["Run", "open_run"]
