"""What single rows of a log prove: one function for each statement, with the numbers of the rows.

Invariant: a statement holds of the rows alone. It is no verdict on the run, and rows without the metrics of a
statement say nothing.
"""

from collections.abc import Iterable

from rldk.report.rows import completions, finite, optimizer, pairs
from rldk.report.rows.short_log import STATEMENTS, Row, ShortLog, Statement

__all__ = ["STATEMENTS", "Row", "ShortLog", "Statement", "more_rows", "statements_about", "what_rows_show"]

PAGE = (finite, completions, optimizer, pairs)
"""The modules of the statements, in the order of the page."""


def what_rows_show(rows: ShortLog) -> list[str]:
    """The statements that hold of these rows."""
    return [text for one in STATEMENTS if (text := one.say(rows))]


def statements_about(rows: ShortLog, names: Iterable[str]) -> list[str]:
    """The statements that hold of these rows and are about any of the metrics `names`."""
    names = list(names)
    return [text for one in STATEMENTS if one.is_about(names) and (text := one.say(rows))]


def more_rows(dialect: str | None) -> str:
    """Where the rest of a training's records lies."""
    places = {
        "verl": "the whole console log, or wandb/run-*/, of trainer.logger",
        "sb3": "progress.csv, or the folder of TensorBoard",
        "openrlhf": "the folder of TensorBoard, or wandb/run-*/",
        "llama-factory": "trainer_log.jsonl of the output folder, or checkpoint-*/trainer_state.json",
        "ms-swift": "logging.jsonl of the output folder, or checkpoint-*/trainer_state.json",
        "generic": "the whole console log, or wandb/run-*/",
    }
    return places.get(
        dialect or "", "checkpoint-*/trainer_state.json, wandb/run-*/, or the whole console log"
    )
