"""REW007 reward-collapse: the reward fell off its best level and stays down.

Invariant: the best is a best mean, the noise includes that before the fall, and no unit of the reward
decides.
"""

from collections import deque
from itertools import pairwise
from math import sqrt

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.prompt_change import PromptChange
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.causes import changed_here, too_fast
from rldk.health.rules.common import scored_completions
from rldk.health.tracks import WINDOW, Streak
from rldk.health.trouble import BEGUN, Trouble
from rldk.metrics.aliases import ENTROPY, LENGTH, REWARD, TRUNCATED

__all__ = ["RewardCollapse", "RewardCollapseOptions"]

Levels = tuple[float, float, float, float, float]
"""KL, entropy, length, share of cut completions and gradient norm at a record."""
LAG = 10
"""Records between which the noise of a running mean is measured (Stable-Baselines3 logs one over 100
episodes): from record to record it hardly moves."""
WANDERS = 1.25
"""Factor on the errors that are needed where the gain was below them: such a reward only wanders."""
SETTLED = 100
"""Records from which the errors are needed in full: noise wanders further the longer a run is."""
INFORM = 0.75
"""Effect from which it is information: six standard errors of the eight."""
COMPLETIONS = 16
"""Completions a record where the batch size is not known: few, so that the error is rather too large."""
AGAIN = 10
"""Records after which a level near the best is measured again."""
STEP_SHARE = 0.6
"""Share of a fall that is between two records where it is a step."""
STEP_SEEN = 60
"""Records from the beginning of a fall in which it may prove to be a step."""
HALF = 0.75
"""Share of the range of the records that stands for `reward_std` where that is not logged: that of rewards of
which half are right is 0.5 of theirs, and means vary less."""
NEAR = 1 / 3
"""Share of the fall above which a record still counts as before it."""
EARLY = 20
"""Records in a row for which a reward must be far below its first two, and by which the fall has begun."""


class RewardCollapseOptions(RuleOptions, frozen=True):
    """Thresholds of reward-collapse."""

    records: int = 8
    """Records in a row below the threshold."""
    share: float = 0.5
    """Share of the gain since the start that is lost."""
    errors: float = 8.0
    """Least fall, in standard errors of the mean of 20 records."""


