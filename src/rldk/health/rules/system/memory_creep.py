"""SYS004 memory-creep: memory grows with every step until it runs out.

Invariant: memory that is full on purpose (the caches of an allocator or of the kernel, an engine's share of
the GPU) is no finding. A rising level is a finding only where it reaches its limit.
"""

import re
from collections import deque
from collections.abc import Collection, Mapping
from itertools import islice, pairwise

from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.system.trend import Trail, steps_ahead
from rldk.health.tracks import Streak, Track
from rldk.metrics.aliases import LENGTH

__all__ = ["MemoryCreep", "MemoryCreepOptions"]

LOGGED = "memory_allocated_peak|memory_reserved_peak|cpu_memory_used"
PROCESS = "resource/process_memory"
TORCH = "resource/torch_allocated_peak"
USED = "resource/memory_used"
GPU = re.compile(r"resource/gpu(\d+)_memory_used")
ROOMS = (
    (USED, "resource/memory_total", "the machine"),
    ("resource/memory_limit_used", "resource/memory_limit", "the container or job"),
)
MAX_GPUS = 16


class MemoryCreepOptions(RuleOptions, frozen=True):
    """Thresholds of memory-creep."""

    quarter: float = 0.02
    """Least rise of logged memory from quarter to quarter, as a share."""
    total: float = 0.1
    """Least rise of logged memory over all four quarters, as a share."""
    risen: float = 0.02
    """Least rise of measured memory, as a share of its level."""
    room: float = 0.95
    """Share of the available memory that a rise must reach."""
    full: float = 0.97
    """Share of the memory of the machine, or of its limit, from which memory is nearly used up."""


