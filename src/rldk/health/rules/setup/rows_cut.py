"""SET012 rows-cut: the length limit of supervised fine-tuning cuts rows, and their answers with them.


Invariant: rldk sees no data, so the rule is always listed as not checked, with a way to check by hand.
"""

from rldk.health.rule import Severity
from rldk.health.rules.not_checkable import NotCheckable

__all__ = ["RowsCut"]


class RowsCut(NotCheckable):
    """The length limit of supervised fine-tuning cuts rows, and their answers with them.

    ## What it looks for
    The share of rows longer than `max_length`.

    ## Why it matters
    The trainer does not learn from the part that is cut. If that is the whole answer, see labels-masked.

    ## How it decides
    It needs the data, and no log holds it: rldk lists the rule as not checked.

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
