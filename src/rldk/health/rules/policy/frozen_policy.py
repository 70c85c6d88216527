"""POL003 frozen-policy: training goes on, but the policy stays equal to its reference.

Invariant: nothing is reported while a warm-up keeps the learning rate small.
"""

from math import log

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.causes import READ_PAIRS
from rldk.health.rules.preference.common import ACCURACY
from rldk.health.step_size import BLAMED
from rldk.health.tracks import Streak
from rldk.metrics.aliases import KL, LOSS

__all__ = ["FrozenPolicy", "FrozenPolicyOptions"]

MARGINS = "rewards_margins"
NO_GRADIENT = 1e-5
"""Gradient norm below which the two sides of each pair must be the same: they cancel."""
RANKED = 0.6
"""Share of pairs ranked right from which a small margin is one that grows; margins near 1 are usual."""
LN2 = log(2)
"""The loss of DPO where the model tells no pair apart."""


class FrozenPolicyOptions(RuleOptions, frozen=True):
    """Thresholds of frozen-policy."""

    margin: float = 1e-3
    """Margin and change of the loss that count as none, at beta 0.1."""
    mean_margin: float = 0.03
    """Mean margin of 20 records that counts as nothing learned, at beta 0.1."""
    mean_loss: float = 0.01
    """Distance of the mean loss from ln 2, or from its first value, that counts as none."""
    mean_records: int = 30
    """Records in a row of such means, past the warm-up."""
    kl: float = 1e-6
    """KL per token that counts as none."""
    records: int = 20
    """Records of a preference run; fewer, but at least 8, where they span as many steps."""
    online_records: int = 50
    """Records of an online run; fewer, but at least 10, where they span as many steps."""


