"""PRF001 likelihood-displacement: the chosen answers become less likely, together with the rejected ones.

Invariant: a fall of the chosen reward is never critical, because DPO often lowers both sides. A likelihood is
compared with that of the reference on the same answers, so that neither beta nor their length decides.
"""

from math import hypot, inf

from rldk.health.context import PAIRS
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import in_noise
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.tracks import Streak

__all__ = ["LikelihoodDisplacement", "LikelihoodDisplacementOptions"]

CHOSEN, LIKELIHOOD = "rewards_chosen", "logps_chosen"
RECORDS = 10
"""Records in a row for which the likelihood must be lost, and the reward be deep down without a margin."""
EVALUATIONS = 2
"""Evaluations in a row for that: each is a mean over all its pairs."""
MOVED, SAME = 0.005, 0.1
"""Least change of an evaluated log-probability that tells beta, as a share of it, and how nearly two such
must agree."""
ERRORS = 4.0
"""Standard errors of the fall from the start, where beta is not known and other answers are compared."""


class LikelihoodDisplacementOptions(RuleOptions, frozen=True):
    """Thresholds of likelihood-displacement."""

    info: float = -1.0
    """Mean chosen reward below which it is reported as info."""
    warning: float = -5.0
    """Mean chosen reward below which it is a warning."""
    likelihood: float = 0.2
    """Fall of the chosen log-probability, as a share of its start, that a warning needs."""
    times: float = 1.6
    """Multiple of the reference's log-probability of the chosen answers that is a warning at any reward."""


