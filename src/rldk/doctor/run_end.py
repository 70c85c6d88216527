"""What the end of a run's processes shows: the findings crash and unfinished-run, and NaN weights.

Invariant: only a run that rldk recorded tells how it ended; of the logs of others nothing is concluded; what
the final report says at the end, the doctor says of the files afterwards.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from rldk.doctor.failure_cause import Failure, failure_of
from rldk.health import Diagnosis, Finding, Rule, RunContext, Severity, find_rule, render_remedies
from rldk.health.diagnosis import by_cause
from rldk.health.remedies import Remedy
from rldk.health.tracks import Chart
from rldk.runs.run import Run
from rldk.schema.crash_file import read_crash
from rldk.schema.run_info import RunEnd

__all__ = ["EndFacts", "how_it_ended", "with_ending"]

CRASH, UNFINISHED, NON_FINITE = find_rule("crash"), find_rule("unfinished-run"), find_rule("non-finite")
RESUME = Remedy("resume from the newest checkpoint that is whole: trainer.train(resume_from_checkpoint=True)")
OUTSIDE = (
    RESUME,
    Remedy("set `enable_jit_checkpoint=True`, so that a checkpoint is saved when the scheduler ends the job"),
    Remedy("look at the output of the launcher and of the scheduler: another rank may have failed first"),
)
"""What to do where a signal ended the run."""
FULL = 0.95
"""Share of the memory in use from which a killed process was probably killed for it."""
_OTHER_RANK = re.compile(r"_crash\.rank(\d+)\.txt$")


class EndFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended, as far as its files tell."""

    how: str | None
    """As in `RunEnd`, `native` for an error below Python, or None where the process left no end at all."""
    detail: str | None = None
    """The exception, the signal, or the native error."""
    where: str | None = None
    """The innermost frame."""
    activity: str | None = None
    """What the process was busy with."""
    during: str | None = None
    """What else it was in the midst of: a save, an evaluation."""
    step: int = 0
    """The last step recorded."""
    last_record_time: str | None = None
    """When the last record was written: UTC, ISO 8601."""
    resources: Mapping[str, float | None] = {}
    """The `resource/...` metrics of the last train record."""
    ranks: Mapping[int, RunEnd] = {}
    """How the processes of other ranks ended, where they could say so."""


def how_it_ended(run: Run, end: RunEnd | None, step: int) -> EndFacts:
    """What the files of a run tell of its end.

    Args:
        run: the run; it is no longer going on.
        end: `end` of its `{run_id}_run.json`, if it holds one.
        step: the last step recorded.
    """
    recorded = end or read_crash(run.files.crash()) or RunEnd()
    try:
        last = run.last("train")
    except OSError:
        last = None
    metrics = last.metrics if last else {}
    return EndFacts(
        how=recorded.how,
        detail=recorded.detail,
        where=recorded.where,
        activity=recorded.activity,
        during=recorded.during,
        step=step,
        last_record_time=_time_of(run, last.wall_time if last else None),
        resources={name: value for name, value in metrics.items() if name.startswith("resource/")},
        ranks={
            int(match[1]): note
            for path in run.files.existing()
            if (match := _OTHER_RANK.search(path.name)) and (note := read_crash(path))
        },
    )


def with_ending(diagnosis: Diagnosis, context: RunContext, end: EndFacts) -> Diagnosis:
    """The diagnosis with what the end shows, where it was not a good one."""
    checked = {CRASH.name, UNFINISHED.name}
    not_checked = [one for one in diagnosis.not_checked if one.rule not in checked]
    diagnosis = msgspec.structs.replace(diagnosis, not_checked=not_checked)
    if end.how in ("completed", "stopped"):
        return diagnosis
    failure = failure_of(end.detail, end.activity)
    findings = list(diagnosis.findings)
    if end.how == "exception" and failure.kind == "nan":
        findings = _with_nan(findings, context, end)
    cause = _cause(findings, failure, end)
    if end.how in ("exception", "native", "terminated"):
        findings.append(_crash(context, end, failure, cause))
    else:
        findings.append(_unfinished(context, end, cause))
    status = max(Severity.of(finding.severity) for finding in findings).word
    return msgspec.structs.replace(diagnosis, status=status, findings=by_cause(findings))


