"""What completions are as texts: whether they end, differ, and do not repeat themselves.

Invariant: nothing is said of texts that were not seen.
"""

from typing import ClassVar

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import at_ceiling, course, in_noise, thrives
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.reward_faults import OBSERVE
from rldk.health.tracks import Streak, Track
from rldk.metrics.aliases import REWARD

__all__ = ["RULES"]

DUPLICATES, REPEATED = "samples/duplicate_frac", "samples/repetition_frac"
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


class RisesAboveOwnLevel(Rule):
    """A share among the texts that rises above the run's own."""

    algorithms = ONLINE
    enable = OBSERVE
    share: ClassVar[str]
    """The metric."""

    def start(self) -> None:
        self.level, self.reward = self.chart.track(self.share), self.chart.track(REWARD)
        self.high = Streak()

    def observe(self, at: Observation) -> Verdict | None:
        track, options = self.level, self.options
        if track.count < 10:
            return None
        # Both, since a rise before record 25 is part of the second.
        own = track.start if track.baseline is None else min(track.start, track.baseline)
        now = min(track.ema10, track.median(5))  # a short burst stays in a mean for long
        rise = now - own
        high = rise >= options.rise and now >= options.level and in_noise(track, rise) >= 2.0
        if self.high.feed(high, at.step) < self.enough(options.records):
            return None
        reward = self.reward
        if self.is_rewarded(reward):
            return None
        reward_text = f"; the reward {course(reward.start, reward.ema20)}" if reward.count else ""
        return Verdict(
            severity=Severity.INFO if not reward.count or thrives(reward) else Severity.WARNING,
            message=self.describe(own, track.ema10) + reward_text,
            evidence={
                self.share: [own, track.ema10],
                "reward_mean": [reward.start, reward.ema20] if reward.count else None,
            },
            onset=self.high.since,
            confidence=min(0.6 + rise / 2, 0.9),
        )

    def is_rewarded(self, reward: Track) -> bool:
        """Whether the reward says that such texts are what the task asks for."""
        return False

    def describe(self, own: float, now: float) -> str:
        """What is the matter, with the numbers."""
        raise NotImplementedError


class DuplicateCompletions(RisesAboveOwnLevel):
    """More and more completions of one prompt are the same.

    ## What it looks for
    The share of completions with the same text as another one of the same prompt.

    ## Why it matters
    Identical completions have the same reward, so their advantage is 0: it is how lost entropy shows in text.

    ## How it decides
    The mean of ten records is at least 0.5, and at least 0.3 and twice the noise above the run's own (the
    mean of the first five records, or the median of records 5 to 25 if that is lower), for ten records, and
    the reward does not do well: warning; where it does: info; where the task is solved: nothing. The texts
    are those that `observe_rewards` sees.

    ## What looks alike but is healthy
    Tasks with few right answers, such as one number: there it is high from the start, or the reward rises
    with it.

    ## What to do
    See entropy-collapse.

    ## Sources
    DAPO (arXiv 2503.14476).
    """

    code, name, severity = "GEN009", "duplicate-completions", Severity.WARNING
    share = DUPLICATES
    needs = (DUPLICATES,)

    class Options(RuleOptions, frozen=True):
        """Thresholds of duplicate-completions."""

        rise: float = 0.3
        """Rise of the share above the run's own."""
        level: float = 0.5
        """Share below which nothing is said."""
        records: int = 10
        """Records in a row."""

    def is_rewarded(self, reward: Track) -> bool:
        """A solved task has few answers left."""
        return at_ceiling(reward)

    def describe(self, own: float, now: float) -> str:
        return f"{now:.0%} of the completions are the same as another one of their prompt, up from {own:.0%}"

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the policy lost its entropy",
                (
                    Remedy("raise `temperature` to 1.0", up_to=1.0),
                    Remedy("set `epsilon_high` to 0.28", up_to=0.28),
                    Remedy("set `beta` to 0.04", up_to=0.04, verl="raise actor.kl_loss_coef"),
                ),
                0.7,
            ),
            Cause(
                "one answer is rewarded whatever the prompt",
                (Remedy("read them: rldk samples RUN --sort reward"),),
                0.5,
            ),
        ]


class Repetition(RisesAboveOwnLevel):
    """Completions repeat themselves.

    ## What it looks for
    The share of 4-grams of tokens that stood in the same completion before.

    ## Why it matters
    It is how a lost end token, or a reward for length, shows in text.

    ## How it decides
    The mean of ten records is at least 0.3, and at least 0.2 and twice the noise above the run's own (the
    mean of the first five records, or the median of records 5 to 25 if that is lower), for ten records, and
    the reward does not do well: warning; where it does, and may be what pays for it: info. The texts are
    those that `observe_rewards` sees.

    ## What looks alike but is healthy
    Code, tables and lists repeat themselves, from the start.

    ## What to do
    See length-runaway and truncation; punish repetition in the reward.

    ## Sources
    arXiv 2502.03373 (repetition under a reward for length).
    """

    code, name, severity = "GEN010", "repetition", Severity.WARNING
    share = REPEATED
    needs = (REPEATED,)
    enable = f"{OBSERVE}; of completions shorter than 16 tokens it says nothing"

    class Options(RuleOptions, frozen=True):
        """Thresholds of repetition."""

        rise: float = 0.2
        """Rise of the share above the run's own."""
        level: float = 0.3
        """Share below which nothing is said."""
        records: int = 10
        """Records in a row."""

    def describe(self, own: float, now: float) -> str:
        return f"{now:.0%} of the 4-grams of a completion stood in it before, up from {own:.0%}"

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the policy no longer ends its answers, and fills them",
                (
                    Remedy("read them: rldk samples RUN"),
                    Remedy("set `beta` to 0.04", up_to=0.04, verl="raise actor.kl_loss_coef"),
                ),
                0.6,
            ),
            Cause(
                "the reward pays for length, or for words that can be said again",
                (Remedy("punish repetition in the reward: get_repetition_penalty_reward of TRL"),),
                0.5,
            ),
        ]


RULES: tuple[type[Rule], ...] = (MissingEOS, DuplicateCompletions, Repetition)
