"""GEN005 sampling-mismatch: the engine's probabilities drift away from the trainer's.

Invariant: TRL logs differences of log-probabilities, verl differences of probabilities; each kind has its own
thresholds.
"""

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import thrives
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.generation.common import GRPO_VLLM, SAMPLING_KL, SAMPLING_LOGP, SAMPLING_PROB
from rldk.health.tracks import Streak, Track
from rldk.metrics.aliases import REWARD

__all__ = ["SamplingMismatch", "SamplingMismatchOptions"]

K3 = "sampling_kl_k3_mean"
CHI2 = "sampling_chi2_token"


class SamplingMismatchOptions(RuleOptions, frozen=True):
    """Thresholds of sampling-mismatch."""

    times: float = 3.0
    """Multiple of the run's own level from which it is reported."""
    logp_floor: float = 0.03
    """Least difference of log-probabilities from which a multiple is reported."""
    logp: float = 0.1
    """Difference of log-probabilities from which it is reported; from twice that it is a warning whatever the
    reward, from five times critical."""
    prob_floor: float = 0.01
    """Least difference of probabilities from which a multiple is reported."""
    prob: float = 0.03
    """Difference of probabilities from which it is reported; from twice that it is a warning whatever the
    reward, from five times critical."""
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
    The mean of ten records decides, for ten records, after the fifth. Log-probabilities (TRL): three times
    the run's own level and at least 0.03, or at least 0.1, where the reward does not thrive: warning; 0.2:
    warning whatever the reward; 0.5: critical. Probabilities (verl): three times the run's own level and at
    least 0.01, or at least 0.03, where the reward does not thrive: warning; 0.06: warning whatever the
    reward; 0.15: critical. A level that did not rise needs 30 records. Other measures of verl, OpenRLHF and
    ms-swift: a k1 estimate beyond 0.1 nats, a k3 estimate above 0.1, a chi-squared per token above 1, where
    the reward does not thrive: warning.

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
        self.high = Streak()

    def observe(self, at: Observation) -> Verdict | None:
        options = self.options
        if self.logp.count:
            size, text = self._size(self.logp, options.logp_floor, options.logp, "log-probabilities")
            rose = self.logp.ema10 >= options.times * self._own(self.logp)
        elif self.prob.count:
            size, text = self._size(self.prob, options.prob_floor, options.prob, "probabilities")
            rose = self.prob.ema10 >= options.times * self._own(self.prob)
        else:
            size, text, rose = 0, "", False
        for track, limit, what in self.others:
            if size == 0 and track.count >= 5 and abs(track.ema10) > limit:
                size, text = 1, f"the {what} between engine and trainer is {track.ema10:.2g}"
        held = self.high.feed(size > 0, at.step)
        lasting = options.records if rose or size > 1 else 3 * options.records
        if held < lasting or (size == 1 and thrives(self.reward)):
            return None
        return Verdict(
            severity=Severity.CRITICAL if size == 3 else Severity.WARNING,
            message=text,
            evidence={
                SAMPLING_LOGP: [self._own(self.logp), self.logp.ema10] if self.logp.count else None,
                SAMPLING_PROB: [self._own(self.prob), self.prob.ema10] if self.prob.count else None,
                "reward_mean": [self.reward.start, self.reward.ema20] if self.reward.count else None,
            },
            onset=self.high.since,
            confidence=0.6 + 0.15 * (size - 1),
        )

    def _size(self, track: Track, floor: float, limit: float, what: str) -> tuple[int, str]:
        """0: nothing; 1: a warning if the reward does not thrive; 2: a warning in any case; 3: critical."""
        level, own = track.ema10, self._own(track)
        size = 0
        if track.count > 5:
            size = 3 if level >= 5 * limit else 2 if level >= 2 * limit else 1 if level >= limit else 0
        if size == 0 and track.count > 5 and level >= max(self.options.times * own, floor):
            size = 1
        rose = f"rose from {own:.2g} to {level:.2g}" if level > 1.5 * own else f"is {level:.2g}"
        return size, f"the difference of {what} between engine and trainer {rose}"

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
