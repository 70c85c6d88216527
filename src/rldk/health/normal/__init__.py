"""Is this normal? The questions that people ask most about a log, answered from the run's own numbers.

Invariant: an answer begins with yes or no; where the question does not arise, it tells only what the run
shows. It is made only of the run's numbers, and is never a finding.
"""

from collections.abc import Iterable

from rldk.health.context import RunContext
from rldk.health.normal import outcomes, updates
from rldk.health.normal.question import Answer, Question, RunFacts
from rldk.health.rule import QuestionName, Rule
from rldk.health.rules import RULES
from rldk.health.tracks import Chart

__all__ = ["QUESTIONS", "Answer", "Question", "Questions"]


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
)
"""The ten questions that people ask most; a page shows the most striking ones first."""

_WORDS = {True: "Yes", False: "No"}


class Questions:
    """Answers the questions for one run. Make it before the Monitor observes the first record.

    Args:
        context: the run.
        chart: its tracks.
        rules: the rules that judge the run; a finding of some rules already answers a question.
    """

    def __init__(self, context: RunContext, chart: Chart, rules: Iterable[Rule | type[Rule]] = RULES) -> None:
        self._facts = RunFacts(context, chart)
        self._rules: dict[QuestionName, list[str]] = {}
        for rule in rules:
            for name in rule.answers:
                self._rules.setdefault(name, []).append(rule.name)

    def for_metric(self, metric: str) -> list[Answer]:
        """The answers to questions about a metric, whether or not this run raises them."""
        return [
            answer for question in QUESTIONS if metric in question.metrics and (answer := self._ask(question))
        ]

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
