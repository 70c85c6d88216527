"""OPT004 zero-gradient: the gradient has been exactly 0 for many records: nothing is trained.

Invariant: a solved task is no failure, and a loss that falls proves that something is trained.
"""

from math import log
from statistics import fmean, median

from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import at_top, in_noise
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.common import is_constant, is_early
from rldk.health.rules.optimization.common import ACCURACY
from rldk.health.tracks import Streak
from rldk.metrics.aliases import LOSS, REWARD

__all__ = ["ZeroGradient", "ZeroGradientOptions"]

GRADIENT = "grad_norm"
ZERO = 1e-8
"""Gradient norm below which nothing is trained."""
EARLY = 4
"""Records of a streak whose mean loss is compared with that of as many latest ones."""


class ZeroGradientOptions(RuleOptions, frozen=True):
    """Thresholds of zero-gradient."""

    records: int = 10
    """Least number of records in a row."""
    chance: float = 1e-4
    """Highest probability of such a streak by chance, given the share of zeros before it."""


class ZeroGradient(Rule[ZeroGradientOptions]):
    """The gradient has been exactly 0 for many records: nothing is trained.

    ## What it looks for
    Gradient norms below 1e-8 in a row, at a learning rate above 0.

    ## Why it matters
    The weights do not change, and the rest of the run is wasted.

    ## How it decides
    Ten records in a row. Where single zeros are usual, more: a streak with a chance of 1 in 10,000, given the
    share of zeros before it. Critical if the gradient was 0 from the first record on, or for twice as long;
    otherwise a warning. A warning at most, after 25 records, while the reward has had one value (see
    dead-reward) and fewer than 500 completions are scored (60 records where the batch size is not known).
    Info where the task is solved: the reward rose to its top, and no log of the groups shows a spread. Info
    where the loss or the reward still improves: then the logged norm is not the gradient's.

    ## What looks alike but is healthy
    The first record, whose learning rate is 0. A solved task: all completions are right, or all pairs are
    separated, or the model memorised a small set and the loss went to 0 before. Some set-ups of DeepSpeed
    that report 0: the loss falls nevertheless. A loss near 0 with a gradient, which is normal for GRPO. Small
    batches of prompts, where many batches have no advantage.

    ## What to do
    If rewards have no spread, see zero-advantage; else look whether the trained parameters get gradients.

    ## Sources
    trl#3857, trl#1778, ms-swift#5890; two of nine public DPO logs.
    """

    code, name, severity = "OPT004", "zero-gradient", Severity.CRITICAL
    needs = (GRADIENT,)
    enable = "log grad_norm, as TRL does"
    explained_by = (
        "nothing-trained",
        "missing-rewards",
        "labels-masked",
        "zero-learning-rate",
        "frozen-policy",
        "non-finite",
        "eos-mismatch",
        "truncation",
        "length-collapse",
        "dead-reward",
        "reward-collapse",
        "zero-advantage",
    )
    answers = ("loss-near-zero",)

    def start(self) -> None:
        self.reward = self.chart.track(REWARD)
        self.loss = self.chart.track(LOSS)
        self.accuracy = self.chart.track(ACCURACY)
        self.zero_std = self.chart.track("frac_reward_zero_std")
        self.gradient = self.chart.track(GRADIENT)
        self.last_verdict: Verdict | None = None
        self.zeros = Streak()
        self.records = self.seen = self.before = 0
        self.levels = (0.0, 0.0)
        self.needed = 10
        self.usual = 0.0  # the gradient norm before the streak
        self.early: list[float] = []
        """The first losses of the streak, after its first record."""

    def observe(self, at: Observation) -> Verdict | None:
        value = at.values[GRADIENT]
        zero = value is not None and -ZERO < value < ZERO and at.values.get("lr") != 0.0
        self.records += 1
        held = self.zeros.feed(zero, at.step)
        if not held:
            return self._still()
        self.seen += 1
        if self.loss.step == at.step and len(self.early) < EARLY and held > 1:
            self.early.append(self.loss.last)
        if held == 1:
            self.early = []
            self.usual = median([old for old in self.gradient.recent if old] or [0.0])
            self.before = self.records - 1
            share = (self.seen - 0.5) / (self.before + 5)
            self.needed = max(self.options.records, round(log(self.options.chance) / log(min(share, 0.98))))
            self.levels = (self.reward.ema10, self.loss.ema10)
        if held < self.needed:
            return self._still()
        early = is_constant(self.reward) and is_early(self.context, self.reward, at.step)
        if early and held < self.enough(25):
            return self._still()
        why = self._excuse()
        sure = not early and (not self.before or held >= 2 * self.needed)
        severity = Severity.CRITICAL if sure else Severity.WARNING
        verdict = Verdict(
            severity=Severity.INFO if why else severity,
            message="the gradient has been 0 "
            + (f"for {held} records" if self.before else "since the first record")
            + (f": {why}" if why else f"; it was {self.usual:.3g} before" if self.usual else ""),
            evidence={GRADIENT: value, "records": held, "lr": at.values.get("lr")},
            onset=self.zeros.since,
            confidence=0.6 if why else 0.95,
            limit=ZERO,
        )
        self.last_verdict = None if why else verdict
        return verdict

    def _still(self) -> Verdict | None:
        """The last verdict, which one record nearly 0 among many that are 0 does not end."""
        if self.last_verdict is not None and self.gradient.median(10) >= ZERO:
            self.last_verdict = None
        return self.last_verdict

    def _excuse(self) -> str:
        reward, loss = self.reward, self.loss
        rewarded, lost = self.levels
        if reward.count >= 10:
            if at_top(reward) and (not self.zero_std.count or self.zero_std.ema20 >= 0.75):
                return f"the task is solved, with a reward of {reward.ema10:.3g}"
            rise = reward.ema10 - rewarded
            if in_noise(reward, rise) >= 1.5 and rise >= 0.1 * (reward.high - reward.low) > 0:
                return "but the reward rises, so the logged norm may be wrong"
            return ""
        known = self.accuracy.count > 0 and self.accuracy.ema10 >= 0.99 and loss.ema10 < 0.05
        start = abs(loss.start)
        if known or (loss.count >= 10 and abs(loss.ema10) < 0.02 * start and abs(lost) < 0.1 * start):
            return "the model gets all examples right, and the loss is near 0"
        # A mean from before the zeros would still hold the fall before them.
        fall = loss.start - loss.ema10 if not self.before else fmean(self.early or [0.0]) - loss.mean(EARLY)
        if loss.count >= 10 and in_noise(loss, fall) >= 1.5 and fall >= 0.02 * abs(loss.ema10):
            return "but the loss falls, so the logged norm may be wrong"
        return ""

    def causes(self) -> list[Cause]:
        online = self.reward.count > 0
        flat = self.zero_std.count > 0 and self.zero_std.ema10 >= 0.9
        masked = self.context.option("mask_truncated_completions") is True
        broke = self.usual > 0 and not flat
        rewards = [
            Cause(
                "no completion has an advantage: all rewards of a group are the same",
                (Remedy("give partial credit in the reward, or choose prompts by pass rate"),),
                0.9 if flat else 0.4,
            ),
            Cause(
                "every completion is cut and masked",
                (
                    Remedy("set `mask_truncated_completions=False`"),
                    Remedy("raise `max_completion_length`", scale=2),
                ),
                0.85 if masked else 0.05,
            ),
        ]
        return [
            *(rewards if online else ()),
            *(
                [
                    Cause(
                        "what ran at that step froze the parameters: a save, an evaluation, an adapter",
                        (
                            Remedy(
                                'print "model.print_trainable_parameters()" before and after the first save '
                                "and the first evaluation"
                            ),
                        ),
                        0.85,
                    )
                ]
                if broke
                else ()
            ),
            Cause(
                "the trained parameters get no gradient: a frozen adapter, or a graph cut by checkpointing",
                (
                    Remedy(
                        'check "model.print_trainable_parameters()", and call '
                        '"model.enable_input_require_grads()" before training'
                    ),
                    Remedy("set `gradient_checkpointing_kwargs={'use_reentrant': False}`"),
                ),
                0.3 if online else 0.8,
            ),
            Cause(
                "every label is masked",
                (Remedy("decode the labels of one batch that are not -100"),),
                0.1 if online else 0.5,
            ),
        ]
