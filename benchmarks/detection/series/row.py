"""What one row of the table of simulated series says."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from bases import Columns, Draw

from rldk.metrics.dialects import Dialect
from rldk.metrics.dialects.trl import TRL


@dataclass(frozen=True)
class Series:
    """One fault, and how its series are drawn; without a fault, a clean sibling or what only looks ill."""

    name: str
    make: Callable[[Draw], Columns]
    fault: str = ""
    shows: str = ""
    expected: tuple[str, ...] = ()
    also_true: tuple[str, ...] = ()
    clean: str = ""
    algorithm: str = "grpo"
    dialect: Dialect = TRL
    count: int = 200
    onset: int = 1
    abrupt: bool = False
    level: str = "warning"
    args: tuple[tuple[str, Any], ...] = ()
    """Of the configuration, besides `ARGS`."""
    evaluate: Callable[[Draw], Columns] | None = None
    seconds: Callable[[Draw], np.ndarray] | None = None
    """Of each step; by default what the time metric says, or 2."""
    sparse: int = 1
    """Only every n-th record carries what comes with a generation."""
    end: str | None = "completed"
