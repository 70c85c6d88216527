"""SYS003 slow-steps: steps get slower, or most of their time is generation.

Invariant: only recorded times are judged, never the clock; the time of steps alone decides, and all other
series only name causes.
"""

import re
from collections.abc import Collection, Mapping

from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.system.common import MAX_NAMED, SCORING_SECONDS, STEP_TIME
from rldk.health.tracks import Streak, Track
from rldk.metrics.aliases import LENGTH

__all__ = ["SlowSteps", "SlowStepsOptions"]

THROTTLED = re.compile(r"resource/gpu(\d+)_throttled")


class SlowStepsOptions(RuleOptions, frozen=True):
    """Thresholds of slow-steps."""

    times: float = 2.0
    """Multiple of the run's own step time from which it is reported."""
    seconds: float = 1.0
    """Least median time of a step."""
    generation: float = 0.85
    """Share of generation in an iteration from which it is reported as info."""


class SlowSteps(Rule[SlowStepsOptions]):
    """Steps get slower, or most of their time is generation.

    ## What it looks for
    The time of a step against the run's own, per token where lengths are logged.

    ## Why it matters
    A run that takes twice as long costs twice as much, and the trend often ends in a stall.

    ## How it decides
    Every fifth record, the rule compares the median step time of the last 20 records with the median of
    records 5 to 25. It is at least one second and twice as long, also after division by the growth of the
    mean length: warning. Info where generation takes 85% of the iteration over 20 records (verl). The run's
    other series name the causes. They are longer completions, or a reward function or generation that takes
    three tenths of the added time. On the machine, they are a GPU that heat or its power supply slowed down
    in a tenth of the samples, swap that grew by 0.25 GiB, or full memory.

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
    explained_by = ("slow-reward", "straggler")

    def start(self) -> None:
        track = self.chart.track
        self.time, self.generation, self.length = track(STEP_TIME), track("generation_time"), track(LENGTH)
        self.before: Mapping[str, float | None] = {}  # the record that ended the baseline, and the newest one
        self.after: Mapping[str, float | None] = {}
        self.throttled: dict[str, Track] = {}
        self.scoring: dict[str, Track] = {}
        self.slow = Streak()
        self.now: Verdict | None = None

    def meet(self, names: Collection[str]) -> None:
        for form, tracks in ((THROTTLED, self.throttled), (SCORING_SECONDS, self.scoring)):
            for name in names:
                match = form.fullmatch(name)
                if match and len(tracks) < MAX_NAMED:
                    tracks[match[1]] = self.chart.track(name)

    def observe(self, at: Observation) -> Verdict | None:
        time = self.time
        if time.baseline is None:
            return None
        self.before, self.after = self.before or at.values, at.values
        self.slow.feed(time.last >= self.options.times * time.baseline, at.step)
        if time.count % 5 == 0:
            self.now = self._judge(at.step)
        return self.now

    def _judge(self, step: int) -> Verdict | None:
        time = self.time
        own = time.baseline or 0.0
        if time.ema20 >= self.options.times * own > 0 and time.count >= 45:
            level = time.median(20)
            longer = self._longer()
            if level / max(longer, 1.0) >= self.options.times * own and level >= self.options.seconds:
                return Verdict(
                    severity=Severity.WARNING,
                    message=f"a step takes {level:.3g} s, {level / own:.1f} times as long as at first"
                    + (f", with answers {longer:.1f} times as long" if longer > 1.1 else ""),
                    evidence={"step_time": [own, level], "length_ratio": longer},
                    onset=self.slow.since if self.slow.count else step,
                    confidence=0.8,
                    baseline=own,
                    limit=self.options.times * own,
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

    def _longer(self) -> float:
        """Length of answers as a multiple of their early length; 1 where that is not logged."""
        return self.length.median(20) / self.length.baseline if self.length.baseline else 1.0

    def causes(self) -> list[Cause]:
        shown = [*self._work(), *self._machine()]
        no_engine = self.context.option("use_vllm") is False
        generation = (
            Remedy("set `use_vllm=True`"),
            Remedy("raise `steps_per_generation`, so that more is generated at once", scale=2),
        )
        if not any(cause.remedies == generation for cause in shown):
            likely = 0.7 if no_engine else 0.4
            shown.append(Cause("generation is slow", generation, 0.3 if shown else likely))
        if not any(name.startswith("resource/") for name in self.after):
            shown.append(
                Cause(
                    "the machine throttles, swaps, or a reward function waits for something",
                    (Remedy("compare power, memory and the time of reward functions with the first steps"),),
                    0.5,
                )
            )
        return shown

    def _work(self) -> list[Cause]:
        """Causes within a step: parts whose own time grew."""
        found = []
        longer = self._longer()
        if longer > 1.2:
            found.append(
                Cause(
                    f"answers are {longer:.1f} times as long as at first",
                    (
                        Remedy(
                            "lower `max_completion_length`", scale=0.5, verl="lower data.max_response_length"
                        ),
                    ),
                    0.6,
                )
            )
        added = self.time.median(20) - (self.time.baseline or 0.0)
        for function, track in self.scoring.items():
            was, now = track.baseline or 0.0, track.median(20)
            if added > 0 and track.baseline is not None and now - was >= 0.3 * added:
                found.append(
                    Cause(
                        f"the reward function {function} takes {now:.3g} s a step, {was:.3g} s at first",
                        (Remedy(f'find out what "{function}" waits for; give its calls a time limit'),),
                        0.9,
                    )
                )
        was, now = self.generation.baseline or 0.0, self.generation.median(20)
        if added > 0 and self.generation.baseline is not None and now - was >= 0.3 * added:
            found.append(
                Cause(
                    f"generation takes {now:.3g} s, {was:.3g} s at first",
                    (
                        Remedy("set `use_vllm=True`"),
                        Remedy("raise `steps_per_generation`, so that more is generated at once", scale=2),
                    ),
                    0.8,
                )
            )
        return found

    def _machine(self) -> list[Cause]:
        """Causes in the machine under the run."""
        found = []
        for gpu, track in self.throttled.items():
            share = track.mean(20)
            if share >= 0.1 and share >= (track.baseline or 0.0) + 0.1:
                found.append(
                    Cause(
                        f"heat or the power supply slowed GPU {gpu} down in {share:.0%} of the samples",
                        (
                            Remedy(
                                f'find out why ("nvidia-smi -q -d PERFORMANCE,TEMPERATURE,POWER -i {gpu}")'
                            ),
                        ),
                        0.9,
                    )
                )
        was, now = self._both("resource/swap_used")
        if now - was >= 0.25:
            found.append(
                Cause(
                    f"the machine swaps: {now:.3g} GiB, {was:.3g} GiB at first",
                    (
                        Remedy(
                            "end other processes that take memory on this machine, or load fewer rows at once"
                        ),
                    ),
                    0.8,
                )
            )
        used, there = self._both("resource/memory_used")[1], self._both("resource/memory_total")[1]
        if used > 0.95 * there > 0:
            found.append(
                Cause(
                    f"{used:.4g} of {there:.4g} GiB of the machine's memory are in use",
                    (
                        Remedy(
                            "end other processes that take memory on this machine, or load fewer rows at once"
                        ),
                    ),
                    0.6,
                )
            )
        was, now = self._both("resource/torch_alloc_retries")
        if now > was:
            found.append(
                Cause(
                    f"the GPU is full: the allocator had to empty its cache {now - was:.0f} times",
                    (
                        Remedy("lower `per_device_train_batch_size`", scale=0.5, down_to=1),
                        Remedy("lower `vllm_gpu_memory_utilization`", scale=0.7, only_with="use_vllm"),
                    ),
                    0.7,
                )
            )
        return found

    def _both(self, name: str) -> tuple[float, float]:
        """A metric at the end of the baseline and now; 0 where it is not known."""
        return self.before.get(name) or 0.0, self.after.get(name) or 0.0
