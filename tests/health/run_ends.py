"""The end of a run, as the rules of the system family are shown it."""

from typing import Any

from events import event
from rldk.health import Finding, Monitor, Observation, Rule, RunContext, Severity, Verdict, diagnose
from rldk.health.rules.optimization.non_finite import NonFinite
from rldk.health.rules.system.crash import Crash
from rldk.health.rules.system.stall import Stall
from rldk.health.rules.system.unfinished_run import UnfinishedRun
from rldk.schema.run_info import RunEnd

STEP = 50
OOM = "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"
NAN = "RuntimeError: probability tensor contains either `inf`, `nan` or element < 0"
PEER = "RuntimeError: [gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:4242"
STALLED = Observation(STEP, "stall", {"stalled_seconds": 400.0, "usual_seconds": 2.0})
"""What the watchdog wrote."""


def end(
    how: str | None = None,
    detail: str | None = None,
    *,
    ranks: dict[int, RunEnd] | None = None,
    resources: dict[str, float | None] | None = None,
    **fields: Any,
) -> Observation:
    """The end of a run of 50 steps."""
    own = RunEnd(how=how, detail=detail, **fields)
    return Observation(STEP, "end", resources or {}, ends={**(ranks or {}), 0: own})


def found(
    *before: str | Observation, at: Observation, options: dict[str, Any] | None = None
) -> dict[str, Finding]:
    """The findings of a run, by rule, in which these rules had found something, or this was observed."""
    context = RunContext(algorithm="grpo", dialect="trl", options=options or {})
    others = [_finding(name) for name in before if isinstance(name, str)]
    monitor = Monitor(context, [*others, NonFinite, Stall, Crash, UnfinishedRun])
    for step in range(1, STEP + 1):
        monitor.feed(event(step, loss=0.1))
    for one in before:
        if isinstance(one, Observation):
            monitor.observe(one)
    monitor.observe(at)
    assert not monitor.failed
    return {one.rule: one for one in diagnose(monitor).findings}


def _finding(rule: str) -> type[Rule]:
    """A rule of this name that finds something in each record."""

    class Found(Rule):
        code, name, severity = "XXX001", rule, Severity.WARNING

        def observe(self, at: Observation) -> Verdict:
            return Verdict(severity=Severity.WARNING, message="was found", evidence={})

    return Found
