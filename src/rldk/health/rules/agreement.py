"""What must agree with the policy: the engine that generates, the critic, the reference.

Invariant: what the first records show is told at once, and stays told.
"""

from rldk.health.context import OFFLINE, ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import thrives
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.tracks import Streak
from rldk.metrics.aliases import ENTROPY, KL, REWARD

__all__ = ["RULES"]

LOGP_DIFFERENCE = "sampling_logp_difference_mean"
PROB_DIFFERENCE = "sampling_prob_difference_mean"
RATIO = "importance_sampling_ratio_mean"
CHOSEN = "rewards_chosen"


class BrokenStart(Rule):
    """At the first records trainer and generation already disagree, or the entropy is absurd.

    ## What it looks for
    In the first three records: the difference between the probabilities that the engine sampled with and the
    trainer's own for the same weights, and the entropy.

    ## Why it matters
    Before any update both are the same model. If they differ, weights, precision, template or positions are
    wrong, and what follows is built on it.

    ## How it decides
    TRL, log-probabilities: a difference above 0.2 is critical, above 0.1 a warning. verl, probabilities:
    above 0.1 critical, above 0.05 a warning; the units differ. An entropy above 5 nats is critical. It
    stays told until the mean of ten records is back below.

    ## What looks alike but is healthy
    Engines in fp8 or int4 differ by 0.05 to 0.1. Base models have an entropy of 2 to 3 nats. Typical first
    differences are 0.0045 to 0.06.

    ## What to do
    Compare the log-probabilities of one fixed prompt in both engines; same weights, same precision.

    ## Sources
    A public log that starts with an entropy of 6.44, a difference of 0.996 and a mean ratio of 0.022;
    trl#4159 (temperature applied on one side); open-instruct warns above 0.5 nats.
    """

    code, name, severity = "POL007", "broken-start", Severity.CRITICAL
    needs = (f"{LOGP_DIFFERENCE}|{PROB_DIFFERENCE}|{ENTROPY}",)
    algorithms = ONLINE
    enable = "log the entropy, or generate with vLLM, where TRL logs sampling/*"

    class Options(RuleOptions, frozen=True):
        """Thresholds of broken-start."""

        logp: float = 0.1
        """Difference of log-probabilities; twice that is critical."""
        prob: float = 0.05
        """Difference of probabilities; twice that is critical."""
        entropy: float = 5.0
        """Entropy in nats."""
        records: int = 3
        """First records that are looked at."""

    def start(self) -> None:
        track = self.chart.track
        options = self.options
        self.parts = [
            (track(LOGP_DIFFERENCE), options.logp, 2 * options.logp, "log-probabilities differ by {:.2g}"),
            (track(PROB_DIFFERENCE), options.prob, 2 * options.prob, "probabilities differ by {:.2g}"),
            (track(ENTROPY), options.entropy, options.entropy, "the entropy is {:.3g} nats"),
        ]
        self.ratio = track(RATIO)
        self.records = 0
        self.begin = 0
        self.broken: list[int] = []

    def observe(self, at: Observation) -> Verdict | None:
        self.records += 1
        if self.records == 1:
            self.begin = at.step
        if self.records <= self.options.records:
            self.broken = [index for index, part in enumerate(self.parts) if part[0].ema10 > part[1]]
        if not self.broken:
            return None
        deviations = [
            self.parts[index] for index in self.broken if self.parts[index][0].ema10 > self.parts[index][1]
        ]
        if not deviations:
            self.broken = []
            return None
        compared = any(track.count for track, *_ in self.parts[:2])
        critical = any(track.ema10 > limit for track, _, limit, _ in deviations)
        joined = " and ".join(text.format(track.first) for track, _, _, text in deviations)
        return Verdict(
            severity=Severity.CRITICAL if critical else Severity.WARNING,
            message=f"before anything could be learned, {joined}: "
            + ("generation and training are not one model" if compared else "as of random weights"),
            evidence={
                "difference": [track.first for track, *_ in self.parts[:2] if track.count],
                "entropy": self.parts[2][0].first if self.parts[2][0].count else None,
                RATIO: self.ratio.first if self.ratio.count else None,
            },
            onset=self.begin,
            confidence=0.95 if critical else 0.7,
        )

    def causes(self) -> list[Cause]:
        compared = any(track.count for track, *_ in self.parts[:2])
        return [
            Cause(
                "the engine has other weights, another precision, or the adapter merged otherwise",
                (
                    Remedy("compare the log-probabilities of one prompt in the engine and in the trainer"),
                    Remedy("load both in the same precision"),
                ),
                0.8,
            ),
            Cause(
                "template, position ids or temperature differ between the two",
                (Remedy("compare the token ids of one prompt on both sides"),),
                0.6,
            ),
            Cause(
                "the model was not loaded: its weights are random",
                (Remedy("let the untrained model answer one prompt, and read it"),),
                0.85 if not compared or self.parts[2][0].first > 7 else 0.2,
            ),
        ]


