"""GEN001 truncation: completions run into the length limit before they end.

Invariant: a level is no fault by itself; a rise is one, or a level at which the reward does not learn.
"""

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import course, improving, thrives
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.generation.common import LONGEST, SHORTEST
from rldk.health.tracks import Streak
from rldk.metrics.aliases import LENGTH, REWARD, TRUNCATED

__all__ = ["Truncation", "TruncationOptions"]

LONGER = Remedy("raise `max_completion_length`", scale=2, verl="raise data.max_response_length")


class TruncationOptions(RuleOptions, frozen=True):
    """Thresholds of truncation."""

    rise: float = 0.3
    """Least rise of the share above the run's lowest."""
    most: float = 0.75
    """Share from which a rise is a warning although the reward does well."""
    level: float = 0.25
    """Share from which a level is reported where the reward does not do well."""
    all: float = 0.95
    """Share from which all completions count as cut."""
    records: int = 5
    """Records in a row after a rise; five times as many for a level."""


class Truncation(Rule[TruncationOptions]):
    """Completions run into the length limit before they end.

    ## What it looks for
    The share of completions without an end: whether it rose, or stays high while the reward does not learn.

    ## Why it matters
    A cut completion has no answer and scores as wrong. Where all are cut, nothing teaches the policy to stop.

    ## How it decides
    The mean of ten records decides. *It rose*: by 0.3 above the run's lowest mean (or the mean of the first
    five), for five records: a warning if the reward does not do well. It is a warning too if 0.75 are cut and
    two records in a row had less than 0.3: such a policy lost its end. *It stays*: at least 0.25, for 50
    records or for 25 that span 100 steps, and the reward does not do well: warning. *Everything is cut*: at
    least 0.95, the shortest completion as long as the longest, for 20 records, and the reward is not above
    its start and does not improve: critical. Where the reward does well it is info, and not reported while
    the share falls. But 0.95 over fifty records is a warning unless the reward rises fast, or is above 0.9 on
    a scale of 0 to 1.

    ## What looks alike but is healthy
    Base models start at 1.0 and learn to stop within 50 steps. Under a deliberately short budget all
    completions are cut, and the reward improves. Chains of thought grow with the reward. If the trainer does
    not know the end of an answer, see eos-mismatch.

    ## What to do
    Raise `max_completion_length`, or punish long answers softly before the limit.

    ## Sources
    verl's best practices (above 0.1 is too much); trl#5697 (97 to 99% cut at 256 tokens), trl#5759,
    trl#3248; open-r1#363; ms-swift#4950; verl#2738; TRL's default was 256 until 1.9. A level alone raises
    false alarms on 6 healthy logs of one source.
    """

    code, name, severity = "GEN001", "truncation", Severity.CRITICAL
    needs = (TRUNCATED,)
    algorithms = ONLINE
    enable = "train with GRPO or RLOO of TRL, which log completions/clipped_ratio"
    explained_by = ("eos-mismatch", "sampling-mismatch", "kl-blowup", "length-runaway", "entropy-explosion")
    shown_by = ("first-cut", "last-cut", "longest-unknown-end")
    answers = ("all-clipped",)

    def start(self) -> None:
        track = self.chart.track
        self.cut = track(TRUNCATED)
        self.shortest, self.longest = track(SHORTEST), track(LONGEST)
        self.reward = track(REWARD)
        self.length = track(LENGTH)
        self.risen, self.high, self.whole, self.sudden = Streak(), Streak(), Streak(), Streak()
        self.full = Streak()
        self.alarmed = False
        self.least = self.before = 1.0
        self.last_verdict: Verdict | None = None

    def observe(self, at: Observation) -> Verdict | None:
        cut, options = self.cut, self.options
        level = cut.ema10
        own = min(cut.lowest, cut.start)
        self.least = min(self.least, max(cut.last, self.before))
        self.before = cut.last
        risen = self.risen.feed(level >= own + options.rise, at.step)
        sudden = self.sudden.feed(cut.last >= own + options.rise, at.step)
        high = self.high.feed(level >= options.level, at.step)
        whole = self.whole.feed(cut.last >= options.all and self._all_alike(), at.step)
        full = self.full.feed(level >= options.all, at.step) >= self.enough(10 * options.records)
        long = high >= 5 * options.records and (high >= 50 or at.step - self.high.since >= 100)
        if cut.count < 10 or (risen < options.records and not long and whole < 4 * options.records):
            return None
        rose = risen >= options.records
        severity = self._severity(level, rose=rose, full=full, whole=whole)
        if severity is None:
            self.last_verdict = None
            return None
        if self.last_verdict is not None and self.last_verdict.severity is severity and cut.count % 10:
            return self.last_verdict  # a level changes slowly, and a new message costs time
        self.alarmed = self.alarmed or severity > Severity.INFO
        since = self.sudden.since if sudden >= risen else self.risen.since
        reward = self.reward
        reward_text = f"; the reward {course(reward.start, reward.ema20)}" if reward.count else ""
        self.last_verdict = Verdict(
            severity=severity,
            message=f"{level:.0%} of the completions are cut off at the length limit"
            + (f", up from {own:.0%}" if rose else ", as from the start")
            + reward_text,
            evidence={
                TRUNCATED: [cut.start, own, level],
                "completion_length": [self.shortest.last, self.longest.last],
                "reward_mean": [reward.start, reward.ema20] if reward.count else None,
            },
            onset=since if rose else self.high.since,
            confidence=0.9 if severity is Severity.CRITICAL else 0.75,
        )
        return self.last_verdict

    def _severity(self, level: float, *, rose: bool, full: bool, whole: int) -> Severity | None:
        reward, options = self.reward, self.options
        if not reward.count:
            return Severity.INFO
        well = thrives(reward)
        if whole >= 4 * options.records and not well and level >= options.all:
            return Severity.CRITICAL
        # A policy that could stop and no longer can is at fault at any reward. One that never could is not,
        # while its reward rises or is at the top of its scale: a short budget may be intended.
        lost_its_end = rose and level >= options.most and self.least <= 0.4 * options.most
        fast = 2.0 * min(self.chart.spacing, 10.0) ** 0.5  # the mean of ten steps has less noise
        top = reward.ema10 >= 0.9 and reward.low >= 0.0 and reward.high <= 1.0 + 1e-9
        if not well or lost_its_end or (full and not top and not improving(reward, records=20, sd=fast)):
            return Severity.WARNING
        falls = self.cut.ema10 < self.cut.best - 0.2
        is_notable = rose or level >= options.most
        return Severity.INFO if is_notable and not falls and not self.alarmed else None

    def explains(self, rule: str) -> bool:
        """Truncation explains a reward that no completion gets only where nearly all are cut."""
        return rule not in ("dead-reward", "zero-gradient", "zero-advantage") or self.cut.ema10 >= 0.98

    def _all_alike(self) -> bool:
        longest = self.longest
        return not longest.count or self.shortest.last >= 0.95 * longest.last

    def causes(self) -> list[Cause]:
        rose = self.cut.ema10 - self.cut.start > 0.2
        return [
            Cause("the limit is too small for the answers", (LONGER,), 0.4 if rose else 0.8),
            Cause(
                "the policy learns not to stop: length pays, or its end token is lost",
                (
                    Remedy("punish long answers softly before the limit: get_soft_overlong_punishment"),
                    Remedy(
                        "set `mask_truncated_completions=True` once less than half is cut",
                    ),
                    Remedy("set `loss_type='dapo'`"),
                ),
                0.7 if rose else 0.3,
            ),
            Cause(
                "the trainer does not know the token that ends an answer",
                (Remedy("compare the EOS of the tokenizer with the EOS of the generation config"),),
                0.35,
            ),
        ]
