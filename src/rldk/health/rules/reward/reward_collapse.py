"""REW007 reward-collapse: the reward fell off its best level and stays down.

Invariant: the best is a best mean, and the noise is measured before the fall.
"""

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.tracks import Streak
from rldk.metrics.aliases import ENTROPY, LENGTH, REWARD, TRUNCATED

__all__ = ["RewardCollapse", "RewardCollapseOptions"]

Levels = tuple[float, float, float, float, float]
"""KL, entropy, length, share of cut completions and gradient norm at a record."""
LAG = 10
"""Records between which the noise of a running mean is measured (Stable-Baselines3 logs one over 100
episodes): from record to record it hardly moves."""


class RewardCollapseOptions(RuleOptions, frozen=True):
    """Thresholds of reward-collapse."""

    records: int = 8
    """Records in a row below the threshold."""
    share: float = 0.5
    """Share of the gain since the start that is lost."""
    noise: float = 5.5
    """Least fall, in standard deviations of the record-to-record noise."""


class RewardCollapse(Rule[RewardCollapseOptions]):
    """The reward fell off its best level and stays down.

    ## What it looks for
    A smoothed reward far below its best.

    ## Why it matters
    The best policy is lost unless a checkpoint of that time exists, and the steps since then are wasted.

    ## How it decides
    The mean over 10 records is below its best by half of the gain since the start and by at least 5.5
    standard deviations of the record-to-record noise, for 8 records: warning. Critical where all of the gain
    is lost. Where the gain was smaller than 5.5 deviations, 7 are needed: autocorrelated noise with heavy
    tails reaches 5 within 500 records. Where a record covers ten steps, 3 records are enough. A series that
    is itself a running mean needs 80 records, and its noise is measured over ten records. "Best" is the best
    *mean*: a best raw value makes stationary noise fire in 95% of runs of 1,000 records. A warning at most
    while the policy is as before the fall: the gradient norm, and at least two of KL, entropy, length and
    truncation, are within half of their earlier levels.

    ## What looks alike but is healthy
    A dip that recovers: downgraded to info once it is over. A switch of data or curriculum, or prompts sorted
    by difficulty: a warning, since only you know. A resume.

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
        self.kl = self.chart.track("kl_mean")
        self.truncated = self.chart.track(TRUNCATED)
        self.gradient = self.chart.track("grad_norm")
        self.entropy, self.length = self.chart.track(ENTROPY), self.chart.track(LENGTH)
        self.low = Streak()
        self.noise = 0.0
        self.at_best: Levels | None = None
        self.before: Levels | None = None
        self.unmoved = False
        self.swing = 0.0
        self.smooth = False

    def observe(self, at: Observation) -> Verdict | None:
        reward = self.reward
        if len(reward.recent) > LAG:
            swing = abs(reward.last - reward.recent[-1 - LAG])
            self.swing += (swing - self.swing) / min(reward.count - LAG, 50)
        if reward.ema10 >= reward.best - 1e-12:
            # Only here: the fall itself is not noise.
            self.smooth = "episode_reward_mean" in at.values
            self.noise = max(reward.noise, 0.886 * self.swing) if self.smooth else reward.noise
            self.low.feed(False, at.step)
            self.at_best = None
            return None
        if self.at_best is None:
            self.at_best = self._levels()
        noise = max(self.noise, 1e-9, 0.01 * abs(reward.best))
        gained = reward.best - reward.start
        lost = reward.best - reward.ema10
        least = self.options.noise * noise
        least = least if gained >= least else 1.3 * least  # a reward that never rose only wanders
        held = self.low.feed(lost >= max(self.options.share * gained, least), at.step)
        if held == 1:
            self.before = self._levels()
        if self.smooth and gained < self.options.noise * noise:
            return None  # an agent that learns from nothing has nothing to lose yet
        needed = self.options.records * LAG if self.smooth else self.enough(self.options.records)
        if held < needed or reward.count < 10:
            return None
        all_gone = lost >= gained
        self.unmoved = self._unmoved()
        return Verdict(
            severity=Severity.CRITICAL if all_gone and not self.unmoved else Severity.WARNING,
            message=f"the reward fell from {reward.best:.3g} (step {reward.best_step}) to {reward.ema10:.3g} "
            f"and stays down"
            + ("; all of its gain is lost" if all_gone and gained > noise else "")
            + ("; the policy is as before, so prompts or rewards may have changed" if self.unmoved else ""),
            evidence={"reward_mean": [reward.best, reward.ema10], "start": reward.start, "noise": noise},
            onset=self.low.since,
            confidence=min(0.6 + 0.05 * lost / noise, 0.95),
        )

    def _levels(self) -> Levels:
        return (
            self.kl.ema10,
            self.entropy.ema10,
            self.length.ema10,
            self.truncated.ema10,
            self.gradient.median(20),
        )

    def _unmoved(self) -> bool:
        """Whether the policy's metrics, the gradient and at least two more, are as they were before."""
        tracks = (self.kl, self.entropy, self.length, self.truncated, self.gradient)
        if not self.gradient.count or sum(track.count > 0 for track in tracks) < 3:
            return False
        if self.at_best is None or self.before is None:
            return False
        for old in (self.at_best, self.before):
            kl, entropy, length, cut, gradient = self._levels()
            if kl > max(1.5 * old[0], 0.1) or abs(cut - old[3]) > 0.1 or gradient > 1.5 * old[4]:
                return False
            for now, was in ((entropy, old[1]), (length, old[2])):
                if max(now, was) > 1.5 * max(min(now, was), 1e-9):
                    return False
        return max(self.gradient.tail(self.low.count + 20)) <= 5 * self.before[4]

    def causes(self) -> list[Cause]:
        rate = Remedy("lower `learning_rate`", scale=0.3, verl="lower actor_rollout_ref.actor.optim.lr")
        kl_rose = self.kl.count > 0 and self.kl.ema10 > 3 * max(self.kl.start, 0.05)
        return [
            Cause(
                "updates are too large: the policy left the region in which it had learned its rewards",
                (
                    rate,
                    Remedy("set `max_grad_norm` to 0.2", down_to=0.2),
                    Remedy("set `beta` to 0.04", up_to=0.04, verl="raise actor.kl_loss_coef"),
                ),
                0.8 if kl_rose or self.gradient.ema10 > 3 * self.gradient.median() else 0.5,
            ),
            Cause(
                "completions run into the length limit and lose their reward",
                (Remedy("raise `max_completion_length`", scale=2, verl="raise data.max_response_length"),),
                0.85 if self.truncated.count and self.truncated.ema10 > 0.5 else 0.1,
            ),
            Cause(
                "data, curriculum or reward function changed here",
                (Remedy("compare prompts and reward function before and after the onset"),),
                0.95 if self.unmoved else 0.3,
            ),
        ]