def _crash(context: RunContext, end: EndFacts, failure: Failure, cause: str | None) -> Finding:
    at = f"after step {end.step:,}"
    remedies, causes = [*failure.remedies, RESUME], list(failure.causes)
    severity = Severity.CRITICAL
    if end.how == "terminated":
        text = f"{end.detail or 'a signal'} ended the run {at}{_location(end)}"
        causes = ["a time limit, the scheduler, a kill by hand, or the launcher because another rank failed"]
        remedies, severity = [*OUTSIDE], Severity.WARNING
    elif end.how == "native":
        text = f"the process crashed below Python {at}: {end.detail}{_location(end)}"
        causes = ["a library in C or CUDA failed; the stacks of all threads are in the run's crash file"]
    elif failure.kind == "memory":
        text = f"memory ran out {at}{_location(end)}: {failure.text}"
    elif failure.kind == "peer":
        text = f"the connection to another rank was lost {at}{_location(end)}: {failure.text}"
    else:
        text = f"the run ended by an exception {at}{_location(end)}: {failure.text}"
    culprit = _culprit(end)
    if culprit is not None:
        rank, note = culprit
        other = failure_of(note.detail, note.activity)
        location = note.activity or note.where
        text = f"rank {rank} failed first{f', in {location}' if location else ''}: {other.text}; then {text}"
        causes, remedies, severity = list(other.causes), [*other.remedies, RESUME], Severity.CRITICAL
    elif failure.kind == "peer":
        causes.append("the other rank was killed: its output, and the kernel's log of its machine, say why")
    return _finding(
        CRASH,
        severity,
        text,
        end.step,
        {"how": end.how, "detail": end.detail, "where": end.where, **failure.numbers, **_memory(end)},
        causes,
        render_remedies(remedies, context),
        caused_by=cause,
        last_good=end.step - 1 if failure.kind == "nan" else end.step,
    )


def _unfinished(context: RunContext, end: EndFacts, cause: str | None) -> Finding:
    at = f"after step {end.step:,}"
    last_record = f"; its last record is of {end.last_record_time}" if end.last_record_time else ""
    text = {
        "interrupted": f"the run was interrupted by hand {at}{_location(end)}",
        "unknown": f"the training did not end by itself; the last record is of step {end.step:,}"
        + (f" ({end.detail})" if end.detail else ""),
        None: f"no end was recorded: the process was killed, or its machine went away, {at}{last_record}",
    }.get(end.how, f"the run ended as {end.how!r} {at}")
    causes = ["a kill (SIGKILL, the out-of-memory killer, a time limit)"]
    remedies: Sequence[Remedy] = (RESUME,)
    if end.how == "interrupted":
        causes = []
    elif end.how == "unknown":  # a process that was killed writes no end
        causes = ["sys.exit, or an exception that the script caught: its output says which"]
    elif end.how is None and (full := _full(end)):
        text = f"{text}; {full}"
        causes = ["the kernel's out-of-memory killer: look for it with `dmesg`"]
        remedies = (Remedy("give the job more memory, or keep less in it: see memory-creep"), RESUME)
    elif end.how is None and (culprit := _culprit(end)):
        rank, note = culprit
        other = failure_of(note.detail, note.activity)
        causes = [f"rank {rank} failed first: {other.text}"]
        remedies = (*other.remedies, RESUME)
    evidence = {"how": end.how, **_memory(end)}
    return _finding(
        UNFINISHED,
        Severity.INFO,
        text,
        end.step,
        evidence,
        causes,
        render_remedies(remedies, context),
        caused_by=cause,
    )


