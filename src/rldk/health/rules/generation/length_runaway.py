"""GEN003 length-runaway: completions keep growing, and the reward does not gain from it.

Invariant: a length is compared with the run's own start, and a reward that gains silences the rule.
"""

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import course, improving, in_noise, solved
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.tracks import Streak, Track
from rldk.metrics.aliases import LENGTH, REWARD, TRUNCATED

__all__ = ["LengthRunaway", "LengthRunawayOptions"]


def _own_length(length: Track) -> float | None:
    """The run's own length: the median of records 5 to 25, before that the mean of the first five."""
    if length.baseline is not None:
        return length.baseline
    return length.start if length.count >= 10 else None


class LengthRunawayOptions(RuleOptions, frozen=True):
    """Thresholds of length-runaway."""

    times: float = 1.5
    """Multiple of the run's own length from which it is reported."""
    gain: float = 0.5
    """Gain of the reward, in standard deviations of its noise, that pays for the length."""
    records: int = 10
    """Records in a row."""


class LengthRunaway(Rule[LengthRunawayOptions]):
    """Completions keep growing, and the reward does not gain from it.

    ## What it looks for
    The mean length far above the run's own, with a reward that did not rise with it.

    ## Why it matters
    Time and memory go into words that earn nothing, until completions hit the limit and the reward falls.

    ## How it decides
    The mean of 20 records is at least 1.5 times the median of records 5 to 25 (before record 25: twice the
    mean of the first five) and above it by 1.5 standard deviations of its noise, for ten records; and the
    reward gained less than half a standard deviation since they began to grow, and is not improving: warning.
    Info where the task is solved: longer answers only cost. Info for the first 100 records while the mean is
    below half of a known `max_completion_length`, no more completions are cut and the reward has not fallen.
    Info where length and reward jumped at one record.

    ## What looks alike but is healthy
    Chains of thought that grow while the reward rises, before it does, or where it has reached its ceiling
    since. A switch of the curriculum.

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
        self.longer = Streak()
        self.then: float | None = None
        self.cut_then = 0.0
        self.limit = self.context.number("max_completion_length")
        self.switched = False

    def observe(self, at: Observation) -> Verdict | None:
        length = self.length
        own = _own_length(length)
        if own is None:
            return None
        times = self.options.times if length.baseline is not None else 2.0
        longer = length.ema20 >= times * own and length.ema20 - own >= 1.5 * length.noise
        if length.ema20 < 1.2 * own:
            self.then, self.cut_then = self.reward.ema20, self.cut.ema10
        held = self.longer.feed(longer, at.step)
        if held == 1:
            self.switched = False
        if held < self.options.records or self._paid():
            return None
        reward = self.reward
        self.switched = self.switched or (held == self.options.records and self._switched(own))
        fine = not reward.count or solved(reward) or self.switched or self._may_pay(held)
        return Verdict(
            severity=Severity.INFO if fine else Severity.WARNING,
            message=f"completions grew from {own:.0f} to {length.ema20:.0f} tokens"
            + (f" while the reward {course(self._reward_then(), reward.ema20)}" if reward.count else "")
            + (", both at one record: did the prompts change?" if self.switched else ""),
            evidence={
                LENGTH: [own, length.ema20],
                "reward_mean": [self._reward_then(), reward.ema20] if reward.count else None,
                TRUNCATED: self.cut.ema10 if self.cut.count else None,
            },
            onset=self.longer.since,
            confidence=min(0.6 + 0.1 * (length.ema20 / max(own, 1.0) - times), 0.95),
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

    def _may_pay(self, held: int) -> bool:
        """Whether answers grow far from the limit and cost nothing yet: the reward may follow."""
        if self.limit is None or held >= 100 or self.length.ema20 > 0.5 * self.limit:
            return False
        fell = in_noise(self.reward, self._reward_then() - self.reward.ema20) >= self.options.gain
        return not fell and self.cut.ema10 - self.cut_then < 0.1

    def _reward_then(self) -> float:
        """The reward when completions had not yet grown by a fifth."""
        return self.reward.start if self.then is None else self.then

    def _paid(self) -> bool:
        reward = self.reward
        if not reward.count:
            return False
        gain = in_noise(reward, reward.ema20 - self._reward_then())
        return gain >= self.options.gain or improving(reward)

    def causes(self) -> list[Cause]:
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
                (
                    Remedy("let the reward fall with length: see reward-length-correlation"),
                    Remedy("punish repetition in the reward"),
                ),
                0.5,
            ),
            Cause(
                "nothing holds the policy near its reference",
                (Remedy("set `beta` to 0.01", up_to=0.01, verl="raise actor.kl_loss_coef"),),
                0.3,
            ),
        ]
