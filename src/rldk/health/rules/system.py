"""The system family: whether the machine keeps up, and whether a run goes on as it was.

The rest of the family is in `machine`. Invariant: recorded times are judged, never the clock.
"""

from collections import deque
from itertools import islice, pairwise
from math import cos, pi
from statistics import median

from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules import machine
from rldk.health.signals import LENGTH, LOSS, REWARD
from rldk.health.statistics import Streak

__all__ = ["RULES"]

STEP_TIME = "step_time|iteration_time|step_wall_time"
MEMORY = "memory_allocated_peak|memory_reserved_peak|cpu_memory_used"


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


class Stall(Rule):
    """No step was completed for a long time.

    ## What it looks for
    The recorded time between two records, less the steps between them at the run's usual pace.

    ## Why it matters
    A hang of a collective, a lost engine or a full disk costs the whole cluster's time.

    ## How it decides
    After six records: the excess over the usual pace (the median time of a step over 50 records) is above
    ten steps and above 300 seconds: info, since it went on; above thirty steps and half an hour: warning;
    above two hours besides: critical. Time is counted by steps, not by records, since ten steps may lie
    between two. A resume does not count, nor does the time up to an evaluation's own record. Only what was
    recorded is judged: a run that hangs now shows it in its next record.

    ## What looks alike but is healthy
    Evaluation, saving, the first compilation, a long tail of generation.

    ## What to do
    Look at the stacks of the ranks (py-spy dump); the same versions of vLLM and TRL on both sides.

    ## Sources
    trl#2923, trl#3157, trl#3671; verl#3873; wandb#8592 (which asks for exactly this).
    """

    code, name, severity = "SYS002", "stall", Severity.CRITICAL
    enable = "record the run with rldk: its records hold times"
    phases = ("train", "eval")
    when_over = "keep"

    class Options(RuleOptions, frozen=True):
        """Thresholds of stall."""

        steps: float = 10.0
        """Excess in usual steps; three times that is a warning."""
        seconds: float = 300.0
        """Least excess in seconds; six times that is a warning, 24 times critical."""

    def start(self) -> None:
        self.paces: deque[float] = deque(maxlen=50)
        self.last: tuple[int, float] | None = None

    def observe(self, at: Observation) -> Verdict | None:
        time, last = at.wall_time, self.last
        if time is None:
            return None
        self.last = (at.step, time)
        if last is None or at.resumed_from is not None or at.phase != "train" or at.step <= last[0]:
            return None
        steps, gap = at.step - last[0], time - last[1]
        pace = gap / steps
        verdict = None
        if len(self.paces) >= 5 and gap > self.options.seconds:
            verdict = self._judge(last[0], steps, gap)
        if verdict is None:
            self.paces.append(pace)
        return verdict

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
        return [
            Cause(
                "ranks wait for one another, or for a generation server that is lost",
                (
                    Remedy('read the stacks of all ranks ("py-spy dump --pid ..."), with NCCL_DEBUG=INFO'),
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


class SlowSteps(Rule):
    """Steps get slower, or most of their time is generation.

    ## What it looks for
    The time of a step against the run's own, per token where lengths are logged.

    ## Why it matters
    A run that takes twice as long costs twice as much, and the trend often ends in a stall.

    ## How it decides
    The median of the last 20 records, every fifth record, is at least twice the median of records 5 to 25,
    also after division by the growth of the mean length, and at least one second: warning. Info where
    generation takes 85% of the iteration over 20 records (verl).

    ## What looks alike but is healthy
    Longer answers explain most slow-downs. Iterations with a validation in them are slow: hence the median.

    ## What to do
    Look for throttling, swap, a slow reward function; give generation an engine of its own.

    ## Sources
    trl#2887, trl#2971, trl#3195, trl#2610; verifiers#182; marin#2830.
    """

    code, name, severity = "SYS003", "slow-steps", Severity.WARNING
    needs = (STEP_TIME,)
    enable = "log the time of a step: GRPO and RLOO of TRL do from 0.26 on"

    class Options(RuleOptions, frozen=True):
        """Thresholds of slow-steps."""

        times: float = 2.0
        """Multiple of the run's own time of a step."""
        seconds: float = 1.0
        """Least median time of a step."""
        generation: float = 0.85
        """Share of generation in an iteration that is told as info."""

    def start(self) -> None:
        track = self.chart.track
        self.time, self.generation, self.length = track(STEP_TIME), track("generation_time"), track(LENGTH)
        self.slow = Streak()
        self.now: Verdict | None = None

    def observe(self, at: Observation) -> Verdict | None:
        time = self.time
        if time.baseline is None:
            return None
        self.slow.feed(time.last >= self.options.times * time.baseline, at.step)
        if time.count % 5 == 0:
            self.now = self._judge(at.step)
        return self.now

    def _judge(self, step: int) -> Verdict | None:
        time = self.time
        own = time.baseline or 0.0
        if time.ema20 >= self.options.times * own > 0 and time.count >= 45:
            level = time.median(20)
            longer = self.length.median(20) / self.length.baseline if self.length.baseline else 1.0
            if level / max(longer, 1.0) >= self.options.times * own and level >= self.options.seconds:
                return Verdict(
                    severity=Severity.WARNING,
                    message=f"a step takes {level:.3g} s, {level / own:.1f} times as long as at first"
                    + (f", with answers {longer:.1f} times as long" if longer > 1.1 else ""),
                    evidence={"step_time": [own, level], "length_ratio": longer},
                    onset=self.slow.since if self.slow.count else step,
                    confidence=0.8,
                )
        share = self.generation.ema20 / time.ema20 if self.generation.count >= 20 and time.ema20 > 0 else 0.0
        if share < self.options.generation:
            return None
        return Verdict(
            severity=Severity.INFO,
            message=f"{share:.0%} of an iteration is generation",
            evidence={"generation_share": share},
            confidence=0.8,
        )

    def causes(self) -> list[Cause]:
        no_engine = self.context.option("use_vllm") is False
        return [
            Cause(
                "generation is slow",
                (
                    Remedy("set `use_vllm=True`"),
                    Remedy("raise `steps_per_generation`, so that more is generated at once", scale=2),
                ),
                0.7 if no_engine else 0.4,
            ),
            Cause(
                "the machine throttles, swaps, or a reward function waits for something",
                (Remedy("compare power, memory and the time of reward functions with the first steps"),),
                0.5,
            ),
        ]


class MemoryCreep(Rule):
    """Memory grows with every step, until there is none left.

    ## What it looks for
    Allocated memory, or that of the machine, that keeps rising over the last 100 records.

    ## Why it matters
    The run dies hundreds of steps later, mostly without a checkpoint of that time.

    ## How it decides
    Every tenth record, over the last 100: the largest value of each quarter is above that of the quarter
    before by at least 2%, no rise is more than three times another, and together they are at least 10%:
    warning; info where completions grew by a tenth, unless at this pace memory doubles before `max_steps`.
    The capacity of the card is not in a log.

    ## What looks alike but is healthy
    The allocator's cache: reserved memory rises in steps and stays. A peak that follows the longest batch.
    A jump by another process.

    ## What to do
    Smaller batches and shorter completions; give the engine less; find what is kept from step to step.

    ## Sources
    unsloth#2470 (36 to 39.9 GB, dead at 600 to 700 steps); trl#2927, trl#2688; NeMo-RL#2319; ms-swift#5894.
    """

    code, name, severity = "SYS004", "memory-creep", Severity.WARNING
    needs = (MEMORY,)
    enable = "log memory: verl, LLaMA-Factory and ms-swift do"

    class Options(RuleOptions, frozen=True):
        """Thresholds of memory-creep."""

        quarter: float = 0.02
        """Least rise from quarter to quarter, as a share."""
        total: float = 0.1
        """Least rise over all."""

    def start(self) -> None:
        self.memory = self.chart.track(MEMORY)
        self.length = self.chart.track(LENGTH)
        self.steps: deque[int] = deque(maxlen=100)
        self.now: Verdict | None = None

    def observe(self, at: Observation) -> Verdict | None:
        self.steps.append(at.step)
        if self.memory.count >= 100 and self.memory.count % 10 == 0:
            self.now = self._judge(at.step)
        return self.now

    def _judge(self, step: int) -> Verdict | None:
        values = self.memory.tail(100)
        tops = [max(islice(values, start, start + 25)) for start in range(0, 100, 25)]
        rises = [after - before for before, after in pairwise(tops)]
        if tops[0] <= 0 or min(rises) < self.options.quarter * tops[0]:
            return None
        if max(rises) > 3 * min(rises) or tops[-1] - tops[0] < self.options.total * tops[0]:
            return None
        pace = (tops[-1] - tops[0]) / max(self.steps[-1] - self.steps[0], 1) * 100 / 75
        planned = self.context.number("max_steps") or 0.0
        doubles = planned > step and pace * (planned - step) >= tops[-1]
        lengths = self.length.tail(100)
        grew = len(lengths) >= 50 and sum(lengths[-25:]) > 1.1 * sum(lengths[:25])
        return Verdict(
            severity=Severity.WARNING if doubles or not grew else Severity.INFO,
            message=f"memory rose from {tops[0]:.3g} to {tops[-1]:.3g} GiB over the last 100 records"
            + (f"; at step {planned:.0f} it would have doubled" if doubles else ""),
            evidence={"memory_gib": [round(top, 3) for top in tops], "gib_per_step": pace},
            onset=self.steps[0],
            confidence=0.7,
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "something is kept from step to step: graphs, logs, completions",
                (Remedy("look for tensors and lists that grow in reward functions and callbacks"),),
                0.5,
            ),
            Cause(
                "sequences grow longer",
                (
                    Remedy("lower `max_completion_length`", scale=0.5, verl="lower data.max_response_length"),
                    Remedy("lower `per_device_train_batch_size`", scale=0.5, down_to=1),
                ),
                0.4,
            ),
            Cause(
                "the engine leaves too little",
                (
                    Remedy("lower `vllm_gpu_memory_utilization`", scale=0.7, only_with="use_vllm"),
                    Remedy("set `vllm_enable_sleep_mode=True`", only_with="use_vllm"),
                ),
                0.3,
            ),
        ]


RULES: tuple[type[Rule], ...] = (ResumeJump, Stall, SlowSteps, MemoryCreep, *machine.RULES)
