"""Reads TRL's folder of completions as a log: it holds samples, and no records of steps.

Invariant: samples give no metrics; TRL logs those itself.
"""

from collections.abc import Iterator
from pathlib import Path

from rldk.runs.adapters.base import Adapter, OnBad, Probe, Row
from rldk.runs.sample_tables import TABLE, Table, tables_of

__all__ = ["ADAPTER"]


def _rows(path: Path, on_bad: OnBad) -> Iterator[Row]:
    for table in tables_of(path):
        Table(table).count(on_bad)  # tells which cannot be read
    yield from ()


def _confidence(probe: Probe) -> float:
    if not probe.is_dir:
        return 0.95 if TABLE.fullmatch(probe.path.name) else 0.0
    tables = tables_of(probe.path)
    if not tables or probe.path.name.startswith("checkpoint-"):
        return 0.0
    # The parent of such a folder is the trainer's: its logs hold more than the completions.
    return 0.95 if tables[0].parent == probe.path else 0.3


ADAPTER = Adapter(
    name="trl-completions",
    what="TRL's completions_*.parquet (log_completions=True), or the folder that holds them: samples only",
    confidence=_confidence,
    rows=_rows,
)
