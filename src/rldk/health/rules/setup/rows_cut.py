"""SET012 rows-cut: rows are cut by the length limit of supervised fine-tuning, and their answers with them.


Invariant: a default alone is never more than information, and what needs a tokenizer, prompts or a disk is
listed as not checked, with what would enable it.
"""

from rldk.health.rule import Severity
from rldk.health.rules.not_checkable import NotCheckable

__all__ = ["RowsCut"]


class RowsCut(NotCheckable):
    """Rows are cut by the length limit of supervised fine-tuning, and their answers with them.

    ## What it looks for
    The share of rows longer than `max_length`.

    ## Why it matters
    What is cut is not trained; where it is the whole answer nothing is: see labels-masked.

    ## How it decides
    It needs the data, which no log holds: it is listed as not checked.

    ## What looks alike but is healthy
    A few very long rows.

    ## What to do
    Raise `max_length`, whose default is 1,024.

    ## Sources
    trl#6668, trl#6320.
    """

    code, name, severity = "SET012", "rows-cut", Severity.WARNING
    algorithms = frozenset({"sft", "gkd"})
    missing = "count the rows that are longer than max_length tokens; no log holds them"
