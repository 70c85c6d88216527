"""PRF003 reward-model-at-chance: the reward model tells chosen from rejected no better than a coin.

Invariant: an accuracy is judged only after many steps.
"""

from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.causes import READ_PAIRS

__all__ = ["RewardModelAtChance", "RewardModelAtChanceOptions"]


class RewardModelAtChanceOptions(RuleOptions, frozen=True):
    """Thresholds of reward-model-at-chance."""

    steps: int = 200
    """Steps before which it is silent."""
    band: float = 0.05
    """Distance of the accuracy from 0.5."""
    loss: float = 0.68
    """Least loss; ln 2 is 0.693."""


class RewardModelAtChance(Rule[RewardModelAtChanceOptions]):
    """The reward model tells chosen from rejected no better than a coin.

    ## What it looks for
    An accuracy around 0.5 and a loss around 0.69, after many steps.

    ## Why it matters
    A policy trained on its scores learns noise.

    ## How it decides
    The rule waits for 20 records and for 200 steps after the learning rate's warm-up. The mean accuracy over
    50 records is between 0.45 and 0.55, and the mean loss over 20 records is at least 0.68 and has not fallen
    by 0.01 since the start: warning.

    ## What looks alike but is healthy
    The first steps; noisy human preferences, which still reach 0.6 to 0.75.

    ## What to do
    Start from the fine-tuned model; check which answer of a pair is the chosen one, and that pairs are not
    cut.

    ## Sources
    trlx#338; ColossalAI#3702, #3534; DeepSpeedExamples#322; trl#937.
    """

    code, name, severity = "PRF003", "reward-model-at-chance", Severity.WARNING
    needs = ("reward_model_accuracy", "loss")
    algorithms = frozenset({"reward"})
    enable = "train with the reward trainer of TRL, which logs accuracy"
    patience = 1

    def start(self) -> None:
        self.accuracy = self.chart.track("reward_model_accuracy")
        self.loss = self.chart.track("loss")
        self.rate = self.chart.track("lr")
        self.planned = self.context.number("learning_rate") or 0.0
        self.begin: int | None = None

    def observe(self, at: Observation) -> Verdict | None:
        if self.begin is None:
            if self._warms_up():
                return None
            self.begin = at.step
        accuracy, loss = self.accuracy, self.loss
        if at.step - self.begin < self.options.steps or accuracy.count < 20:
            return None
        if abs(accuracy.ema50 - 0.5) > self.options.band or loss.ema20 < self.options.loss:
            return None
        if loss.start - loss.ema20 >= 0.01 and loss.ema20 < loss.ema50:
            return None
        return Verdict(
            severity=Severity.WARNING,
            message=f"after {at.step} steps the reward model is right in {accuracy.ema50:.1%} of the pairs "
            f"(loss {loss.ema20:.3g}): no better than chance",
            evidence={"reward_model_accuracy": accuracy.ema50, "loss": loss.ema20},
            onset=self.begin,
            confidence=0.8,
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
                "pairs are cut before they differ",
                (Remedy("raise `max_length`", scale=2),),
                0.4,
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
