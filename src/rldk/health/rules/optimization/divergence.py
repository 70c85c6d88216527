"""OPT005 divergence: the training loss climbs and stays up.

Invariant: the losses of GRPO and PPO are never judged; the rule compares a loss with its own lowest, first
and usual values.
"""

from math import inf, log

from rldk.health.observation import Observation
from rldk.health.remedies import WARMUP, Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.optimization.common import LOSS_IS_PROGRESS, PAIR_ACCURACY, is_offline, is_supervised
from rldk.health.tracks import Streak
from rldk.metrics.aliases import LOSS

__all__ = ["Divergence", "DivergenceOptions"]

LN2 = log(2)
"""The loss of a preference model that cannot separate any pair, as at the start."""
EARLY = 20
"""Records before which the lowest mean is uncertain, because its noise is not known."""
BEGUN = 60
"""Records after which the first ones no longer count, unless the rule has reported the run by them."""


class DivergenceOptions(RuleOptions, frozen=True):
    """Thresholds of divergence."""

    ratio: float = 1.3
    """Multiple of the lowest mean loss from which it is reported."""
    critical_ratio: float = 2.0
    """Multiple of the lowest mean loss from which it is critical."""
    noise: float = 2.5
    """Least rise, in standard deviations of the record-to-record noise."""
    records: int = 20
    """Records in a row; fewer where a record covers many steps."""
    accuracy: float = 0.6
    """Share of the first token accuracy below which the model has forgotten."""


