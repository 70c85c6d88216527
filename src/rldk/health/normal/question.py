"""A question about a log, its answer, and the facts that answers are made of."""

from collections.abc import Callable

import msgspec

from rldk.health.context import GROUPED, RunContext
from rldk.health.normal.history import History
from rldk.health.reward_state import in_noise
from rldk.health.rule import QuestionName
from rldk.health.tracks import WINDOW, Chart, Track
from rldk.metrics.aliases import ENTROPY, KL, LENGTH, LOSS, REWARD

__all__ = ["DEAD", "Answer", "Question", "Reply", "RunFacts", "does_not_arise", "no", "question", "yes"]

FIRST = 5
"""Records whose mean is the start of a track."""
LATEST = 10
"""Records whose mean is the end of a track."""
DEAD = 1e-8
"""A spread or a gradient below this counts as 0."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one question, for one run."""

    name: QuestionName
    """The question's short name."""
    question: str
    """The question as people ask it."""
    normal: bool | None
    """Whether the run's numbers are normal; None where the question does not arise."""
    text: str
    """Two or three sentences; the first begins with "Yes" or "No" where the question arises."""
    source: str
    """Sources to read more."""
    rules: tuple[str, ...]
    """Rules that judge the same numbers: a finding of theirs already answers the question."""
    striking: bool
    """Whether this run's numbers raise the question."""


class Reply(msgspec.Struct, frozen=True):
    """The reply to a question for one run."""

    normal: bool | None
    """Whether the run's numbers are normal; None where the question does not arise."""
    striking: bool
    """Whether this run's numbers raise the question."""
    text: str
    """The reason, in two or three sentences that follow "Yes" or "No", or stand alone."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One question about a log; rules that judge the same numbers name it in `answers`."""

    name: QuestionName
    """A short name."""
    question: str
    """The question as people ask it."""
    metrics: tuple[str, ...]
    """Canonical names of the metrics of the question."""
    source: str
    """Sources to read more."""
    ask: Callable[["RunFacts"], Reply | None]
    """Makes the reply; None where the run does not log the metrics."""


def question(
    name: QuestionName, text: str, metrics: tuple[str, ...], *, source: str
) -> Callable[[Callable[["RunFacts"], Reply | None]], Question]:
    """Decorator that makes a Question of the function that replies to it; takes the arguments of
    `Question`.
    """
    return lambda ask: Question(name=name, question=text, metrics=metrics, source=source, ask=ask)


class RunFacts:
    """The tracks and options that answers are made of."""

    def __init__(self, context: RunContext, chart: Chart, history: History | None = None) -> None:
        self.context = context
        self.history = history or History()
        self.chart = chart
        self.reward = chart.track(REWARD)
        self.loss = chart.track(LOSS)
        self.gradient = chart.track("grad_norm")
        self.kl = chart.track(KL)
        self.entropy = chart.track(ENTROPY)
        self.clip = chart.track("clip_frac|clip_two_sided_frac")
        self.spread = chart.track("reward_std")
        self.flat = chart.track("frac_reward_zero_std")
        self.truncated = chart.track("truncated_frac|truncated_nonempty_frac")
        self.lengths = chart.track(LENGTH)
        self.length_max = chart.track("completion_length_max")
        self.chosen = chart.track("rewards_chosen|rewards_chosen_reference_free")
        self.margins = chart.track("rewards_margins|rewards_margins_reference_free")
        self.accuracies = chart.track("rewards_accuracies|rewards_accuracies_reference_free")

    @property
    def grouped(self) -> bool:
        """Whether the baseline is the group of completions of one prompt; assumed where only a reward is
        known.
        """
        algorithm = self.context.algorithm
        return algorithm in GROUPED or (algorithm is None and self.reward.count > 0)

    @property
    def learned(self) -> str:
        """The change of the reward, with its windows."""
        reward = self.reward
        if reward.count < 2 * LATEST:
            begin, now = f"{reward.first:.3g}", f"{reward.last:.3g}"
            if reward.count == 1 or (begin == now and reward.low == reward.high):
                return f"the reward is {now} in {self.every(reward)}"
            return f"the reward is {begin} in the first and {now} in the last of {reward.count:,} records"
        begin, now = f"{reward.start:.3g}", f"{reward.mean(LATEST):.3g}"
        if begin == now:
            return f"the reward is {now} in the latest {LATEST} records, as in the first {FIRST}"
        return (
            f"the reward went from {begin} to {now} (means of the first {FIRST} and latest {LATEST} records)"
        )

    @property
    def reuses(self) -> bool:
        """Whether some updates were logged without new completions: they use those of an earlier one."""
        return 0 < self.lengths.count < self.clip.count

    def every(self, track: Track) -> str:
        """All records of a track: `all 20 records`."""
        return "the only record" if track.count == 1 else f"all {track.count:,} records"

    def latest(self, track: Track, most: int = WINDOW) -> str:
        """The window of a median: `median of the latest 100 records`."""
        count = min(track.count, most)
        return "the only record" if count == 1 else f"median of the latest {count:,} records"

    def rose(self) -> bool:
        """Whether the reward rose clearly above its start."""
        reward = self.reward
        rise = reward.ema10 - reward.start
        return reward.count >= 10 and in_noise(reward, rise) >= 2 and rise >= 0.2 * (reward.high - reward.low)


def yes(striking: bool, text: str) -> Reply:
    """The reply that it is normal."""
    return Reply(True, striking, text)


def no(striking: bool, text: str) -> Reply:
    """The reply that it is not normal."""
    return Reply(False, striking, text)


def does_not_arise(text: str) -> Reply:
    """The reply that the question does not arise; `text` says what the run shows instead."""
    return Reply(None, False, text)
