"""What the rules find in checkpoints."""

from typing import Any

from rldk.checkpoints import Analysis, Analyst
from rldk.health import Finding, Monitor, RunContext, Settings, diagnose
from rldk.health.observation import Observation


def observe(monitor: Monitor, found: Analysis) -> None:
    """Tell a Monitor of an analysis, through JSON, as a recorded run does."""
    monitor.observe(Observation(found.step or 0, "checkpoint", found.values(), detail=found.detail()))


def findings(*analyses: Analysis, **context: Any) -> dict[str, Finding]:
    """What is found in analyses, by rule."""
    monitor = Settings().monitor(RunContext(dialect="trl", **context))
    monitor.begin()
    for found in analyses:
        observe(monitor, found)
    assert not monitor.failed
    return {one.rule: one for one in diagnose(monitor).findings if one.code.startswith("CKP")}


def judged(save: Any, *, known: bool = True) -> dict[str, Finding]:
    """What is found in a real checkpoint; `known`: with the options of its run."""
    analyst = Analyst(save.base if save.previous is None else None)
    found = analyst.analyse(save.path, save.previous)
    assert found.gone is None
    return findings(found, options=save.options if known else {})
