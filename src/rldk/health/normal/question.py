"""What a question about a log is, and the facts that answers are made of."""

from collections.abc import Callable

import msgspec

from rldk.health.context import GROUPED, RunContext
from rldk.health.reward_state import in_noise
from rldk.health.rule import QuestionName
from rldk.health.tracks import Chart
from rldk.metrics.aliases import ENTROPY, KL, LOSS, REWARD

__all__ = ["DEAD", "Answer", "Question", "Reply", "RunFacts", "does_not_arise", "no", "question", "yes"]

DEAD = 1e-8
"""A spread or a gradient below this is none."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one question, for one run."""

    name: QuestionName
    """The question's short name."""
    question: str
    """What people ask."""
    normal: bool | None
    """Whether it is; None where the run does not show what the question is about."""
    text: str
    """Two or three sentences; the first begins with yes, no, or that the question does not arise."""
    source: str
    """Where to read on."""
    rules: tuple[str, ...]
    """Rules that judge the same: what one of them finds needs no second opinion."""
    striking: bool
    """Whether this run's numbers make one ask."""


class Reply(msgspec.Struct, frozen=True):
    """What a question comes to in one run."""

    normal: bool | None
    """Whether it is normal; None where the run does not show what the question is about."""
    striking: bool
    """Whether this run's numbers make one ask."""
    text: str
    """Why, in two or three sentences that go on after yes, no, or that the question does not arise."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that people ask of a log; rules name it in `answers` where they judge the same."""

    name: QuestionName
    """A short name."""
    question: str
    """What people ask."""
    metrics: tuple[str, ...]
    """Metrics that it is about, the canonical names."""
    source: str
    """Where to read on."""
    ask: Callable[["RunFacts"], Reply | None]
    """None where the run does not hold what it is about."""


def question(
    name: QuestionName, text: str, metrics: tuple[str, ...], *, source: str
) -> Callable[[Callable[["RunFacts"], Reply | None]], Question]:
    """Makes the function below it a Question that it answers; the arguments are those of `Question`."""
    return lambda ask: Question(name=name, question=text, metrics=metrics, source=source, ask=ask)


class RunFacts:
    """The tracks and options that answers are made of."""

    def __init__(self, context: RunContext, chart: Chart) -> None:
        self.context = context
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
        self.length_max = chart.track("completion_length_max")
        self.chosen = chart.track("rewards_chosen|rewards_chosen_reference_free")
        self.margins = chart.track("rewards_margins|rewards_margins_reference_free")
        self.accuracies = chart.track("rewards_accuracies|rewards_accuracies_reference_free")

    @property
    def grouped(self) -> bool:
        """Whether the baseline is the group of completions of one prompt, as far as one can tell."""
        algorithm = self.context.algorithm
        return algorithm in GROUPED or (algorithm is None and self.reward.count > 0)

    @property
    def course(self) -> str:
        """From where to where the reward went."""
        return f"from {self.reward.start:.3g} to {self.reward.ema10:.3g}"

    @property
    def learned(self) -> str:
        """What became of the reward."""
        return f"the reward went {self.course}"

    def rose(self) -> bool:
        """Whether the reward rose clearly above its start."""
        reward = self.reward
        rise = reward.ema10 - reward.start
        return reward.count >= 10 and in_noise(reward, rise) >= 2 and rise >= 0.2 * (reward.high - reward.low)


def yes(striking: bool, text: str) -> Reply:
    """It is normal."""
    return Reply(True, striking, text)


def no(striking: bool, text: str) -> Reply:
    """It is not."""
    return Reply(False, striking, text)


def does_not_arise(text: str) -> Reply:
    """The run does not show what the question is about; the text says what it shows instead."""
    return Reply(None, False, text)
