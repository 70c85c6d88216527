"""GEN003 length-runaway: completions keep growing, and the reward does not gain from it.

Invariant: a length is compared with the run's own start. A reward that gains takes away most of the score,
and never all of it.
"""

from math import exp

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import course, in_noise
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.causes import LOOPHOLE
from rldk.health.rules.generation.common import PAID, growth, least_growth
from rldk.health.tracks import Track
from rldk.health.trouble import MIDDLE_LAG, Trouble
from rldk.metrics.aliases import LENGTH, REWARD, TRUNCATED

__all__ = ["LengthRunaway", "LengthRunawayOptions"]


def _own_length(length: Track) -> float | None:
    """The run's own length: the mean of the first five records, or the median of records 5 to 25 if that is
    lower.
    """
    if length.count < 10:
        return None
    return length.start if length.baseline is None else min(length.start, length.baseline)


class LengthRunawayOptions(RuleOptions, frozen=True):
    """Thresholds of length-runaway."""

    times: float = 2.1
    """Multiple of the run's own length that is a warning while the reward stands."""
    absolute: float = 10.0
    """Multiple of the run's own length that is a warning whatever the reward does."""
    records: int = 10
    """Records in a row."""


class LengthRunaway(Rule[LengthRunawayOptions]):
    """Completions keep growing, and the reward does not gain from it.

    ## What it looks for
    The mean length far above the run's own, with a reward that did not rise with it.

    ## Why it matters
    Time and memory go into words that earn nothing, until completions hit the limit and the reward falls.

    ## How it decides
    The median of eleven records, as a multiple of the run's own length, for ten records. The own length
    is the mean of the first five records, or the median of records 5 to 25 if that is lower. The score is
    1 at 2.1 times the own length, or where the logarithm of the growth is 2.5 times its noise, if that is
    more. Each further such growth adds 1; see [severity](../severity.md). A reward that gained since then
    takes away up to seven tenths; ten times the own length is a warning whatever the reward does. From a
    score of 1 on it is a warning, info where only the gain keeps it below. Length and reward that jump at
    one record are info up to a score of 2: the prompts may have changed.

    ## What looks alike but is healthy
    Chains of thought that grow while the reward rises. A switch of the curriculum.

    ## What to do
    Use a loss without length bias (`loss_type='dapo'` or `'dr_grpo'`); look for length in the reward.

    ## Sources
    Dr. GRPO (arXiv 2503.20783); arXiv 2502.03373; open-instruct#648; OpenRLHF#236; public logs (137 to 868
    tokens while the reward fell from 5.3 to 3.5).
    """

    code, name, severity = "GEN003", "length-runaway", Severity.WARNING
    needs = (LENGTH,)
    algorithms = ONLINE
    enable = "log the mean length of completions"
    explained_by = ("entropy-explosion", "sampling-mismatch", "kl-blowup")
    shown_by = ("before", "longest-since")

    def start(self) -> None:
        track = self.chart.track
        self.length, self.reward, self.cut = track(LENGTH), track(REWARD), track(TRUNCATED)
        self.longer = Trouble(
            self.reward, records=self.options.records, discount=PAID, lag=MIDDLE_LAG, enough=self.enough
        )
        self.switched = False

    def observe(self, at: Observation) -> Verdict | None:
        length, trouble = self.length, self.longer
        own = _own_length(length)
        if own is None or own <= 0:
            return None
        held = trouble.effect >= 1.0
        effect = growth(length.middle, own, self.options.times, length)
        severity = trouble.feed(
            effect,
            at.step,
            is_absolute=length.middle >= self.options.absolute * own,
        )
        self.score = trouble.score
        if severity is None:
            return None
        if not held:
            self.switched = self._switched(own)
        if self.switched and self.score < 2.0:
            severity = Severity.INFO
        reward, then = self.reward, trouble.then
        return Verdict(
            severity=min(severity, Severity.WARNING),
            message=f"completions grew from {own:.0f} to {length.middle:.0f} tokens"
            + (f" while the reward {course(then.mean, reward.ema20)}" if then else "")
            + (", both at one record: did the prompts change?" if self.switched else ""),
            evidence={
                LENGTH: [own, length.middle],
                "reward_mean": [then.mean, reward.ema20] if then else None,
                TRUNCATED: self.cut.ema10 if self.cut.count else None,
            },
            onset=trouble.since,
            confidence=trouble.confidence,
            baseline=own,
            limit=own * exp(least_growth(self.options.times, length)),
        )

    def _switched(self, own: float) -> bool:
        """Whether most of the growth and a step of the reward fell on one record: other prompts."""
        lengths, rewards = self.length.tail(60), self.reward.tail(60)
        if self.length.count != self.reward.count or len(lengths) < 20:
            return False

        def steps(values: list[float]) -> list[float]:
            return [sum(values[i : i + 8]) / 8 - sum(values[i - 8 : i]) / 8 for i in places]

        places = range(8, len(lengths) - 7)
        jumps, changes = steps(lengths), steps(rewards)
        at = max(range(len(jumps)), key=jumps.__getitem__)
        position = places[at]
        near = sum(lengths[position + 1 : position + 4]) / 3 - sum(lengths[position - 4 : position - 1]) / 3
        abrupt = min(jumps[at], near) >= 0.7 * (self.length.ema10 - own)
        return abrupt and abs(in_noise(self.reward, changes[at])) >= 2.0

    def causes(self) -> list[Cause]:
        paid = self.longer.benefit >= 0.5
        biased = self.context.option("loss_type") == "grpo"
        return [
            Cause(
                "the loss favours long answers: the original GRPO divides it by length",
                (
                    Remedy("set `loss_type='dr_grpo'`", verl="set loss_agg_mode=token-mean"),
                    Remedy("set `loss_type='dapo'`"),
                ),
                0.9 if biased else 0.4,
            ),
            Cause(
                "the reward pays for length",
                (LOOPHOLE, Remedy("punish repetition in the reward")),
                0.8 if paid else 0.5,
            ),
            Cause(
                "nothing holds the policy near its reference",
                (Remedy("set `beta` to 0.01", up_to=0.01, verl="raise actor.kl_loss_coef"),),
                0.3,
            ),
        ]
