"""What completions are as texts: whether they end, differ, and do not repeat themselves.

Invariant: nothing is said of texts that were not recorded.
"""

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.pending import Pending
from rldk.health.signals import REWARD, thrives
from rldk.health.statistics import Streak

__all__ = ["RULES"]

CONTAIN = "contain_eos_frac"
COUNT = "eos_token_count"
SHORT = 64
"""Response length in tokens that an answer may fill by design."""
EARLY = 40
"""Records before which a reward cannot show yet whether it rises."""


class MissingEOS(Rule):
    """Few sequences end.

    ## What it looks for
    The share of completions with an EOS token, or their number.

    ## Why it matters
    A policy that does not end writes to the limit; what comes after the answer is scored too.

    ## How it decides
    Fewer than half of the completions contain an EOS, a mean of 20 records, for 20 records; or none in ten
    records in a row. Warning where the reward does not thrive after 40 records and `response_length` is not
    known to be 64 or less, or where the run had them before and lost
    them; otherwise info.

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

    class Options(RuleOptions, frozen=True):
        """Thresholds of missing-eos."""

        share: float = 0.5
        """Share of completions with an EOS."""
        records: int = 20
        """Records in a row; half as many where there is none."""

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
        if few < self.options.records and none < self.options.records / 2:
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
            if none
            else f"only {track.ema20:.0%} of the completions contain an EOS",
            evidence={CONTAIN if track is self.share else COUNT: [track.start, track.ema10]},
            onset=self.none.since if none else self.few.since,
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


SAMPLES = "record completions: a log holds no texts"


class DuplicateCompletions(Pending):
    """More and more completions of one prompt are the same.

    ## What it looks for
    The share of identical completions within the group of one prompt.

    ## Why it matters
    Identical completions have the same reward, so their advantage is 0: it is how lost entropy shows in text.

    ## How it decides
    It compares the share with the run's own base. Logs hold no texts: it is not checked until completions are
    recorded.

    ## What looks alike but is healthy
    Tasks with few right answers, such as one number.

    ## What to do
    See entropy-collapse.

    ## Sources
    DAPO (arXiv 2503.14476).
    """

    code, name, severity = "GEN009", "duplicate-completions", Severity.WARNING
    missing = SAMPLES


class Repetition(Pending):
    """Completions repeat themselves.

    ## What it looks for
    Repeated n-grams within completions.

    ## Why it matters
    It is how a lost end token, or a reward for length, shows in text.

    ## How it decides
    It compares the share of repeated n-grams with the run's own base. Logs hold no texts: it is not checked
    until completions are recorded.

    ## What looks alike but is healthy
    Code, tables and lists repeat themselves.

    ## What to do
    See length-runaway and truncation; punish repetition in the reward.

    ## Sources
    arXiv 2502.03373 (repetition under a reward for length).
    """

    code, name, severity = "GEN010", "repetition", Severity.WARNING
    missing = SAMPLES


RULES: tuple[type[Rule], ...] = (MissingEOS, DuplicateCompletions, Repetition)
