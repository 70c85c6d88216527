"""PRF004 swapped-preferences: training and evaluation disagree about which answer is better: one set has its
pairs swapped.

Invariant: an accuracy is judged only against the accuracy of the other set.
"""

from rldk.health.context import PAIRS
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.preference.common import ACCURACY, MARGIN
from rldk.health.tracks import Streak

__all__ = ["SwappedPreferences", "SwappedPreferencesOptions"]

EVAL_ACCURACY = "|".join(f"eval_{name}" for name in ACCURACY.split("|"))
EVAL_MARGIN = "|".join(f"eval_{name}" for name in MARGIN.split("|"))


class SwappedPreferencesOptions(RuleOptions, frozen=True):
    """Thresholds of swapped-preferences."""

    train: float = 0.9
    """Training accuracy above which the training pairs are learned."""
    evaluation: float = 0.3
    """Evaluation accuracy below which the evaluation pairs are ranked the wrong way round."""
    evaluations: int = 2
    """Evaluations in a row."""


class SwappedPreferences(Rule[SwappedPreferencesOptions]):
    """Training and evaluation disagree about which answer is better: one set has its pairs swapped.

    ## What it looks for
    Training pairs that are ranked right nearly always, and evaluation pairs that are ranked the wrong way
    round.

    ## Why it matters
    The model learns the opposite of what you want, and the training curves look excellent.

    ## How it decides
    In two evaluations in a row the training accuracy over ten records is above 0.9 and the evaluation
    accuracy below 0.3, with a negative margin where it is logged: critical.

    ## What looks alike but is healthy
    Overfitting: its evaluation accuracy tends to 0.5 and not below. An accuracy of 0 while policy and
    reference are equal: there the training accuracy is 0 too.

    ## What to do
    Print one pair of each set, as the trainer sees it.

    ## Sources
    Trained with this fault on purpose in benchmarks/detection.
    """

    code, name, severity = "PRF004", "swapped-preferences", Severity.CRITICAL
    needs = (EVAL_ACCURACY,)
    phases = ("eval",)
    algorithms = PAIRS
    enable = "evaluate during training: eval_strategy"
    when_over = "keep"
    answers = ("chosen-falls",)

    def start(self) -> None:
        self.accuracy = self.chart.track(ACCURACY)
        self.evaluated = self.chart.track(EVAL_ACCURACY)
        self.margin = self.chart.track(EVAL_MARGIN)
        self.wrong = Streak()

    def observe(self, at: Observation) -> Verdict | None:
        trained, evaluated = self.accuracy, self.evaluated
        if evaluated.step != at.step:
            return None
        wrong = (
            trained.count >= 5
            and trained.mean(10) > self.options.train
            and evaluated.last < self.options.evaluation
            and (not self.margin.count or self.margin.last < 0)
        )
        if self.wrong.feed(wrong, at.step) < self.options.evaluations:
            return None
        return Verdict(
            severity=Severity.CRITICAL,
            message=f"the model ranks {trained.mean(10):.0%} of the training pairs right, but only "
            f"{evaluated.last:.0%} of the evaluation pairs: one set has chosen and rejected swapped",
            evidence={"rewards_accuracies": trained.mean(10), "eval_rewards_accuracies": evaluated.last},
            onset=self.wrong.since,
            confidence=0.9,
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the columns chosen and rejected are swapped in the training data, or in the evaluation data",
                (Remedy("print one pair of each set and swap the columns of the wrong one"),),
                0.9,
            )
        ]
