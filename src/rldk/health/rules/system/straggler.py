"""SYS009 straggler: one rank is slower than the others, and all wait for it.

Invariant: only ranks that recorded the same steps are compared, and a single rank is never judged.
"""

from collections import deque
from statistics import median

from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict

__all__ = ["Straggler", "StragglerOptions"]

MEASURES = {
    "reward_seconds": "in its reward functions",
    "cpu_seconds": "of CPU time",
    "seconds": "for a step",
}
"""The measures that are compared, the clearest first. A rank waits inside its step, so all steps are as long
as the slowest; but a waiting rank runs no reward function and uses little CPU time."""
MANY = 4
"""Ranks from which CPU time is compared where there may be a GPU. A rank that waits in NCCL keeps a core
busy; with two or three ranks, the one that asks a generation server for all of them seems to be idle."""
EVERY = 5
"""Steps from one comparison to the next."""


class StragglerOptions(RuleOptions, frozen=True):
    """Thresholds of straggler."""

    ratio: float = 1.2
    """Multiple of the other ranks' median above which a rank is slow."""
    steps: int = 20
    """Steps that are compared."""
    share: float = 0.1
    """Least difference, as a share of the time of a step."""


class Straggler(Rule[StragglerOptions]):
    """One rank is slower than the others, and all wait for it.

    ## What it looks for
    The steps that each rank recorded: their time, their CPU time, and the time of observed reward functions.

    ## Why it matters
    A collective is as fast as its slowest rank.

    ## How it decides
    The rule compares the last 20 steps that every rank recorded. One rank's mean time is above 1.2 times the
    median of the other ranks, and it was the slowest in at least three quarters of the steps. The difference
    is at least a tenth of a step, and a step takes at least 0.1 s: warning. CPU time is compared from four
    ranks on, or with `use_cpu`. `rldk doctor` compares the files of the ranks; the live monitor does not.

    ## What looks alike but is healthy
    Ranks with longer completions in one step: over 20 steps that evens out. A waiting rank has steps as long
    as the slow rank's, so the time of a step alone shows little.

    ## What to do
    Look for throttling, a bad link or another process on that rank's machine; make slow reward functions
    asynchronous.

    ## Sources
    verifiers#182; marin#2830.
    """

    code, name, severity = "SYS009", "straggler", Severity.WARNING
    needs = ("seconds/*",)
    kinds = ("rank",)
    enable = "train on several ranks with rldk on each, and judge the folder of the run: rldk doctor"
    when_over = "keep"

    def start(self) -> None:
        self.window: deque[Observation] = deque(maxlen=self.options.steps)
        self.seen = 0
        self.found: tuple[str, str] | None = None
        self.now: Verdict | None = None

    def observe(self, at: Observation) -> Verdict | None:
        if sum(name.startswith("seconds/") for name in at.values) < 2:
            return self.now
        self.window.append(at)
        self.seen += 1
        if len(self.window) == self.options.steps and self.seen % EVERY == 0:
            self.now = self._judge()
        return self.now

    def _judge(self) -> Verdict | None:
        step_seconds = median(self._mean("seconds").values())
        if step_seconds < 0.1:
            return None
        for measure, text in MEASURES.items():
            means = self._mean(measure)
            spinning = measure == "cpu_seconds" and not self.context.option("use_cpu")
            if len(means) < (MANY if spinning else 2):
                continue
            worst = max(means, key=means.__getitem__)
            own, others = means[worst], median(value for rank, value in means.items() if rank != worst)
            apart = own > self.options.ratio * others and own - others >= self.options.share * step_seconds
            if apart and self._often(measure, worst):
                self.found = (worst, measure)
                return Verdict(
                    severity=Severity.WARNING,
                    message=f"rank {worst} takes {own:.3g} s {text}, the other ranks {others:.3g} s: "
                    f"they wait for it in each step of {step_seconds:.3g} s",
                    evidence={"rank": int(worst), measure: [own, others], "step_seconds": step_seconds},
                    onset=self.window[0].step,
                    confidence=0.8,
                )
        return None

    def _mean(self, measure: str) -> dict[str, float]:
        """The mean over the window by rank, of the ranks that recorded it in every step."""
        sums: dict[str, list[float]] = {}
        for at in self.window:
            for name, value in at.values.items():
                kind, _, rank = name.partition("/")
                if kind == measure and value is not None:
                    sums.setdefault(rank, []).append(value)
        return {
            rank: sum(times) / len(times) for rank, times in sums.items() if len(times) == len(self.window)
        }

    def _often(self, measure: str, worst: str) -> bool:
        """Whether that rank was the slowest in most steps, and not only once by far."""
        first = 0
        for at in self.window:
            values = {
                name: value or 0.0 for name, value in at.values.items() if name.startswith(measure + "/")
            }
            first += max(values, key=values.__getitem__) == f"{measure}/{worst}"
        return first >= 0.75 * len(self.window)

    def causes(self) -> list[Cause]:
        in_reward = self.found is not None and self.found[1] == "reward_seconds"
        return [
            Cause(
                "a reward function of that rank waits: for a sandbox, a judge or a disk",
                (
                    Remedy("give the reward function a time limit, or make it asynchronous"),
                    Remedy("compare the services that the ranks reach"),
                ),
                0.8 if in_reward else 0.3,
            ),
            Cause(
                "the rank's machine throttles, swaps, or is shared with another process",
                (Remedy("compare the resources files of the ranks: temperature, memory, CPU"),),
                0.5,
            ),
        ]
