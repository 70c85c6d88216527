"""The reward family: whether the reward teaches anything, and whether it is the right one.

Invariant: a reward is compared with its own start, best and noise; a solved task is no failure.
"""

import math

from rldk.health.context import GROUPED, ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import at_ceiling, improving, in_noise
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.scored import COMPLETIONS, is_constant, is_early
from rldk.health.tracks import Streak
from rldk.metrics.aliases import REWARD, TRUNCATED

__all__ = ["RULES"]

ZERO_STD = "frac_reward_zero_std"
SMALL_GROUP = 3
"""Completions of a prompt up to which a few prompts without advantage more are chance."""


class ZeroAdvantage(Rule):
    """Most groups of completions score the same within, so their advantage is 0 and they teach nothing.

    ## What it looks for
    `frac_reward_zero_std`, the share of completions whose group has rewards without spread, high for
    many records, on a task that is not solved.

    ## Why it matters
    GRPO and RLOO learn from differences within a group. Where there is none the completions were
    generated for nothing; at 1.0 the gradient is exactly 0.

    ## How it decides
    The mean of 20 records is at least 0.8: warning. At least 0.95 over 10 records with a median gradient
    norm below 1e-8: critical, from 500 scored completions on (60 records where the batch size is not known);
    a reward that had one value until then is dead-reward's. It is info while the reward still
    rises, and where it is near its ceiling: a reward that rose and stands at its best, or one between 0 and 1
    that stands above 0.75.

    ## What looks alike but is healthy
    A solved task: the fraction goes to 1 because everything is right. Small groups: with G completions and
    a success rate of p the expected share is p^G + (1-p)^G, 0.5 at best for G=2. That is a lower bound,
    since prompts differ in difficulty, so it can only excuse: a share below 1.25 times it is not reported,
    nor, where G is 3 or less, one below 0.9 or less than 0.2 above it.

    ## What to do
    Raise `num_generations`; give partial credit; drop prompts that are always or never solved; sample at
    temperature 1.

    ## Sources
    trl#3857, trl#4764, trl#3708; DAPO (arXiv 2503.14476), which filters such groups; arXiv 2605.21125
    (early share against final accuracy, R2 = 0.62 over 245 configurations); public logs.
    """

    code, name, severity = "REW001", "zero-advantage", Severity.CRITICAL
    needs = (ZERO_STD, REWARD)
    algorithms = GROUPED
    enable = "train with GRPO or RLOO of TRL, which log frac_reward_zero_std"

    class Options(RuleOptions, frozen=True):
        """Thresholds of zero-advantage."""

        share: float = 0.8
        """Mean share over 20 records from which it is reported."""
        critical_share: float = 0.95
        """Mean share over 10 records from which it is critical, where the gradient is 0 too."""
        solved_reward: float = 0.75
        """A reward between 0 and 1 above this counts as near its ceiling."""

    def start(self) -> None:
        self.share = self.chart.track(ZERO_STD)
        self.reward = self.chart.track(REWARD)
        self.gradient = self.chart.track("grad_norm")
        self.truncated = self.chart.track(TRUNCATED)
        self.high = Streak()

    def observe(self, at: Observation) -> Verdict | None:
        share = self.share
        early = is_early(self.context, self.reward, at.step)
        held = self.high.feed(share.last >= 0.5, at.step)
        if held < 10 or share.ema20 < self.options.share:
            return None
        dead = share.mean(10) >= self.options.critical_share and self._no_gradient()
        if (share.count < 15 and not dead) or (early and is_constant(self.reward)):
            return None  # of one value from the start dead-reward tells
        level = share.mean(20)
        expected = self._expected()
        small = (self.context.number("num_generations") or math.inf) <= SMALL_GROUP
        if level < max(self.options.share, 1.25 * expected, max(expected + 0.2, 0.9) if small else 0.0):
            return None
        reward = self.reward
        evidence = {ZERO_STD: [round(share.start, 4), round(level, 4)], "reward_mean": reward.ema20}
        if self._near_ceiling() or (improving(reward) and level < self.options.critical_share):
            return Verdict(
                severity=Severity.INFO,
                message=f"{level:.0%} of the completions have no advantage because most prompts are "
                f"solved: the reward is at {reward.ema20:.3g}",
                evidence=evidence,
                onset=self.high.since,
                confidence=0.9,
            )
        return Verdict(
            severity=Severity.CRITICAL if dead and not early else Severity.WARNING,
            message=f"{level:.0%} of the completions (mean of 20 records) score the same as the rest of "
            "their group and teach nothing" + ("; the gradient is 0" if dead else ""),
            evidence=evidence,
            onset=self.high.since,
            confidence=min(0.6 + (level - self.options.share) * 1.5, 0.95),
        )

    def causes(self) -> list[Cause]:
        cut = self.truncated.ema20 if self.truncated.count else 0.0
        low = self.reward.ema20 <= self.reward.low + 0.1 * (self.reward.high - self.reward.low)
        return [
            Cause(
                "completions are cut before the answer",
                (Remedy("raise `max_completion_length`", scale=2, verl="raise data.max_response_length"),),
                cut,
            ),
            Cause(
                "the task is too hard: no completion of a group succeeds",
                (
                    Remedy("give partial credit in the reward, or start from easier prompts"),
                    Remedy(
                        "set `num_generations` to 16",
                        up_to=16,
                        verl="raise actor_rollout_ref.rollout.n, or filter such groups: "
                        "algorithm.filter_groups.enable=True",
                    ),
                ),
                0.7 if low else 0.3,
            ),
            Cause(
                "the reward is too coarse, or the prompts are always or never solved",
                (
                    Remedy("filter prompts by their pass rate, or give partial credit"),
                    Remedy("set `scale_rewards='batch'`"),
                ),
                0.4,
            ),
            Cause("sampling is too cold", (Remedy("set `temperature` to 1.0", up_to=1.0),), 0.35),
        ]

    def _expected(self) -> float:
        group = self.context.number("num_generations")
        reward = self.reward
        low = 0.0 if reward.low >= 0 else -1.0  # right and wrong may be 1 and 0, or 1 and -1
        if group is None or reward.low < low or reward.high > 1:
            return 0.0
        p = min(max((reward.ema20 - low) / (1.0 - low), 0.0), 1.0)
        return float(p**group + (1 - p) ** group)

    def _near_ceiling(self) -> bool:
        reward = self.reward
        bounded = reward.low >= -1e-9 and reward.high <= 1 + 1e-9
        return at_ceiling(reward) or (bounded and reward.ema20 >= self.options.solved_reward)

    def _no_gradient(self) -> bool:
        return self.gradient.count > 0 and self.gradient.median(10) < 1e-8