class LikelihoodDisplacement(Rule[LikelihoodDisplacementOptions]):
    """The chosen answers become less likely, together with the rejected ones.

    ## What it looks for
    An implicit reward of the chosen answers that is negative and falls while the margin rises.

    ## Why it matters
    The likelihood goes to answers that nobody chose, at worst to their opposite (in one study refusals fell
    from 74% to 33%).

    ## How it decides
    The mean chosen reward over 20 records is below -1, and fell over the last 50 while the margin rose: info.
    Below -5, and the log-probability of the chosen answers down by a fifth where it is logged: warning. For
    ten records in a row that is a warning whatever the margin does.

    The reward is in units of beta: with a small beta a fall is more than it looks. So the log-probability of
    the chosen answers counts too, against that of the reference on the same answers (the reward divided by
    beta is their difference). 1.6 times the reference's, for ten records in a row: warning. Where beta is not
    known, and evaluations of the same pairs do not tell it, it must be twice that of the first five records,
    by four standard errors. Evaluations are judged likewise, two in a row: KTO with bad answers only logs no
    chosen ones in training.

    ## What looks alike but is healthy
    A mild fall: DPO raises a difference, and most good runs lower both sides, to 1.2 times the reference's
    log-probability at most. It is never critical.

    ## What to do
    Add a likelihood term on the chosen answers; raise beta; drop pairs that are nearly the same.

    ## Sources
    arXiv 2410.08847; LLaMA-Factory#6153; OpenRLHF#1054; public DPO logs, whose good runs end at -1 to -3.
    """

    code, name, severity = "PRF001", "likelihood-displacement", Severity.WARNING
    needs = (f"{CHOSEN}|eval_{CHOSEN}",)
    phases = ("train", "eval")
    algorithms = PAIRS
    enable = "train with DPO or KTO of TRL, which log rewards/chosen"
    shown_on = (LIKELIHOOD, CHOSEN, "rewards_margins")
    explained_by = ("divergence",)
    answers = ("chosen-falls",)

    def start(self) -> None:
        track = self.chart.track
        self.chosen, self.logps = track(CHOSEN), track(LIKELIHOOD)
        self.margin = track("rewards_margins")
        self.eval_chosen, self.eval_logps = track(f"eval_{CHOSEN}"), track(f"eval_{LIKELIHOOD}")
        self.low, self.deep, self.lost, self.eval_lost = Streak(), Streak(), Streak(), Streak()
        self.beta = self.context.number("beta") or 0.0
        self.evaluated: tuple[float, float] | None = None
        self.slopes: list[float] = []

    def observe(self, at: Observation) -> Verdict | None:
        if at.phase == "eval":
            return self._evaluated(at)
        chosen, options = self.chosen, self.options
        level = chosen.ema20
        held = self.low.feed(level < options.info, at.step)
        times = self._times(self.logps.ema20, level)
        lost = self.lost.feed(times >= options.times and chosen.count >= RECORDS, at.step)
        deep = self.deep.feed(level < options.warning and self._fell(), at.step)
        enough = self.enough(RECORDS, least=5)
        if lost >= enough or deep >= enough:
            return self._gone(self.logps.ema20, level, times, self.lost if lost >= enough else self.deep)
        if held < 5 or chosen.count < 25:
            return None
        fall, rise, margin = chosen.gain(50), self.margin.gain(50), self.margin.ema20
        records = min(50, chosen.count - 1)
        if in_noise(chosen, fall) > -1.0 or rise <= 0:
            return None
        logps = self.logps
        return Verdict(
            severity=Severity.WARNING if deep and chosen.count >= 50 else Severity.INFO,
            message=f"the chosen answers become less likely: in {records} records their implicit reward fell "
            f"from {level - fall:.3g} to {level:.3g}, while the margin rose from {margin - rise:.3g} to "
            f"{margin:.3g}",
            evidence={
                CHOSEN: [level - fall, level],
                "rewards_margins": [margin - rise, margin],
                LIKELIHOOD: [logps.start, logps.ema20] if logps.count else None,
            },
            onset=self.low.since,
            confidence=0.8 if deep else 0.6,
            baseline=chosen.start,
            limit=self.options.info,
        )

    def _evaluated(self, at: Observation) -> Verdict | None:
        """Judges the chosen answers of the evaluations."""
        chosen, logps = self.eval_chosen, self.eval_logps
        if not self.beta and logps.step == chosen.step == at.step:
            self._learn_beta(logps.last, chosen.last)
        times = self._times(logps.last, chosen.last) if self.beta else 0.0
        low = chosen.last < self.options.warning and (not self.beta or times >= 1 + self.options.likelihood)
        held = self.eval_lost.feed(times >= self.options.times or low, at.step)
        if held < EVALUATIONS:
            return None
        return self._gone(logps.last, chosen.last, times, self.eval_lost)

    def _learn_beta(self, logps: float, reward: float) -> None:
        """Take beta from evaluations of the same pairs: what the reward moved by what the likelihood did."""
        if self.evaluated is not None:
            before, rewarded = self.evaluated
            if abs(logps - before) < MOVED * abs(before):
                return
            self.slopes.append((reward - rewarded) / (logps - before))
            low, high = min(self.slopes[-2:]), max(self.slopes[-2:])
            if len(self.slopes) > 1 and low > 0 and high <= (1 + SAME) * low:
                self.beta = high
            self.slopes = self.slopes[-1:]
        self.evaluated = (logps, reward)

    def _gone(self, logps: float, level: float, times: float, streak: Streak) -> Verdict:
        return Verdict(
            severity=Severity.WARNING,
            message=f"the chosen answers became less likely: their implicit reward is {level:.3g}"
            + (f", their log-probability {logps:.3g}" if logps else "")
            + (f", {times:.3g} times that before the training" if 1 < times < inf else ""),
            evidence={CHOSEN: level, LIKELIHOOD: logps or None, "times": times if times < inf else None},
            onset=streak.since,
            confidence=0.8,
            limit=self.options.warning,
        )

    def _times(self, logps: float, reward: float) -> float:
        """The log-probability of the chosen answers as a multiple of that before the training."""
        if logps >= 0:
            return 0.0
        if self.beta > 0:
            reference = logps - reward / self.beta
            return logps / reference if reference < 0 else 0.0  # the two are not of the same answers
        track = self.logps
        error = hypot(track.error(5), track.error(min(track.count, 20)))
        clear = track.count > 5 and track.start - logps >= ERRORS * error
        # Twice the start by other answers is what 1.6 times the reference is by the same ones.
        return self.options.times / 2 * logps / track.start if clear and track.start < 0 else 0.0

    def _fell(self) -> bool:
        """Whether the log-probability of the chosen answers fell, or is not logged."""
        logps = self.logps
        lost = logps.start - logps.ema20
        return not logps.count or lost >= self.options.likelihood * max(abs(logps.start), 1e-9)

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "chosen and rejected answers are much alike, or none of them is like the model's own",
                (
                    Remedy("set `loss_type=['sigmoid', 'sft']` and `loss_weights=[1.0, 0.1]`"),
                    Remedy("drop pairs that are nearly the same"),
                ),
                0.6,
            ),
            Cause(
                "updates are too large, and beta is too small to hold them",
                (
                    Remedy("set `beta` to 0.3", up_to=0.3),
                    Remedy("lower `learning_rate`", scale=0.3, down_to=5e-7),
                ),
                0.5,
            ),
        ]
