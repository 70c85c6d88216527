"""Is this normal? The questions that people ask most about a log, answered from the run's own numbers.

Invariant: an answer begins with yes or no; where the question does not arise, it tells only what the run
shows. It is made only of the run's numbers, and is never a finding.
"""

import re
from collections.abc import Iterable

from rldk.health.context import RunContext
from rldk.health.normal import course, outcomes, signals, updates
from rldk.health.normal.history import History
from rldk.health.normal.question import Answer, Question, RunFacts
from rldk.health.rule import QuestionName, Rule
from rldk.health.rules import RULES
from rldk.health.tracks import Chart
from rldk.metrics import metric_of

__all__ = ["QUESTIONS", "Answer", "History", "Question", "Questions", "question_of"]


QUESTIONS: tuple[Question, ...] = (
    updates.loss,
    updates.clip,
    updates.kl_absent,
    outcomes.spread,
    outcomes.chosen,
    updates.negative,
    updates.entropy,
    updates.spikes,
    outcomes.flat,
    outcomes.truncated,
    course.epochs,
    course.closing_loss,
    signals.reference_point,
    signals.negative_chosen,
    signals.rate,
    signals.constant,
    signals.no_end,
    course.step_zero,
    signals.now_and_then,
    signals.gradient_zero,
    course.pace,
    course.enough,
)
"""The questions that people ask most. The first ten are answered from tracks, and a page shows the striking
ones; the others need a History, which `rldk explain` fills."""
LEAST_WORDS = 2
"""Words that a sentence must share with a question to be taken for it."""

_WORDS = {True: "Yes", False: "No"}


def question_of(text: str) -> Question | None:
    """The question of a name (`epoch-steps`), or the one that shares most words with a sentence.

    Example:
        >>> question_of("why is the gradient 0 although my rewards vary?").name
        'gradient-zero'
        >>> question_of("loss") is None
        True
    """
    named = next((question for question in QUESTIONS if question.name == text), None)
    if named is not None or " " not in text.strip():
        return named
    asked = _words(text)
    shared = {
        question: len(asked & _words(f"{question.question} {question.name} {' '.join(question.metrics)}"))
        for question in QUESTIONS
    }
    best = max(shared, key=shared.__getitem__)
    return best if shared[best] >= LEAST_WORDS else None


def _words(text: str) -> set[str]:
    words = re.findall(r"[a-z0-9]+", text.lower())
    return {word.removesuffix("s") for word in words} - _COMMON


_COMMON = {
    "is",
    "it",
    "normal",
    "that",
    "the",
    "a",
    "of",
    "an",
    "why",
    "my",
    "what",
    "doe",
    "are",
    "thi",
    "in",
    "no",
}


class Questions:
    """Answers the questions for one run. Make it before the Monitor observes the first record.

    Args:
        context: the run.
        chart: its tracks.
        rules: the rules that judge the run; a finding of some rules already answers a question.
        history: the values of the run's records, which the caller adds; None: no question about its course.
    """

    def __init__(
        self,
        context: RunContext,
        chart: Chart,
        rules: Iterable[Rule | type[Rule]] = RULES,
        history: History | None = None,
    ) -> None:
        self._facts = RunFacts(context, chart, history)
        self._rules: dict[QuestionName, list[str]] = {}
        for rule in rules:
            for name in rule.answers:
                self._rules.setdefault(name, []).append(rule.name)

    def for_metric(self, metric: str) -> list[Answer]:
        """The answers to questions about a metric, whether or not this run raises them."""
        known = metric_of(metric)
        names = {metric, *([known.name] if known else [])}
        return [
            answer
            for question in QUESTIONS
            if names & {*question.metrics} and (answer := self._ask(question))
        ]

    def answer(self, question: Question) -> Answer | None:
        """The answer to one question; None where the run does not log its metrics."""
        return self._ask(question)

    def answers(self) -> list[Answer]:
        """The answers about numbers of this run that are striking but normal."""
        every = (self._ask(question) for question in QUESTIONS)
        return [answer for answer in every if answer and answer.striking and answer.normal]

    def _ask(self, question: Question) -> Answer | None:
        reply = question.ask(self._facts)
        if reply is None:
            return None
        return Answer(
            name=question.name,
            question=question.question,
            normal=reply.normal,
            text=reply.text[:1].upper() + reply.text[1:]
            if reply.normal is None
            else f"{_WORDS[reply.normal]}: {reply.text}",
            source=question.source,
            rules=tuple(self._rules.get(question.name, ())),
            striking=reply.striking,
        )
