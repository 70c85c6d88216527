"""REW003 no-learning: the reward is not better than at the start.

Invariant: the rule compares a reward with its own start, best and noise; a solved task is no failure.
"""

from math import sqrt

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.causes import CHECK_REWARD, temperature
from rldk.metrics.aliases import KL, REWARD

__all__ = ["NoLearning", "NoLearningOptions"]

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


class NoLearning(Rule[NoLearningOptions]):
    """The reward is not better than at the start.

    ## What it looks for
    A smoothed reward whose best is within the noise of its start, after many records.

    ## Why it matters
    Hours of training for nothing. It is information, not an alarm: a plateau can end.

    ## How it decides
    After at least 100 records, or 40 records that span 400 steps, the rule compares means of 50 records with
    the mean of the first 20. The best mean gained less than 0.8 of the record-to-record standard deviation,
    and the latest less than 0.5 of it: info. Stationary noise reaches 0.5 to 0.7 over thousands of records.

    ## What looks alike but is healthy
    A reward at its ceiling from the start; learning-rate warm-up; batch noise; the first 100 to 300 steps,
    often flat in good runs too.

    ## What to do
    See the causes: other findings come first. LoRA needs about ten times the learning rate of full
    fine-tuning.

    ## Sources
    open-r1#436, trl#2872, trl#2703; TRL's "LoRA without regret"; a gain of 0.1 standard deviations,
    proposed elsewhere, is within its own standard error.
    """

    code, name, severity = "REW003", "no-learning", Severity.INFO
    needs = (REWARD,)
    algorithms = ONLINE
    enable = "log the reward"
    when_over = "forget"
    patience = 1
    explained_by = (
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
        self.reward = self.chart.track(REWARD)
        self.kl = self.chart.track(KL)
        self.early = 0.0
        self.best = float("-inf")
        self.last: Verdict | None = None
        self.begin: int | None = None

    def observe(self, at: Observation) -> Verdict | None:
        reward, enough = self.reward, self.options.records
        if self.begin is None:
            self.begin = at.step
        if reward.count < 20:
            return None
        if reward.count == 20:
            self.early = reward.ema20
        self.best = max(self.best, reward.ema50)
        if reward.count % 5:
            return self.last
        self.last = None
        long = reward.count >= enough or (reward.count >= 0.4 * enough and at.step - self.begin >= 4 * enough)
        if not long or (reward.low >= 0 and reward.high <= 1 and reward.ema20 >= 0.9):
            return None
        noise = max(reward.noise, 0.5 * reward.peak_noise, 0.05 * (reward.high - reward.low), 1e-12)
        gain, lately = (self.best - self.early) / noise, (reward.ema50 - self.early) / noise
        if gain >= self.options.gain or lately >= 0.5:
            return None
        self.last = Verdict(
            severity=Severity.INFO,
            message=f"the reward is not better than at the start: {self.early:.3g} in the first 20 records, "
            f"{reward.ema20:.3g} in the last 20, {self.best:.3g} at best (noise {reward.noise:.2g})",
            evidence={"reward_mean": [self.early, reward.ema20], "best": self.best, "noise": reward.noise},
            onset=self.begin,
            confidence=0.7,
        )
        return self.last

    def causes(self) -> list[Cause]:
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
