"""The system family: whether the machine keeps up, and whether a run goes on as it was.

Invariant: recorded times are judged, never the clock.
"""

from collections import deque
from math import cos, pi
from statistics import median

from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules import disk, idle, machine, memory, pace, straggler
from rldk.metrics.aliases import LOSS, REWARD

__all__ = ["RULES"]


class ResumeJump(Rule):
    """After a resume the run is not the one that was stopped.

    ## What it looks for
    The first records after a resume against the last ones before: learning rate, reward, loss.

    ## Why it matters
    A resume without optimizer, scheduler or adapter looks like training and is another one.

    ## How it decides
    The learning rate of the first record after the resume is more than 1.5 times, or less than two thirds
    of, what the run had at the same step, or 3 times of what it had last where that step was not reached
    before: at once. Or ten records after the resume the reward has lost, or the loss has gained, four
    standard deviations of its record-to-record noise against the mean of the ten before: warning. A rate that
    changed by less than 2 times, or is what a linear or cosine decay over the planned run gives at this point
    from the peak that the run had, is information: the schedule has another length.

    ## What looks alike but is healthy
    Another order of the data; a step that goes back, and a `num_tokens` that restarts, are normal on a
    resume; a learning rate near the end of its schedule or in its warm-up changes fast (hence the same
    step). Random generators of rollouts are not restored: an exact match is impossible.

    ## What to do
    Pass `resume_from_checkpoint`, keep the optimizer's state in checkpoints, keep the configuration.

    ## Sources
    verl#3754; open-r1#450; trl#3179, trl#3247; NeMo-RL#108; ms-swift#8233.
    """

    code, name, severity = "SYS001", "resume-jump", Severity.WARNING
    enable = "log the learning rate, the reward or the loss, as TRL does"
    when_over = "keep"

    class Options(RuleOptions, frozen=True):
        """Thresholds of resume-jump."""

        rate: float = 1.5
        """Ratio of the learning rates at the same step; twice that where only neighbours can be compared."""
        noise: float = 4.0
        """Change of reward or loss, in standard deviations of its noise."""
        records: int = 10
        """Records on either side that are compared."""

    def start(self) -> None:
        self.reward, self.loss = self.chart.track(REWARD), self.chart.track(LOSS)
        self.past: deque[tuple[int, float]] = deque(maxlen=1000)
        self.before: dict[str, tuple[float, float]] = {}
        self.since = 0
        self.left = 0
        self.found: Verdict | None = None

    def observe(self, at: Observation) -> Verdict | None:
        rate = at.values.get("lr")
        if at.resumed_from is not None:
            self._resume(at, rate)
        elif self.left:
            self.left -= 1
            if not self.left and self.found is None:
                self.found = self._levels(at.step)
        if rate is not None:
            self.past.append((at.step, rate))
        return self.found

    def _resume(self, at: Observation, rate: float | None) -> None:
        """Remember what was before. The tracks already hold the record that is compared with it."""
        count = self.options.records
        self.before = {}
        for name, track in (("reward", self.reward), ("loss", self.loss)):
            earlier = track.tail(count + 1)[:-1]
            if len(earlier) >= count:
                self.before[name] = (sum(earlier) / len(earlier), track.noise)
        self.since, self.left = at.step, count - 1
        self.found = self._rates(at, rate)

    def _rates(self, at: Observation, rate: float | None) -> Verdict | None:
        step = at.step
        if rate is None or not self.past:
            return None
        near = min(self.past, key=lambda point: abs(point[0] - step))
        same = near[0] == step
        limit = self.options.rate if same else 2 * self.options.rate
        was = near[1]
        if max(rate, was) <= limit * min(rate, was):
            return None
        longer = max(rate, was) < 2 * min(rate, was) or self._on_schedule(at, rate)
        return Verdict(
            severity=Severity.INFO if longer else Severity.WARNING,
            message=f"after the resume the learning rate is {rate:.2g}; it was {was:.2g} "
            + ("at this step before" if same else f"at step {near[0]}")
            + ("; the schedule may be of another length" if longer else ""),
            evidence={"lr": [was, rate], "step": [near[0], step]},
            onset=step,
            confidence=0.9 if same else 0.6,
        )

    def _on_schedule(self, at: Observation, rate: float) -> bool:
        """Whether the rate is what a decay from the planned peak, which the run had, gives at this point."""
        peak, highest = self.context.number("learning_rate"), max(rate for _, rate in self.past)
        if peak is None or not 0.8 * peak <= highest <= 1.01 * peak:
            return False
        steps, epochs = self.context.number("max_steps"), self.context.number("num_train_epochs")
        epoch = at.values.get("epoch")
        if steps is not None and steps > 0:
            done = at.step / steps
        elif epochs and epoch is not None:
            done = epoch / epochs
        else:
            return False
        shapes = (1 - done, 0.5 * (1 + cos(pi * min(done, 1.0))))
        return any(abs(rate - shape * peak) <= 0.05 * peak for shape in shapes)

    def _levels(self, step: int) -> Verdict | None:
        count = self.options.records
        for name, track, sign in (("reward", self.reward, -1.0), ("loss", self.loss, 1.0)):
            if name not in self.before or (name == "loss" and self.reward.count):
                continue
            was, noise = self.before[name]
            now = track.mean(count)
            if sign * (now - was) >= self.options.noise * max(noise, 1e-3 * abs(was), 1e-9):
                return Verdict(
                    severity=Severity.WARNING,
                    message=f"the {name} was {was:.3g} in the {count} records before the resume and is "
                    f"{now:.3g} in the {count} after it",
                    evidence={name: [was, now], "noise": noise, "step": [self.since, step]},
                    onset=self.since,
                    confidence=0.7,
                )
        return None

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the configuration of the second start differs",
                (Remedy("compare the arguments of the two attempts in the run's run.json"),),
                0.6,
            ),
            Cause(
                "optimizer, scheduler or random state were not restored",
                (
                    Remedy('pass the checkpoint to "trainer.train(resume_from_checkpoint=...)"'),
                    Remedy("set `save_only_model=False`"),
                ),
                0.5,
            ),
            Cause(
                "the adapter was merged twice, or not loaded",
                (Remedy("compare the weights before the resume with those after it"),),
                0.3,
            ),
        ]


