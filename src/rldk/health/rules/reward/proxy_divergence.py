"""REW006 proxy-divergence: the reward rises while what you care about falls: reward hacking.

Invariant: levels and units never decide; only losses in standard errors and in shares of a spread do, while
the reward does not lose.
"""

from collections.abc import Collection
from math import sqrt

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import at_ceiling, course
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.causes import LOOPHOLE
from rldk.health.rules.common import scored_completions
from rldk.health.rules.reward.common import MAX_FUNCTIONS, MEAN, PREFIX, STD
from rldk.health.tracks import BLOCK, WINDOW, Track
from rldk.health.trouble import BEGUN, Level, Trouble
from rldk.metrics.aliases import REWARD

__all__ = ["ProxyDivergence", "ProxyDivergenceOptions"]

EVAL = "eval_reward"
EVALUATIONS = 3
"""Evaluations of the mean that stands for the level of one; a train series has means of 20 records."""
MOST_EVALUATIONS = 20
"""Most evaluations whose order is counted."""
EVALUATIONS_SETTLED = 15
"""Evaluations from which more evidence is needed."""
WANDERS = 0.6
"""Power of the looks with which the needed evidence grows: noise of an autocorrelation of 0.6 asks for it."""
FEWEST = 25
"""Train records before which a reward function that stands has not been waited for."""
UNLEARNED = 0.4
"""Share of its spread that the truth must lose where training had not raised it."""
FIRST = 2
"""Records whose mean stands for what a function gave before the training."""
GONE = 0.05
"""Share of its spread that is left where no completion gets anything of a function."""
GONE_SHARE = 0.5
"""Share of its spread that a function which is gone must have lost: one that few completions get cannot lose
all of it."""
LASTS = 10
"""A fall that lasts a tenth of the records so far is enough in a short log."""
SETTLED = 100
"""Records from which the errors are needed in full: noise wanders further the longer a run is."""
PRIOR = 0.75
"""Share of a train record's error that an evaluation's is at least: a few may be alike by chance."""
LOST, ROSE, MOST = 2.0, 6.0, 1.6
"""The evidence counts `(gain + LOST) / ROSE` times, at most `MOST`: not at all where the reward has lost two
standard errors, in full where it gained four. Noise of two series rarely parts them so."""
TRIFLE = 0.1
"""Share of the range of the total that a spread counts as at least: a constant may move a little."""
COMPLETIONS = 16
"""Completions a record where the batch size is not known: few, so that the error is rather too large."""
INFORM = 0.75
"""Effect from which it is information."""


class ProxyDivergenceOptions(RuleOptions, frozen=True):
    """Thresholds of proxy-divergence."""

    errors: float = 8.0
    """Least loss of a reward function, in standard errors of a mean of 20 records."""
    eval_evidence: float = 2.0
    """Least evidence of 15 evaluations that one falls: a third of its standard errors and half of
    Kendall's z."""
    share: float = 0.15
    """Least loss, as a share of the spread of what is measured."""
    gain: float = 3.0
    """Least gain of the total reward meanwhile, in standard errors, where a reward function falls."""
    records: int = 8
    """Train records in a row; fewer where each is the mean of many steps."""


