"""What the files, the process and the machine of a run show: nothing of it is in a log.

Invariant: each rule here is told as not checked until its data is recorded.
"""

from rldk.health.rule import Rule, Severity
from rldk.health.rules.pending import Pending

__all__ = ["RULES"]


class UnfinishedRun(Pending):
    """The files of the run show no end.

    ## What it looks for
    The record of a run's end, in the files of a run that records it.

    ## Why it matters
    A run that was killed leaves a log that looks like one that goes on.

    ## How it decides
    It needs the run's own files, not its metrics: it is not checked from a log.

    ## What looks alike but is healthy
    A run that is still going on. The `trainer_state.json` of a checkpoint never holds an end.

    ## What to do
    Look at the output of the process; resume from the last whole checkpoint.

    ## Sources
    transformers calls no hook when a training raises.
    """

    code, name, severity = "SYS005", "unfinished-run", Severity.INFO
    missing = "it needs the files of a run that rldk recorded, which say whether it ended"


class Crash(Pending):
    """The run ended by an exception, a signal or for want of memory.

    ## What it looks for
    How the process of the run ended.

    ## Why it matters
    Which error, at which step, is the first question; the log ends before the answer.

    ## How it decides
    It needs the record of the process's end: it is not checked from a log.

    ## What looks alike but is healthy
    A run that was stopped on purpose.

    ## What to do
    Read the error; resume from the last whole checkpoint.

    ## Sources
    unsloth#2470; trl#2927 (out of memory after hundreds of steps).
    """

    code, name, severity = "SYS006", "crash", Severity.CRITICAL
    missing = "it needs the record of how the process ended, which a log does not hold"


class GPUIdle(Pending):
    """The GPUs do little.

    ## What it looks for
    Use of the multiprocessors, or power, below 30% in the mean of ten minutes.

    ## Why it matters
    Hours are paid for that are spent waiting: for generation, for data, for a reward function.

    ## How it decides
    It needs measurements of the GPU: it is not checked from a log.

    ## What looks alike but is healthy
    "Utilisation" of 100% says only that some kernel ran; evaluation and saving wait for other things.

    ## What to do
    See slow-steps and slow-reward.

    ## Sources
    trl#2887, trl#3195.
    """

    code, name, severity = "SYS007", "gpu-idle", Severity.INFO
    missing = "it needs measurements of the GPU beside the log"


class DiskNearlyFull(Pending):
    """The disk will not take the checkpoints to come.

    ## What it looks for
    Free space where the run writes, below three checkpoints and the logs to come; an output folder on NFS.

    ## Why it matters
    A save that fails ends the run, or leaves a checkpoint that cannot be loaded.

    ## How it decides
    It needs measurements of the disk: it is not checked from a log.

    ## What looks alike but is healthy
    A limit on the number of checkpoints that are kept, which frees as much as it takes. A quota that is
    larger than what the file system reports.

    ## What to do
    Free space; keep fewer checkpoints.

    ## Sources
    The checkpoint checks: a file cut short is found only when it is loaded. speculators#739 and
    open-instruct, which write a marker of completeness last.
    """

    code, name, severity = "SYS008", "disk-nearly-full", Severity.WARNING
    missing = (
        "it needs measurements of the disk beside the log: look whether the output folder has room for three "
        "checkpoints and the logs"
    )


class Straggler(Pending):
    """One rank is slower than the others, and all wait for it.

    ## What it looks for
    The step time of each rank: one above 1.2 times the median of the ranks for 20 steps.

    ## Why it matters
    A collective is as fast as its slowest rank.

    ## How it decides
    It needs the step times of every rank: a log holds those of the first, at best.

    ## What looks alike but is healthy
    Ranks with longer completions in one step; over 20 steps that evens out.

    ## What to do
    Look for throttling, a bad link or another process on that machine.

    ## Sources
    verifiers#182; marin#2830.
    """

    code, name, severity = "SYS009", "straggler", Severity.WARNING
    missing = "it needs the step times of every rank beside the log"


RULES: tuple[type[Rule], ...] = (UnfinishedRun, Crash, GPUIdle, DiskNearlyFull, Straggler)
