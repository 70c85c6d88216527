"""GEN008 missing-eos: few sequences end.

Invariant: it reads the trainer's own counts of EOS tokens; the reward decides about a warning.
"""

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import thrives
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.tracks import Streak
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
    Fewer than half of the completions contain an EOS, a mean of 20 records, for 20 records; or none in ten
    records in a row. Warning where the run had EOS tokens before and lost them. Warning, too, where the
    reward does not thrive after 40 records, unless `response_length` is known to be 64 or less. Otherwise
    info.

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
        self.few, self.none = Streak(), Streak()
        self.alarmed = False
        self.short = 0 < (self.context.number("response_length") or 0.0) <= SHORT

    def observe(self, at: Observation) -> Verdict | None:
        track = self.share if self.share.count else self.count
        few = self.few.feed(track is self.share and track.ema20 < self.options.share, at.step)
        none = self.none.feed(track.last <= 0, at.step)
        lasting = none >= self.options.records / 2  # a record or two without any are no silence
        if few < self.options.records and not lasting:
            return None
        thriving = thrives(self.reward)
        lost = track.start > 2 * track.ema10 and track.start > 0
        early = self.reward.count < self.enough(EARLY)
        silent = early or thriving or self.short
        if silent and not lost and self.alarmed:
            return None
        self.alarmed = self.alarmed or lost or not silent
        return Verdict(
            severity=Severity.INFO if silent and not lost else Severity.WARNING,
            message="no completion ends with an EOS"
            if lasting
            else f"only {track.ema20:.0%} of the completions contain an EOS",
            evidence={CONTAIN if track is self.share else COUNT: [track.start, track.ema10]},
            onset=self.none.since if lasting else self.few.since,
            confidence=0.8 if lost else 0.6,
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
