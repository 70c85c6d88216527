"""SYS005 unfinished-run: the files of the run show no end.

Invariant: a good end and a crash are not reported. A killed process writes no end, so its last record and the
files of other ranks decide.
"""

from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, Severity, Verdict
from rldk.health.rules.system.run_end import (
    RESUME,
    failed_first,
    full_memory,
    location,
    memory,
    outside_explanation,
)
from rldk.schema.run_info import NOT_CLOSED

__all__ = ["UnfinishedRun"]


_KILLED = Cause("a kill (SIGKILL, the out-of-memory killer, a time limit)", (RESUME,))
_BY_HAND = Cause("Ctrl-C, or a notebook's button to interrupt", (RESUME,))
_LEFT = Cause("sys.exit, or an exception that the script caught: its output says which", (RESUME,))
_OPEN = Cause(
    "the loop, or the script around it, ended without closing its recording",
    (
        Remedy("record in `with rldk.record(...) as run:`, or call `run.close()` when the loop is done"),
        RESUME,
    ),
)
_OUT_OF_MEMORY = Cause(
    "the kernel's out-of-memory killer: look for it with `dmesg`",
    (Remedy("give the job more memory, or keep less in it: see memory-creep"), RESUME),
)


class UnfinishedRun(Rule):
    """The files of the run show no end.

    ## What it looks for
    The record of a run's end, in the files of a run that records it.

    ## Why it matters
    The log of a killed run looks like the log of a run that still trains.

    ## How it decides
    It needs the run's own files, so a log alone is not checked. The run recorded no end and no live process
    holds its lock: a signal that no process can catch (SIGKILL) ended it, or its machine went down. If 95% of
    the memory of the job or of the machine was in use at the last record, the finding names the out-of-memory
    killer. Ctrl-C, a process that exited without an error, and a recording of `rldk.record` that was not
    closed, are reported too.

    ## What looks alike but is healthy
    A run that is still training. The `trainer_state.json` of a checkpoint never holds an end.

    ## What to do
    Look at the output of the process, and for the out-of-memory killer in "dmesg"; resume from the last whole
    checkpoint.

    ## Sources
    transformers calls no hook when a training raises.
    """

    code, name, severity = "SYS005", "unfinished-run", Severity.INFO
    kinds = ("end",)
    enable = "record the run with rldk: its files show whether it ended"
    when_over = "forget"
    patience = 1

    def start(self) -> None:
        self.cause = _KILLED

    def observe(self, at: Observation) -> Verdict | None:
        how = at.ends[0].how
        if how in ("completed", "stopped", "exception", "native", "terminated"):
            return None
        explained_by = outside_explanation(at.ends[0])
        if how is None:
            full = full_memory(at)
            message = self._describe_kill(at, full)
            explained_by = ("memory-creep",) if full else explained_by
        else:
            message = self._describe_early_end(at, how)
        return Verdict(
            severity=Severity.INFO,
            message=message,
            evidence={"how": how, **memory(at)},
            confidence=1.0,
            last_good_step=at.step,
            explained_by=explained_by,
        )

    def _describe_kill(self, at: Observation, full: str | None) -> str:
        """Says that the process recorded no end; sets the cause."""
        time = at.ends[0].time
        self.cause = _OUT_OF_MEMORY if full else _KILLED
        if not full and (first := failed_first(at)) is not None:
            rank, _, reason = first
            self.cause = Cause(f"rank {rank} failed first: {reason.text}", (*reason.remedies, RESUME))
        return (
            f"no end was recorded: the process was killed, or its machine went down, after step {at.step:,}"
            + (f"; its last record is of {time}" if time else "")
            + (f"; {full}" if full else "")
        )

    def _describe_early_end(self, at: Observation, how: str) -> str:
        """Says how the process ended the run early; sets the cause."""
        end = at.ends[0]
        if how == "interrupted":
            self.cause = _BY_HAND
            return f"the run was interrupted by hand after step {at.step:,}{location(end)}"
        if how == "unknown" and end.detail == NOT_CLOSED:
            self.cause = _OPEN
            return f"the recording was not closed; its last record is of step {at.step:,}"
        if how == "unknown":  # a process that was killed writes no end
            self.cause = _LEFT
            detail = f" ({end.detail})" if end.detail else ""
            return f"the training did not end by itself; the last record is of step {at.step:,}{detail}"
        self.cause = _KILLED
        return f"the run ended as {how!r} after step {at.step:,}"

    def causes(self) -> list[Cause]:
        return [self.cause]
