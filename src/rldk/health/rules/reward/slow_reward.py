"""REW010 slow-reward: the reward functions take more than 30% of a step.

Invariant: only `observe_rewards` measures the time of a function; a log alone is not checked.
"""

from collections.abc import Collection

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.common import OBSERVE
from rldk.health.rules.reward.common import MAX_FUNCTIONS, OBSERVED, observed_functions
from rldk.health.tracks import Streak, Track

__all__ = ["SlowReward", "SlowRewardOptions"]

BUSY = "reward_time_frac"


class SlowRewardOptions(RuleOptions, frozen=True):
    """Thresholds of slow-reward."""

    share: float = 0.3
    """Share of the time of the steps above which it is reported."""
    seconds: float = 0.1
    """Least time a step of the slowest function."""
    records: int = 20
    """Records in a row."""


class SlowReward(Rule[SlowRewardOptions]):
    """The reward functions take more than 30% of a step.

    ## What it looks for
    Time in the observed reward functions against the time of the steps.

    ## Why it matters
    The accelerator waits while a reward function runs.

    ## How it decides
    More than 0.3 of the time, in the mean of 20 records, for 20 records, and the slowest function takes at
    least 0.1 s a step: info.

    ## What looks alike but is healthy
    A judge model that is meant to take its time.

    ## What to do
    Run rewards in parallel or asynchronously.

    ## Sources
    trl#2887, trl#3195.
    """

    code, name, severity = "REW010", "slow-reward", Severity.INFO
    needs = (BUSY,)
    algorithms = ONLINE
    enable = OBSERVE
    when_over = "forget"

    def start(self) -> None:
        self.busy = self.chart.track(BUSY)
        self.seconds: dict[str, Track] = {}
        self.held = Streak()

    def meet(self, names: Collection[str]) -> None:
        for name in observed_functions(names):
            if len(self.seconds) < MAX_FUNCTIONS and name not in self.seconds:
                self.seconds[name] = self.chart.track(f"{OBSERVED}{name}/seconds")

    def observe(self, at: Observation) -> Verdict | None:
        held = self.held.feed(self.busy.ema20 > self.options.share, at.step)
        if held < self.enough(self.options.records) or not self.seconds:
            return None
        slowest = max(self.seconds, key=lambda name: self.seconds[name].ema20)
        seconds = self.seconds[slowest].ema20
        if seconds < self.options.seconds:
            return None
        return Verdict(
            severity=Severity.INFO,
            message=f"reward functions take {self.busy.ema20:.0%} of the time; the slowest is {slowest}, "
            f"{seconds:.2g} s a step",
            evidence={BUSY: self.busy.ema20, f"{OBSERVED}{slowest}/seconds": seconds},
            onset=self.held.since,
            confidence=0.9,
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "completions are scored one after the other",
                (
                    Remedy("score the completions of a batch in parallel, in threads or processes"),
                    Remedy("write the functions as coroutines (async def): TRL 1 awaits them together"),
                ),
                0.7,
            )
        ]
