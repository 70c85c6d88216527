"""GEN008 missing-eos: few sequences end.

Invariant: it reads the trainer's own counts of EOS tokens; the reward decides about a warning.
"""

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.generation.common import PAID
from rldk.health.tracks import Streak
from rldk.health.trouble import Trouble
from rldk.metrics.aliases import REWARD

__all__ = ["MissingEOS", "MissingEOSOptions"]

CONTAIN = "contain_eos_frac"
COUNT = "eos_token_count"
SHORT = 64
"""Response length in tokens that an answer may fill by design."""
EARLY = 40
"""Records before which a reward cannot show yet whether it rises."""


class MissingEOSOptions(RuleOptions, frozen=True):
    """Thresholds of missing-eos."""

    share: float = 0.5
    """Share of completions with an EOS below which it is reported."""
    records: int = 20
    """Records in a row; half as many where no completion has an EOS."""


class MissingEOS(Rule[MissingEOSOptions]):
    """Few sequences end.

    ## What it looks for
    The share of completions with an EOS token, or their number.

    ## Why it matters
    A policy that does not end writes up to the limit, and the text after the answer is scored too.

    ## How it decides
    The score is 1 where half of the completions lack an EOS, a mean of 20 records, and 2 where all do. That
    holds for 20 records, or none has one in ten records in a row; see [severity](../severity.md). A reward
    that gained since then takes away up to seven tenths. From a score of 1 on it is a warning. It is info
    before record 40 or where `response_length` is known to be 64 or less. A run that had EOS tokens before
    and lost more than half of them gets a warning whatever the reward does.

    ## What looks alike but is healthy
    Short responses by design: PPO's `response_length` is 53 tokens by default, which many tasks fill.

    ## What to do
    Set `missing_eos_penalty`; fine-tune again with the EOS in the labels.

    ## Sources
    TRL's PPO documentation and configuration; trl#1623.
    """

    code, name, severity = "GEN008", "missing-eos", Severity.WARNING
    needs = (f"{CONTAIN}|{COUNT}",)
    algorithms = ONLINE
    enable = "train with PPO or online DPO of TRL, which log EOS tokens"
    explained_by = ("eos-never-learned",)
    shown_by = ("first-cut", "last-cut", "longest-unknown-end")

    def start(self) -> None:
        self.share, self.count = self.chart.track(CONTAIN), self.chart.track(COUNT)
        self.reward = self.chart.track(REWARD)
        self.few = Trouble(self.reward, records=self.options.records, discount=PAID)
        self.none = Streak()
        self.short = 0 < (self.context.number("response_length") or 0.0) <= SHORT

    def observe(self, at: Observation) -> Verdict | None:
        track = self.share if self.share.count else self.count
        missing = 1.0 if track.last <= 0 else 1.0 - track.ema20 if track is self.share else 0.0
        none = self.none.feed(track.last <= 0, at.step)
        lasting = none >= self.options.records / 2  # a record or two without any are no silence
        lost = track.start > 2 * track.ema10 and track.start > 0
        severity = self.few.feed(
            missing / (1.0 - self.options.share),
            at.step,
            records=self.options.records / (2 if lasting else 1),
            is_absolute=lost,
        )
        self.score = self.few.score
        if severity is None:
            return None
        early = self.reward.count < self.enough(EARLY)
        return Verdict(
            severity=Severity.INFO if (early or self.short) and not lost else min(severity, Severity.WARNING),
            message="no completion ends with an EOS"
            if lasting
            else f"only {track.ema20:.0%} of the completions contain an EOS",
            evidence={CONTAIN if track is self.share else COUNT: [track.start, track.ema10]},
            onset=self.none.since if lasting else self.few.since,
            confidence=0.8 if lost else 0.6,
            baseline=track.start,
            limit=self.options.share if track is self.share else 0.0,
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the limit is too small for an answer",
                (Remedy("raise `response_length`", scale=2),),
                0.5,
            ),
            Cause(
                "the model never learned to end: its EOS was masked out as padding in fine-tuning",
                (
                    Remedy("set `missing_eos_penalty` to 1.0", up_to=1.0),
                    Remedy("set `stop_token='eos'`"),
                    Remedy("fine-tune again with the EOS in the labels"),
                ),
                0.5,
            ),
        ]