_SHORTER = Remedy(
    "do the slow work of that callback less often, or in another process; the run's crash file has its stack"
)


class Stall(Rule):
    """No step was completed for a long time.

    ## What it looks for
    What the watchdog of a running training noticed, and the recorded time between two records, less the steps
    between them at the run's usual pace.

    ## Why it matters
    A hang of a collective, a lost engine or a full disk costs the whole cluster's time.

    ## How it decides
    Live, by a watchdog: no step has ended for ten usual steps (the median of 50) and 300 seconds: critical;
    in the first steps for 30 minutes, in an evaluation, a save, a load, a compilation or a callback for an
    hour: warning. The stacks of all threads are then in the run's crash file. Once a step has ended, the
    records judge, as they do without a watchdog. After six of them: the excess over the usual pace (the
    median time of a step over 50 records) is above ten steps and above 300 seconds: info, since it went on;
    above thirty steps and half an hour: warning; above two hours besides: critical. Time is counted by steps,
    not by records, since ten steps may lie between two. A resume does not count, nor does the time up to an
    evaluation's own record.

    ## What looks alike but is healthy
    Evaluation, saving, a callback that runs a benchmark, the first compilation, a long tail of generation, a
    machine that was suspended.

    ## What to do
    Look at where the threads are in the run's crash file; the same versions of vLLM and TRL on both sides.

    ## Sources
    trl#2923, trl#3157, trl#3671; verl#3873; wandb#8592 (which asks for exactly this).
    """

    code, name, severity = "SYS002", "stall", Severity.CRITICAL
    enable = "record the run with rldk: its records hold times"
    kinds = ("log", "step_time")
    phases = ("train", "eval")
    patience = 1

    class Options(RuleOptions, frozen=True):
        """Thresholds of stall."""

        steps: float = 10.0
        """Excess in usual steps; three times that is a warning."""
        seconds: float = 300.0
        """Least excess in seconds; six times that is a warning, 24 times critical."""

    def start(self) -> None:
        self.paces: deque[float] = deque(maxlen=50)
        self.last: tuple[int, float] | None = None
        self.kept: Verdict | None = None  # a gap so long that it still counts when the run went on
        self.activity = self.during = ""

    def observe(self, at: Observation) -> Verdict | None:
        if at.kind == "step_time":
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
        """What the watchdog noticed: nothing had been recorded since."""
        seconds, usual = at.values.get("stalled_seconds"), at.values.get("usual_seconds")
        if seconds is None or (self.last is not None and self.last[0] > at.step):
            return None
        where, during = at.detail.get("activity") or at.detail.get("where"), at.detail.get("during")
        self.activity, self.during = str(at.detail.get("activity") or ""), str(during or "")
        slow = bool(during) or usual is None
        return Verdict(
            severity=Severity.WARNING if slow else Severity.CRITICAL,
            message=f"no step has ended for {seconds:.0f} s"
            + (f": usually {usual:.3g} s a step" if usual is not None else ", and the first has not yet")
            + (f"; it {'is' if during else 'hangs'} in {where}" if where else "")
            + (f", during {during}" if during else ""),
            evidence={"seconds": seconds, "usual_seconds": usual, "where": at.detail.get("where")},
            onset=at.step,
            confidence=0.7 if slow else 0.9,
        )

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
            message=f"{gap:.0f} s went by between step {since} and {since + steps}: usually "
            f"{steps * usual:.0f} s",
            evidence={"seconds": gap, "usual_seconds": steps * usual, "steps": steps},
            onset=since,
            confidence=0.8,
        )

    def causes(self) -> list[Cause]:
        if self.during.startswith("the callback"):
            return [Cause(f"{self.during} works for long, or waits", (_SHORTER,), 0.9)]
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
                "an evaluation, a save, or the machine was suspended or preempted",
                (Remedy("compare with the times of checkpoints and of the scheduler"),),
                0.5,
            ),
        ]

    def _hanging(self) -> list[Cause]:
        """What the watchdog saw hang, where that tells what to do."""
        if not self.activity.startswith("the reward function"):
            return []
        remedy = Remedy("give the reward function a time limit, above all where it asks a server")
        return [Cause(f"{self.activity} does not return", (remedy,), 0.9)]


RULES: tuple[type[Rule], ...] = (
    ResumeJump,
    Stall,
    *pace.RULES,
    *idle.RULES,
    *memory.RULES,
    *disk.RULES,
    *machine.RULES,
    *straggler.RULES,
)
