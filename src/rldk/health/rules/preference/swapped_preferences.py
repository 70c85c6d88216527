"""PRF004 swapped-preferences: training and evaluation disagree about which answer is better: one set has its
pairs swapped.

Invariant: an accuracy or a margin is judged only against that of the other set.
"""

from rldk.health.context import PAIRS
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.preference.common import ACCURACY, MARGIN
from rldk.health.tracks import Streak

__all__ = ["SwappedPreferences", "SwappedPreferencesOptions"]

TRAIN_ACCURACY = f"{ACCURACY}|reward_model_accuracy"
TRAIN_MARGIN = f"{MARGIN}|reward_model_margin_mean"
EVAL_ACCURACY = "|".join(f"eval_{name}" for name in TRAIN_ACCURACY.split("|"))
EVAL_MARGIN = "|".join(f"eval_{name}" for name in TRAIN_MARGIN.split("|"))
CHANCE = 0.5


class SwappedPreferencesOptions(RuleOptions, frozen=True):
    """Thresholds of swapped-preferences."""

    beyond: float = 0.1
    """Least distance of both accuracies from one half, to opposite sides."""
    apart: float = 0.3
    """Least difference of the two accuracies."""
    critical: float = 0.65
    """Difference of the two accuracies from which it is critical."""
    margin: float = 0.5
    """Where no accuracy is logged: least evaluation margin of the opposite sign, as a share of the training
    margin."""
    evaluations: int = 2
    """Evaluations in a row."""


class SwappedPreferences(Rule[SwappedPreferencesOptions]):
    """Training and evaluation disagree about which answer is better: one set has its pairs swapped.

    ## What it looks for
    Pairs of one set that are ranked right, and pairs of the other that are ranked the wrong way round.

    ## Why it matters
    The model learns the opposite of what you want, and the training curves look excellent.

    ## How it decides
    In two evaluations in a row, one accuracy is above 0.6 and the other below 0.4, they are 0.3 apart,
    and the margins have opposite signs where both are logged: warning, critical from 0.65 apart. The
    training accuracy is the mean of 20 records. Without accuracies (KTO) the margins decide: they have
    opposite signs, that of the evaluation is at least half of that of the training, and the training
    margin is five standard errors from 0: warning. Evaluation pairs of which half were ranked right once
    are left to overfitting.

    ## What looks alike but is healthy
    Overfitting: its evaluation accuracy tends to 0.5 and not below. An accuracy of 0 while policy and
    reference are equal: there the training accuracy is 0 too. Labels decided by a coin: both accuracies stay
    near 0.5.

    ## What to do
    Print one pair of each set, as the trainer sees it.

    ## Sources
    Trained with this fault on purpose in benchmarks/detection.
    """

    code, name, severity = "PRF004", "swapped-preferences", Severity.CRITICAL
    needs = (f"{EVAL_ACCURACY}|{EVAL_MARGIN}",)
    phases = ("eval",)
    algorithms = PAIRS | {"kto", "reward"}
    enable = "evaluate during training: eval_strategy"
    when_over = "keep"
    shown_on = (EVAL_ACCURACY, EVAL_MARGIN, TRAIN_ACCURACY, TRAIN_MARGIN)
    answers = ("chosen-falls",)

    def start(self) -> None:
        track = self.chart.track
        self.trained, self.evaluated = track(TRAIN_ACCURACY), track(EVAL_ACCURACY)
        self.trained_margin, self.margin = track(TRAIN_MARGIN), track(EVAL_MARGIN)
        self.wrong = Streak()

    def observe(self, at: Observation) -> Verdict | None:
        has_accuracies = self.trained.count > 0 and self.evaluated.count > 0
        newest = self.evaluated if has_accuracies else self.margin
        if newest.step != at.step:
            return None
        wrong = self._ranks_opposed() if has_accuracies else self._margins_opposed()
        if self.wrong.feed(wrong, at.step) < self.options.evaluations:
            return None
        if not has_accuracies:
            return self._verdict(
                Severity.WARNING,
                f"the margin of the training pairs is {self.trained_margin.mean(20):.3g}, but that of the "
                f"evaluation pairs is {self.margin.last:.3g}",
                0.0,
            )
        trained, evaluated = self.trained.mean(20), self.evaluated.last
        return self._verdict(
            Severity.CRITICAL if abs(trained - evaluated) >= self.options.critical else Severity.WARNING,
            f"the model ranks {trained:.0%} of the training pairs right, but {evaluated:.0%} of the "
            "evaluation pairs",
            CHANCE + (self.options.beyond if evaluated > trained else -self.options.beyond),
        )

    def _ranks_opposed(self) -> bool:
        """Whether one set is ranked right, and the other the wrong way round."""
        options, trained, evaluated = self.options, self.trained.mean(20), self.evaluated.last
        if evaluated < trained and self.evaluated.high > CHANCE:
            return False  # these pairs were ranked right once: overfitting judges that
        low, high = min(trained, evaluated), max(trained, evaluated)
        margins = self.trained_margin.mean(20) * self.margin.last if self._has_margins() else -1.0
        return (
            self.trained.count >= 5
            and low <= CHANCE - options.beyond
            and high >= CHANCE + options.beyond
            and high - low >= options.apart
            and margins < 0
        )

    def _margins_opposed(self) -> bool:
        """Whether the margins of both sets differ from 0 clearly, with opposite signs."""
        if not self._has_margins() or self.trained_margin.count < 10:
            return False
        trained, evaluated = self.trained_margin.mean(20), self.margin.last
        clear = abs(trained) >= 5 * self.trained_margin.error(min(self.trained_margin.count, 20))
        return clear and trained * evaluated < 0 and abs(evaluated) >= self.options.margin * abs(trained)

    def _has_margins(self) -> bool:
        return self.trained_margin.count > 0 and self.margin.count > 0

    def _verdict(self, severity: Severity, message: str, limit: float) -> Verdict:
        tracks = (self.trained, self.evaluated, self.trained_margin, self.margin)
        names = ("accuracy", "eval_accuracy", "margin", "eval_margin")
        return Verdict(
            severity=severity,
            message=f"{message}: one set has chosen and rejected swapped",
            evidence={
                name: track.last if name.startswith("eval") else track.mean(20)
                for name, track in zip(names, tracks, strict=True)
                if track.count
            },
            onset=self.wrong.since,
            confidence=0.9 if severity is Severity.CRITICAL else 0.75,
            limit=limit,
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the columns chosen and rejected are swapped in the training data, or in the evaluation data",
                (Remedy("print one pair of each set and swap the columns of the wrong one"),),
                0.9,
            )
        ]