class Truth:
    """One metric that may be what the user cares about: its best, and its loss since.

    Args:
        name: its name.
        track: its series.
        unit: the spread of what it measures, in its own unit.
        reward: the total reward.
        is_eval: whether it is measured by evaluations.
        records: records in a row for which the loss must last.
    """

    def __init__(
        self, name: str, track: Track, unit: Track, reward: Track, *, is_eval: bool, records: int
    ) -> None:
        self.name, self.track, self.unit, self.is_eval, self.records = name, track, unit, is_eval, records
        self._reward = reward
        self.trouble = Trouble(reward, records=records, discount=0.0)
        self.best, self.best_step, self.best_count, self._error = 0.0, -1, 0, 0.0
        self.turned: int | None = None
        """The step after the best."""
        self.then = Level(0.0, 0)
        self.spread = 0.0
        """The largest spread since it was best: some spreads fall together with the mean, others rise."""

    @property
    def level(self) -> float:
        """Its mean of the newest records."""
        return self.track.mean(EVALUATIONS) if self.is_eval else self.track.ema20

    def begin(self, completions: float) -> None:
        """Take the first two records as the best so far: what is lost at once leaves no mean of ten.

        Args:
            completions: how many completions these records are a mean of.
        """
        if self.track.count == FIRST and self.unit.count and not self.is_eval:
            self.best, self.best_step, self.best_count = self.track.ema10, self.track.step, FIRST
            self.then = Level.of(self._reward)
            self._error = max(self.unit.ema10 / sqrt(completions), self.track.error(FIRST))
            self.spread = self.unit.ema10

    @property
    def is_gone(self) -> bool:
        """Whether no completion gets anything of it any more, or each the same, less than at its best."""
        return self.unit.count > 0 and self.unit.ema10 <= GONE * self.spread

    def loss(self, step: int) -> float:
        """What it lost since its best."""
        level = self.level
        if self.best_step < 0 or level >= self.best:
            self.best, self.best_step, self._error = level, step, self._error_now()
            self.turned = None
            self.best_count = self.track.count
            self.then = Level.of(self._reward)
            own, total = self.track.high - self.track.low, self._reward.high - self._reward.low
            self.spread = max(self.unit.ema20, 0.5 * own, TRIFLE * total)
        elif self.unit.ema20 > self.spread:
            self.spread = self.unit.ema20
        if self.turned is None and self.best_step < step:
            self.turned = step
        return self.best - level

    def errors(self, lost: float) -> float:
        """A loss in standard errors, by the noise at its best or the noise now, whichever is larger."""
        return lost / max(self._error, self._error_now())

    def _error_now(self) -> float:
        count = min(self.track.count, EVALUATIONS if self.is_eval else 20)
        error = self.track.error(count)
        return max(error, PRIOR * self._reward.error(count)) if self.is_eval else error

    @property
    def is_learned(self) -> bool:
        """Whether its best was reached by training: what the policy had from the start may be traded."""
        return self.best_count > FIRST and self.best - self.track.start >= 2 * self._error

    @property
    def is_at_top(self) -> bool:
        """Whether it has no room left: near its highest record, and further from its lowest."""
        return at_ceiling(self.track, self.unit)

    def evidence(self, errors: float, gained: float, series: int) -> float:
        """How sure it is that evaluations fall: by the loss in standard errors, and by their order.

        The order is that since the best, by Kendall's z, whatever the size. More looks than
        `EVALUATIONS_SETTLED` wander further, so more are needed: more evaluations, and more series of them.

        Args:
            errors: the loss in standard errors.
            gained: what the reward gained since the best, in standard errors.
            series: how many metrics are evaluated.
        """
        count = self.track.count
        values = self.track.tail(min(count - self.best_count + EVALUATIONS, MOST_EVALUATIONS))
        n = len(values)
        order = sum((a > b) - (b > a) for i, a in enumerate(values) for b in values[i + 1 :])
        kendall = order / max(sqrt(n * (n - 1) * (2 * n + 5) / 18), 1.0)
        if n <= EVALUATIONS or kendall < 1 or errors < 1:
            return 0.0
        wandered: float = max(count * series / EVALUATIONS_SETTLED, 1.0) ** WANDERS
        rises = min((gained + LOST) / ROSE, MOST)
        return (errors / 3 + kendall / 2) / wandered * rises


