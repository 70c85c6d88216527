"""PRF004 swapped-preferences: training and evaluation disagree about which answer is better: one set has its
pairs swapped.

Invariant: an accuracy is judged only against the accuracy of the other set.
"""

from rldk.health.context import PAIRS
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.optimization.common import PAIR_ACCURACY
from rldk.health.rules.preference.common import MARGIN
from rldk.health.tracks import Streak

__all__ = ["SwappedPreferences", "SwappedPreferencesOptions"]

EVAL_ACCURACY = "|".join(f"eval_{name}" for name in PAIR_ACCURACY.split("|"))
EVAL_MARGIN = "|".join(f"eval_{name}" for name in MARGIN.split("|"))


class SwappedPreferencesOptions(RuleOptions, frozen=True):
    """Thresholds of swapped-preferences."""

    train: float = 0.7
    """Training accuracy above which the training pairs are learned."""
    evaluation: float = 0.35
    """Evaluation accuracy below which the evaluation pairs are ranked the wrong way round."""
    critical_train: float = 0.9
    """Training accuracy above which it is critical."""
    critical_evaluation: float = 0.3
    """Evaluation accuracy below which it is critical."""
    evaluations: int = 2
    """Evaluations in a row."""


class SwappedPreferences(Rule[SwappedPreferencesOptions]):
    """Training and evaluation disagree about which answer is better: one set has its pairs swapped.

    ## What it looks for
    Training pairs that are mostly ranked right, and evaluation pairs that are mostly ranked the wrong way
    round. It looks at reward models too.

    ## Why it matters
    The model learns the opposite of what you want, and the training curves look excellent.

    ## How it decides
    In two evaluations in a row the training accuracy over ten records is above 0.7 and the evaluation
    accuracy below 0.35, with a negative margin where it is logged: warning. No evaluation may have reached
    0.5. Critical where they are above 0.9 and below 0.3.

    ## What looks alike but is healthy
    Overfitting: its evaluation accuracy begins above 0.5 and tends to it. An accuracy of 0 while policy and
    reference are equal: there the training accuracy is 0 too.

    ## What to do
    Print one pair of each set, as the trainer sees it.

    ## Sources
    Trained with this fault on purpose in benchmarks/detection, with DPO and with reward models.
    """

    code, name, severity = "PRF004", "swapped-preferences", Severity.CRITICAL
    needs = (EVAL_ACCURACY,)
    phases = ("eval",)
    algorithms = PAIRS | {"reward"}
    enable = "evaluate during training: eval_strategy"
    when_over = "keep"
    answers = ("chosen-falls",)

    def start(self) -> None:
        self.accuracy = self.chart.track(PAIR_ACCURACY)
        self.evaluated = self.chart.track(EVAL_ACCURACY)
        self.margin = self.chart.track(EVAL_MARGIN)
        self.wrong = Streak()

    def observe(self, at: Observation) -> Verdict | None:
        trained, evaluated, options = self.accuracy, self.evaluated, self.options
        if evaluated.step != at.step:
            return None
        wrong = (
            trained.count >= 5
            and trained.mean(10) > options.train
            and evaluated.last < options.evaluation
            and evaluated.high < 0.5
            and (not self.margin.count or self.margin.last < 0)
        )
        held = self.wrong.feed(wrong, at.step)
        self.score = held / options.evaluations
        if held < options.evaluations:
            return None
        clear = trained.mean(10) > options.critical_train and evaluated.last < options.critical_evaluation
        return Verdict(
            severity=Severity.CRITICAL if clear else Severity.WARNING,
            message=f"the model ranks {trained.mean(10):.0%} of the training pairs right, but only "
            f"{evaluated.last:.0%} of the evaluation pairs: one set has chosen and rejected swapped",
            evidence={"accuracy": trained.mean(10), "eval_accuracy": evaluated.last},
            onset=self.wrong.since,
            confidence=0.9 if clear else 0.7,
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the columns chosen and rejected are swapped in the training data, or in the evaluation data",
                (Remedy("print one pair of each set and swap the columns of the wrong one"),),
                0.9,
            )
        ]
