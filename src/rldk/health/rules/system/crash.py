"""SYS006 crash: the run ended by an exception, a signal or for want of memory.

Invariant: each rule here is told as not checked until its data is recorded.
"""

from rldk.health.rule import Severity
from rldk.health.rules.not_checkable import NotCheckable

__all__ = ["Crash"]


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
