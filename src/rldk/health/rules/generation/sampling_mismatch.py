"""GEN005 sampling-mismatch: the engine's probabilities drift away from the trainer's.

Invariant: TRL logs differences of log-probabilities, verl differences of probabilities; each kind has its own
thresholds.
"""

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.generation.common import GRPO_VLLM, SAMPLING_KL, SAMPLING_LOGP, SAMPLING_PROB
from rldk.health.tracks import Streak, Track
from rldk.health.trouble import Trouble, size
from rldk.metrics.aliases import REWARD

__all__ = ["SamplingMismatch", "SamplingMismatchOptions"]

K3 = "sampling_kl_k3_mean"
CHI2 = "sampling_chi2_token"
EARLY = 5
"""Records before which nothing is judged."""
DOUBTFUL = 0.9
"""Largest score of a level that did not rise and has not lasted."""


class SamplingMismatchOptions(RuleOptions, frozen=True):
    """Thresholds of sampling-mismatch."""

    times: float = 3.0
    """Multiple of the run's own level from which it is reported."""
    logp_floor: float = 0.03
    """Least difference of log-probabilities from which a multiple is reported."""
    logp: float = 0.1
    """Difference of log-probabilities from which it is reported; from twice that it is a warning whatever the
    reward."""
    prob_floor: float = 0.01
    """Least difference of probabilities from which a multiple is reported."""
    prob: float = 0.03
    """Difference of probabilities from which it is reported; from twice that it is a warning whatever the
    reward."""
    kl: float = 0.1
    """KL between engine and trainer, in nats, above which it is reported."""
    records: int = 10
    """Records in a row."""


