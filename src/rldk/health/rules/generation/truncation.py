"""GEN001 truncation: completions run into the length limit before they end.

Invariant: a rise counts more than a level, and a reward that gains halves the score of both.
"""

from math import log

import msgspec

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import course
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.causes import loophole, too_fast
from rldk.health.rules.generation.common import LONGEST, NOISES, SHORTEST
from rldk.health.tracks import Streak
from rldk.health.trouble import MIDDLE_LAG, Trouble
from rldk.metrics.aliases import LENGTH, REWARD, TRUNCATED

__all__ = ["Truncation", "TruncationOptions"]

LONGER = Remedy("raise `max_completion_length`", scale=2, verl="raise data.max_response_length")
NEARLY_ALL = 0.8
"""Share of cut completions from which twice the limit is hardly enough."""
NO_GAIN = 1 / 3
"""Benefit below which the reward has not gained a standard error."""


class TruncationOptions(RuleOptions, frozen=True):
    """Thresholds of truncation."""

    rise: float = 0.25
    """Rise of the share above the run's lowest that is a warning while the reward stands."""
    level: float = 0.25
    """Share that is a warning where it lasts while the reward stands."""
    most: float = 0.9
    """Share that is a warning where it lasts although the reward gains."""
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
    Two sizes decide, by the median of eleven records or the mean of ten if that is lower. *It rose*: the
    score is 1 at a rise of 0.25 above the run's lowest mean (or the mean of the first five), for five
    records. It is the rise in units of 0.25, or of 2.5 times the noise if that is more. *It stays*: the score
    is 1 at a share of 0.25 and 2 at 0.9, for 50 records or for 25 that span 100 steps,
    and fewer where a record is a mean of several steps. A reward that gained
    since then takes away up to half of the score; see [severity](../severity.md). From a score of 1 on it is
    a warning, critical from 2 while the reward falls. Info where only the gain keeps it below. *Everything is
    cut*: at least 0.95, the shortest completion as long as the longest, for 20 records, and the reward has
    not gained a standard error: critical.

    ## What looks alike but is healthy
    Base models start at 1.0 and learn to stop within 50 steps. Chains of thought grow with the reward. If the
    trainer does not know the end of an answer, see eos-mismatch.

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
    explained_by = (
        "sampling-temperature",
        "eos-mismatch",
        "sampling-mismatch",
        "kl-blowup",
        "length-runaway",
        "entropy-explosion",
    )
    shown_by = ("first-cut", "last-cut", "longest-unknown-end")
    answers = ("all-clipped",)

    def start(self) -> None:
        track, options = self.chart.track, self.options
        self.cut = track(TRUNCATED)
        self.shortest, self.longest = track(SHORTEST), track(LONGEST)
        self.reward = track(REWARD)
        self.length = track(LENGTH)
        self.rise = Trouble(self.reward, records=options.records, lag=MIDDLE_LAG, enough=self.enough)
        self.level = Trouble(self.reward, records=10 * options.records, lag=MIDDLE_LAG)
        self.whole = Streak()

    def observe(self, at: Observation) -> Verdict | None:
        cut, options = self.cut, self.options
        if cut.count < 5:
            for trouble in (self.rise, self.level):
                trouble.feed(0.0, at.step)  # so that what lags behind can begin at the first record
            return None
        now, own = min(cut.middle, cut.ema10), min(cut.lowest, cut.start)
        noisy = max(options.rise, NOISES * cut.noise)
        rise = self.rise.feed((now - own) / noisy, at.step)
        whole = self.whole.feed(cut.last >= options.all and self._all_alike(), at.step)
        dead = whole >= 4 * options.records
        times = 4 if dead else 5 if at.step - self.level.since >= 100 else 10
        records = self.enough(times * options.records, least=10)
        level = self.level.feed(self._size(now), at.step, records=records)
        self.score = max(self.rise.score, self.level.score)
        if cut.count < 10 or (rise is None and level is None):
            return None
        severity = max(rise or Severity.INFO, level or Severity.INFO)
        if dead and severity > Severity.INFO and self.level.benefit < NO_GAIN:
            severity = Severity.CRITICAL
        rose = (rise or 0) >= (level or 0)
        trouble = self.rise if rose else self.level
        reward, then = self.reward, trouble.then
        reward_text = f"; the reward {course(then.mean, reward.ema20)}" if then else ""
        return Verdict(
            severity=severity,
            message=f"{now:.0%} of the completions are cut off at the length limit"
            + (
                f", up from {own:.0%}"
                if rose
                else f", at least {options.level:.0%} for {times * options.records} records"
            )
            + reward_text,
            evidence={
                TRUNCATED: [cut.start, own, now],
                "completion_length": [self.shortest.last, self.longest.last],
                "reward_mean": [then.mean, reward.ema20] if then else None,
            },
            onset=trouble.since,
            confidence=trouble.confidence,
            baseline=own,
            limit=own + noisy if rose else options.level,
        )

    def _size(self, share: float) -> float:
        """The effect of a level: 1 at `level`, 2 at `most`."""
        level, most = self.options.level, self.options.most
        return share / level if share < level else 1.0 + log(share / level) / log(most / level)

    def explains(self, rule: str) -> bool:
        """Truncation explains a reward that no completion gets only where nearly all are cut."""
        return rule not in ("dead-reward", "zero-gradient", "zero-advantage") or self.cut.ema10 >= 0.98

    def _all_alike(self) -> bool:
        longest = self.longest
        return not longest.count or self.shortest.last >= 0.95 * longest.last

    def _lost_at_once(self) -> bool:
        """Whether the first record had the best reward, and most of it is gone."""
        reward = self.reward
        way = reward.high - reward.low
        return way > 0 and reward.first == reward.high and reward.first - reward.ema10 >= 0.75 * way

    def _longer(self) -> Remedy:
        """The limit doubled; four times as long, where hardly a completion fits."""
        return msgspec.structs.replace(LONGER, scale=4) if self.cut.ema10 >= NEARLY_ALL else LONGER

    def causes(self) -> list[Cause]:
        rose = self.cut.ema10 - self.cut.start > 0.2
        trouble = self.rise if rose else self.level
        at_once = self._lost_at_once()
        paid = rose and trouble.benefit >= 0.5
        return [
            Cause("the limit is too small for the answers", (self._longer(),), 0.4 if rose else 0.8),
            too_fast(
                self.chart,
                "updates are too large, and the end token is lost",
                0.85 if at_once else 0.5,
                trouble.since,
            )
            if at_once or (rose and trouble.benefit <= -0.5)
            else loophole(0.1, paid=paid),
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
