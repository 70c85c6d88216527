"""GEN002 eos-mismatch: almost all completions count as cut, but they did end: the trainer knows another end
token.

Invariant: it is reported only where completions are shorter than the limit, or hold an end token.
"""

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.generation.common import LONGEST
from rldk.health.tracks import Streak
from rldk.metrics.aliases import LENGTH, TRUNCATED

__all__ = ["EOSMismatch", "EOSMismatchOptions"]

ENDED = "samples/ended_frac"
COUNTED = "samples/trainer_ended_frac"


class EOSMismatchOptions(RuleOptions, frozen=True):
    """Thresholds of eos-mismatch."""

    share: float = 0.9
    """Least share of completions that count as cut."""
    length: float = 0.9
    """Share of the limit below which the longest completion must stay."""
    ended: float = 0.5
    """Least share of completions with an end token that proves the mismatch."""
    counted: float = 0.1
    """Share of completions with an end token known to the trainer, at or below which the mismatch is
    proven."""
    records: int = 5
    """Records in a row."""


class EOSMismatch(Rule[EOSMismatchOptions]):
    """Almost all completions count as cut, but they did end: the trainer knows another end token.

    ## What it looks for
    Nearly all completions count as cut, although even the longest is shorter than the limit.

    ## Why it matters
    With `mask_truncated_completions` nothing is left to train on. Without it the log misleads, and rewards
    and penalties for length are wrong.

    ## How it decides
    Five records in a row: at least 0.9 count as cut, and the longest completion (the mean length, where that
    is not logged) is below 0.9 of `max_completion_length`. `observe_rewards` proves it by the tokens. At
    least half of the completions hold an end token, but at least 0.9 count as cut, or at most a tenth hold an
    end token that the trainer knows.

    ## What looks alike but is healthy
    Completions that really are cut have the length of the limit. verl counts by length and is not affected.

    ## What to do
    Set the tokenizer's EOS token to the one that ends a turn, before the trainer is built.

    ## Sources
    trl#7039 (Phi-3.5: 0.97 counted as cut, really ended).
    """

    code, name, severity = "GEN002", "eos-mismatch", Severity.WARNING
    needs = (TRUNCATED, f"{LONGEST}|{LENGTH}")
    algorithms = ONLINE
    enable = "train with GRPO or RLOO of TRL and record the run with rldk"
    shown_by = ("ended-unseen",)
    answers = ("all-clipped",)

    def start(self) -> None:
        self.cut = self.chart.track(TRUNCATED)
        self.longest = self.chart.track(f"{LONGEST}|{LENGTH}")
        self.limit = self.context.number("max_completion_length")
        self.ended, self.counted = self.chart.track(ENDED), self.chart.track(COUNTED)
        self.held, self.proven = Streak(), Streak()

    def checkable(self) -> str | None:
        if self.limit is None:
            return "it needs the option max_completion_length: rldk records it, a log does not hold it"
        return None

    def observe(self, at: Observation) -> Verdict | None:
        limit = self.limit
        if limit is None:
            return None
        cut = self.cut.last >= self.options.share
        seen = self.ended.step == self.cut.step and self.ended.last >= self.options.ended
        odd = cut and self.longest.last < self.options.length * limit
        held = self.held.feed(odd, at.step)
        unknown = self.counted.step == self.cut.step and self.counted.last <= self.options.counted
        if self.proven.feed(seen and (cut or unknown), at.step) >= self.options.records:
            counted = f"for the trainer {self.counted.last:.0%} do"
            counts = f"{self.cut.last:.0%} count as cut" if cut else counted
            return Verdict(
                severity=Severity.WARNING,
                message=f"{self.ended.last:.0%} of the completions hold an end token, but {counts}: "
                "the trainer knows another end token",
                evidence={TRUNCATED: self.cut.last, ENDED: self.ended.last},
                onset=self.proven.since,
                confidence=0.99,
            )
        if held < self.options.records:
            return None
        name = LONGEST if self.chart.holds(LONGEST) else LENGTH
        which = "longest" if name == LONGEST else "mean completion"
        return Verdict(
            severity=Severity.WARNING,
            message=f"{self.cut.last:.0%} of the completions count as cut, but the {which} has "
            f"{self.longest.last:.0f} tokens of {limit:.0f}: they ended on a token unknown to the trainer",
            evidence={TRUNCATED: self.cut.last, name: self.longest.last, "max_completion_length": limit},
            onset=self.held.since,
            confidence=0.9,
            limit=self.options.share,
        )

    def causes(self) -> list[Cause]:
        masks = self.context.option("mask_truncated_completions")
        first = (
            (Remedy("set `mask_truncated_completions=False` until the end token is right"),) if masks else ()
        )
        return [
            Cause(
                "generation stops on other tokens than the tokenizer's EOS",
                (
                    Remedy(
                        'set "tokenizer.eos_token" to the token that ends a turn (such as "<|im_end|>" or '
                        '"<end_of_turn>") before the trainer is built'
                    ),
                    *first,
                ),
                0.9,
            )
        ]