class FrozenPolicy(Rule[FrozenPolicyOptions]):
    """Training goes on, but the policy stays equal to its reference.

    ## What it looks for
    Preferences (DPO, KTO): implicit rewards that stay 0 and a loss that stays at its first value, ln 2 in
    DPO. Online: a KL to the reference that stays 0 although there is a gradient.

    ## Why it matters
    The whole run is wasted, and its loss curve does not look broken.

    ## How it decides
    Preferences: margins below 0.001 (times beta / 0.1 where beta is known) and a loss within 0.001 of its
    first value, for 20 records, or 8 that span 20 steps: warning, critical after 50. The learning rate must
    be past its warm-up and at least half of its peak. If the gradient is exactly 0 too, 5 records are enough,
    at any learning rate above 0: critical.

    Warning too where noise hides that, in a run on given pairs that logs accuracies. Over 20 records, the
    mean margin is below 0.03 (times beta / 0.1), with what it gains in 20 more. The mean loss is within 0.01
    of ln 2 or of its first value. The mean accuracy over 50 is at most three standard errors above 0.5. All
    that must last for 30 records past the warm-up.

    Online: KL below 1e-6 for 50 records, or 10 that span 50 steps, under the same learning rate and with a
    gradient: critical.

    ## What looks alike but is healthy
    A small beta makes margins small while most pairs are ranked right: hence the accuracy. Online DPO makes
    new pairs of its own answers, so its margins stay small; where they are all alike its margin is 0, but the
    reward of the chosen ones is not. The first records, and warm-up, always look like
    this. The rule is silent without a logged learning rate, and where the reference follows the policy
    (`sync_ref_model`). Groups without advantage have no gradient: see zero-advantage.

    ## What to do
    Print the trainable parameters; compare two checkpoints; with PEFT pass no `ref_model`.

    ## Sources
    trl#1311, trl#701, trl#1193; a public log of 100 steps with loss 0.6931, gradient 0 and rewards 0
    throughout.
    """

    code, name, severity = "POL003", "frozen-policy", Severity.CRITICAL
    needs = (f"{MARGINS}|{KL}", "lr")
    enable = "log the margins of DPO, or the KL of a run with beta > 0, and the learning rate"
    explained_by = ("nothing-trained", "shared-reference", "zero-learning-rate", "lora-dead")

    def start(self) -> None:
        self.planned = self.context.number("learning_rate") or 0.0  # before this peak there is warm-up
        self.margins = self.chart.track(MARGINS)
        self.chosen = self.chart.track("rewards_chosen")
        self.kl = self.chart.track(KL)
        self.loss = self.chart.track(LOSS)
        self.rate = self.chart.track("lr")
        self.gradient = self.chart.track("grad_norm")
        self.peak = 0.0
        self.rising = True
        self.found = False
        self.still = Streak()
        self.equal = Streak()
        self.dead = Streak()
        self.stuck = Streak()
        self.accuracy = self.chart.track(ACCURACY)
        self.is_warmed_up = False
        beta = self.context.number("beta")
        self.scale = min(beta / 0.1, 1.0) if beta else 1.0
        self.margin = self.options.margin * self.scale

    def checkable(self) -> str | None:
        if self.context.option("sync_ref_model"):
            return "it needs a fixed reference, and sync_ref_model updates it during training"
        return None

    def observe(self, at: Observation) -> Verdict | None:
        rate = self.rate.last
        self.rising = rate > self.peak
        self.peak = max(self.peak, rate)
        self.is_warmed_up = self.is_warmed_up or (not self.rising and rate >= 0.9 * self.planned)
        warm = not self.rising and rate > 0 and rate >= 0.5 * max(self.peak, self.planned)
        if self.margins.count:
            return self._offline(at, rate, warm)
        moves = self.gradient.count > 0 and self.gradient.ema10 > 1e-8
        warm = warm or (self.still.count > 0 and rate > 0)  # a rate that decays later moves it no more
        equal = abs(self.kl.last) < self.options.kl
        self.equal.feed(equal, at.step)
        still = (warm or self.found) and moves and equal
        held = self.still.feed(still, at.step)
        self.found = self._long(held, at.step, self.options.online_records, 10)
        if not self.found:
            return None
        return self._verdict(
            f"the KL to the reference has been below {self.options.kl:.0e} since step {self.equal.since} "
            f"although there is a gradient of {self.gradient.ema10:.2g}",
            {KL: self.kl.last, "grad_norm": self.gradient.ema10, "lr": rate},
            self.equal.since,
            Severity.CRITICAL,
            self.options.kl,
        )

    def _offline(self, at: Observation, rate: float, warm: bool) -> Verdict | None:
        loss = self.loss
        equal = abs(self.margins.last) < self.margin
        equal = equal and (not loss.count or abs(loss.last - loss.first) < self.options.margin)
        if self.context.algorithm in ONLINE and self.chosen.count:  # alike answers have no margin either
            equal = equal and abs(self.chosen.last) < self.margin
        self.equal.feed(equal, at.step)
        gradient = at.values.get("grad_norm")
        dead = self.dead.feed(equal and rate > 0 and gradient is not None and gradient < 1e-8, at.step)
        held = self.still.feed(equal and (warm or self.found), at.step)
        self.found = self._long(held, at.step, self.options.records, 8)
        needed = self.enough(self.options.mean_records, least=15)
        stuck = self.stuck.feed(rate > 0 and self._learns_nothing(), at.step)
        self.score = max(stuck / needed, dead / 5, float(self.found))
        if dead < 5 and not self.found:
            return self._stuck(rate) if stuck >= needed else None
        return self._verdict(
            f"policy and reference have been equal since step {self.equal.since}: margin "
            f"{self.margins.last:.2g}"
            + (f", loss {loss.last:.4f}" if loss.count else "")
            + (", and the gradient is 0" if dead >= 5 else ""),
            {MARGINS: self.margins.last, "loss": [loss.first, loss.last], "lr": rate, "grad_norm": gradient},
            self.equal.since,
            Severity.CRITICAL if dead >= 5 or held >= 50 else Severity.WARNING,
            self.margin,
        )

    def _learns_nothing(self) -> bool:
        """Whether means of 20 records, past the warm-up, show no margin, no loss of loss and no accuracy."""
        loss, accuracy, options = self.loss, self.accuracy, self.options
        if not (self.is_warmed_up and loss.count and accuracy.count) or self.context.algorithm in ONLINE:
            return False
        margins = self.margins
        ahead = margins.ema20 + max(margins.gain(20), 0.0)
        if max(abs(margins.ema20), ahead) >= options.mean_margin * self.scale:
            return False
        if min(abs(loss.ema20 - LN2), abs(loss.ema20 - loss.first)) >= options.mean_loss:
            return False
        return accuracy.ema50 - 0.5 <= 3 * accuracy.error(min(accuracy.count, 50))

    def _stuck(self, rate: float) -> Verdict:
        loss, accuracy = self.loss, self.accuracy
        return self._verdict(
            f"the model has learned next to nothing since step {self.stuck.since}: margin "
            f"{self.margins.ema20:.2g}, loss {loss.ema20:.4f} (means of 20), and {accuracy.ema50:.0%} of the "
            "pairs are ranked right",
            {MARGINS: self.margins.ema20, "loss": [loss.first, loss.ema20], "lr": rate},
            self.stuck.since,
            Severity.WARNING,
            self.options.mean_margin * self.scale,
        )

    def _long(self, held: int, step: int, records: int, least: int) -> bool:
        return held >= records or (held >= least and step - self.still.since >= records)

    def _verdict(
        self, message: str, evidence: dict[str, object], since: int, severity: Severity, limit: float
    ) -> Verdict:
        return Verdict(
            severity=severity,
            message=message,
            evidence=evidence,
            onset=since,
            confidence=0.95 if severity is Severity.CRITICAL else 0.7,
            baseline=0.0,
            limit=limit,
        )

    def causes(self) -> list[Cause]:
        rate = self.chart.step_size
        pairs = self.margins.count > 0
        same = pairs and self.gradient.count > 0 and self.gradient.high < NO_GRADIENT
        moves = pairs and self.gradient.count > 0 and abs(self.margins.ema20) > 1e-6
        at_chance = self.accuracy.count > 0 and self.accuracy.ema50 < RANKED
        times = min(max(1.0 / max(abs(self.margins.ema20), 1e-6), 3.0), 1000.0) if moves else 10.0
        return [
            Cause(
                "no trained parameter belongs to the policy: the adapter is frozen, not attached, or the "
                "optimizer was made before it",
                (
                    Remedy(
                        'print the trainable parameters ("model.print_trainable_parameters()"), and check '
                        'that the optimizer holds those very tensors ("trainer.optimizer.param_groups")'
                    ),
                    Remedy("compare the weights of two checkpoints"),
                ),
                0.3 if moves else 0.8,
            ),
            Cause(
                "the reference is the policy itself, the same object or adapter",
                (Remedy('with PEFT pass "ref_model=None": the reference is the model without its adapter'),),
                0.1 if moves else 0.6,
            ),
            Cause(
                "chosen and rejected completions are the same",
                (Remedy("read three pairs as they are tokenized, and drop those whose sides are the same"),),
                0.9 if same else 0.4 if pairs else 0.0,
            ),
            Cause(
                "the learning rate is too low",
                (Remedy("raise `learning_rate`", scale=times),),
                0.85 if moves and not at_chance else 0.1,
            ),
            Cause(
                "the labels of the pairs are noise",
                (READ_PAIRS,),
                0.8 if moves and at_chance else 0.1,
            ),
            Cause(
                "an early update was so large that nothing is left to learn",
                (rate.lower(0.1),),
                0.9 if rate.scale is not None and rate.scale < BLAMED else 0.05,
            ),
            Cause(
                "updates are smaller than the precision of the weights",
                (Remedy("keep the weights in float32, or raise `learning_rate`", scale=10),),
                0.3,
            ),
        ]