class RewardCollapse(Rule[RewardCollapseOptions]):
    """The reward fell off its best level and stays down.

    ## What it looks for
    A smoothed reward far below its best.

    ## Why it matters
    The best policy is lost unless a checkpoint of that time exists, and the steps since then are wasted.

    ## How it decides
    The mean of 20 records is below its best by eight standard errors and by half of the gain since the
    start, for 8 records: warning. Critical from four thirds of both, because a fall of the reward adds
    half to the score. Info from three quarters of both. The error comes from means of blocks of five
    records, the larger one of now and of the best. At the best it is also that of records three apart,
    and larger in a short log, where a few can be alike. A later level that is lower by less than its smaller
    error is the best then. Where the gain was smaller than eight errors, ten
    are needed: autocorrelated noise with heavy tails reaches eight. Before record 100 fewer are enough,
    because noise wanders further the longer a run is. The gain counts as at least 1.5 standard deviations
    and half of `reward_std`. Where a record covers ten steps, 3 records are enough.

    The onset is where the reward turned: the first record after the last ones that were above a third of the
    way down.

    A collapse in the first ten records leaves no best mean. So the first two records are compared with the
    mean of ten, for 20 records; the fall must begin within the first 20. That mean is lower by three standard
    errors, by `reward_std` or by the noise of the records, whichever is larger. And it is lower by three
    quarters of the way down to the lowest record.

    Where the fall is one step between two records while the policy is as before, it may be other prompts. So
    it must be the whole gain, and ten errors. The policy is as before where the gradient norm, and
    at least two of KL, entropy, length and truncation, are within half of their earlier levels. It is a
    warning at most then. It is information where six tenths of the fall came where the mean length of the
    completions leapt between two records, by a twentieth and six standard errors of means of five, while the
    gradients were as before. `reward_std` must be at least half of its highest: no policy changes so, harder
    prompts do. A series that is itself a running mean needs 80 records, and its error is its change over ten
    records.

    ## What looks alike but is healthy
    A dip that recovers: downgraded to info once it is over. Harder prompts whose answers have another length:
    information. A switch of data that shows in no length: a warning, since only you know. A resume.

    ## What to do
    Go back to the checkpoint before the first sign of trouble; lower the learning rate.

    ## Sources
    trl#41; ms-swift#6550 (step 400); open-r1#257; Search-R1#88 (about step 160); verl#747; public logs.
    """

    code, name, severity = "REW007", "reward-collapse", Severity.CRITICAL
    needs = (REWARD,)
    algorithms = ONLINE
    enable = "log the reward"
    explained_by = (
        "high-learning-rate",
        "reward-function-errors",
        "sampling-mismatch",
        "stale-rollout",
        "broken-start",
        "kl-blowup",
        "gradient-spike",
        "gradient-creep",
        "entropy-explosion",
        "eos-mismatch",
        "length-runaway",
        "truncation",
        "length-collapse",
        "resume-jump",
    )
    shown_by = ("before", "since")

    def start(self) -> None:
        self.reward = self.chart.track(REWARD)
        self.spread = self.chart.track("reward_std")
        self.kl = self.chart.track("kl_mean")
        self.truncated = self.chart.track(TRUNCATED)
        self.gradient = self.chart.track("grad_norm")
        self.entropy, self.length = self.chart.track(ENTROPY), self.chart.track(LENGTH)
        self.fall = Trouble(self.reward, records=self.options.records, discount=0.0, enough=self.enough)
        self.slide = Trouble(self.reward, records=self.options.records * LAG, discount=0.0)
        self.early = Trouble(self.reward, records=EARLY, discount=0.0)
        self.best, self.best_step, self.error = 0.0, -1, 0.0
        self.least = self.size = 0.0
        self.first: tuple[float, float] | None = None
        self.at_best: Levels | None = None
        self.calm: deque[Levels] = deque(maxlen=20)
        self.unmoved, self.step = False, 0.0
        self.stood = False
        """Whether the reward had gained less than its errors, which asks for more of them already."""
        self.prompts = PromptChange(self.reward, self.length, self.gradient)
        self.held = Streak()
        self.onset = 0
        self.swing = 0.0
        self.steps: deque[int] = deque(maxlen=WINDOW)
        self.turned: int | None = None

    def observe(self, at: Observation) -> Verdict | None:
        reward = self.reward
        if reward.count == 2:
            self.first = (reward.ema10, self.spread.ema10)
        self.steps.append(at.step)
        if reward.count < 10:
            return None
        smooth = "episode_reward_mean" in at.values
        early = None if smooth else self._early(at.step)
        error = self._swing() if smooth else reward.error(min(reward.count, 20))
        self._compare(at.step, error, smooth=smooth)
        trouble = self.slide if smooth else self.fall
        effect = self._effect(*self._sizes(max(self.error, error), smooth=smooth), at.step)
        self.size = effect
        severity = trouble.feed(effect, at.step)
        self.score = max(trouble.effect, self.early.effect)  # that the reward fell is no further loss
        if severity is None and early is not None:
            return self._verdict(self.early, early, self.first[0] if self.first else 0.0, reward.ema10)
        if severity is None and trouble.effect < INFORM:
            self.turned = None
            return None
        if self.unmoved:
            severity = min(severity or Severity.INFO, Severity.WARNING)
        if self.is_of_prompts:
            severity = Severity.INFO
        return self._verdict(trouble, severity or Severity.INFO, self.best, reward.ema20)

    def _compare(self, step: int, error: float, *, smooth: bool) -> None:
        """Takes the level now as the best where it is higher, or as surely as high."""
        reward = self.reward
        if self.best_step < 0 or reward.ema20 >= self.best:
            self.best, self.best_step = reward.ema20, step
            self.error = error if smooth else reward.cautious_error(min(reward.count, 20))
            # Of the best, because a spread falls together with the reward.
            self.least = max(1.5 * reward.error(1), 0.5 * self.spread.ema20)
            self.at_best = None
            self.prompts.reset()
            return
        self.prompts.feed()
        if self.at_best is None:
            self.at_best = self._levels()
        if reward.count % AGAIN == 0 and not smooth and reward.ema20 > self.best - self.error:
            self._measure_again()

    def _verdict(self, trouble: Trouble, severity: Severity, best: float, now: float) -> Verdict:
        reward = self.reward
        self.onset = trouble.since
        all_gone = now <= reward.start < best
        begin = f"step {self.best_step}" if trouble is not self.early else "the first two records"
        return Verdict(
            severity=severity,
            message=f"the reward fell from {best:.3g} ({begin}) to {now:.3g} and stays down"
            + ("; all of its gain is lost" if all_gone and trouble is not self.early else "")
            + self._why(),
            evidence={"reward_mean": [best, now], "start": reward.start, "error": self.error},
            onset=self._turned(best, now, trouble.since),
            confidence=trouble.confidence,
            baseline=best,
            limit=best - (best - now) / self.size if self.size else None,
        )

    def _why(self) -> str:
        if self.is_of_prompts:
            return "; their length changed at the same record with the gradients as before: other prompts"
        return "; the policy is as before, so prompts or rewards may have changed" if self.unmoved else ""

    def _turned(self, best: float, now: float, since: int) -> int:
        """The step at which the reward turned: the first after the last records that were near the best.

        The means that decide see a fall only records later. Near the best is above a third of the way down.
        """
        if self.turned is None:
            begin = self.best_step if now == self.reward.ema20 else -1
            pairs = [*zip(self.steps, self.reward.tail(len(self.steps)), strict=False)]
            limit = best - NEAR * (best - now)
            above, highest, self.turned = 0.0, 0.0, since
            for (step, value), (after, _) in pairwise(pairs):
                if step < begin or step >= since:
                    continue
                above += value - limit
                if above >= highest:
                    highest, self.turned = above, after
        return min(self.turned, since)

    def _effect(self, errors: float, share: float, step: int) -> float:
        """The size of the fall, a smaller one where it may be other prompts."""
        effect = min(errors, share)
        held = self.held.feed(effect >= 0.5, step)
        if not held:
            self.calm.append(self._levels())
        before = self.calm[0] if self.calm else None
        self.unmoved = held > 0 and self._is_as(before) and self._is_as(self.at_best)
        if 0 < held <= STEP_SEEN:  # what the policy does later is no sign of what began it
            self.step = self._step() if self._is_as(before) else 0.0
        if held and self.step >= STEP_SHARE * (self.best - self.reward.ema20):
            return min(errors if self.stood else errors / WANDERS, share / 2)
        return effect

    def _sizes(self, error: float, *, smooth: bool) -> tuple[float, float]:
        """The fall in multiples of what a warning needs: of its errors, and of half of the gain."""
        options, reward = self.options, self.reward
        lost, gained = self.best - reward.ema20, self.best - reward.start
        if lost <= 0:
            return 0.0, 0.0
        errors = options.errors * error
        self.stood = gained < errors
        if self.stood:
            if smooth:
                return 0.0, 0.0  # an agent that learns from nothing has nothing to lose yet
            errors *= WANDERS
        errors = min(errors, WANDERS * options.errors * error * (reward.count / SETTLED) ** 0.2)
        return lost / errors, lost / (options.share * max(gained, self.least))

    def _early(self, step: int) -> Severity | None:
        """The severity of a fall from the first two records, before there could be a best mean."""
        reward, spread = self.reward, self.spread
        if self.first is None or self.best > self.first[0]:
            return None
        level, spread_then = self.first
        if not spread.count:
            spread_then = HALF * (reward.high - reward.low)
        if spread_then <= 0:
            return None
        scored = (scored_completions(self.context, 1) or COMPLETIONS) * self.chart.spacing
        error = max(spread_then / sqrt(2 * scored), reward.error(2))
        lost, way = level - reward.ema10, level - reward.low
        effect = min(lost / (3 * error), lost / (0.75 * way)) if lost > 0 else 0.0
        if effect < BEGUN and reward.count > EARLY:
            self.first = None
        severity = self.early.feed(effect, step)
        self.size = effect if severity is not None else 0.0
        return severity

    def _measure_again(self) -> None:
        """Takes the level now as the best where it is as sure to be as high: early means are uncertain."""
        reward = self.reward
        error = reward.cautious_error(min(reward.count, 20))
        if reward.ema20 - error >= self.best - self.error:
            self.best, self.best_step, self.error = reward.ema20, reward.step, error
            self.at_best = self._levels()

    def _swing(self) -> float:
        """The noise of a running mean, from its changes over `LAG` records before the fall."""
        reward = self.reward
        if len(reward.recent) > LAG and (reward.ema20 >= self.best or self.best_step < 0):
            swing = abs(reward.last - reward.recent[-1 - LAG])
            self.swing += (swing - self.swing) / min(reward.count - LAG, 50)
        return max(0.886 * self.swing, 1e-12)

    def _step(self) -> float:
        """The largest fall between two neighbouring records, as means of five on both sides."""
        values = self.reward.tail(WINDOW)
        sums = [sum(values[i : i + 5]) for i in range(len(values) - 4)]
        return max((before - after for before, after in zip(sums, sums[5:], strict=False)), default=0.0) / 5

    @property
    def is_of_prompts(self) -> bool:
        """Whether the reward fell with the lengths, and groups still differ in their rewards.

        Prompts that cannot be solved at all would leave them without.
        """
        lost = self.best - self.reward.ema20
        return -self.prompts.moved >= STEP_SHARE * lost and self.spread.ema10 >= 0.5 * self.spread.high > 0

    def _levels(self) -> Levels:
        return (
            self.kl.ema10,
            self.entropy.ema10,
            self.length.ema10,
            self.truncated.ema10,
            self.gradient.middle,
        )

    def _is_as(self, old: Levels | None) -> bool:
        """Whether the policy's metrics, the gradient and at least two more, are as they were."""
        tracks = (self.kl, self.entropy, self.length, self.truncated, self.gradient)
        if old is None or not self.gradient.count or sum(track.count > 0 for track in tracks) < 3:
            return False
        kl, entropy, length, cut, gradient = self._levels()
        if kl > max(1.5 * old[0], 0.1) or abs(cut - old[3]) > 0.1 or gradient > 1.5 * old[4]:
            return False
        for now, was in ((entropy, old[1]), (length, old[2])):
            if max(now, was) > 1.5 * max(min(now, was), 1e-9):
                return False
        return max(self.gradient.tail(20)) <= 5 * old[4]

    def causes(self) -> list[Cause]:
        kl_rose = self.kl.count > 0 and self.kl.ema10 > 3 * max(self.kl.start, 0.05)
        return [
            too_fast(
                self.chart,
                "updates are too large: the policy left the region in which it had learned its rewards",
                0.8 if kl_rose or self.gradient.ema10 > 3 * self.gradient.median() else 0.5,
                self.onset,
                Remedy("set `max_grad_norm` to 0.2", down_to=0.2),
                Remedy("set `beta` to 0.04", up_to=0.04, verl="raise actor.kl_loss_coef"),
            ),
            Cause(
                "completions run into the length limit and lose their reward",
                (Remedy("raise `max_completion_length`", scale=2, verl="raise data.max_response_length"),),
                0.85 if self.truncated.count and self.truncated.ema10 > 0.5 else 0.1,
            ),
            changed_here(self.chart, self.onset, certain=self.unmoved),
        ]
