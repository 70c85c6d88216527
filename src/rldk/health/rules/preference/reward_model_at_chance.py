"""PRF003 reward-model-at-chance: the reward model tells chosen from rejected no better than a coin.

Invariant: an accuracy is judged only after many steps, and only where it has not risen.
"""

from math import hypot, log

from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.causes import READ_PAIRS
from rldk.health.tracks import Streak, Track

__all__ = ["RewardModelAtChance", "RewardModelAtChanceOptions"]

ACCURACY = "reward_model_accuracy"
IMPLICIT = "rewards_accuracies_token_mean|rewards_accuracies_reference_free"
"""The accuracy of a reward without a reference, that of ORPO, CPO and SimPO."""
MARGIN = "reward_model_margin_mean"
LN2 = log(2)
"""The loss of a model that scores both answers alike."""
ALIKE = 1e-3
"""Margin, and distance of the loss from ln 2, that mean that both answers get one score. The smallest margin
of a healthy reward model, in its first records, is 0.002."""
RECORDS = 20
"""Records of a mean, and records in a row for which both answers get one score."""
RISEN = 2.0
"""Standard errors by which an accuracy has risen from its first 20 records."""


class RewardModelAtChanceOptions(RuleOptions, frozen=True):
    """Thresholds of reward-model-at-chance."""

    steps: int = 200
    """Steps before which it is silent; half as many where at most half of the pairs are ranked right."""
    band: float = 0.05
    """Distance of the accuracy from 0.5."""
    loss: float = 0.68
    """Least loss; ln 2 is 0.693."""


class RewardModelAtChance(Rule[RewardModelAtChanceOptions]):
    """The reward model tells chosen from rejected no better than a coin.

    ## What it looks for
    An accuracy of 0.5 or below after many steps; a loss at ln 2 with scores that are all alike. ORPO, CPO and
    SimPO are judged by the accuracy of their own reward, which needs no reference.

    ## Why it matters
    A policy trained on its scores learns noise; one trained on such pairs learns nothing of what they prefer.

    ## How it decides
    The rule waits for 20 records and for 200 steps after the learning rate's warm-up. The mean accuracy over
    50 records is at most 0.55, and the mean loss over 20 records is at least 0.68 and has not fallen by 0.01
    since the start: warning. Warning too, at any loss and after 100 steps: the means over 20 and over 50
    records are at most 0.5, and that over 20 has not risen from the first 20 by two standard errors. Of the
    other trainers only that counts, since their loss is not that of the pairs alone. Warning too: past the
    warm-up, a margin below 0.001 and a loss within 0.001 of ln 2 for 20 records in a row.

    ## What looks alike but is healthy
    The first steps; noisy human preferences, which still reach 0.6 to 0.75. Swapped pairs: there the accuracy
    rises from far below 0.5.

    ## What to do
    Start from the fine-tuned model; check which answer of a pair is the chosen one, and that pairs are not
    cut.

    ## Sources
    trlx#338; ColossalAI#3702, #3534; DeepSpeedExamples#322; trl#937.
    """

    code, name, severity = "PRF003", "reward-model-at-chance", Severity.WARNING
    needs = (f"{ACCURACY}|{IMPLICIT}", "loss")
    algorithms = frozenset({"reward", "orpo", "cpo"})
    enable = "train with the reward trainer of TRL, or with ORPO or CPO, which log accuracies"
    patience = 1

    def start(self) -> None:
        self.explicit, self.implicit = self.chart.track(ACCURACY), self.chart.track(IMPLICIT)
        self.margin = self.chart.track(MARGIN)
        self.alike = Streak()
        self.early = 0.0
        self.loss = self.chart.track("loss")
        self.rate = self.chart.track("lr")
        self.planned = self.context.number("learning_rate") or 0.0
        self.begin: int | None = None

    def observe(self, at: Observation) -> Verdict | None:
        is_explicit = self.explicit.count > 0
        accuracy, loss = self.explicit if is_explicit else self.implicit, self.loss
        if accuracy.count == RECORDS:
            self.early = accuracy.ema20
        if self.begin is None:
            if self._warms_up():
                return None
            self.begin = at.step
        alike = is_explicit and self.margin.count > 0 and abs(self.margin.last) < ALIKE
        if self.alike.feed(alike and abs(loss.last - LN2) < ALIKE, at.step) >= self.enough(RECORDS, least=8):
            return self._verdict(
                f"the reward model has given chosen and rejected answers the same score since step "
                f"{self.alike.since} (margin {self.margin.last:.2g}, loss {loss.last:.4f})",
                accuracy,
                self.alike.since,
            )
        steps = at.step - self.begin
        if accuracy.count < RECORDS or not (self._is_blind(accuracy, steps) or self._stands(accuracy, steps)):
            return None
        whose = "reward model" if is_explicit else "model"
        return self._verdict(
            f"after {at.step} steps the {whose} is right in {accuracy.ema50:.1%} of the pairs "
            f"(loss {loss.ema20:.3g}): no better than chance",
            accuracy,
            self.begin,
        )

    def _is_blind(self, accuracy: Track, steps: int) -> bool:
        """Whether at most half of the pairs are ranked right, now as at the start, at any loss."""
        error = hypot(accuracy.error(RECORDS), accuracy.error(RECORDS))
        return (
            steps >= self.options.steps / 2
            and max(accuracy.ema50, accuracy.ema20) <= 0.5
            and accuracy.ema20 - self.early < RISEN * error
        )

    def _stands(self, accuracy: Track, steps: int) -> bool:
        """Whether the accuracy is near 0.5 and the loss where it began."""
        loss, options = self.loss, self.options
        if accuracy is self.implicit or steps < options.steps:
            return False
        fell = loss.start - loss.ema20 >= 0.01 and loss.ema20 < loss.ema50
        return accuracy.ema50 <= 0.5 + options.band and loss.ema20 >= options.loss and not fell

    def _verdict(self, message: str, accuracy: Track, onset: int) -> Verdict:
        return Verdict(
            severity=Severity.WARNING,
            message=message,
            evidence={
                "accuracy": accuracy.ema50,
                "loss": self.loss.ema20,
                MARGIN: self.margin.last if self.margin.count else None,
            },
            onset=onset,
            confidence=0.8,
            baseline=0.5,
            limit=0.5 + self.options.band,
        )

    def _warms_up(self) -> bool:
        rate = self.rate
        if not rate.count or rate.last < rate.high:
            return False
        return rate.count == 1 or (rate.last < 0.9 * self.planned and rate.last > rate.recent[-2])

    def causes(self) -> list[Cause]:
        rate = self.context.number("learning_rate")
        size = self.chart.step_size
        odd = rate is not None and not 5e-6 <= rate <= 1e-4
        return [
            Cause(
                "the learning rate is not right for the head, above all with LoRA",
                (
                    Remedy("set `learning_rate` to 1e-5", up_to=1e-5),
                    size.lower(0.3, verl=None),
                ),
                0.6 if rate is not None and rate < 5e-6 else size.blame(0.6 if odd else 0.4),
            ),
            Cause(
                "pairs are cut before they differ, or both answers are the same text",
                (Remedy("raise `max_length`", scale=2), Remedy("read ten pairs, as they are tokenized")),
                0.7 if self.alike.count and self.explicit.high == 0.0 else 0.4,
            ),
            Cause(
                "chosen and rejected are mixed up in a part of the data, or the base model was never tuned",
                (
                    READ_PAIRS,
                    Remedy("start from a model that was tuned on such answers"),
                ),
                0.5,
            ),
        ]
