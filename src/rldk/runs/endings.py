"""What the end of a run's process shows: the findings crash and unfinished-run.

Invariant: only a run that rldk recorded tells how it ended; of the logs of others nothing is concluded.
"""

from typing import Any

import msgspec

from rldk.health import Diagnosis, Finding, RunContext, Severity, find_rule, told
from rldk.health.remedies import Remedy

__all__ = ["with_ending"]

CRASH, UNFINISHED = find_rule("crash"), find_rule("unfinished-run")
RESUME = Remedy("resume from the newest checkpoint that is whole: trainer.train(resume_from_checkpoint=True)")
MEMORY = (
    Remedy("lower `per_device_train_batch_size`", scale=0.5),
    Remedy("lower `max_completion_length`", scale=0.5),
    Remedy("lower `vllm_gpu_memory_utilization`", scale=0.7),
)
"""What to do where memory ran out, besides resuming."""


def with_ending(
    diagnosis: Diagnosis, context: RunContext, *, how: str | None, detail: str | None, step: int
) -> Diagnosis:
    """The diagnosis with what the end shows, where it was not a good one.

    Args:
        diagnosis: what was found in the records.
        context: the run.
        how: `completed`, `stopped`, `exception`, `interrupted`, `unknown`, as in `{run_id}_run.json`; None
            where the process left no end at all.
        detail: the exception, where there was one.
        step: the last step recorded.
    """
    finding: Finding | None = None
    if how == "exception":
        memory = "out of memory" in (detail or "").lower() or "OutOfMemory" in (detail or "")
        finding = _finding(
            CRASH,
            Severity.CRITICAL,
            f"the run ended by an exception after step {step}: {detail or 'its text is not known'}",
            step,
            {"how": how, "detail": detail},
            ["memory ran out"] if memory else ["the traceback in the terminal says where"],
            told([*(MEMORY if memory else ()), RESUME], context),
        )
    elif how not in ("completed", "stopped"):
        text = {
            "interrupted": f"the run was interrupted by hand after step {step}",
            "unknown": f"the training did not end by itself; the last record is of step {step}",
            None: f"no end was recorded: the process was killed, or its machine went away, after step {step}",
        }.get(how, f"the run ended as {how!r} after step {step}")
        causes = [] if how == "interrupted" else ["a kill (SIGKILL, the out-of-memory killer, a time limit)"]
        evidence = {"how": how}
        finding = _finding(UNFINISHED, Severity.INFO, text, step, evidence, causes, told([RESUME], context))
    checked = {CRASH.name, UNFINISHED.name}
    not_checked = [one for one in diagnosis.not_checked if one.rule not in checked]
    if finding is None:
        return msgspec.structs.replace(diagnosis, not_checked=not_checked)
    severities = {"insufficient-data": 0, "healthy": 0, "info": 1, "warning": 2, "critical": 3}
    worse = severities[finding.severity] > severities[diagnosis.status]
    findings = [finding, *diagnosis.findings] if worse else [*diagnosis.findings, finding]
    status = finding.severity if worse else diagnosis.status
    return msgspec.structs.replace(diagnosis, status=status, findings=findings, not_checked=not_checked)


def _finding(
    rule: Any,
    severity: Severity,
    message: str,
    step: int,
    evidence: dict[str, Any],
    causes: list[str],
    remedies: list[str],
) -> Finding:
    return Finding(
        rule=rule.name,
        code=rule.code,
        severity=severity.word,
        confidence=1.0,
        onset_step=step,
        first_step=step,
        last_step=step,
        message=message,
        evidence=evidence,
        caused_by=None,
        causes=causes,
        remedies=remedies,
        last_good_step=step,
        last_good_checkpoint=None,
        samples=[],
    )
