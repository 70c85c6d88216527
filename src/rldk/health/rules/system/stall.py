"""SYS002 stall: no step was completed for a long time.

Invariant: only recorded times are judged, never the clock.
"""

from collections import deque
from statistics import median

from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict

__all__ = ["Stall", "StallOptions"]

_SHORTER = Remedy(
    "do the slow work of that callback less often, or in another process; the run's crash file has its stack"
)


class StallOptions(RuleOptions, frozen=True):
    """Thresholds of stall."""

    steps: float = 10.0
    """Least excess in usual steps; three times that is a warning."""
    seconds: float = 300.0
    """Least excess in seconds; six times that is a warning, 24 times critical."""


class Stall(Rule[StallOptions]):
    """No step was completed for a long time.

    ## What it looks for
    Stalls that the watchdog of a running training saw. In the records: the time between two of them that
    exceeds their steps at the run's usual pace.

    ## Why it matters
    A collective that hangs, a lost engine or a full disk wastes the whole cluster's time.

    ## How it decides
    Live, by a watchdog: no step has ended for ten usual steps (the median of 50) and 300 seconds: critical.
    In the first steps for 30 minutes, or in an evaluation, a save, a load, a compilation or a callback for an
    hour: warning. rldk then writes the stacks of all threads to the run's crash file. Once a step has ended,
    the records decide, as they do without a watchdog. After six records, the excess over the usual pace (the
    median time of a step over 50 records) is above ten steps and above 300 seconds: info, since the run
    continued. Above thirty steps and half an hour: warning; above two hours too: critical. Time is counted by
    steps, not by records, since ten steps may lie between two records. A resume does not count, nor does the
    time up to an evaluation's own record.

    ## What looks alike but is healthy
    Evaluation, saving, a callback that runs a benchmark, the first compilation, a long tail of generation, a
    machine that was suspended.

    ## What to do
    Look at the stacks of the threads in the run's crash file; use the same versions of vLLM and TRL on both
    sides.

    ## Sources
    trl#2923, trl#3157, trl#3671; verl#3873; wandb#8592 (which asks for exactly this).
    """

    code, name, severity = "SYS002", "stall", Severity.CRITICAL
    enable = "record the run with rldk: its records hold times"
    kinds = ("log", "stall")
    phases = ("train", "eval")
    patience = 1

    def start(self) -> None:
        self.paces: deque[float] = deque(maxlen=50)
        self.last: tuple[int, float] | None = None
        self.kept: Verdict | None = None  # of a gap so long that it still counts after the run continued
        self.activity = self.during = ""
        self.hangs = False

    def observe(self, at: Observation) -> Verdict | None:
        verdict = self._look(at)
        self.hangs = verdict is not None and verdict.severity > Severity.INFO
        return verdict

    def _look(self, at: Observation) -> Verdict | None:
        if at.kind == "stall":
            return self._live(at) or self.kept
        time, last = at.wall_time, self.last
        if time is None:
            return self.kept
        self.last = (at.step, time)
        if last is None or at.resumed_from is not None or at.phase != "train" or at.step <= last[0]:
            return self.kept
        steps, gap = at.step - last[0], time - last[1]
        verdict = None
        if len(self.paces) >= 5 and gap > self.options.seconds:
            verdict = self._judge(last[0], steps, gap)
        if verdict is None:
            self.paces.append(gap / steps)
        elif verdict.severity > max(Severity.INFO, self.kept.severity if self.kept else Severity.INFO):
            self.kept = verdict
        return verdict if self.kept is None else self.kept

    def _live(self, at: Observation) -> Verdict | None:
        """The verdict on a stall that the watchdog saw, unless a later step was recorded before it."""
        seconds, usual = at.values.get("stalled_seconds"), at.values.get("usual_seconds")
        if seconds is None or (self.last is not None and self.last[0] > at.step):
            return None
        where, during = at.detail.get("activity") or at.detail.get("where"), at.detail.get("during")
        self.activity, self.during = str(at.detail.get("activity") or ""), str(during or "")
        slow = bool(during) or usual is None
        return Verdict(
            severity=Severity.WARNING if slow else Severity.CRITICAL,
            message=f"no step has ended for {seconds:.0f} s"
            + (f": usually {usual:.3g} s a step" if usual is not None else ", not even the first")
            + (f"; it {'is' if during else 'hangs'} in {where}" if where else "")
            + (f", during {during}" if during else ""),
            evidence={"seconds": seconds, "usual_seconds": usual, "where": at.detail.get("where")},
            onset=at.step,
            confidence=0.7 if slow else 0.9,
        )

    def explains(self, rule: str) -> bool:
        """A stall explains the end of a run only if the run did not continue after it."""
        return rule not in ("crash", "unfinished-run") or self.hangs

    def _judge(self, since: int, steps: int, gap: float) -> Verdict | None:
        usual = median(self.paces)
        excess = gap - steps * usual
        limit = max(self.options.steps * usual, self.options.seconds)
        if excess <= limit:
            return None
        long = excess > 3 * self.options.steps * usual and excess > 6 * self.options.seconds
        lost = long and excess > 24 * self.options.seconds
        return Verdict(
            severity=Severity.CRITICAL if lost else Severity.WARNING if long else Severity.INFO,
            message=f"{gap:.0f} s passed between step {since} and {since + steps}: usually "
            f"{steps * usual:.0f} s",
            evidence={"seconds": gap, "usual_seconds": steps * usual, "steps": steps},
            onset=since,
            confidence=0.8,
        )

    def causes(self) -> list[Cause]:
        if self.during.startswith("the callback"):
            return [Cause(f"{self.during} takes long, or waits", (_SHORTER,), 0.9)]
        return [
            *self._hanging(),
            Cause(
                "ranks wait for one another, or for a generation server that is lost",
                (
                    Remedy(
                        "read the stacks of all ranks, in the run's crash files or with "
                        '"py-spy dump --pid ...", and set NCCL_DEBUG=INFO'
                    ),
                    Remedy(
                        "lower `vllm_server_timeout` and `ddp_timeout`, so that a hang becomes an error",
                        only_with="use_vllm",
                    ),
                ),
                0.6,
            ),
            Cause(
                "an evaluation or a save, or the machine was suspended or preempted",
                (Remedy("compare with the times of checkpoints and of the scheduler"),),
                0.5,
            ),
        ]

    def _hanging(self) -> list[Cause]:
        """The cause where a reward function hangs."""
        if not self.activity.startswith("the reward function"):
            return []
        remedy = Remedy("give the reward function a time limit, above all where it asks a server")
        return [Cause(f"{self.activity} does not return", (remedy,), 0.9)]
