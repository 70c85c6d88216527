"""POL005 entropy-collapse: the policy became deterministic.

Invariant: no level of entropy is a fault by itself: the share that is left of the run's own decides, and a
reward that gains takes away most of the score.
"""

from math import log

from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import reached_best
from rldk.health.rule import Cause, RuleOptions, Severity, Verdict
from rldk.health.rules.causes import temperature, too_fast
from rldk.health.rules.policy.common import DOUBTFUL, EntropyRule
from rldk.health.trouble import Trouble
from rldk.metrics.aliases import KL

__all__ = ["EntropyCollapse", "EntropyCollapseOptions"]

PAID = 0.6
"""How much of the score a reward that gains takes away: entropy falls in every run that learns."""


class EntropyCollapseOptions(RuleOptions, frozen=True):
    """Thresholds of entropy-collapse."""

    share: float = 0.35
    """Share of the run's own level that is worth a warning."""
    gone_share: float = 0.0625
    """Share of the run's own level that is a fault whatever the reward does."""
    records: int = 8
    """Records in a row at which the median of 11 is that low."""


class EntropyCollapse(EntropyRule[EntropyCollapseOptions]):
    """The policy became deterministic.

    ## What it looks for
    Mean entropy of the tokens far below the run's own beginning, and what the reward gained meanwhile.

    ## Why it matters
    Without entropy all completions of a prompt are alike; there is nothing left to choose from.

    ## How it decides
    The median of eleven records is at most 0.35 of the run's own level, for eight records. The own level is
    the median of records 5 to 25. Before record 25, or where an early level is more than twice as high, it
    is the largest of the first 3 or 5 records. A fall within four standard errors is noise, unless less than
    an eighth of the level is left.

    The score is 1 at 0.35 of the level, 2 at 0.12 and 3 at 0.04; see [severity](../severity.md). A reward
    that gained since then takes away up to three fifths of it, because entropy falls in every run that
    learns. From a score of 1 on it is a warning, critical from 2 while the reward falls. Info where only the
    gain keeps it below, or where the reward rose to its top and three quarters of the groups have no spread:
    their prompts are solved. A sixteenth of the level is a warning whatever the reward does.

    ## What looks alike but is healthy
    Entropy falls in every run that learns: healthy ones end at 0.27 to 0.47 of their base, some near 0.03
    nats, with the reward at its ceiling. First values of public runs lie between 0.12 and 2.74 nats: no
    level is low.

    ## What to do
    Raise the upper clip, sample at temperature 1, or go back to a checkpoint from before the fall.

    ## Sources
    DAPO (arXiv 2503.14476); arXiv 2505.22617 (reward as a function of entropy); Skywork-OR1 (arXiv
    2505.22312); TRL's GRPOConfig; public logs.
    """

    code, name, severity = "POL005", "entropy-collapse", Severity.CRITICAL
    explained_by = ("sampling-temperature", "high-learning-rate", "sampling-mismatch", "kl-blowup")
    shown_by = ("before", "since")
    answers = ("entropy-level",)

    def start(self) -> None:
        super().start()
        self.clip, self.kl = self.chart.track("clip_frac"), self.chart.track(KL)
        self.low = Trouble(self.reward, records=self.options.records, discount=PAID, enough=self.enough)

    def observe(self, at: Observation) -> Verdict | None:
        levels = self._levels()
        if not levels:
            return None
        own, errors = self._own(levels)
        left = max(self.entropy.middle, 0.0) / own if own > 0 else 1.0
        severity = self.low.feed(
            self._effect(left, own, errors),
            at.step,
            is_absolute=left <= self.options.gone_share,
        )
        self.score = self.low.score
        if severity is None:
            return None
        if left > self.options.gone_share and reached_best(self.reward, self.zero_std):
            self.score, severity = min(self.score, DOUBTFUL), Severity.INFO
        return self._verdict(severity, self.low, own, own * self.options.share, "fell")

    def _effect(self, left: float, own: float, errors: float) -> float:
        """1 at the share that is worth a warning, 2 at its square: each such factor is as bad again."""
        if left >= 1.0:
            return 0.0
        effect = log(max(left, 1e-6)) / log(self.options.share)
        is_doubtful = DOUBTFUL < effect < 2.0 and self._is_noise(own, errors)
        return DOUBTFUL if is_doubtful else effect

    def _own(self, levels: tuple[tuple[float, float], ...]) -> tuple[float, float]:
        """The median of records 5 to 25; the largest early level before that, or where it is far higher."""
        largest, base = max(levels), levels[-1]
        return largest if self.entropy.baseline is None or base[0] < 0.5 * largest[0] else base

    def causes(self) -> list[Cause]:
        spiked = self.gradient.count > 0 and self.gradient.high > 10 * self.gradient.start
        unclipped = self.clip.count > 0 and self.clip.high == 0.0
        far = self.kl.count > 0 and self.kl.ema10 >= 1.0
        return [
            Cause(
                "only likely tokens are reinforced: the upper clip holds the others down",
                (
                    Remedy("set `epsilon_high` to 0.28", up_to=0.28, verl="set clip_ratio_high=0.28"),
                    Remedy("set `use_adaptive_entropy=True` with `entropy_target` near the early level"),
                    Remedy("set `top_entropy_quantile` to 0.2", down_to=0.2),
                ),
                0.2 if unclipped else 0.5,
            ),
            temperature(self.context),
            too_fast(
                self.chart,
                "updates are too large",
                0.85 if far else 0.7 if spiked else 0.45,
                self.low.since,
                Remedy("set `beta` to 0.04", up_to=0.04, verl="raise actor.kl_loss_coef"),
            ),
        ]
