"""Is this normal? The questions that people ask about a log, answered from the run's own numbers.

Invariant: an answer begins with yes or no, is made of what the run shows, and is never a finding.
"""

from collections.abc import Callable

from rldk.health.context import RunContext
from rldk.health.normal import outcomes, updates
from rldk.health.normal.question import Answer, Facts, Question, Told
from rldk.health.statistics import Chart

__all__ = ["QUESTIONS", "Answer", "Question", "Questions"]


def _question(
    name: str,
    metrics: str,
    question: str,
    source: str,
    ask: Callable[[Facts], Told | None],
) -> Question:
    return Question(name=name, metrics=tuple(metrics.split()), question=question, source=source, ask=ask)


QUESTIONS: tuple[Question, ...] = (
    _question(
        "loss-near-zero", "loss", "Is a loss near 0 normal?", "trl#3452, trl#2703, open-r1#239", updates.loss
    ),
    _question(
        "clip-ratio-zero",
        "clip_frac clip_frac_low_mean clip_frac_high_mean clip_frac_low_min clip_frac_high_max "
        "clip_two_sided_frac",
        "Is a clip ratio of 0 normal?",
        "trl#3120",
        updates.clip,
    ),
    _question("kl-absent", "kl_mean", "Is it normal that no KL is logged?", "trl#4040", updates.kl_absent),
    _question(
        "reward-std-zero",
        "reward_std reward_group_std_mean",
        "Is a spread of the rewards of 0 normal?",
        "trl#3857, trl#5697",
        outcomes.spread,
    ),
    _question(
        "chosen-falls",
        "rewards_chosen rewards_chosen_reference_free logps_chosen",
        "Is it normal that the rewards of the chosen completions fall?",
        "arXiv 2402.13228 (DPO-Positive), arXiv 2410.08847 (likelihood displacement)",
        outcomes.chosen,
    ),
    _question(
        "negative-kl",
        "kl_mean kl_sequence_mean",
        "Is a negative KL normal?",
        "trl#925, trl#1857",
        updates.negative,
    ),
    _question(
        "entropy-level",
        "entropy_mean entropy_padded_mean",
        "Is this level of entropy normal?",
        "DAPO (arXiv 2503.14476), arXiv 2505.22617",
        updates.entropy,
    ),
    _question(
        "gradient-spikes",
        "grad_norm",
        "Are spikes of the gradient norm normal?",
        "OLMo 2 (arXiv 2501.00656), trl#281",
        updates.spikes,
    ),
    _question(
        "groups-without-spread",
        "frac_reward_zero_std",
        "Is a high share of groups without spread normal?",
        "trl#3857, trl#4764",
        outcomes.flat,
    ),
    _question(
        "all-clipped",
        "truncated_frac truncated_nonempty_frac",
        "Is it normal that every completion is cut?",
        "trl#5697, trl#7039",
        outcomes.truncated,
    ),
)
"""The ten questions that people ask most; on a page those that strike most come first."""


class Questions:
    """The questions, put to one run. Make it before the Monitor is told the first record."""

    def __init__(self, context: RunContext, chart: Chart) -> None:
        self._facts = Facts(context, chart)

    def about(self, metric: str) -> list[Answer]:
        """The answers to questions about a metric, whether or not this run makes one ask."""
        return [
            answer for question in QUESTIONS if metric in question.metrics and (answer := self._ask(question))
        ]

    def answers(self) -> list[Answer]:
        """What strikes one in this run and is normal."""
        every = (self._ask(question) for question in QUESTIONS)
        return [answer for answer in every if answer and answer.striking and answer.normal]

    def _ask(self, question: Question) -> Answer | None:
        told = question.ask(self._facts)
        if told is None:
            return None
        return Answer(
            name=question.name,
            question=question.question,
            normal=told.normal,
            text=f"{'Yes' if told.normal else 'No'}: {told.text}",
            source=question.source,
            striking=told.striking,
        )
