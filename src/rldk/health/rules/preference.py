"""The preference family: training on pairs, and reward models.

Invariant: a fall of the chosen reward is how DPO works and never critical; margins are judged by their own
best, and accuracies by their evaluations.
"""

from rldk.health.context import PAIRS
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import in_noise
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules import preference_accuracy
from rldk.health.rules.preference_accuracy import ACCURACY, MARGIN
from rldk.health.tracks import Streak

__all__ = ["RULES"]

CHOSEN = "rewards_chosen"


class LikelihoodDisplacement(Rule):
    """The chosen answers become less likely, together with the rejected ones.

    ## What it looks for
    An implicit reward of the chosen answers that is negative and falls while the margin rises.

    ## Why it matters
    The likelihood goes to answers that nobody chose, at worst to their opposite (in one study refusals fell
    from 74% to 33%).

    ## How it decides
    The mean chosen reward over 20 records is below -1, and fell over the last 50 while the margin rose: info.
    Below -5, and the log-probability of the chosen answers down by a fifth where it is logged: warning.

    ## What looks alike but is healthy
    A mild fall: DPO raises a difference, and most good runs lower both sides. It is never
    critical. The reward is in units of beta: with a small beta a fall is more than it looks.

    ## What to do
    Add a likelihood term on the chosen answers; raise beta; drop pairs that are nearly the same.

    ## Sources
    arXiv 2410.08847; LLaMA-Factory#6153; OpenRLHF#1054; public DPO logs, good ones of which end at -1 to -3.
    """

    code, name, severity = "PRF001", "likelihood-displacement", Severity.WARNING
    needs = (CHOSEN, "rewards_margins")
    algorithms = PAIRS - {"kto", "bco"}
    enable = "train with DPO of TRL, which logs rewards/chosen"

    class Options(RuleOptions, frozen=True):
        """Thresholds of likelihood-displacement."""

        info: float = -1.0
        """Mean chosen reward below which it is information."""
        warning: float = -5.0
        """The same for a warning."""
        likelihood: float = 0.2
        """Fall of the chosen log-probability, as a share of its start, that a warning needs."""

    def start(self) -> None:
        self.chosen = self.chart.track(CHOSEN)
        self.margin = self.chart.track("rewards_margins")
        self.logps = self.chart.track("logps_chosen")
        self.low = Streak()

    def observe(self, at: Observation) -> Verdict | None:
        chosen = self.chosen
        level = chosen.ema20
        held = self.low.feed(level < self.options.info, at.step)
        if held < 5 or chosen.count < 25:
            return None
        fall, rise = chosen.gain(50), self.margin.gain(50)
        if in_noise(chosen, fall) > -1.0 or rise <= 0:
            return None
        logps = self.logps
        lost = (logps.start - logps.ema20) / max(abs(logps.start), 1e-9) if logps.count else None
        deep = level < self.options.warning and (lost is None or lost >= self.options.likelihood)
        return Verdict(
            severity=Severity.WARNING if deep and chosen.count >= 50 else Severity.INFO,
            message=f"the chosen answers become less likely: their implicit reward fell to {level:.3g} while "
            f"the margin went up to {self.margin.ema20:.3g}",
            evidence={
                CHOSEN: [chosen.start, level],
                "rewards_margins": [self.margin.start, self.margin.ema20],
                "logps_chosen": [logps.start, logps.ema20] if logps.count else None,
            },
            onset=self.low.since,
            confidence=0.8 if deep else 0.6,
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "chosen and rejected answers are much alike, or none of them is like the model's own",
                (
                    Remedy("set `loss_type=['sigmoid', 'sft']` and `loss_weights=[1.0, 0.1]`"),
                    Remedy("drop pairs that are nearly the same"),
                ),
                0.6,
            ),
            Cause(
                "updates too large, held too loosely",
                (
                    Remedy("set `beta` to 0.3", up_to=0.3),
                    Remedy("lower `learning_rate`", scale=0.3, down_to=5e-7),
                ),
                0.5,
            ),
        ]


