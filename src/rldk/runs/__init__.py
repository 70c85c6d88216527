"""Reads a run of rldk or of another tool: its events, its columns, tables of its metrics."""

from rldk.runs.opener import TRLAdapter, open_run
from rldk.runs.recorded_run import RecordedRun
from rldk.runs.run import Run
from rldk.runs.samples import Sample, Samples

__all__ = ["RecordedRun", "Run", "Sample", "Samples", "TRLAdapter", "open_run"]
