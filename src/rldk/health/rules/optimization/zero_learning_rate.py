"""OPT008 zero-learning-rate: the learning rate is 0 although the run is not at its end.

Invariant: the first record and the end of the planned run are never reported.
"""

from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.tracks import Streak

__all__ = ["ZeroLearningRate", "ZeroLearningRateOptions"]


class ZeroLearningRateOptions(RuleOptions, frozen=True):
    """Thresholds of zero-learning-rate."""

    records: int = 5
    """Records in a row."""
    end: float = 0.95
    """Share of the planned run from which a rate of 0 is the end of the schedule."""


class ZeroLearningRate(Rule[ZeroLearningRateOptions]):
    """The learning rate is 0 although the run is not at its end.

    ## What it looks for
    A learning rate of exactly 0, record after record.

    ## Why it matters
    The weights do not change; everything else in the log looks alive.

    ## How it decides
    Five records in a row, after the first record and before 95% of the planned steps (by `max_steps`, else by
    `num_train_epochs`). Where the plan is not known and the rate was above 0 before, ten records: info, since
    the schedule may be at its end. Logs of other tools than TRL are not judged, because many round the rate.

    ## What looks alike but is healthy
    The first record of a warm-up; the end of a schedule; a console that prints 1e-6 as 0.000.

    ## What to do
    Set a learning rate; on a resume, plan for all steps that the run is to make.

    ## Sources
    Trained with this fault on purpose in benchmarks/detection; rounded rates were seen in verl's consoles.
    """

    code, name, severity = "OPT008", "zero-learning-rate", Severity.WARNING
    needs = ("lr",)
    enable = "log the learning rate, as TRL does"
    patience = 2

    def start(self) -> None:
        self.rate = self.chart.track("lr")
        self.zeros = Streak()
        self.records = self.begin = 0
        self.at_end = False
        steps = self.context.number("max_steps")
        self.steps = steps if steps is not None and steps > 0 else None
        self.epochs = None if self.steps else self.context.number("num_train_epochs")

    def observe(self, at: Observation) -> Verdict | None:
        self.records += 1
        if self.records == 1:
            self.begin = at.step
        held = self.zeros.feed(at.values["lr"] == 0.0 and self.records > 1, at.step)
        if held < self.options.records:
            return None
        done = self._done(at)
        if held == self.options.records:
            self.at_end = done is not None and done >= self.options.end
        always = self.rate.high == 0.0
        sure = always or done is not None
        if self.at_end or (not sure and held < 10):
            return None
        since = self.begin if always and held == self.records - 1 else self.zeros.since
        return Verdict(
            severity=Severity.WARNING if sure else Severity.INFO,
            message=f"the learning rate has been 0 since step {since:,}"
            + (" and was never above 0" if always else f" (its highest was {self.rate.high:.3g})")
            + ("" if done is None else f", at {done:.0%} of the run"),
            evidence={"lr": [self.rate.high, 0.0], "records": held},
            onset=since,
            confidence=0.95 if sure else 0.5,
            baseline=self.rate.high,
            limit=0.0,
        )

    def checkable(self) -> str | None:
        if self.context.dialect in (None, "trl", "trl-early"):
            return None
        return "this log may round learning rates to 0: record the run with RLDKCallback"

    def _done(self, at: Observation) -> float | None:
        """The share of the run that is done."""
        if self.steps:
            return at.step / self.steps
        epoch = at.values.get("epoch")
        return epoch / self.epochs if self.epochs and epoch is not None else None

    def causes(self) -> list[Cause]:
        zero = self.context.number("learning_rate") == 0
        return [
            Cause(
                "the learning rate is set to 0",
                (Remedy("set `learning_rate` above 0"),),
                0.95 if zero else 0.4 if self.rate.high == 0.0 else 0.05,
            ),
            Cause(
                "the schedule ended before the run, for example after a resume with more steps",
                (Remedy("check `lr_scheduler_type` and the number of steps that it was made for"),),
                0.1 if zero else 0.7,
            ),
        ]
