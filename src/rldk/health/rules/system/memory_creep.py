"""SYS004 memory-creep: memory grows with every step, until there is none left.

Invariant: what is full on purpose (the caches of an allocator, an engine's share of the GPU, the kernel's
caches) is no finding; a level that rises is one only where it reaches an end.
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
    """Of logged memory: least rise from quarter to quarter, as a share."""
    total: float = 0.1
    """Of logged memory: least rise over all."""
    risen: float = 0.02
    """Of measured memory: least rise over all."""
    room: float = 0.95
    """Share of what there is that a rise must reach."""
    full: float = 0.97
    """Share of the memory of the machine, or of the limit, that is all but used up."""


class MemoryCreep(Rule[MemoryCreepOptions]):
    """Memory grows with every step, until there is none left.

    ## What it looks for
    Allocated memory, or that of the process, that keeps rising; memory that is all but used up.

    ## Why it matters
    The run dies hundreds of steps later, mostly without a checkpoint of that time.

    ## How it decides
    Where rldk measured: the memory of the process, the most that tensors take, or what is used of a GPU
    beside torch's cache rises evenly over the last three quarters of the run: at least 100 records and 15
    minutes; again and again higher than ever before; no quarter of that time gains more than three times
    another, the last at least 0.7 of the first, all more than the level goes up and down within one; by 2%
    and 0.1 GiB in all; of the process, the machine has grown fuller by half of that at least. And at this
    pace 95% of what there is (of the machine, of the container's limit, of the GPU) are in use before the
    planned end, but no more is foretold than three times the steps done. All that in at least three looks,
    ten records apart, more than in looks without: warning. Or, in five records in a row, more than 97% of the
    machine's memory, or of the limit, is in use and less than 8 GiB are left: warning; caches that the kernel
    would give back do not count. Or the allocator found no memory since the first ten records: warning; or it
    had to empty its cache in at least 5 of the last 20 records: info.

    Where a framework logged it: every tenth record, over the last 100, the largest value of each quarter is
    above that of the quarter before by at least 2%, no rise is more than three times another, and together
    they are at least 10%: warning; info where completions grew by a tenth, unless at this pace memory doubles
    before `max_steps`. The capacity of the card is not in a log.

    ## What looks alike but is healthy
    The allocator's cache: reserved memory rises in steps and stays. A peak that follows the longest batch. A
    process that grows while caches warm up, or by the pages of a dataset that it maps. An engine that takes
    90% of the GPU at once, as it was told to. A jump by another process. Memory that rises and has room until
    the end.

    ## What to do
    Smaller batches and shorter completions; give the engine less; find what is kept from step to step.

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
        self.gpus: dict[str, str] = {}  # what is used of each, and what there is of it
        self.full = {used: Streak() for used, _, _ in ROOMS}
        self.began: float | None = None
        self.at_first: float | None = None  # memory of the machine in use
        self.records = 0
        self.sure = 0
        self.since: int | None = None
        self.foretold: Verdict | None = None
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
        """A level that reaches its end before the run does, seen in three looks more than it was not."""
        early = self.records < 100 or (at.wall_time or 0.0) - (self.began or 0.0) < 900
        verdict = None if early else self._foretold(at)
        self.sure = max(self.sure - 1, 0) if verdict is None else min(self.sure + 1, 5)
        if self.sure == 0:
            self.since = None
        elif self.since is None:
            self.since = at.step
        self.foretold = verdict or self.foretold
        return self.foretold if self.sure >= 3 else None

    def _foretold(self, at: Observation) -> Verdict | None:
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
        """A series; of a GPU's memory what is not torch's, whose cache fills a GPU by and by."""
        level = values.get(name)
        cache = values.get("resource/torch_reserved") if name in self.gpus else None
        return level if level is None or cache is None else level - cache

    def _missed(self, rise: float, values: Mapping[str, float | None]) -> bool:
        """Whether the machine has less memory for it: what a process maps of files, it can take back."""
        used = values.get(USED)
        return used is None or self.at_first is None or used - self.at_first >= rise / 2

    def _spare(self, name: str, values: Mapping[str, float | None]) -> float | None:
        """GiB by which a level can rise until the share `room` of what there is is in use."""
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
        """What torch's allocator says of a GPU that is full."""
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
        """A level that a framework logged, without what there is."""
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
                0.7 if _grew(self.length) else 0.4,
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


def _grew(length: Track) -> bool:
    lengths = length.tail(100)
    return len(lengths) >= 50 and sum(lengths[-25:]) > 1.1 * sum(lengths[:25])


def _memory_name(name: str) -> str:
    if match := GPU.fullmatch(name):
        return f"the memory of GPU {match[1]} beside torch's cache"
    return "the memory of the process" if name == PROCESS else "the most that tensors take"