def _with_nan(findings: list[Finding], context: RunContext, end: EndFacts) -> list[Finding]:
    """The findings with one of NaN weights: to sample from them fails before a log shows them."""
    severity = Severity.CRITICAL.word
    for index, finding in enumerate(findings):
        if finding.rule == NON_FINITE.name:
            findings[index] = msgspec.structs.replace(finding, severity=severity)
            return findings
    rule = NON_FINITE(NON_FINITE.Options(), context, Chart())
    causes = sorted(rule.causes(), key=lambda cause: -cause.likelihood)
    found = _finding(
        NON_FINITE,
        Severity.CRITICAL,
        f"the weights hold NaN or infinite values: generation could not sample from them after step "
        f"{end.step:,}, whose log was still healthy",
        end.step,
        {"detail": end.detail, "where": end.where},
        [cause.text for cause in causes],
        render_remedies([remedy for cause in causes for remedy in cause.remedies], context),
        last_good=end.step - 1,
    )
    return [*findings, found]


def _cause(findings: Sequence[Finding], failure: Failure, end: EndFacts) -> str | None:
    """The finding that explains the end."""
    names = {"memory": "memory-creep", "nan": NON_FINITE.name, "disk": "disk-nearly-full"}
    found = {one.rule: one for one in findings}
    name = names.get(failure.kind or "")
    if end.how is None and _full(end):
        name = "memory-creep"
    if name is None and (failure.kind == "peer" or end.how not in ("exception", "native")):
        stall = found.get("stall")  # that was not over when the process ended
        ended = stall is not None and stall.severity != Severity.INFO.word and stall.last_step >= end.step
        name = "stall" if ended else None
    return name if name in found else None


def _culprit(end: EndFacts) -> tuple[int, RunEnd] | None:
    """The rank that failed of itself, where this one only followed."""
    if end.how == "exception" and failure_of(end.detail, end.activity).kind != "peer":
        return None
    for rank, note in sorted(end.ranks.items()):
        if note.how in ("exception", "native") and failure_of(note.detail, note.activity).kind != "peer":
            return rank, note
    return None


def _location(end: EndFacts) -> str:
    """Where it was, as the rest of a clause."""
    location = end.activity or (end.where if end.how != "terminated" or not end.during else None)
    return (f", in {location}" if location else "") + (f", during {end.during}" if end.during else "")


def _memory(end: EndFacts) -> dict[str, float]:
    """What the last record says of memory, in GiB."""
    return {
        name: value
        for name, value in end.resources.items()
        if value is not None and ("memory" in name or "torch_" in name)
    }


def _full(end: EndFacts) -> str | None:
    """In words, that the memory was full at the last record."""
    for used, most, whose in (
        ("memory_limit_used", "memory_limit", "the job's"),
        ("memory_used", "memory_total", "the machine's"),
    ):
        now, limit = end.resources.get(f"resource/{used}"), end.resources.get(f"resource/{most}")
        if now is not None and limit and now >= FULL * limit:
            share = f"{now:.3g} of {limit:.3g} GiB of {whose} memory were in use"
            return f"{share}, so the out-of-memory killer is likely"
    return None


def _time_of(run: Run, wall_time: float | None) -> str | None:
    """When an event of the newest attempt was recorded."""
    attempt = run.info.newest
    if wall_time is None or attempt.started is None or attempt.from_seconds is None:
        return None  # recorded by an rldk that did not say
    try:
        time = datetime.fromisoformat(attempt.started) + timedelta(seconds=wall_time - attempt.from_seconds)
    except (TypeError, ValueError, OverflowError):
        return None
    return time.isoformat(timespec="seconds")


def _finding(
    rule: type[Rule],
    severity: Severity,
    message: str,
    step: int,
    evidence: dict[str, Any],
    causes: list[str],
    remedies: list[str],
    *,
    caused_by: str | None = None,
    last_good: int | None = None,
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
        caused_by=caused_by,
        causes=causes,
        remedies=remedies,
        last_good_step=step if last_good is None else max(last_good, 0),
        last_good_checkpoint=None,
        samples=[],
    )
