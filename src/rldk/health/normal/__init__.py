"""Is this normal? The questions that people ask about a log, answered from the run's own numbers.

Invariant: an answer begins with yes or no, or says that the run does not show what the question is about;
it is made of what the run shows, and is never a finding.
"""

from rldk.health.context import RunContext
from rldk.health.normal import outcomes, updates
from rldk.health.normal.question import Answer, Question, RunFacts
from rldk.health.tracks import Chart

__all__ = ["QUESTIONS", "Answer", "Question", "Questions"]


QUESTIONS: tuple[Question, ...] = tuple(
    Question(
        name=name,
        question=question,
        metrics=tuple(metrics.split()),
        source=source,
        rules=tuple(rules.split()),
        ask=ask,
    )
    for name, ask, question, metrics, rules, source in (
        (
            "loss-near-zero",
            updates.loss,
            "Is a loss near 0 normal?",
            "loss",
            "zero-gradient labels-masked",
            "trl#3452, trl#2703, open-r1#239",
        ),
        (
            "clip-ratio-zero",
            updates.clip,
            "Is a clip ratio of 0 normal?",
            "clip_frac clip_frac_low_mean clip_frac_high_mean clip_two_sided_frac",
            "off-policy",
            "trl#3120",
        ),
        (
            "kl-absent",
            updates.kl_absent,
            "Is it normal that no KL is logged?",
            "kl_mean",
            "",
            "trl#4040",
        ),
        (
            "reward-std-zero",
            outcomes.spread,
            "Is a spread of the rewards of 0 normal?",
            "reward_std reward_group_std_mean",
            "zero-advantage dead-reward",
            "trl#3857, trl#5697",
        ),
        (
            "chosen-falls",
            outcomes.chosen,
            "Is it normal that the rewards of the chosen completions fall?",
            "rewards_chosen rewards_chosen_reference_free logps_chosen",
            "likelihood-displacement margin-collapse swapped-preferences",
            "arXiv 2402.13228 (DPO-Positive), arXiv 2410.08847 (likelihood displacement)",
        ),
        (
            "negative-kl",
            updates.negative,
            "Is a negative KL normal?",
            "kl_mean kl_sequence_mean",
            "negative-kl",
            "trl#925, trl#1857",
        ),
        (
            "entropy-level",
            updates.entropy,
            "Is this level of entropy normal?",
            "entropy_mean entropy_padded_mean",
            "entropy-collapse entropy-explosion",
            "DAPO (arXiv 2503.14476), arXiv 2505.22617",
        ),
        (
            "gradient-spikes",
            updates.spikes,
            "Are spikes of the gradient norm normal?",
            "grad_norm",
            "gradient-spike gradient-creep non-finite",
            "OLMo 2 (arXiv 2501.00656), trl#281",
        ),
        (
            "groups-without-spread",
            outcomes.flat,
            "Is a high share of groups without spread normal?",
            "frac_reward_zero_std",
            "zero-advantage",
            "trl#3857, trl#4764",
        ),
        (
            "all-clipped",
            outcomes.truncated,
            "Is it normal that every completion is cut?",
            "truncated_frac truncated_nonempty_frac",
            "truncation eos-mismatch",
            "trl#5697, trl#7039",
        ),
    )
)
"""The ten questions that people ask most; on a page those that strike most come first."""

_WORDS = {True: "Yes", False: "No", None: "The question does not arise"}


class Questions:
    """The questions, put to one run. Make it before the Monitor is told the first record."""

    def __init__(self, context: RunContext, chart: Chart) -> None:
        self._facts = RunFacts(context, chart)

    def for_metric(self, metric: str) -> list[Answer]:
        """The answers to questions about a metric, whether or not this run makes one ask."""
        return [
            answer for question in QUESTIONS if metric in question.metrics and (answer := self._ask(question))
        ]

    def answers(self) -> list[Answer]:
        """What strikes one in this run and is normal."""
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
            text=f"{_WORDS[reply.normal]}: {reply.text}",
            source=question.source,
            rules=question.rules,
            striking=reply.striking,
        )
