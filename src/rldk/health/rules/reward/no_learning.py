"""REW003 no-learning: the reward, or the loss of training on given answers, is not better than at the start.

Invariant: the rule compares a reward with its own start, best and noise; a solved task is no failure. A loss
is judged by its evaluations only, which are all of the same examples.
"""

from itertools import pairwise
from math import sqrt

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import at_ceiling
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.causes import CHECK_REWARD, temperature
from rldk.health.tracks import Track
from rldk.metrics.aliases import KL, LOSS, REWARD

__all__ = ["NoLearning", "NoLearningOptions"]

ON_ANSWERS = frozenset({"sft", "gkd", "orpo", "cpo"})
"""Algorithms whose loss is above all that of given answers; the others' begins at a level that says it."""
UNCHANGED = 1e-3
"""Share of itself by which an evaluation loss may move and count as unchanged."""
LITTLE = 0.05
"""Share of itself that an evaluation loss may have fallen where it falls in proportion to the rate."""
EVEN = (0.4, 0.6)
"""Share of the fall, at half of the learning rate, that is in proportion to it: whoever learns much learns
most of it early (healthy SFT of the wide set: 0.58 to 0.91, of falls by a fifth and more)."""
FEWEST, MOST = 4, 64
"""Evaluations from which they are judged, and the most that are stored; of more, every other one."""
SLOW = 10.0
"""Multiple of the learning rate that would fit, from which the rate is too low to learn anything."""
HEAVY = 1.0
"""KL coefficient from which the penalty outweighs any reward of usual size."""
SETTLED = 50
"""Records from which a KL that is still small says that the policy does not move."""
STILL = 1e-3
"""KL a token, in nats, of such a policy; it grows with the square of the rate."""
MOVED = 0.05
"""KL a token, in nats, of a policy that has clearly moved."""


class NoLearningOptions(RuleOptions, frozen=True):
    """Thresholds of no-learning."""

    records: int = 100
    """Records before which it is silent (two fifths of them, where they span four steps each)."""
    gain: float = 0.8
    """Gain in standard deviations of the record-to-record noise that counts as learning."""


class EvaluationLosses:
    """The evaluations of a loss, by the learning rate that was spent before each: its sum over the steps."""

    def __init__(self, loss: Track, rate: Track) -> None:
        self._loss, self._rate = loss, rate
        self._seen = 0
        self._step: int | None = None
        self._spent = 0.0
        self.points: list[tuple[float, float]] = []
        """The rate spent, and the loss."""

    def feed(self, step: int) -> None:
        """Add a train record, and the evaluation since the one before."""
        if self._loss.count > self._seen:
            self._seen = self._loss.count
            self.points.append((self._spent, self._loss.last))
            if len(self.points) > MOST:
                self.points = self.points[::2]
        self._spent += self._rate.last * max(step - (step if self._step is None else self._step), 0)
        self._step = step

    @property
    def stands(self) -> str:
        """How the loss stands, as words that follow it; empty where it does not, or not enough is known."""
        if len(self.points) < FEWEST:
            return ""
        losses = [loss for _, loss in self.points]
        (begin, first), (end, last) = self.points[0], self.points[-1]
        if max(losses) - min(losses) <= UNCHANGED * abs(first):
            return "is the same in every evaluation"
        fell = first - last
        is_even = all(before >= after for before, after in pairwise(losses)) and end > begin
        if not is_even or not 0 < fell <= LITTLE * abs(first):
            return ""
        half = (begin + end) / 2
        for (spent, loss), (later, after) in pairwise(self.points):
            if spent <= half <= later and later > spent:
                share = (first - loss - (after - loss) * (half - spent) / (later - spent)) / fell
                return "falls only in proportion to the learning rate" if EVEN[0] <= share <= EVEN[1] else ""
        return ""


