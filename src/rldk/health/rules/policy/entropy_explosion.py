"""POL006 entropy-explosion: entropy climbs, and text turns to noise.

Invariant: no level of entropy is a fault by itself: the multiple of the run's own decides, and a reward that
gains takes away half of the score.
"""

from math import log

from rldk.health.observation import Observation
from rldk.health.prompt_change import PromptChange
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, RuleOptions, Severity, Verdict
from rldk.health.rules.causes import loophole, reused, temperature, too_fast
from rldk.health.rules.policy.common import DOUBTFUL, EntropyRule
from rldk.health.trouble import Trouble, size
from rldk.metrics.aliases import LENGTH

__all__ = ["EntropyExplosion", "EntropyExplosionOptions"]


BY_PROMPTS = 0.6
"""Share of a rise that came where the prompts changed which makes it theirs."""


class EntropyExplosionOptions(RuleOptions, frozen=True):
    """Thresholds of entropy-explosion."""

    times: float = 2.0
    """Multiple of the run's own level that is worth a warning."""
    rise: float = 0.3
    """Rise in nats that is worth a warning; the smaller of both sizes counts."""
    records: int = 8
    """Records in a row at which the median of 11 is that high."""


class EntropyExplosion(EntropyRule[EntropyExplosionOptions]):
    """Entropy climbs, and text turns to noise.

    ## What it looks for
    Mean entropy of the tokens far above the run's own beginning, and what the reward gained meanwhile.

    ## Why it matters
    Noise scores nothing and does not end, and the next update learns from it.

    ## How it decides
    The median of eleven records is at least twice an early level and 0.3 nats above it, for eight records.
    The early levels are those of the first 3 or 5 records, and the median of records 5 to 25. A rise within
    four standard errors is noise, unless it is a rise to eight times the level and by 1.2 nats.

    The score is 1 at twice the level and grows by 1 with each doubling, but no faster than the rise in nats
    allows; see [severity](../severity.md). A reward that gained since then halves it. From a score of 1 on it
    is a warning; info where only the gain keeps it below.

    It is information too where six tenths of the rise came where the mean length of the completions leapt
    between two records while the gradients were as before: no policy changes so, harder prompts do.

    ## What looks alike but is healthy
    A slow rise by less than 1 nat that levels, with a better reward (rllm#116, verl#651). A bump that
    recovers without loss of reward. The median of records 5 to 25 alone is no baseline: a policy may be lost
    by record 5.

    ## What to do
    Repair truncation and sampling mismatch first. Then remove the entropy bonus, and lower the upper clip,
    the temperature and the learning rate.

    ## Sources
    verl#2738, verl#781, verl#651, verl#514; rllm#116 (2.0 is trouble); public logs that go from 0.2 to 8 nats
    within five records.
    """

    code, name, severity = "POL006", "entropy-explosion", Severity.WARNING
    explained_by = ("sampling-temperature", "sampling-mismatch", "broken-start", "kl-blowup")
    shown_by = ("before", "since")
    answers = ("entropy-level",)

    def start(self) -> None:
        super().start()
        self.high = Trouble(self.reward, records=self.options.records, enough=self.enough)
        self.prompts = PromptChange(self.entropy, self.chart.track(LENGTH), self.gradient)

    def observe(self, at: Observation) -> Verdict | None:
        self.prompts.feed()
        levels = self._levels()
        if not levels:
            return None
        effect, own = max([(self._effect(*level), level[0]) for level in levels])
        severity = self.high.feed(effect, at.step)
        self.score = self.high.score
        if severity is None:
            return None
        if self.prompts.moved >= BY_PROMPTS * (self.entropy.middle - own):
            self.score, severity = min(self.score, DOUBTFUL), Severity.INFO
        limit = max(own * self.options.times, own + self.options.rise)
        return self._verdict(min(severity, self.severity), self.high, own, limit, "rose")

    def _effect(self, own: float, errors: float) -> float:
        """1 at the multiple that is worth a warning, 2 at its square; no more than the rise allows."""
        level, options = self.entropy.middle, self.options
        if level <= own:
            return 0.0
        effect = min(log(level / max(own, 1e-6)) / log(options.times), size((level - own) / options.rise))
        is_doubtful = DOUBTFUL < effect < 3.0 and self._is_noise(own, errors)
        return DOUBTFUL if is_doubtful else effect

    def causes(self) -> list[Cause]:
        bonus = self.context.number("entropy_coef")
        return [
            too_fast(
                self.chart,
                "updates are too large",
                0.6,
                self.high.since,
                Remedy("set `beta` to 0.04", up_to=0.04, verl="raise actor.kl_loss_coef"),
            ),
            loophole(0.2, paid=self.high.benefit >= 0.5),
            reused(self.context),
            Cause(
                "the loss has an entropy bonus",
                (Remedy("set `entropy_coef` to 0", down_to=0, verl="set actor.entropy_coeff=0"),),
                0.9 if bonus else 0.3,
            ),
            Cause(
                "the upper clip is too wide",
                (Remedy("lower `epsilon_high` to 0.2", down_to=0.2, verl="lower actor.clip_ratio_high"),),
                0.35,
            ),
            temperature(self.context, 0.1),
            Cause(
                "the trainer learns from completions that the length limit cut",
                (Remedy("raise `max_completion_length`", scale=2, verl="raise data.max_response_length"),),
                0.5 if self.truncated.count and self.truncated.start > 0.5 else 0.1,
            ),
        ]