class DeadReward(Rule):
    """The reward has had one value since the first record: nothing can be learned from it.

    ## What it looks for
    A reward that is the same, within 1e-9, in every record from the first on.

    ## Why it matters
    Advantages are 0, so are loss and gradient, and the run burns its hours.

    ## How it decides
    Ten records with one value and no spread of the rewards within the batch: warning, since nothing has been
    learned so far; critical from 500 scored completions on, or from 60 records where the batch size is not
    known. Where the spread is not logged, 25 records: a warning and never more, and nothing where a gradient
    norm above 0 shows that the rewards of a group differ.

    ## What looks alike but is healthy
    A sparse reward that has not been met yet: hence the 500 completions. A reward that is centred in each
    batch, such as a judge's rank: its mean is 0, its spread is not. A solved task: there the reward
    was lower before, and this rule is silent.

    ## What to do
    Print three completions with what the reward function parsed from them; run it on gold answers.

    ## Sources
    trl#5697 (97 to 99% cut at 256 tokens), open-r1#363, open-r1#255.
    """

    code, name, severity = "REW002", "dead-reward", Severity.CRITICAL
    needs = (REWARD,)
    algorithms = ONLINE
    enable = "log the reward"

    class Options(RuleOptions, frozen=True):
        """Thresholds of dead-reward."""

        records: int = 10
        """Records with one value from which it is reported."""
        completions: int = COMPLETIONS
        """Scored completions from which it is critical."""

    def start(self) -> None:
        self.reward = self.chart.track(REWARD)
        self.spread = self.chart.track("reward_std")
        self.gradient = self.chart.track("grad_norm")
        self.truncated = self.chart.track(TRUNCATED)
        self.begin: int | None = None

    def observe(self, at: Observation) -> Verdict | None:
        reward = self.reward
        if self.begin is None:
            self.begin = at.step
        needed = self.options.records if self.spread.count else 2.5 * self.options.records
        if reward.count < needed or max(reward.high - reward.low, self.spread.high) > 1e-9:
            return None
        if not self.spread.count and self._has_gradient():
            return None
        early = is_early(self.context, reward, at.step, self.options.completions)
        certain = self.spread.count > 0 and not early
        return Verdict(
            severity=Severity.CRITICAL if certain else Severity.WARNING,
            message=f"the reward has been {reward.first:.4g} in every record since the first: nothing "
            "has been learned so far",
            evidence={"reward_mean": [reward.low, reward.high], "records": reward.count},
            onset=self.begin,
            confidence=0.95 if certain else 0.7,
        )

    def _has_gradient(self) -> bool:
        """Whether a gradient shows that rewards differ: a critic or an environment makes one without them."""
        grouped = self.context.algorithm is None or self.context.algorithm in GROUPED
        return grouped and self.gradient.count > 0 and self.gradient.median(20) > 1e-8

    def causes(self) -> list[Cause]:
        level = self.reward.first
        cut = self.truncated.ema20 if self.truncated.count else 0.0
        return [
            Cause(
                "completions are cut before the answer",
                (Remedy("raise `max_completion_length`", scale=2, verl="raise data.max_response_length"),),
                0.95 if cut >= 0.9 else cut * 0.6,
            ),
            Cause(
                "the reward function gives every completion the same: its parser, its pattern or its dataset "
                "column is wrong",
                (
                    Remedy("run the reward function on gold answers and on garbage: they must differ"),
                    Remedy("set `log_completions=True` and read three completions"),
                ),
                0.9,
            ),
            Cause(
                "the task is far too hard or the chat template is wrong, so that no completion succeeds"
                if level <= 0
                else "the reward is always won: its check is always true",
                (Remedy("give partial credit, or start from easier prompts"),) if level <= 0 else (),
                0.5,
            ),
        ]