class PreferenceSaturated(Rule):
    """All pairs are told apart: the loss is near 0 and there is nothing left to learn.

    ## What it looks for
    A loss near 0 and an accuracy of 1 for many records.

    ## Why it matters
    Reached early it speaks of a shortcut, such as the length, or of a wrong reference; from there on only the
    margins grow, and with them the distance to the reference.

    ## How it decides
    Accuracy at least 0.99 and loss below 0.05 for ten records: info. Within the first half of the first epoch
    and with a mean margin above 5, where the gradient of a pair is a hundredth of its start: warning.

    ## What looks alike but is healthy
    Easy sets, above all synthetic ones; late epochs.

    ## What to do
    Look for what tells the pairs apart; stop earlier; raise beta.

    ## Sources
    trl#1236; LLaMA-Factory#8974 (loss 0 at step 5: the wrong reference); a public log of a one-sided set.
    """

    code, name, severity = "PRF002", "preference-saturated", Severity.WARNING
    needs = (ACCURACY, "loss|dpo_loss_mean")
    algorithms = PAIRS - {"kto", "bco"}
    enable = "train with DPO of TRL, which logs rewards/accuracies"

    class Options(RuleOptions, frozen=True):
        """Thresholds of preference-saturated."""

        accuracy: float = 0.99
        """Least accuracy."""
        loss: float = 0.05
        """Highest loss."""
        records: int = 10
        """Records in a row."""
        margin: float = 5.0
        """Mean margin above which it is a warning, in the first half of epoch 1."""

    def start(self) -> None:
        self.accuracy = self.chart.track(ACCURACY)
        self.loss = self.chart.track("loss|dpo_loss_mean")
        self.margin = self.chart.track(MARGIN)
        self.done = Streak()
        self.early = False

    def observe(self, at: Observation) -> Verdict | None:
        options = self.options
        full = self.accuracy.last >= options.accuracy and -1e-9 < self.loss.last < options.loss
        held = self.done.feed(full, at.step)
        if held < options.records:
            self.early = False
            return None
        epoch = at.values.get("epoch")
        if epoch is not None and epoch <= 0.5 and self.margin.count and self.margin.ema10 > options.margin:
            self.early = True
        far = self.early
        return Verdict(
            severity=Severity.WARNING if far else Severity.INFO,
            message=f"every pair has been told apart since step {self.done.since}: loss "
            f"{self.loss.ema10:.2g}, margin {self.margin.ema10:.3g}"
            + (f" within {epoch:.2g} epochs" if far and epoch else ""),
            evidence={"loss": self.loss.ema10, "rewards_margins": self.margin.ema10, "epoch": epoch},
            onset=self.done.since,
            confidence=0.7 if far else 0.6,
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "something trivial tells the pairs apart, such as length, format or source",
                (Remedy("compare lengths and formats of chosen and rejected answers"),),
                0.7 if self.early else 0.4,
            ),
            Cause(
                "too many steps for these pairs",
                (
                    Remedy("set `num_train_epochs` to 1", down_to=1, unless=("max_steps",)),
                    Remedy("lower `learning_rate`", scale=0.3),
                    Remedy("set `label_smoothing` to 0.1 with `loss_type=['robust']`", up_to=0.1),
                ),
                0.5,
            ),
            Cause(
                "the reference is another model than the one that was trained on",
                (Remedy("check which model the reference is"),),
                0.3,
            ),
        ]


class MarginCollapse(Rule):
    """The margin between chosen and rejected answers falls back.

    ## What it looks for
    A smoothed margin below half of the best that it had reached.

    ## Why it matters
    What was learned of the preferences is being lost.

    ## How it decides
    The mean over 20 records is below half of its best, the best above 0.1, and the loss of margin at least
    1.5 times its record-to-record noise, for 20 records (10 where a record covers five steps): warning.

    ## What looks alike but is healthy
    Noise of small batches around a small margin; other data in a new epoch.

    ## What to do
    Go back to the checkpoint of the best margin; lower the learning rate.

    ## Sources
    Judgement, held against public DPO logs, none of the healthy ones of which lose half of the margin.
    """

    code, name, severity = "PRF005", "margin-collapse", Severity.WARNING
    needs = ("rewards_margins",)
    algorithms = PAIRS
    enable = "train with DPO or KTO of TRL, which log rewards/margins"

    class Options(RuleOptions, frozen=True):
        """Thresholds of margin-collapse."""

        share: float = 0.5
        """Share of the best margin below which."""
        best: float = 0.1
        """Best margin from which it is judged."""
        noise: float = 1.5
        """Least loss, in standard deviations of the record-to-record noise."""
        records: int = 20
        """Records in a row."""

    def start(self) -> None:
        self.margin = self.chart.track("rewards_margins")
        self.low = Streak()
        self.best, self.best_step, self.noise = 0.0, 0, 0.0
        self.first_step: int | None = None

    def observe(self, at: Observation) -> Verdict | None:
        margin = self.margin
        level = margin.ema20
        if self.first_step is None:
            self.first_step = at.step
        if margin.count < 10:
            return None
        if level > self.best:
            self.best, self.best_step, self.noise = level, at.step, margin.noise
            self.low.feed(False, at.step)
            return None
        low = self.best >= self.options.best and level < self.options.share * self.best
        held = self.low.feed(low and self.best - level >= self.options.noise * self.noise, at.step)
        spacing = (at.step - self.first_step) / (margin.count - 1)
        if held < (self.options.records if spacing < 5 else self.options.records // 2):
            return None
        return Verdict(
            severity=Severity.WARNING,
            message=f"the margin fell from {self.best:.3g} (step {self.best_step}) to {level:.3g}",
            evidence={"rewards_margins": [self.best, level], "noise": self.noise},
            onset=self.low.since,
            confidence=min(0.6 + 0.3 * (self.best - level) / self.best, 0.9),
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "updates too large",
                (
                    Remedy("lower `learning_rate`", scale=0.1),
                    Remedy("set `max_grad_norm` to 1.0", down_to=1.0),
                    Remedy("set `beta` to 0.1", up_to=0.1),
                ),
                0.6,
            ),
            Cause("the data change here", (Remedy("compare the pairs before and after the onset"),), 0.3),
        ]


RULES: tuple[type[Rule], ...] = (
    LikelihoodDisplacement,
    PreferenceSaturated,
    *preference_accuracy.RULES,
    MarginCollapse,
)
"""Rules of the preference family."""
