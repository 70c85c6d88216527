"""A run of ours, or a public log, in the words of TRL: what the peers are given.

Invariant: the logs are those that the trainer wrote, key for key as far as the dialects of rldk know them;
what was NaN, infinite or None is so again, and nothing is added but the configuration and the truth that rldk
is told too.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rldk.metrics.dialects import EVAL_PREFIX, Dialect
from rldk.metrics.dialects.detect import DIALECTS
from rldk.metrics.dialects.trl import TRL, TRL_0
from rldk.metrics.dialects.trl_early import TRL_EARLY
from rldk.runs import Run, open_run
from rldk.schema.event import Event

TRUTH = "eval_score"
"""What rldoctor calls a score that the reward cannot move; the others know no such thing."""
OURS_OF_TRL = frozenset(dialect.name for dialect in (TRL, TRL_0, TRL_EARLY))


def trainer_state(path: Path, truth_metric: str | None = None) -> dict[str, Any]:
    """The run as a Trainer keeps it in its `trainer_state.json`, its configuration beside it.

    Raises:
        RLDKError: rldk cannot read the run.
    """
    run = open_run(path)
    key_of = namer(run)
    logs = []
    for event in run:
        values = as_logged(event)
        entry: dict[str, Any] = {key_of(name): value for name, value in values.items()}
        if truth_metric in values:
            entry[TRUTH] = values[truth_metric]
        logs.append(entry | {"step": event.step})
    options = {
        name: value
        for name, value in run.context().options.items()
        if isinstance(value, bool | int | float | str)
    }
    last = max((entry["step"] for entry in logs), default=0)
    algorithm = {"algorithm": run.algorithm} if run.algorithm else {}
    return {**options, **algorithm, "global_step": last, "log_history": logs}


def as_logged(event: Event) -> dict[str, float | None]:
    """The metrics of an event, with what was not finite as the trainer logged it."""
    raw = dict(event.nonfinite())
    return {name: raw.get(name) if value is None else value for name, value in event.metrics.items()}


def namer(run: Run) -> Callable[[str], str]:
    """What TRL calls a canonical metric; what no trainer of TRL logs keeps the key of who does.

    The trainer of the run goes first, then the others of TRL in the order in which they are read where the
    algorithm is not known (GRPO, whose keys all peers know, first), then the other frameworks.
    """
    dialect, version = run.dialect, str(run.context().versions.get("trl", ""))
    tables: list[Mapping[str, str]] = []
    if version or dialect in OURS_OF_TRL:
        of_run: Dialect = TRL_0 if version.startswith("0.") else TRL
        tables += [table for name, table in of_run.by_algorithm.items() if name == run.algorithm]
    for other in DIALECTS.values():
        tables += other.by_algorithm.values()
    keys: dict[str, str] = {}
    for table in tables:
        for key, name in table.items():
            if "{" not in key:  # `rewards/{function}/mean` is called so by both
                keys.setdefault(name, key)

    def key_of(name: str) -> str:
        rest = name.removeprefix(EVAL_PREFIX)
        return name[: len(name) - len(rest)] + keys.get(rest, rest)

    return key_of


def write(state: Mapping[str, Any], path: Path) -> None:
    """The state as the Trainer writes it: NaN and the infinities are bare words."""
    path.write_text(json.dumps(state))
