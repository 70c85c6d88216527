"""The plan and the facts that a session gets from a loop of your own: the run, and the training.

Invariant: what cannot be found out of a loop costs that fact and not the recording.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rldk._log import warn
from rldk.health import Diagnosis, Rule, Settings
from rldk.health.context import known_algorithms
from rldk.integrations.loop_facts import Loop, script_name
from rldk.recording.beginning import Plan
from rldk.recording.environment import environment
from rldk.recording.guard import Guard
from rldk.recording.options import RecordingOptions, is_set
from rldk.recording.recent_events import RecentEvents
from rldk.recording.session import TrainingFacts
from rldk.report.final_report import write_end
from rldk.report.terminal_lines import print_line
from rldk.runs import RecordedRun
from rldk.schema.files import RunFiles
from rldk.schema.run_info import NOT_CLOSED, RunEnd

__all__ = ["history_of", "plan_of", "training_facts"]

_UNKNOWN = "rldk: no rule knows the algorithm %r; only the rules that fit any algorithm judge the run"
MAX_HISTORY_BYTES = 240_000_000
"""About how much memory the events may take that no file takes."""


def history_of(options: RecordingOptions) -> RecentEvents | None:
    """Where the events of a run go that writes none; None where it writes them."""
    writes = options.enable_jsonl_logging and not is_set("RLDK_DISABLE_JSONL")
    return None if writes else RecentEvents(MAX_HISTORY_BYTES)


def plan_of(
    loop: Loop,
    options: RecordingOptions,
    settings: Settings,
    guard: Guard,
    about: dict[str, Any],
    trainer_dir: str,
    history: RecentEvents | None,
) -> Plan:
    """The run that a loop begins.

    Args:
        loop: what the loop says of itself.
        options: what the user asked for.
        settings: how the run is judged.
        guard: takes what cannot be found out.
        about: the loop, as `{run_id}_run.json` describes it.
        trainer_dir: where it saves.
        history: its events, where it writes none.
    """
    if loop.algorithm is not None and loop.algorithm not in known_algorithms():
        warn(_UNKNOWN, loop.algorithm)
    nothing: dict[str, Any] = {}
    about = about | guard.attempt("the environment", environment, nothing)
    about |= {"judging": settings.to_record(), "trainer_dir": os.path.realpath(trainer_dir)}
    return Plan(
        folder=Path(options.output_dir).absolute(),
        run_id=options.run_id or script_name(),
        default="run",
        trainer_dir=trainer_dir,
        from_step=loop.from_step,
        about=about,
        settings=settings,
        writing=options.writing() if history is None else None,
        write_end=_end_files(history),
        print_line=print_line,
        unknown_end=NOT_CLOSED,
    )


def training_facts(loop: Loop, trainer_dir: str, rewards_key: object) -> TrainingFacts:
    """The plan and the facts of a loop that begins; `rewards_key` as in `TrainingFacts`."""
    code = loop.caller.f_code
    return TrainingFacts(
        trainer_dir=Path(trainer_dir),
        from_step=loop.from_step,
        rewards_key=rewards_key,
        rewards_are_timed=False,
        function=(code.co_qualname, code.co_filename),
    )


def _end_files(
    history: RecentEvents | None,
) -> Callable[[RunFiles, RunEnd, Diagnosis, Sequence[type[Rule]]], None]:
    """What writes the files of the end."""

    def write(files: RunFiles, end: RunEnd, diagnosis: Diagnosis, rules: Sequence[type[Rule]]) -> None:
        if history is not None and history.dropped:
            text = "rldk: the tables of %s hold its newest %d records; memory had no room for %d older ones"
            warn(text, files.run_id, len(history), history.dropped)
        events = RecordedRun(files) if history is None else [*history]  # another thread may still log
        write_end(files, events, end, diagnosis, rules)

    return write
