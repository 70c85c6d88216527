"""SYS007 gpu-idle: the GPUs do little.

Invariant: only recorded times are judged, never the clock; a missing measurement counts as a busy GPU.
"""

import re
from collections import deque
from collections.abc import Collection
from itertools import takewhile
from statistics import median
from typing import NamedTuple

from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.system.common import MAX_NAMED, SCORING_SECONDS, STEP_TIME
from rldk.health.tracks import Track

__all__ = ["GPUIdle", "GPUIdleOptions"]

GPU = re.compile(r"resource/gpu(\d+)_(?:utilization|power)")


class _Stretch(NamedTuple):
    """Records of half a minute or more."""

    step: int
    seconds: float
    use: float
    power: float


class GPUIdleOptions(RuleOptions, frozen=True):
    """Thresholds of gpu-idle."""

    share: float = 0.3
    """Share of the time in use, or of the power limit, below which a GPU is idle."""
    seconds: float = 600.0
    """Seconds over which the shares are averaged."""


class GPUIdle(Rule[GPUIdleOptions]):
    """The GPUs do little.

    ## What it looks for
    A mean use of the multiprocessors, or mean power, below 30% over ten minutes.

    ## Why it matters
    You pay for hours in which the GPU waits: for generation, for data, for a reward function.

    ## How it decides
    The rule judges the busiest GPU of the process over the last ten recorded minutes, or over three stretches
    of records if those are longer. It was in use for less than 30% of the time, or drew less than 30% of its
    power limit. Both the mean by time and the median of the stretches must be below: info.

    ## What looks alike but is healthy
    Minutes of evaluation or saving, in which the GPU waits for other work: hence the median. A small model on
    a large GPU draws little power however busy it is; "utilisation" of 100% says only that some kernel ran.

    ## What to do
    See slow-steps and the time of the reward functions; larger batches; an engine for generation.

    ## Sources
    trl#2887, trl#3195.
    """

    code, name, severity = "SYS007", "gpu-idle", Severity.INFO
    needs = ("resource/gpu*_utilization|resource/gpu*_power",)
    enable = "record the run with RLDKCallback on a machine with an NVIDIA GPU"

    def start(self) -> None:
        track = self.chart.track
        self.time = track(STEP_TIME)
        self.gpus: dict[str, tuple[str, str, str]] = {}
        self.scoring: dict[str, Track] = {}
        self.last: float | None = None
        self.open = _Stretch(0, 0.0, 0.0, 0.0)
        self.past: deque[_Stretch] = deque(maxlen=64)
        self.now: Verdict | None = None

    def meet(self, names: Collection[str]) -> None:
        for name in names:
            if (match := GPU.fullmatch(name)) and len(self.gpus) < MAX_NAMED:
                gpu = f"resource/gpu{match[1]}"
                self.gpus[gpu] = (f"{gpu}_utilization", f"{gpu}_power", f"{gpu}_power_limit")
            elif (match := SCORING_SECONDS.fullmatch(name)) and len(self.scoring) < MAX_NAMED:
                self.scoring[match[1]] = self.chart.track(name)

    def observe(self, at: Observation) -> Verdict | None:
        time, last = at.wall_time, self.last
        self.last = time
        if time is None or last is None or time <= last or at.resumed_from is not None:
            return self.now
        seconds, values = time - last, at.values
        use = power = 0.0
        for names in self.gpus.values():
            busy, drawn, limit = map(values.get, names)
            use = max(use, 1.0 if busy is None else busy / 100)  # a missing measurement counts as busy
            power = max(power, 1.0 if drawn is None or not limit else drawn / limit)
        so_far = self.open
        self.open = _Stretch(
            so_far.step or at.step,
            so_far.seconds + seconds,
            so_far.use + seconds * use,
            so_far.power + seconds * power,
        )
        if self.open.seconds >= self.options.seconds / 20:
            self.past.append(self.open)
            self.open = _Stretch(0, 0.0, 0.0, 0.0)
            self.now = self._judge()
        return self.now

    def _judge(self) -> Verdict | None:
        window: list[_Stretch] = []
        seconds = 0.0
        for stretch in reversed(self.past):
            window.append(stretch)
            seconds += stretch.seconds
            if seconds >= self.options.seconds and len(window) >= 3:
                break
        else:
            return None
        use = _level([(stretch.seconds, stretch.use) for stretch in window])
        power = _level([(stretch.seconds, stretch.power) for stretch in window])
        share = self.options.share
        if min(use, power) >= share:
            return None
        waiting = takewhile(lambda stretch: min(stretch.use, stretch.power) < share * stretch.seconds, window)
        texts = [f"in use for {use:.0%} of the time"] if use < 1 else []
        texts += [f"at {power:.0%} of its power limit"] if power < 1 else []
        return Verdict(
            severity=Severity.INFO,
            message=f"in the last {seconds / 60:.0f} minutes the busiest GPU was {' and '.join(texts)}",
            evidence={"use": use, "power": power, "seconds": seconds},
            onset=min(stretch.step for stretch in (window[0], *waiting)),
            confidence=0.8 if use < share else 0.6,
        )

    def causes(self) -> list[Cause]:
        no_engine = self.context.option("use_vllm") is False
        found = [
            Cause(
                "generation without an engine computes one token at a time",
                (Remedy("set `use_vllm=True`"),),
                0.7 if no_engine else 0.3,
            ),
            Cause(
                "batches are too small for this GPU",
                (Remedy("raise `per_device_train_batch_size`", scale=2),),
                0.4,
            ),
            Cause(
                "the data comes too slowly",
                (Remedy("raise `dataloader_num_workers`"),),
                0.2,
            ),
        ]
        step = self.time.median(20)
        for function, track in self.scoring.items():
            spent = track.median(20)
            if step > 0 and spent >= 0.3 * step:
                found.append(
                    Cause(
                        f"the reward function {function} takes {spent:.3g} s of a step of {step:.3g} s",
                        (
                            Remedy(
                                f'find out what "{function}" waits for; call it for many completions at once'
                            ),
                        ),
                        0.9,
                    )
                )
        return found


def _level(parts: list[tuple[float, float]]) -> float:
    """The mean by time, or the median if that is more, of (seconds, share times seconds) of stretches."""
    mean = sum(total for _, total in parts) / sum(seconds for seconds, _ in parts)
    return max(mean, median(total / seconds for seconds, total in parts))