class BadCritic(Rule):
    """The critic explains nothing, or explodes.

    ## What it looks for
    The explained variance of the critic's values, its loss and its share of clipped values.

    ## Why it matters
    Advantages are the returns less the critic's values: a bad critic makes them noisier than none would.

    ## How it decides
    After 20 records: the median explained variance of 30 records is below 0; or the loss, a mean of ten
    records, is ten times the median of records 5 to 25 for ten records; or more than half of the values are
    clipped for ten records. Warning where the reward does not thrive; otherwise a negative explained
    variance is info, and the rest is not told.

    ## What looks alike but is healthy
    A negative value in the first 20 updates; a dip to -2.35 over 50 records without consequence in a healthy
    public log; a loss that grows with the reward: hence the reward decides.

    ## What to do
    Warm the critic up before the policy, `lam` 1.0 for long answers, normalise rewards.

    ## Sources
    VC-PPO (arXiv 2503.01491); NeMo-RL#3412 (explained variance -0.72 to -5.28 while the critic's gradient
    went from 110 to 700); J. Schulman's "Nuts and Bolts".
    """

    code, name, severity = "POL008", "bad-critic", Severity.WARNING
    needs = ("value_explained_variance|value_loss_mean|value_squared_error_mean|value_clip_frac",)
    algorithms = ONLINE
    enable = "train with a critic, as PPO does"

    class Options(RuleOptions, frozen=True):
        """Thresholds of bad-critic."""

        explained: float = 0.0
        """Median explained variance of 30 records."""
        times: float = 10.0
        """The loss as a multiple of its level in records 5 to 25."""
        clipped: float = 0.5
        """Share of clipped values."""
        records: int = 10
        """Records in a row."""

    def start(self) -> None:
        track = self.chart.track
        self.explained = track("value_explained_variance")
        self.loss = track("value_loss_mean|value_squared_error_mean")
        self.clipped = track("value_clip_frac")
        self.reward = track(REWARD)
        self.bad, self.below = Streak(), Streak()
        self.alarmed = False
        self.median = 0.0
        self.negative = 0
        self.begin = 0

    def observe(self, at: Observation) -> Verdict | None:
        text, since = self._explains_nothing(at.step), self.begin
        if text is None:
            text = self._explodes()
            held = self.bad.feed(text is not None, at.step)
            since = self.bad.since
            if held < self.options.records:
                return None
        if text is None:
            return None
        thriving = thrives(self.reward)
        if thriving and (not self.negative or self.alarmed):
            return None
        self.alarmed = not thriving and self.reward.count > 0
        return Verdict(
            severity=Severity.INFO if thriving or not self.reward.count else Severity.WARNING,
            message=text + (", but the reward does well" if thriving else ""),
            evidence={
                "value_explained_variance": self.median if self.explained.count else None,
                "value_loss": [self.loss.baseline, self.loss.ema10],
                "value_clip_frac": self.clipped.ema10 if self.clipped.count else None,
            },
            onset=since,
            confidence=0.7,
        )

    def _explains_nothing(self, step: int) -> str | None:
        explained = self.explained
        below = self.below.feed(explained.count > 0 and explained.ema10 < self.options.explained, step)
        if explained.count < 50:
            return None
        if below:
            self.begin = self.below.since
        if explained.count % 10 == 0:
            self.median = explained.median(30)
            self.negative = int(self.median < self.options.explained)
        if not self.negative:
            return None
        return f"the critic explains nothing: median explained variance {self.median:.2g} over 30 records"

    def _explodes(self) -> str | None:
        loss = self.loss
        if (
            loss.baseline is not None
            and loss.baseline > 0
            and loss.ema10 >= self.options.times * loss.baseline
        ):
            return f"the critic's loss rose from {loss.baseline:.3g} to {loss.ema10:.3g}"
        if self.clipped.count >= 20 and self.clipped.ema10 > self.options.clipped:
            return f"{self.clipped.ema10:.0%} of the critic's values are clipped"
        return None

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the critic started cold",
                (Remedy("start the critic from the reward model, or train it alone first"),),
                0.6,
            ),
            Cause(
                "returns are too large or too late for it",
                (
                    Remedy("set `whiten_rewards=True`"),
                    Remedy("set `lam` to 1.0", up_to=1.0),
                    Remedy("raise `cliprange_value`", scale=2),
                ),
                0.5,
            ),
        ]