class ProxyDivergence(Rule[ProxyDivergenceOptions]):
    """The reward rises while what you care about falls: reward hacking.

    ## What it looks for
    The total reward against each evaluation of a reward (`eval_reward*`), against each reward function
    (weighted or not), and against the metric that you name as `truth_metric`.

    ## Why it matters
    The policy has found a loophole; every further step is spent on it.

    ## How it decides
    An evaluation falls: its mean of three is below the best one by 0.15 of the spread of the rewards, for
    two evaluations in a row: warning. Its loss in standard errors and its order since the best (Kendall's z)
    must be evidence of 2: a third of the one and half of the other. The evidence counts in full where the
    total reward gained four standard errors since. It counts less where the reward gained less, and not at
    all where it lost two. More than 15 evaluations, of all series together, need more. The standard error is
    at least three quarters of that of as many train records.

    A reward function, of two or more, falls: its mean of 20 records is below its best by eight standard
    errors (fewer before record 100), and the total gained three standard errors since, for 8 records in a
    row: warning. In a short log a tenth of its records in a row is enough. What training had raised must
    lose 0.15 of its spread. What was there from the start may be traded, so it must lose all of its
    spread, the `truth_metric` 0.4 of it, and half where no completion gets anything of it any more. The first
    two records are its first best, since what is lost at once leaves no mean. From three quarters of these
    sizes on it is information, a warning for a `truth_metric` that training had raised.

    A reward function stands within two errors of its start while it still has half of its spread; another
    function gained 0.3 of its own, and the total gains: info, since only the other is learned. A function at
    its top is left out: it is within 0.12 of its largest spread of its highest record, further from its
    lowest.

    ## What looks alike but is healthy
    Learning a format first can lower accuracy for 20 to 50 steps. Small evals are noise: use 100 items. A
    penalty that grows a little while the answers get better.

    ## What to do
    Correct the reward; raise `beta`, so that the policy stays near the reference; keep the checkpoint of the
    best truth.

    ## Sources
    open-r1#255, open-r1#407; Gao et al. (arXiv 2210.10760); arXiv 2606.04923 (onset between steps 68
    and 478).
    """

    code, name, severity = "REW006", "proxy-divergence", Severity.WARNING
    phases = ("train", "eval")
    enable = "evaluate during training, use several reward functions, or name a truth_metric"
    algorithms = ONLINE
    explained_by = ("reward-function-errors",)
    shown_by = ("highest-before", "highest-since")

    def start(self) -> None:
        self.reward = self.chart.track(REWARD)
        self.spread = self.chart.track("reward_std")
        self.truths: dict[str, Truth] = {}
        self.verdicts: dict[str, Verdict] = {}
        self.worst: Verdict | None = None
        self.evaluated = 0
        """How many of them are evaluations."""

    def inputs(self) -> tuple[str, ...]:
        return ("|".join(filter(None, (self.context.truth_metric, f"{EVAL}*", f"{PREFIX}*{MEAN}"))),)

    def meet(self, names: Collection[str]) -> None:
        functions = [name for name in names if name.startswith(PREFIX) and name.endswith(MEAN)]
        for name in names:
            is_eval = name.startswith(EVAL) and not name.endswith(("std", STD))
            known = name in self.truths or len(self.truths) >= MAX_FUNCTIONS
            is_truth = name == self.context.truth_metric
            if known or not (is_eval or is_truth or (len(functions) > 1 and name in functions)):
                continue
            unit = self.chart.track(name[: -len(MEAN)] + STD) if name in functions else Track()
            records = 2 if name.startswith("eval_") else int(self.enough(self.options.records))
            self.truths[name] = Truth(
                name,
                self.chart.track(name),
                self.spread if is_eval else unit,
                self.reward,
                is_eval=name.startswith("eval_"),
                records=records,
            )
            self.evaluated += self.truths[name].is_eval

    def observe(self, at: Observation) -> Verdict | None:
        judged = False
        for name, truth in self.truths.items():
            count = truth.track.count
            # A mean of 20 records hardly moves from one record to the next.
            stride = BLOCK if count >= WINDOW and not truth.is_eval else 1
            if count % stride or not count or at.values.get(name) is None:
                continue
            judged = True
            verdict = self._judge(truth, at.step, stride)
            if verdict is None:
                self.verdicts.pop(name, None)
            else:
                self.verdicts[name] = verdict
        if judged:
            self.score = max(truth.trouble.score for truth in self.truths.values())
            known = self.verdicts.values()
            self.worst = max(known, key=lambda one: (one.severity, one.confidence), default=None)
        return self.worst

    def _judge(self, truth: Truth, step: int, stride: int) -> Verdict | None:
        options, reward = self.options, self.reward
        if truth.track.count < (EVALUATIONS if truth.is_eval else 10) or reward.count < 10:
            truth.begin(FIRST * (scored_completions(self.context, 1) or COMPLETIONS) * self.chart.spacing)
            return None
        lost = truth.loss(step)
        is_truth = truth.name == self.context.truth_metric
        share = options.share
        if not truth.is_eval and not truth.is_learned:
            share = UNLEARNED if is_truth else GONE_SHARE if truth.is_gone else 1.0
        least = share * truth.spread
        effect = self._effect(truth, lost, least) if lost > 0 and lost >= BEGUN * least else 0.0
        records = max(min(truth.track.count / LASTS, truth.records) / stride, 2)
        severity = truth.trouble.feed(effect, step, records=records)
        if severity is None and truth.trouble.effect < INFORM:
            return self._stands(truth)
        then = truth.then.mean
        return Verdict(
            severity=Severity.WARNING if severity or (is_truth and truth.is_learned) else Severity.INFO,
            message=f"`{truth.name}` fell from {truth.best:.3g} (step {truth.best_step}) to "
            f"{truth.level:.3g} while the reward {course(then, reward.ema20)}",
            evidence={truth.name: [truth.best, truth.level], "reward_mean": [then, reward.ema20]},
            onset=truth.turned,
            confidence=truth.trouble.confidence,
            last_good_step=truth.best_step,
            baseline=truth.best,
            limit=truth.best - least,
        )

    def _effect(self, truth: Truth, lost: float, least: float) -> float:
        """The size of a loss: by its evidence, or by the `least` that counts, whichever is smaller."""
        options, errors, gained = self.options, truth.errors(lost), truth.then.gain(self.reward)
        if gained <= -LOST if truth.is_eval else gained < options.gain:
            return 0.0
        if truth.is_eval:
            evidence = truth.evidence(errors, gained, self.evaluated) / options.eval_evidence
        else:
            evidence = errors / options.errors / min((truth.track.count / SETTLED) ** 0.2, 1.0)
        return float(min(evidence, lost / max(least, 1e-12)))

    def _stands(self, truth: Truth) -> Verdict | None:
        """The verdict on a function that stands while another one and the total rise."""
        track, reward = truth.track, self.reward
        if truth.is_eval or track.count < FEWEST or truth.unit.ema20 < 0.5 * truth.unit.start:
            return None
        if not truth.unit.start or truth.is_at_top or abs(track.ema20 - track.start) > 2 * track.error(5):
            return None
        if reward.ema20 - reward.start < self.options.gain * reward.error(5):
            return None
        others = [
            other
            for other in self.truths.values()
            if other is not truth
            and not other.is_eval
            and truth.unit.ema20 >= 0.75 * other.unit.start
            and other.track.ema20 - other.track.start
            > max(2 * self.options.share * other.unit.start, 4 * other.track.error(5))
        ]
        if not others:
            return None
        other = max(others, key=lambda one: one.track.ema20 - one.track.start)
        return Verdict(
            severity=Severity.INFO,
            message=f"only `{other.name}` is learned: it rose from {other.track.start:.3g} to "
            f"{other.track.ema20:.3g}, while `{truth.name}` stands at {track.ema20:.3g}",
            evidence={one.name: [one.track.start, one.track.ema20] for one in (other, truth)},
            confidence=0.6,
            baseline=other.track.start,
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the policy exploits a loophole of the reward: length, format, a phrase, a judge's bias",
                (
                    LOOPHOLE,
                    Remedy("set `beta` to 0.04", up_to=0.04, verl="raise actor.kl_loss_coef"),
                    Remedy("keep the checkpoint of the best truth"),
                ),
                0.8,
            )
        ]
