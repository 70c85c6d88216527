"""What the files, the process and the machine of a run show: nothing of it is in a log.

Invariant: each rule here is told as not checked until its data is recorded.
"""

from rldk.health.rule import Rule, Severity
from rldk.health.rules.pending import NotCheckable

__all__ = ["RULES"]


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


class Crash(NotCheckable):
    """The run ended by an exception, a signal or for want of memory.

    ## What it looks for
    How the process of the run ended, and where it was.

    ## Why it matters
    Which error, at which step, is the first question; the log ends before the answer.

    ## How it decides
    It needs the record of the process's end: it is not checked from a log. An exception that nobody caught,
    or an error below Python (a segmentation fault, an abort): critical. SIGTERM or SIGHUP: warning. It tells
    the line, and the reward function where it was in one. By the text of the exception it tells memory that
    ran out, with the allocator's numbers; a full disk; another rank that was lost, and how that one ended,
    where it left a crash file. NaN weights of an online trainer fail in generation ("probability tensor
    contains either `inf`, `nan` or element < 0") before a log shows them: then non-finite is found too, as
    the cause.

    ## What looks alike but is healthy
    A run that was stopped on purpose. An exception that the script caught and went on from. A scheduler
    ends jobs by SIGTERM at their time limit: it is told, as nobody knows whether that was meant.

    ## What to do
    Read the error and the stacks in the run's crash file; resume from the last whole checkpoint.

    ## Sources
    unsloth#2470; trl#2927 (out of memory after hundreds of steps); measured with TRL 0.23 and 1.16: GRPO with
    NaN weights dies in "torch.multinomial".
    """

    code, name, severity = "SYS006", "crash", Severity.CRITICAL
    missing = "it needs the record of how the process ended, which a log does not hold"


RULES: tuple[type[Rule], ...] = (UnfinishedRun, Crash)