class ReferenceMismatch(Rule):
    """At the first record policy and reference already differ.

    ## What it looks for
    The first KL to the reference, or the first implicit reward of the chosen completions: both are 0 where
    policy and reference are the same model.

    ## Why it matters
    The penalty pulls towards another model than the one that training began with. It may be meant.

    ## How it decides
    At step 1: an implicit reward beyond 0.1 (times beta / 0.1 where beta is known) or a KL above 0.05 per
    token. A first record of several steps already contains updates: there the median KL of the first five
    must be above 0.3 and not rise. Info.

    ## What looks alike but is healthy
    It is common and often intended: ten of 18 public GRPO logs begin with a KL of 0.3 to 12, because an
    adapter from fine-tuning lies on top of the base model that is the reference.

    ## What to do
    Merge the adapter first, or load it as the reference too; turn dropout off; compute reference
    log-probabilities again if they were stored.

    ## Sources
    ms-swift#6910; trl#1193; LlamaFactory#8974; public logs.
    """

    code, name, severity = "POL009", "reference-mismatch", Severity.INFO
    needs = (f"{KL}|{CHOSEN}",)
    enable = "train with a reference, and set logging_steps=1"
    when_over = "keep"

    class Options(RuleOptions, frozen=True):
        """Thresholds of reference-mismatch."""

        kl: float = 0.05
        """First KL per token, in nats, at step 1."""
        later_kl: float = 0.3
        """Median KL of the first five records, where the first is of several steps."""
        reward: float = 0.1
        """First implicit reward of the chosen completions, at beta 0.1."""

    def start(self) -> None:
        self.kl = self.chart.track(KL)
        self.chosen = self.chart.track(CHOSEN)
        self.found: Verdict | None = None
        self.records = 0
        self.begin = 0

    def observe(self, at: Observation) -> Verdict | None:
        self.records += 1
        if self.records == 1:
            self.begin = at.step
        if self.records <= 5 and self.found is None:
            self.found = self._look()
        return self.found

    def _look(self) -> Verdict | None:
        if self.context.algorithm in OFFLINE:
            beta = self.context.number("beta")
            limit = self.options.reward * (beta / 0.1 if beta else 1.0)
            if self.records > 1 or self.begin > 1 or abs(self.chosen.first) <= limit or not self.chosen.count:
                return None
            return self._verdict("implicit reward of the chosen completions", self.chosen.first)
        kl = self.kl
        if self.begin <= 1:
            differs = self.records == 1 and kl.count and kl.first > self.options.kl
            return self._verdict("KL", kl.first) if differs else None
        if self.records < 5 or kl.count < 5:
            return None
        level = kl.median(5)
        steady = level > self.options.later_kl and kl.last <= 1.5 * kl.first and kl.low > 0.3 * level
        return self._verdict("KL", level) if steady else None

    def _verdict(self, what: str, value: float) -> Verdict:
        return Verdict(
            severity=Severity.INFO,
            message=f"policy and reference differ from the start ({what} {value:.3g}): that may be meant",
            evidence={what: value, "step": self.begin},
            onset=self.begin,
            confidence=0.8,
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the policy begins as a fine-tuned adapter whose reference is the base model",
                (Remedy("merge the adapter first, or load it a second time as the reference"),),
                0.7,
            ),
            Cause("dropout is on in one of the two", (Remedy("set `disable_dropout=True`"),), 0.3),
            Cause(
                "stored log-probabilities come from another model",
                (Remedy("compute the reference log-probabilities again"),),
                0.6 if self.context.option("precompute_ref_log_probs") else 0.2,
            ),
        ]


RULES: tuple[type[Rule], ...] = (BrokenStart, BadCritic, ReferenceMismatch)