class SamplingMismatch(Rule[SamplingMismatchOptions]):
    """The engine's probabilities drift away from the trainer's.

    ## What it looks for
    The mean difference between the probabilities that completions were sampled with and the trainer's own.

    ## Why it matters
    Every update is then off-policy and nothing corrects it; collapse follows within tens of steps.

    ## How it decides
    The median of eleven records decides, for ten records, after the fifth. The limit of log-probabilities
    (TRL) is three times the run's own level and at least 0.03, and 0.1 at most. The limit of probabilities
    (verl) is three times the run's own level and at least 0.01, and 0.03 at most. A level that did not rise
    needs 30 records. Other measures of verl, OpenRLHF and ms-swift have a limit of 0.1 nats, for the k1 and
    the k3 estimate, and of 1, for a chi-squared per token.

    The score is 1 at the limit and grows by 1 with each doubling; see [severity](../severity.md). A reward
    that gained since then halves it. From a score of 1 on it is a warning, critical from 2 while the reward
    falls; info where only the gain keeps it below. A difference of log-probabilities of 0.2, or of
    probabilities of 0.06, is a warning whatever the reward does.

    ## What looks alike but is healthy
    Engines in fp8 or int4 differ by 0.05 to 0.1. Sampling with `top_p` or `top_k` adds the logarithm of the
    kept probability mass. The difference follows the entropy: it doubles and triples in healthy runs at
    levels of 0.01, hence the floor.

    ## What to do
    Switch the correction on; use float16 in place of bfloat16, and float32 for the head; sample from all
    tokens.

    ## Sources
    verl's FAQ and rollout correction; open-instruct (healthy near 0.006); vime#64 (0.011 for 300 steps; the
    run that failed drifted from record 60, 1.09, NaN at 96); open-instruct#1473; arXiv 2510.26788; IcePop
    (arXiv 2510.18855); trl#6789.
    """

    code, name, severity = "GEN005", "sampling-mismatch", Severity.CRITICAL
    needs = (f"{SAMPLING_LOGP}|{SAMPLING_PROB}|{SAMPLING_KL}|{K3}|{CHI2}",)
    algorithms = ONLINE
    enable = GRPO_VLLM
    explained_by = ("broken-start", "stale-rollout")

    def start(self) -> None:
        track = self.chart.track
        self.logp, self.prob = track(SAMPLING_LOGP), track(SAMPLING_PROB)
        self.others = (
            (track(SAMPLING_KL), self.options.kl, "k1 estimate of the KL"),
            (track(K3), self.options.kl, "k3 estimate of the KL"),
            (track(CHI2), 1.0, "chi-squared divergence"),
        )
        self.reward = track(REWARD)
        self.high = Trouble(self.reward, records=self.options.records)
        self.level = Streak()

    def observe(self, at: Observation) -> Verdict | None:
        options = self.options
        track = self.logp if self.logp.count else self.prob
        is_worst = False
        if self.logp.count:
            effect, text = self._size(track, "log-probabilities")
            is_worst = track.middle >= 2 * options.logp
        elif self.prob.count:
            effect, text = self._size(track, "probabilities")
            is_worst = track.middle >= 2 * options.prob
        else:
            effect, text = 0.0, ""
        for other, limit, what in self.others:
            if effect < 1.0 and other.count > EARLY and abs(other.middle) > limit:
                effect = size(abs(other.middle) / limit)
                text = f"the {what} between engine and trainer is {other.middle:.2g}"
        severity = self.high.feed(effect, at.step, is_absolute=is_worst)
        rose = track.middle >= options.times * self._own(track) > 0
        held = self.level.feed(effect >= 1.0, at.step)
        self.score = self.high.score
        if severity is None or (not rose and not is_worst and held < 3 * options.records):
            self.score = min(self.score, DOUBTFUL)
            return None
        reward, then = self.reward, self.high.then
        return Verdict(
            severity=severity,
            message=text,
            evidence={
                SAMPLING_LOGP: [self._own(self.logp), self.logp.middle] if self.logp.count else None,
                SAMPLING_PROB: [self._own(self.prob), self.prob.middle] if self.prob.count else None,
                "reward_mean": [then.mean, reward.ema20] if then else None,
            },
            onset=self.high.since,
            confidence=self.high.confidence,
            baseline=self._own(track) if track.count else None,
            limit=self._limit(track) if track.count else None,
        )

    def _size(self, track: Track, what: str) -> tuple[float, str]:
        """The size, 1 at the limit or at the multiple of the run's own level, and what it is of."""
        if track.count <= EARLY:
            return 0.0, ""
        level, own = track.middle, self._own(track)
        least = self._limit(track)
        rose = f"rose from {own:.2g} to {level:.2g}" if level > 1.5 * own else f"is {level:.2g}"
        effect = size(level / least) if level >= least else max((level - own) / (least - own), 0.0)
        return effect, f"the difference of {what} between engine and trainer {rose}"

    def _limit(self, track: Track) -> float:
        """The difference that is worth a warning while the reward stands."""
        options = self.options
        is_log = track is self.logp
        floor, most = (options.logp_floor, options.logp) if is_log else (options.prob_floor, options.prob)
        return float(min(most, max(options.times * self._own(track), floor)))

    def _own(self, track: Track) -> float:
        return track.start if track.baseline is None else min(track.baseline, track.start)

    def causes(self) -> list[Cause]:
        cut = any(self.context.option(name) not in (None, 0, 1.0, -1) for name in ("top_p", "top_k", "min_p"))
        return [
            Cause(
                "rounding: engine and trainer have different bfloat16 kernels, for long contexts or experts",
                (
                    Remedy(
                        "set `vllm_importance_sampling_correction=True`",
                        verl="set algorithm.rollout_correction.rollout_is=token",
                    ),
                    Remedy("set `fp16=True` in place of bfloat16", verl="train and roll out in float16"),
                    Remedy("set `cast_lm_head_to_fp32=True`"),
                ),
                0.6,
            ),
            Cause(
                "the engine has older weights",
                (
                    Remedy(
                        "see stale-rollout: its log-probability of a fixed prompt must change with an update"
                    ),
                ),
                0.4,
            ),
            Cause(
                "sampling cuts the distribution, and the trainer's log-probabilities do not allow for it",
                (Remedy("set `top_p` to 1.0", up_to=1.0), Remedy("set `top_k=0`")),
                0.8 if cut else 0.1,
            ),
        ]
