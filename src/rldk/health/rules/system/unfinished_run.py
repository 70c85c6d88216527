"""SYS005 unfinished-run: the files of the run show no end.

Invariant: each rule here is told as not checked until its data is recorded.
"""

from rldk.health.rule import Severity
from rldk.health.rules.not_checkable import NotCheckable

__all__ = ["UnfinishedRun"]


class UnfinishedRun(NotCheckable):
    """The files of the run show no end.

    ## What it looks for
    The record of a run's end, in the files of a run that records it.

    ## Why it matters
    A run that was killed leaves a log that looks like one that goes on.

    ## How it decides
    It needs the run's own files, not its metrics: it is not checked from a log. The run records no end and
    no live process holds its lock: it was killed by what no process can see, such as SIGKILL, or its machine
    went away. Where 95% of the memory of the job or of the machine were in use at the last record, the
    out-of-memory killer is named. Ctrl-C, and a process that left without a word, are told too.

    ## What looks alike but is healthy
    A run that is still going on. The `trainer_state.json` of a checkpoint never holds an end.

    ## What to do
    Look at the output of the process, and for the out-of-memory killer in "dmesg"; resume from the last whole
    checkpoint.

    ## Sources
    transformers calls no hook when a training raises.
    """

    code, name, severity = "SYS005", "unfinished-run", Severity.INFO
    missing = "it needs the files of a run that rldk recorded, which say whether it ended"