class Divergence(Rule[DivergenceOptions]):
    """The training loss climbs and stays up.

    ## What it looks for
    A smoothed loss well above its lowest, for many records.

    ## Why it matters
    The model is losing what it had learned, and such a run seldom recovers by itself.

    ## How it decides
    The mean over 20 records is at least 1.3 times its minimum, and above it by a third of the fall from the
    start and by 2.5 times the record-to-record noise. The median rises likewise. All that for 20 records
    (fewer where a record covers many steps): warning. At twice the minimum and back at the level of the
    start: critical. Where the minimum is within the first 20 records, the loss must also exceed its first two
    values, by 2.5 times the present noise. Less is enough where the run began at ln 2, the loss of a
    preference model that has learned nothing yet. Ten records are enough where the gradient norm rose to 8
    times its first values too. Such a start keeps its severity even where the run recovers, because the run
    lost what it had to learn again. Warning too: a loss that leaps by half of its median, by six times its
    noise and by a third of its fall, for eight records (three where a record covers ten steps). Warning too:
    a first record of several steps at which DPO's plain sigmoid loss is 1.5 times ln 2, and still above ln 2
    in the mean of the first five. Warning too: a token accuracy below 0.6 of the first record's, by three
    times its noise. Info where the loss is below its start, and one of these holds: the evaluation loss is at
    its best, most pairs are ranked right as before, or the loss falls again with the usual gradients. Info
    too, at any level, where the loss jumped and then stays or falls, no gradient norm is half above its
    usual, and no evaluation got worse: a change of data looks like this.

    A log of unknown algorithm with a loss, a learning rate and a gradient norm, and no key of another
    algorithm, is taken as sft.

    ## What looks alike but is healthy
    Another stage of a curriculum, or another packing. The loss of GRPO and PPO, which is never judged. A loss
    near 0 that doubles, which loses little of the gain.

    ## What to do
    Go back to the checkpoint before the onset and lower the learning rate.

    ## Sources
    axolotl#899 (a watchdog with threshold and patience); LLM360 K2, whose two spikes lasted 34 and 8
    checkpoints; public logs.
    """

    code, name, severity = "OPT005", "divergence", Severity.CRITICAL
    needs = (LOSS,)
    shown_on = (LOSS, "token_accuracy_mean")
    algorithms = LOSS_IS_PROGRESS
    enable = "log the loss"
    lasting = "the loss rose within the first records"
    explained_by = ("high-learning-rate", "non-finite", "gradient-spike", "resume-jump")

    def start(self) -> None:
        self.loss = self.chart.track(LOSS)
        self.evaluation = self.chart.track("eval_loss")
        self.gradient = self.chart.track("grad_norm")
        self.accuracy = self.chart.track("token_accuracy_mean")
        self.pairs = self.chart.track(PAIR_ACCURACY)
        self.high, self.lost, self.leap = Streak(), Streak(), Streak()
        self.before = self.usual = (inf, 0.0)
        self.shock = Streak()
        self._shock: Verdict | None = None
        self.least, self.least_count = inf, 0
        self.noise, self.early_noise, self.calm = 0.0, 0.0, 0
        self.usual_gradient = self.first_gradient = self.calm_gradient = 0.0
        self.burst = self.is_reported = False
        self.peak = self.top = -inf
        self.first_step: int | None = None
        option = self.context.option
        added = (
            option("rpo_alpha") or option("label_smoothing") or option("loss_weights") not in (None, [1.0])
        )
        alone = not added and option("loss_type") in ("sigmoid", ["sigmoid"])
        self.sigmoid = self.context.algorithm == "dpo" and alone

    def observe(self, at: Observation) -> Verdict | None:
        loss = self.loss
        level, count = loss.ema20, loss.count
        self.lost.feed(self._forgets(), at.step)
        if self.first_step is None:
            self.first_step = at.step
        if count <= EARLY:
            self._begin()
        if not self.leap.count and not self.high.count and (count % 10 == 0 or count < 10):
            self.calm_gradient = self.gradient.median(50)
        expired = count == BEGUN and self.least_count < EARLY and not self.is_reported
        leapt = self._leapt(at.step)
        if level < self.least or expired:
            self.least, self.least_count = level, count
            self.usual_gradient = self.gradient.ema10
            self.peak = -inf
            self.high.feed(False, at.step)
            return self._lost_at_once() or leapt
        self.peak = max(self.peak, level)
        rise = level - self.least
        fallen = max(loss.start - self.least, 0.0)
        far = max(
            (self.options.ratio - 1) * abs(self.least), fallen / 3, self.options.noise * self.noise, 1e-6
        )
        held = self.high.feed(rise >= far, at.step)
        if not held and count >= EARLY:  # a rise is not noise
            self.calm += 1
            self.noise += (loss.noise - self.noise) / self.calm
        if held < 6 or held < self._needed(at.step) or not self._clear(far):
            return self._forgotten(at.step) or self._lost_at_once() or leapt
        return self._verdict(rise, fallen, far)

    def _begin(self) -> None:
        loss, gradient = self.loss, self.gradient.last
        if loss.count <= 2:
            self.top = max(self.top, loss.last)
            self.first_gradient = max(self.first_gradient, gradient)
        elif loss.last >= 1.5 * self.top and gradient >= 8 * self.first_gradient > 0:
            self.burst = True
        if loss.count == EARLY:
            self.early_noise = loss.noise

    def _forgets(self) -> bool:
        accuracy = self.accuracy
        lost = accuracy.first - accuracy.ema20
        return accuracy.count >= 5 and lost >= max(
            (1 - self.options.accuracy) * accuracy.first, 3 * accuracy.noise, 1e-6
        )

    def _forgotten(self, step: int) -> Verdict | None:
        if self.lost.count < 6 or self.lost.count < self._needed(step):
            return None
        accuracy = self.accuracy
        return Verdict(
            severity=Severity.WARNING,
            message=f"the token accuracy fell from {accuracy.first:.3g} to {accuracy.ema20:.3g} and stays so",
            evidence={"token_accuracy_mean": [accuracy.first, accuracy.ema20], "loss": self.loss.ema20},
            onset=self.lost.since,
            confidence=0.7,
            is_lasting=self._shock is not None,
            baseline=accuracy.first,
            limit=self.options.accuracy * accuracy.first,
        )

    def _leapt(self, step: int) -> Verdict | None:
        """Reports a loss that leapt from one record to the next and stays up, before the means show it."""
        loss = self.loss
        early = self.enough(EARLY, least=8)
        if not self.leap.count:
            self.before = self.usual  # the levels before this record
            self.usual = (loss.median(20), loss.noise)
        level, noise = self.before
        far = max(0.5 * abs(level), 6 * noise, (loss.start - level) / 3, 1e-6)
        if self._shocked(step):
            return self._shock
        held = self.leap.feed(loss.count > early and loss.last >= level + far, step)
        if held < self.enough(8) or not is_offline(self.context.algorithm, self.chart):
            return None
        top = max(loss.tail(held))
        other = self._other_data(held, loss.last - level)
        return Verdict(
            severity=Severity.INFO if other else Severity.WARNING,
            message=f"the loss leapt from {level:.3g} to {top:.3g} and is now {loss.last:.3g}"
            + (" (taken as sft)" if is_supervised(self.context.algorithm, self.chart) else "")
            + (f"; {other}" if other else ""),
            evidence={"loss": [level, top, loss.last], "noise": noise},
            onset=self.leap.since,
            confidence=0.5 if other else 0.75,
            baseline=level,
            limit=level + far,
        )

    def _shocked(self, step: int) -> bool:
        """Whether the first steps doubled the loss, with gradients to match: the model forgot."""
        loss, gradient = self.loss, self.gradient
        if loss.count > EARLY or not gradient.count or not is_offline(self.context.algorithm, self.chart):
            return False
        doubled = loss.last >= 2 * max(loss.first, 0.1) and gradient.high >= 15 * gradient.first > 0
        if self.shock.feed(doubled, step) < 4:
            return False
        self._shock = Verdict(
            severity=Severity.WARNING,
            message=f"the first steps raised the loss from {loss.first:.3g} to {loss.high:.3g}, with a "
            f"gradient norm of {gradient.high:.3g} after {gradient.first:.3g}",
            evidence={"loss": [loss.first, loss.high], "grad_norm": [gradient.first, gradient.high]},
            onset=self.shock.since,
            confidence=0.85,
            is_lasting=True,
            baseline=loss.first,
            limit=2 * max(loss.first, 0.1),
        )
        return True

    def _lost_at_once(self) -> Verdict | None:
        """Reports a first record of many steps far above ln 2: the loss rose within these steps."""
        loss = self.loss
        many = self.first_step is not None and self.first_step > 1
        if not (self.sigmoid and many and loss.first >= 1.5 * LN2 and loss.count >= 5 and loss.ema10 > LN2):
            return None
        return Verdict(
            severity=Severity.WARNING,
            message=f"the mean loss of the first {self.first_step} steps is {loss.first:.3g}, far above the "
            f"{LN2:.3g} at which such a loss begins, and {loss.ema10:.3g} since",
            evidence={"loss": [loss.first, loss.ema10], "records": loss.count},
            onset=0,
            confidence=0.75,
            is_lasting=True,
            baseline=LN2,
            limit=1.5 * LN2,
        )

    def _needed(self, step: int) -> float:
        spacing = (step - (self.first_step or 0)) / max(self.loss.count - 1, 1)
        records = self.options.records / (2 if self.burst and self.least_count < EARLY else 1)
        return float(max(6.0, records / max(spacing, 1.0) ** 0.5))

    def _clear(self, far: float) -> bool:
        """Whether the rise is more than a few records, and more than the noise of the very first ones."""
        loss = self.loss
        if loss.median(20) - self.least < 0.8 * far:
            return False
        if self.least_count >= EARLY:
            return True
        known = self.pairs.count > 0 and abs(loss.first - LN2) < 0.005
        noise = max(loss.noise, self.early_noise)
        start = max(self.top, self.least)
        if known:
            return loss.ema20 - LN2 >= max(0.15 * LN2, 0.3 * noise)
        above = min(loss.ema20, loss.median(20) + noise) - start
        if above >= (1.5 if self.burst else 2.5) * noise:
            return True
        held = min(self.high.count, 15)
        # Two first losses may be low by chance: gradients must have grown too, where they are known.
        grew = not self.gradient.count or self.gradient.ema10 >= 2 * self.first_gradient
        return held >= 10 and grew and loss.count <= BEGUN and min(loss.tail(held)) > 1.5 * self.top

    def _verdict(self, rise: float, fallen: float, far: float) -> Verdict:
        loss = self.loss
        excuse = self._excuse(rise)
        is_early = self.least_count < EARLY and not excuse
        self.is_reported = self.is_reported or is_early
        worst = loss.ema20 >= self.options.critical_ratio * self.least and rise >= 0.9 * fallen
        severity = Severity.CRITICAL if worst else Severity.WARNING
        if excuse or not is_offline(self.context.algorithm, self.chart):
            severity = Severity.INFO
        return Verdict(
            severity=severity,
            message=f"the loss rose from {self.least:.3g} to {loss.ema20:.3g} (means of up to 20 records) "
            "and stayed up"
            + (" (taken as sft)" if is_supervised(self.context.algorithm, self.chart) else "")
            + (f"; {excuse}" if excuse else ""),
            evidence={"loss": [self.least, loss.ema20], "start": loss.start, "noise": self.noise},
            onset=self.high.since,
            confidence=0.5 if excuse else min(0.6 + 0.1 * rise / max(abs(self.least), 1e-6), 0.95),
            is_lasting=is_early or self._shock is not None,
            baseline=self.least,
            limit=self.least + far,
        )

    def _other_data(self, held: int, rise: float) -> str:
        """Says that the data may have changed, if the loss jumped to a level and stays or falls there.

        Updates that are too large show in the gradient; other data do not. Without a gradient norm it is
        empty.
        """
        gradient, evaluation, before = self.gradient, self.evaluation, self.calm_gradient
        if not gradient.count or before <= 0 or gradient.median(10) > 1.5 * before:
            return ""
        if sum(value > 3 * before for value in gradient.tail(held + 15)) > 1:
            return ""
        if evaluation.count >= 2 and evaluation.last > 1.05 * evaluation.low:
            return ""
        since = self.loss.tail(min(held, 40))
        half = len(since) // 2
        climbed = sum(since[-half:]) / half - sum(since[:half]) / half
        if climbed > max(0.1 * rise, 0.7 * self.loss.noise):
            return ""
        return "the gradients are as before: did the data change?"

    def _excuse(self, rise: float) -> str:
        evaluation, pairs = self.evaluation, self.pairs
        other = self._other_data(self.high.count, rise) if self.least_count >= EARLY else ""
        if other or self.least_count < EARLY or self.loss.ema20 >= self.loss.start:
            return other  # worse than untrained: nothing else excuses that
        if evaluation.count >= 2 and evaluation.last <= evaluation.low * 1.02:
            return "the evaluation loss is at its best, so the data may have changed"
        if pairs.count >= 10 and pairs.ema20 >= max(0.75, 0.85 * pairs.best):
            return f"but {pairs.ema20:.0%} of the pairs are ranked right: the few wrong ones weigh much"
        calm = self.gradient.count > 0 and self.gradient.ema10 <= 1.5 * self.usual_gradient
        if calm and self.peak - self.loss.ema20 >= 0.25 * rise:
            return "it falls again with gradients as before, so the data may have changed"
        return ""

    def causes(self) -> list[Cause]:
        grew = self.gradient.count > 0 and self.gradient.ema10 > 3 * max(self.usual_gradient, 1e-12)
        rate = self.chart.step_size
        worked = rate.worked_until(self.high.since, self.chart.spacing)
        is_early = self.least_count < EARLY and not worked
        heavy = (self.context.number("beta") or 0.0) >= 2
        beta = Cause(
            "beta is so large that a few wrong pairs dominate the loss",
            (Remedy("set `beta` to 0.1", down_to=0.1),),
            0.95,
        )
        return [
            *((beta,) if heavy else ()),
            Cause(
                "the learning rate is too high",
                (
                    rate.lower(0.1, verl=None),
                    Remedy("set `warmup_steps` to a tenth of the run", unless=WARMUP),
                    Remedy("set `max_grad_norm` to 1.0", down_to=1.0),
                ),
                0.85 if is_early else 0.4 if worked else 0.85 if grew else 0.6,
            ),
            Cause(
                "a bad stretch of data, or another template from here on",
                (Remedy("look at the batches of the onset"),),
                0.6 if worked and not is_early else 0.4,
            ),
        ]
