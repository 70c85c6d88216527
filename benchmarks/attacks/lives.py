"""Real trainings that are ended at random moments and resumed from their newest whole checkpoint.

Owns the moments and what is checked behind each of them. Invariant: what a process had logged, as marked by
a callback behind that of rldk, is in one run afterwards, once, in order, with its value; nothing of it is
torn.
"""

import itertools
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from attack import Report
from fork_server import ALONE_WITHIN_S, HANGS, ForkServer, Script, on_servers, start_fresh
from marks import BEGINS, ENDS, RETURNED, SAVES, STARTED, Marks

from rldk.runs import RecordedRun
from rldk.schema.files import RunFiles, runs_in

STEPS = 30
SAVE_STEPS = 5
MOST_ATTEMPTS = 12
"""On one run; then it may train to its end."""


class Moment(NamedTuple):
    """When a training is ended: some time after its marks meet a condition."""

    name: str
    share: int
    """How often, compared with the others."""
    is_near: Callable[[Marks, int], bool]
    """Given the marks and a number of steps between 1 and `STEPS`."""
    spread_s: float
    """The longest time between the condition and the end."""


MOMENTS = [
    Moment("before the training", 1, lambda marks, _: marks.stage >= STARTED, 0.05),
    Moment("at its beginning", 2, lambda marks, _: marks.stage >= BEGINS, 0.03),
    Moment("in a step", 4, lambda marks, steps: marks.steps >= steps, 0.015),
    Moment(
        "in a save", 2, lambda marks, steps: marks.saves > steps // SAVE_STEPS and marks.stage == SAVES, 0.02
    ),
    Moment("at its end", 2, lambda marks, _: marks.stage >= ENDS, 0.08),
]


class Ending(NamedTuple):
    """How the processes of a case are ended."""

    case: str
    signum: int
    kind: str
    """Of the training: `line`, `sft` or `grpo`."""
    recorded: bool
    options: dict[str, Any]
    """Of rldk's callback."""
    fresh: bool = False
    """Whether each process is a new interpreter, instead of a forked one."""


class Outcome(NamedTuple):
    """What one process came to."""

    ending: Ending
    moment: str
    had_returned: bool
    """Whether the training was over when the signal was sent, and the script about to end."""
    status: int
    seconds: float
    """From the signal to its end."""


class Life:
    """One run, from its first process to its end.

    Args:
        ending: how its processes are ended.
        folder: where it is; a folder of its own.
        source: of the random moments.
        report: where faults go.
    """

    def __init__(self, ending: Ending, folder: Path, source: random.Random, report: Report) -> None:
        self.ending, self.folder, self.source, self.report = ending, folder, source, report
        folder.mkdir()
        self.marks = Marks(folder)

    def attempts(self, server: ForkServer) -> Iterator[Outcome]:
        """End the training again and again; at last it trains on to its end, unless it has no checkpoint."""
        for number in range(MOST_ATTEMPTS):
            outcome, is_checked = self._attempt(server, first=number == 0)
            yield outcome
            if not is_checked or outcome.status == 0:
                return
        script = self._start(server)
        if script.end() != 0:
            self._fault(f"trained on to its end, it ended with {script.status}:\n{script.output()}")
        self._check("trained on to its end", whole=True)

    def _attempt(self, server: ForkServer, *, first: bool) -> tuple[Outcome, bool]:
        """One process, and whether the run goes on."""
        moment = self._moment(first=first)
        script = self._start(server)
        steps = self.source.randrange(SAVE_STEPS + 2 if first else 1, STEPS)
        script.wait_until(lambda: moment.is_near(self.marks, steps) or self.marks.stage >= ENDS)
        time.sleep(self.source.uniform(0, moment.spread_s))
        had_returned = self.marks.stage == RETURNED or script.has_ended()
        sent = time.monotonic()
        script.send(self.ending.signum)
        status = script.end()
        seconds = time.monotonic() - sent
        if status == HANGS:
            self._fault(f"{moment.name}: it had to be killed:\n{script.output()}")
        if left := script.count_outliving(ALONE_WITHIN_S):
            self._fault(f"{moment.name}: {left} processes outlive it")
        whole = self._check(moment.name, whole=False)
        outcome = Outcome(self.ending, moment.name, had_returned, status, seconds)
        return outcome, whole and (self.folder / "out").exists()

    def _moment(self, *, first: bool) -> Moment:
        """The first process makes a checkpoint: without one, the next would begin a new run."""
        possible = MOMENTS[2:] if first else MOMENTS
        return self.source.choices(possible, [moment.share for moment in possible])[0]

    def _start(self, server: ForkServer) -> Script:
        self.marks.reset()
        arguments = {
            "kind": self.ending.kind,
            "recorded": self.ending.recorded,
            "steps": STEPS,
            "save_steps": SAVE_STEPS,
            "pause_s": 0.005,
            "options": self.ending.options,
        }
        if self.ending.fresh:
            return start_fresh("save_and_resume", self.folder, **arguments)
        return server.start("save_and_resume", self.folder, **arguments)

    def _check(self, when: str, *, whole: bool) -> bool:
        """Compare the run with the marks; whether it holds what it must."""
        if not self.ending.recorded:
            return True
        runs = runs_in(self.folder / "logs")
        if [files.run_id for files in runs] != ["r"]:
            self._fault(f"{when}: runs {[files.run_id for files in runs]}")
            return False
        run = RecordedRun(RunFiles(self.folder / "logs", "r"))
        losses = [(event.step, event.metrics.get("loss")) for event in run if event.phase == "train"]
        steps = [step for step, _ in losses]
        faults = []
        if steps != list(range(1, len(steps) + 1)):
            faults.append(f"steps {steps}")
        if len(steps) < (STEPS if whole else self.marks.step):
            faults.append(f"{len(steps)} steps are recorded, {self.marks.step} were logged")
        wrong = [step for step, loss in losses if step <= self.marks.step and loss != self.marks.loss(step)]
        if wrong:
            faults.append(f"wrong values in the steps {wrong}")
        if run.bad_count:
            faults.append(f"{run.bad_count} bad lines")
        if whole and run.state != "ended":
            faults.append(f"the run is {run.state}")
        for fault in faults:
            self._fault(f"{when}: {fault}")
        self.report.count(self.ending.case, records_checked=len(steps), records_lost_or_wrong=len(faults))
        return not faults

    def _fault(self, text: str) -> None:
        self.report.fail(self.ending.case, text)


def end_trainings(
    endings: list[tuple[Ending, int]], folder: Path, report: Report, *, seed: int, jobs: int
) -> list[Outcome]:
    """End so many processes of each kind; what each came to."""
    outcomes: list[Outcome] = []
    numbers = itertools.count()
    tasks = [(ending, len(range(job, count, jobs))) for ending, count in endings for job in range(jobs)]

    def work(server: ForkServer, task: tuple[Ending, int], source: random.Random) -> None:
        ending, left = task
        while left:
            place = folder / f"life{next(numbers)}"
            for outcome in Life(ending, place, source, report).attempts(server):
                outcomes.append(outcome)
                report.count(ending.case, tries=1)
                left -= 1
                if not left:
                    break
            shutil.rmtree(place, ignore_errors=True)

    on_servers(tasks, work, folder, seed=seed, jobs=jobs)
    return outcomes