class NoLearning(Rule):
    """The reward is not better than at the start.

    ## What it looks for
    A smoothed reward whose best is within the noise of its start, after many records.

    ## Why it matters
    Hours of training for nothing. It is information, not an alarm: a plateau can end.

    ## How it decides
    After at least 100 records, or 40 records that span 400 steps: the best mean over 50 records exceeds that
    of the first 20 by less than 0.8 of the record-to-record standard deviation (stationary noise reaches
    0.5 to 0.7 over thousands of records), and the latest 50 exceed the first by less than 0.5 of it.

    ## What looks alike but is healthy
    A reward at its ceiling from the start; learning-rate warm-up; batch noise; the first 100 to 300 steps,
    often flat in good runs too.

    ## What to do
    See the causes: other findings come first. With LoRA the learning rate is about ten times that of full
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

    class Options(RuleOptions, frozen=True):
        """Thresholds of no-learning."""

        records: int = 100
        """Records before which it is silent (two fifths of them, where they span four steps each)."""
        gain: float = 0.8
        """Gain in standard deviations of the record-to-record noise that counts as learning."""

    def start(self) -> None:
        self.reward = self.chart.track(REWARD)
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
        gain, lately = in_noise(reward, self.best - self.early), in_noise(reward, reward.ema50 - self.early)
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
        faster = Remedy("raise `learning_rate`", scale=10 if lora else 3, up_to=highest)
        plausible = rate is None or rate < highest
        return [
            *(
                [
                    Cause(
                        "the learning rate is too low" + (" for LoRA" if lora else ""),
                        (faster,),
                        0.7 if rate is not None and rate <= (1e-5 if lora else 5e-7) else 0.4,
                    )
                ]
                if plausible
                else []
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


RULES: tuple[type[Rule], ...] = (ZeroAdvantage, DeadReward, NoLearning)