class MemoryCreep(Rule[MemoryCreepOptions]):
    """Memory grows with every step until it runs out.

    ## What it looks for
    Memory of tensors, of the process or of a GPU that keeps rising; memory that is nearly used up.

    ## Why it matters
    The run dies hundreds of steps later, mostly without a recent checkpoint.

    ## How it decides
    *Measured by rldk, rising*: after at least 100 records and 15 minutes, a level rises evenly over the last
    three quarters of the run, by 2% and 0.1 GiB in all. The level is the memory of the process, the peak of
    the tensors, or a GPU's memory without torch's cache. A rise is even if the level reaches new highs again
    and again, and every quarter of that time gains: none more than three times another, the last at least 0.7
    of the first, and together more than the level swings within one. If it is the process, the machine's
    memory must have grown by at least half as much. At this pace 95% of the available memory (of the machine,
    of the container's limit, of the GPU) must be in use before the planned end; rldk projects at most three
    times the steps done. All that in at least three checks, ten records apart, more than in checks without:
    warning.

    *Measured by rldk, full*: in five records in a row more than 97% of the memory of the machine, or of its
    limit, is in use and less than 8 GiB are left: warning. Caches that the kernel would give back do not
    count. The allocator found no memory since the first ten records: warning. It had to empty its cache in at
    least 5 of the last 20 records: info.

    *Logged by a framework*: the rule compares the largest values in the four quarters of the last 100
    records. Each is at least 2% above the one before, no rise is more than three times another, and together
    they are at least 10%: warning. Info where completions grew by a tenth, unless at this pace memory doubles
    before `max_steps`. A log does not hold the capacity of the card.

    ## What looks alike but is healthy
    The allocator's cache: reserved memory rises in steps and stays. A peak that follows the longest batch. A
    process that grows while caches warm up, or by the pages of a dataset that it maps. An engine that takes
    90% of the GPU at once, as configured. A jump by another process. Memory that rises and has room until the
    end.

    ## What to do
    Use smaller batches and shorter completions; give the engine less; find the objects that survive from step
    to step.

    ## Sources
    unsloth#2470 (36 to 39.9 GB, dead at 600 to 700 steps); trl#2927, trl#2688; NeMo-RL#2319; ms-swift#5894.
    """

    code, name, severity = "SYS004", "memory-creep", Severity.WARNING
    needs = (f"{LOGGED}|{PROCESS}|{USED}|{TORCH}",)
    enable = "record the run with RLDKCallback, or log memory as verl, LLaMA-Factory and ms-swift do"

    def start(self) -> None:
        track = self.chart.track
        self.logged, self.length = track(LOGGED), track(LENGTH)
        self.failures: float | None = None
        self.retries = 0.0
        self.retried: deque[int] = deque(maxlen=5)
        self.steps: deque[int] = deque(maxlen=100)
        self.trails = {PROCESS: Trail(), TORCH: Trail()}
        self.gpus: dict[str, str] = {}  # the metric of each GPU's used memory, and of its total
        self.full = {used: Streak() for used, _, _ in ROOMS}
        self.began: float | None = None
        self.at_first: float | None = None  # memory of the machine in use
        self.records = 0
        self.sure = 0
        self.since: int | None = None
        self.projected: Verdict | None = None
        self.rising: Verdict | None = None

    def meet(self, names: Collection[str]) -> None:
        for name in names:
            if GPU.fullmatch(name) and len(self.gpus) < MAX_GPUS:
                self.gpus[name] = name.replace("_memory_used", "_memory_total")
                self.trails.setdefault(name, Trail())

    def observe(self, at: Observation) -> Verdict | None:
        self.steps.append(at.step)
        self.records += 1
        self.began = at.wall_time if self.began is None else self.began
        values = at.values
        self.at_first = values.get(USED) if self.at_first is None else self.at_first
        for name, trail in self.trails.items():
            level = self._level(name, values)
            if level is not None:
                trail.push(at.step, level)
        retries = values.get("resource/torch_alloc_retries")
        if retries is not None and retries != self.retries:
            self.retries = retries
            self.retried.append(self.records)
        if self.records % 10 == 0:
            self.rising = self._measured(at) or self._short_of(at) or self._in_log(at.step)
        return self._used_up(at) or self.rising

    def _used_up(self, at: Observation) -> Verdict | None:
        for used, total, of in ROOMS:
            now, there = at.values.get(used), at.values.get(total)
            if now is None or not there:
                continue
            streak = self.full[used]
            if streak.feed(now > self.options.full * there and there - now < 8, at.step) >= 5:
                return Verdict(
                    severity=Severity.WARNING,
                    message=f"{now:.4g} of {there:.4g} GiB of the memory of {of} are in use, without caches",
                    evidence={used: now, total: there},
                    onset=streak.since,
                    confidence=0.8,
                )
        return None

    def _measured(self, at: Observation) -> Verdict | None:
        """Reports a level that will reach its limit before the run ends, by three checks more than checks
        without.
        """
        early = self.records < 100 or (at.wall_time or 0.0) - (self.began or 0.0) < 900
        verdict = None if early else self._projected(at)
        self.sure = max(self.sure - 1, 0) if verdict is None else min(self.sure + 1, 5)
        if self.sure == 0:
            self.since = None
        elif self.since is None:
            self.since = at.step
        self.projected = verdict or self.projected
        return self.projected if self.sure >= 3 else None

    def _projected(self, at: Observation) -> Verdict | None:
        for name, trail in self.trails.items():
            now, spare = self._level(name, at.values), self._spare(name, at.values)
            found = trail.rise() if now is not None and spare is not None else None
            if found is None or now is None or spare is None:
                continue
            rise, pace = found
            ahead = steps_ahead(self.context, at)
            if rise < max(self.options.risen * now, 0.1) or pace * ahead < max(spare, 0.0):
                continue
            if name == PROCESS and not self._missed(rise, at.values):
                continue
            return Verdict(
                severity=Severity.WARNING,
                message=f"{_memory_name(name)} rose evenly by {rise:.3g} to {now:.3g} GiB; at this pace the "
                f"{max(spare, 0.0):.3g} GiB that are left are used up in {max(spare, 0.0) / pace:.0f} steps",
                evidence={name: [now - rise, now], "gib_per_step": pace, "gib_left": spare},
                onset=self.since,
                confidence=0.7,
            )
        return None

    def _level(self, name: str, values: Mapping[str, float | None]) -> float | None:
        """The value of a series; for a GPU without torch's memory, because its cache fills a GPU over
        time.
        """
        level = values.get(name)
        cache = values.get("resource/torch_reserved") if name in self.gpus else None
        return level if level is None or cache is None else level - cache

    def _missed(self, rise: float, values: Mapping[str, float | None]) -> bool:
        """Whether the machine's memory grew too: pages of mapped files cost nothing, the kernel can drop
        them.
        """
        used = values.get(USED)
        return used is None or self.at_first is None or used - self.at_first >= rise / 2

    def _spare(self, name: str, values: Mapping[str, float | None]) -> float | None:
        """GiB by which a level can rise until the share `room` of the available memory is in use."""
        if name == PROCESS:
            pairs = [(values.get(used), values.get(total)) for used, total, _ in ROOMS]
        else:
            others = self.gpus if name == TORCH else [name]
            tensors = values.get(TORCH) or 0.0
            pairs = [
                (tensors + (self._level(gpu, values) or 0.0), values.get(self.gpus[gpu])) for gpu in others
            ]
        left = [self.options.room * total - used for used, total in pairs if used is not None and total]
        return min(left, default=None)

    def _short_of(self, at: Observation) -> Verdict | None:
        """Reports a full GPU, by the counters of torch's allocator."""
        failed = at.values.get("resource/torch_ooms")
        if failed is not None and self.failures is None:
            self.failures = failed
        more = (failed or 0.0) - (self.failures or 0.0)
        if more > 0:
            return Verdict(
                severity=Severity.WARNING,
                message=f"the allocator found no memory {more:.0f} times since the first records",
                evidence={"resource/torch_ooms": [self.failures, failed]},
                confidence=0.9,
            )
        if len(self.retried) < 5 or self.records - self.retried[0] >= 20:
            return None
        return Verdict(
            severity=Severity.INFO,
            message="the GPU is full: the allocator emptied its cache in 5 of the last 20 records",
            evidence={"resource/torch_alloc_retries": self.retries},
            confidence=0.8,
        )

    def _in_log(self, step: int) -> Verdict | None:
        """Judges a level that a framework logged, without the capacity."""
        memory = self.logged
        if memory.count < 100:
            return None
        values = memory.tail(100)
        tops = [max(islice(values, start, start + 25)) for start in range(0, 100, 25)]
        rises = [after - before for before, after in pairwise(tops)]
        if tops[0] <= 0 or min(rises) < self.options.quarter * tops[0]:
            return None
        if max(rises) > 3 * min(rises) or tops[-1] - tops[0] < self.options.total * tops[0]:
            return None
        pace = (tops[-1] - tops[0]) / max(self.steps[-1] - self.steps[0], 1) * 100 / 75
        planned = self.context.number("max_steps") or 0.0
        doubles = planned > step and pace * (planned - step) >= tops[-1]
        grew = _grew(self.length)
        return Verdict(
            severity=Severity.WARNING if doubles or not grew else Severity.INFO,
            message=f"memory rose from {tops[0]:.3g} to {tops[-1]:.3g} GiB over the last 100 records"
            + (f"; at step {planned:.0f} it would have doubled" if doubles else ""),
            evidence={"memory_gib": [round(top, 3) for top in tops], "gib_per_step": pace},
            onset=self.steps[0],
            confidence=0.7,
            baseline=tops[0],
            limit=(1 + self.options.total) * tops[0],
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the process keeps objects from step to step: graphs, logs, completions",
                (Remedy("look for tensors and lists that grow in reward functions and callbacks"),),
                0.5,
            ),
            Cause(
                "sequences grow longer",
                (
                    Remedy("lower `max_completion_length`", scale=0.5, verl="lower data.max_response_length"),
                    Remedy("lower `per_device_train_batch_size`", scale=0.5, down_to=1),
                ),
                0.7 if _grew(self.length) else 0.4,
            ),
            Cause(
                "the engine leaves too little memory",
                (
                    Remedy("lower `vllm_gpu_memory_utilization`", scale=0.7, only_with="use_vllm"),
                    Remedy("set `vllm_enable_sleep_mode=True`", only_with="use_vllm"),
                ),
                0.3,
            ),
        ]


def _grew(length: Track) -> bool:
    lengths = length.tail(100)
    return len(lengths) >= 50 and sum(lengths[-25:]) > 1.1 * sum(lengths[:25])


def _memory_name(name: str) -> str:
    if match := GPU.fullmatch(name):
        return f"the memory of GPU {match[1]} without torch's cache"
    return "the memory of the process" if name == PROCESS else "the peak memory of tensors"
