"""What a type checker says of the public names.

Checked by `mypy` and not collected by pytest; an ignore that is not needed is an error.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import assert_type

import rldk
from rldk import (
    RULES,
    Cause,
    Diagnosis,
    Event,
    Finding,
    Observation,
    Remedy,
    RLDKError,
    Rule,
    RuleOptions,
    Run,
    Sample,
    Settings,
    Severity,
    TRLAdapter,
    Verdict,
    judge,
    open_run,
    record,
)
from rldk.integrations.loop_recording import LoopRecording


class Quiet(Rule):
    """A rule that finds nothing."""

    code, name, severity = "MY001", "quiet", Severity.INFO

    def observe(self, at: Observation) -> Verdict | None:
        """Nothing is wrong."""
        return None

    def causes(self) -> list[Cause]:
        """One cause, with one remedy."""
        return [Cause("it is quiet", (Remedy("raise `learning_rate`", scale=3),))]


run = open_run("rldk_logs/my_run", mapping={"my/score": "reward_mean"})
assert_type(run, Run)
assert_type(TRLAdapter(Path("output")), Run)
assert_type(iter(run), Iterator[Event])
assert_type(run.last("train"), Event | None)
assert_type(next(iter(run.samples())), Sample)

diagnosis = judge(run, settings=Settings(ignore=("SYS",)), rules=[Quiet], algorithm="grpo")
assert_type(diagnosis, Diagnosis)
assert_type(judge("trainer_state.json"), Diagnosis)
assert_type(judge(Path("trainer_state.json")), Diagnosis)
assert_type(rldk.judge(run).at_least(Severity.WARNING), list[Finding])
assert_type(diagnosis.findings[0].remedies, list[str])
assert_type(RULES, tuple[type[Rule[RuleOptions]], ...])
assert_type(str(RLDKError("what to do")), str)

with record("my_loop", algorithm="grpo", stop_on="critical") as recording:
    assert_type(recording, LoopRecording)
    recording.log({"reward": 0.5}, step=1)
    assert_type(recording.should_stop, bool)

record("my_loop", stop_on="warning")  # type: ignore[arg-type]
judge(5)  # type: ignore[arg-type]
judge(run, Settings())  # type: ignore[call-arg]
judge(run, rules=[Quiet, Settings])  # type: ignore[list-item]
open_run("log", input_format=5)  # type: ignore[arg-type]
rldk.no_such_name  # type: ignore[attr-defined]  # noqa: B018 - that it fails is the test