class NoLearning(Rule[NoLearningOptions]):
    """The reward, or the loss of training on given answers, is not better than at the start.

    ## What it looks for
    A smoothed reward whose best is within the noise of its start, after many records. In training on given
    answers (SFT, ORPO, CPO): a training loss at its start, and evaluations that show next to no change.

    ## Why it matters
    Hours of training for nothing. It is information, not an alarm: a plateau can end.

    ## How it decides
    After at least 100 records, or 40 records that span 400 steps, the rule compares means of 50 records with
    the mean of the first 20. The best mean gained less than 0.8 of the record-to-record standard deviation,
    and the latest less than 0.5 of it: info. Stationary noise reaches 0.5 to 0.7 over thousands of records.

    Training on given answers is judged after as many records, by four evaluations or more. The mean training
    loss over 50 records is less than half of that noise below its first 20 records, and below its first five.
    The evaluation loss is the same, within a thousandth. Or it fell by a twentieth at most, and in
    proportion to the learning rate that was spent: half of the fall, give or take a tenth, at half of the
    sum of the rates. What a model learns in earnest, it learns most of early.

    ## What looks alike but is healthy
    A reward at its ceiling from the start: within 0.12 of the largest `reward_std` of its highest record,
    and nearer to it than to its lowest. Then the rule is silent. Learning-rate warm-up; batch noise; the
    first 100 to 300 steps, often flat in good runs too.

    ## What to do
    See the causes: other findings come first. LoRA needs about ten times the learning rate of full
    fine-tuning.

    ## Sources
    open-r1#436, trl#2872, trl#2703; TRL's "LoRA without regret"; a gain of 0.1 standard deviations,
    proposed elsewhere, is within its own standard error.
    """

    code, name, severity = "REW003", "no-learning", Severity.INFO
    needs = (REWARD,)
    algorithms = ONLINE | ON_ANSWERS
    enable = "log the reward; in training on given answers the loss, and evaluate during training"
    when_over = "forget"
    patience = 1
    explained_by = (
        "nothing-trained",
        "sampling-temperature",
        "broken-start",
        "zero-learning-rate",
        "frozen-policy",
        "stale-rollout",
        "eos-mismatch",
        "truncation",
        "dead-reward",
        "zero-advantage",
        "zero-gradient",
        "importance-starvation",
        "kl-blowup",
        "length-runaway",
        "divergence",
    )

    def start(self) -> None:
        self.on_answers = self.context.algorithm in ON_ANSWERS
        self.reward = self.chart.track(REWARD)
        self.loss = self.chart.track(LOSS)
        self.evaluated = EvaluationLosses(self.chart.track("eval_loss"), self.chart.track("lr"))
        self.spread = self.chart.track("reward_std")
        self.kl = self.chart.track(KL)
        self.early = 0.0
        self.best = self.top = float("-inf")
        self.last: Verdict | None = None
        self.begin: int | None = None

    def inputs(self) -> tuple[str, ...]:
        return (LOSS,) if self.on_answers else self.needs

    def observe(self, at: Observation) -> Verdict | None:
        if self.begin is None:
            self.begin = at.step
        if self.on_answers:
            return self._on_answers(at.step)
        reward = self.reward
        if reward.count < 20:
            return None
        if reward.count == 20:
            self.early = reward.ema20
        self.best = max(self.best, reward.ema50)
        self.top = max(self.top, reward.ema20)
        if reward.count % 5:
            return self.last
        self.last = None
        if not self._is_long(reward, at.step) or at_ceiling(reward, self.spread):
            return None
        noise = max(reward.noise, 0.5 * reward.peak_noise, 0.05 * (reward.high - reward.low), 1e-12)
        gain, lately = (self.best - self.early) / noise, (reward.ema50 - self.early) / noise
        if gain >= self.options.gain or lately >= 0.5:
            return None
        self.last = Verdict(
            severity=Severity.INFO,
            message=f"the reward is not better than at the start: {self.early:.3g} in the first 20 records, "
            f"{reward.ema20:.3g} in the last 20, {self.top:.3g} in the best 20 (noise {reward.noise:.2g})",
            evidence={"reward_mean": [self.early, reward.ema20], "best": self.top, "noise": reward.noise},
            onset=self.begin,
            confidence=0.7,
            baseline=self.early,
            limit=self.early + self.options.gain * noise,
        )
        return self.last

    def _is_long(self, track: Track, step: int) -> bool:
        enough = self.options.records
        spanned = step - (self.begin or 0)
        return track.count >= enough or (track.count >= 0.4 * enough and spanned >= 4 * enough)

    def _on_answers(self, step: int) -> Verdict | None:
        loss = self.loss
        self.evaluated.feed(step)
        if loss.count == 20:
            self.early = loss.ema20
        if not self._is_long(loss, step):
            return None
        fell = max(self.early, loss.start) - loss.ema50
        stands = self.evaluated.stands if fell < 0.5 * loss.noise else ""
        if not stands:
            return None
        evaluated = [self.evaluated.points[0][1], self.evaluated.points[-1][1]]
        return Verdict(
            severity=Severity.INFO,
            message=f"the loss is not better than at the start: {loss.start:.3g} in the first records, "
            f"{loss.ema50:.3g} now; that of the evaluations {stands}: {evaluated[0]:.4g} in the first, "
            f"{evaluated[1]:.4g} in the last",
            evidence={"loss": [loss.start, loss.ema50], "eval_loss": evaluated, "noise": loss.noise},
            onset=self.begin,
            confidence=0.7,
            baseline=loss.start,
        )

    def causes(self) -> list[Cause]:
        if self.on_answers:
            return self._causes_on_answers()
        rate = self.context.number("learning_rate")
        lora = (self.context.model_class or "").startswith("Peft")
        highest = 1e-4 if lora else 5e-6
        size = self.chart.step_size
        near = self.kl.middle if self.kl.count > SETTLED else None
        still = size.scale is None and near is not None and near < STILL
        slow = still or (size.scale is not None and size.scale >= SLOW)
        times = sqrt(MOVED / max(near or 0.0, 1e-6)) if still else 10 if lora else 3
        faster = size.higher(times, up_to=None if still else highest)
        low = rate is not None and rate <= (1e-5 if lora else 5e-7)
        held = (self.context.number("beta") or 0.0) >= HEAVY
        moved = self.kl.count > 0 and self.kl.middle >= MOVED
        return [
            *(
                [
                    Cause(
                        "the learning rate is too low" + (" for LoRA" if lora else ""),
                        (faster,),
                        0.9 if slow else 0.7 if low else 0.4,
                    )
                ]
                if slow or rate is None or rate < highest
                else []
            ),
            temperature(self.context),
            Cause(
                "the KL penalty holds the policy at its reference",
                (Remedy("set `beta` to 0.04", down_to=0.04, verl="lower actor.kl_loss_coef"),),
                0.95 if held else 0.1,
            ),
            Cause(
                "the policy moves, and the reward does not tell better completions from worse",
                (CHECK_REWARD,),
                0.75 if moved else 0.2,
            ),
            Cause(
                "the reward is too noisy or too coarse for the batch",
                (
                    Remedy("raise `num_generations`", scale=2, verl="raise actor_rollout_ref.rollout.n"),
                    Remedy("raise `gradient_accumulation_steps`", scale=2),
                ),
                0.5,
            ),
            Cause(
                "the task is too hard or too easy for the model",
                (Remedy("choose prompts by pass rate"),),
                0.3,
            ),
        ]

    def _causes_on_answers(self) -> list[Cause]:
        unchanged = self.evaluated.stands.startswith("is the same")
        return [
            Cause(
                "no trained parameter belongs to the model: an adapter is frozen or not attached, or the "
                "optimizer was made before it",
                (
                    Remedy('print the trainable parameters ("model.print_trainable_parameters()")'),
                    Remedy("compare the weights of two checkpoints"),
                ),
                0.8 if unchanged else 0.2,
            ),
            Cause(
                "the learning rate is too low",
                (Remedy("raise `learning_rate`", scale=10),),
                0.4 if unchanged else 0.8,
            ),
        ]
