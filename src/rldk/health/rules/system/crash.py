"""SYS006 crash: the run ended by an exception, by a signal, or because memory ran out.

Invariant: only the end of the newest attempt is judged, and another rank is named only if it failed first.
"""

from rldk.health.failure_cause import Failure, failure_of
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, Severity, Verdict
from rldk.health.rules.system.run_end import RESUME, failed_first, location, memory, outside_explanation
from rldk.schema.run_info import RunEnd

__all__ = ["Crash"]


_OUTSIDE = Cause(
    "a time limit, the scheduler, a kill by hand, or the launcher because another rank failed",
    (
        RESUME,
        Remedy(
            "set `enable_jit_checkpoint=True`, so that a checkpoint is saved when the scheduler ends the job"
        ),
        Remedy("look at the output of the launcher and of the scheduler: another rank may have failed first"),
    ),
)
_EXPLAINED_BY = {"memory": ("memory-creep",), "nan": ("non-finite",), "disk": ("disk-nearly-full",)}
"""The rule that may have found the cause of a failure, by its kind."""


class Crash(Rule):
    """The run ended by an exception, by a signal, or because memory ran out.

    ## What it looks for
    How the process of the run ended, and where it was.

    ## Why it matters
    Which error, and at which step? The log ends before it can answer.

    ## How it decides
    It needs rldk's record of how the process ended, so a log alone is not checked. An uncaught exception, or
    an error below Python (a segmentation fault, an abort): critical. SIGTERM or SIGHUP: warning. The finding
    names the line, and the reward function if the process was in one. By the text of the exception, the rule
    recognises memory that ran out, a full disk, and the loss of another rank. It adds the allocator's
    numbers, and the other rank's end if that left a crash file. NaN weights of an online trainer fail in
    generation ("probability tensor contains either `inf`, `nan` or element < 0") before a log shows them:
    then non-finite is reported too, as the cause.

    ## What looks alike but is healthy
    A run that was stopped on purpose. An exception that the script caught before it continued. A scheduler
    ends jobs by SIGTERM at their time limit: rldk reports it, since it cannot know whether that was intended.

    ## What to do
    Read the error and the stacks in the run's crash file; resume from the last whole checkpoint.

    ## Sources
    unsloth#2470; trl#2927 (out of memory after hundreds of steps); measured with TRL 0.23 and 1.16: GRPO with
    NaN weights dies in "torch.multinomial".
    """

    code, name, severity = "SYS006", "crash", Severity.CRITICAL
    kinds = ("end",)
    enable = "record the run with rldk: a log does not hold how the process ended"
    when_over = "forget"
    patience = 1

    def start(self) -> None:
        self.possible_causes: list[Cause] = []

    def observe(self, at: Observation) -> Verdict | None:
        end = at.ends[0]
        if end.how not in ("exception", "native", "terminated"):
            return None
        failure = failure_of(end.detail, end.activity)
        message = self._describe(at, end, failure)
        severity = Severity.WARNING if end.how == "terminated" else Severity.CRITICAL
        if (first := failed_first(at)) is not None:
            rank, other, reason = first
            inside = other.activity or other.where
            message = (
                f"rank {rank} failed first{f', in {inside}' if inside else ''}: {reason.text}; then {message}"
            )
            severity, self.possible_causes = Severity.CRITICAL, _causes(reason)
        facts = {"how": end.how, "detail": end.detail, "where": end.where}
        return Verdict(
            severity=severity,
            message=message,
            evidence={**facts, **failure.numbers, **memory(at)},
            confidence=1.0,
            last_good_step=max(at.step - 1, 0) if failure.kind == "nan" else at.step,
            explained_by=_EXPLAINED_BY.get(failure.kind or "") or outside_explanation(end),
        )

    def _describe(self, at: Observation, end: RunEnd, failure: Failure) -> str:
        """How the process of rank 0 ended, in words; sets the possible causes."""
        when = f"after step {at.step:,}{location(end)}"
        self.possible_causes = _causes(failure)
        if end.how == "terminated":
            self.possible_causes = [_OUTSIDE]
            return f"{end.detail or 'a signal'} ended the run {when}"
        if end.how == "native":
            cause = "a library in C or CUDA failed; the stacks of all threads are in the run's crash file"
            self.possible_causes = [Cause(cause, (*failure.remedies, RESUME))]
            return f"the process crashed below Python after step {at.step:,}: {end.detail}{location(end)}"
        if failure.kind == "memory":
            return f"memory ran out {when}: {failure.text}"
        if failure.kind == "peer":
            killed = "the other rank was killed: its output, and the kernel's log of its machine, say why"
            self.possible_causes.append(Cause(killed, likelihood=0.3))
            return f"the connection to another rank was lost {when}: {failure.text}"
        return f"the run ended by an exception {when}: {failure.text}"

    def causes(self) -> list[Cause]:
        return self.possible_causes


def _causes(failure: Failure) -> list[Cause]:
    """The causes of a failure; the first carries the remedies."""
    remedies = (*failure.remedies, RESUME)
    return [Cause(text, () if index else remedies) for index, text in enumerate(failure.causes)]
