"""Whether the engine that generates has the probabilities of the policy that is trained.

Invariant: TRL logs differences of log-probabilities and verl differences of probabilities: each has its own
thresholds, and they are never compared with one another.
"""

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import improving, in_noise, thrives
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.tracks import Streak, Track
from rldk.metrics.aliases import LENGTH, REWARD

__all__ = ["RULES"]

LOGP = "sampling_logp_difference_mean"
PROB = "sampling_prob_difference_mean"
KL = "sampling_kl_mean"
K3 = "sampling_kl_k3_mean"
CHI2 = "sampling_chi2_token"
RATIO = "importance_sampling_ratio_mean"
EFFECTIVE = "importance_sampling_effective_frac"
REJECTED = "importance_rejected_frac"
GRPO_VLLM = "generate with vLLM in TRL's GRPO, which logs sampling/*, or set calculate_log_probs=True in verl"


class SamplingMismatch(Rule):
    """The engine's probabilities drift away from the trainer's.

    ## What it looks for
    The mean difference between the probabilities that completions were sampled with and the trainer's own.

    ## Why it matters
    Every update is then off-policy without a correction that knows it; collapse follows within tens of steps.

    ## How it decides
    By the mean of ten records, for ten records, after the fifth. Log-probabilities (TRL): three times the
    run's own level and at least 0.03, or at least 0.1, where the reward does not thrive: warning; 0.2:
    warning whatever the reward; 0.5: critical. Probabilities (verl): three times the run's own level and at
    least 0.01, or at least 0.03, where the reward does not thrive: warning; 0.06: whatever the reward;
    0.15: critical. A level that did not rise needs 30 records. Other measures of verl, OpenRLHF and
    ms-swift: a k1 estimate beyond 0.1 nats, a k3 estimate above 0.1, a chi-squared per token above 1, where
    the reward does not thrive: warning.

    ## What looks alike but is healthy
    Engines in fp8 or int4 differ by 0.05 to 0.1. Sampling with `top_p` or `top_k` adds the logarithm of the
    mass that is kept. The difference follows the entropy: it doubles and triples in healthy runs at levels
    of 0.01, hence the floor.

    ## What to do
    Switch the correction on; 16-bit floats in place of bfloat16; the head in 32 bits; nothing cut in
    sampling.

    ## Sources
    verl's FAQ and rollout correction; open-instruct (healthy near 0.006); vime#64 (0.011 for 300 steps; the
    run that failed drifted from record 60, 1.09, NaN at 96); open-instruct#1473; arXiv 2510.26788; IcePop
    (arXiv 2510.18855); trl#6789.
    """

    code, name, severity = "GEN005", "sampling-mismatch", Severity.CRITICAL
    needs = (f"{LOGP}|{PROB}|{KL}|{K3}|{CHI2}",)
    algorithms = ONLINE
    enable = GRPO_VLLM

    class Options(RuleOptions, frozen=True):
        """Thresholds of sampling-mismatch."""

        times: float = 3.0
        """Multiple of the run's own level."""
        logp_floor: float = 0.03
        """Least difference of log-probabilities that a multiple is told of."""
        logp: float = 0.1
        """Difference of log-probabilities; twice that whatever the reward, five times is critical."""
        prob_floor: float = 0.01
        """Least difference of probabilities that a multiple is told of."""
        prob: float = 0.03
        """Difference of probabilities; twice that whatever the reward, five times is critical."""
        kl: float = 0.1
        """KL between engine and trainer, in nats."""
        records: int = 10
        """Records in a row."""

    def start(self) -> None:
        track = self.chart.track
        self.logp, self.prob = track(LOGP), track(PROB)
        self.others = (
            (track(KL), self.options.kl, "k1 estimate of the KL"),
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
                LOGP: [self._own(self.logp), self.logp.ema10] if self.logp.count else None,
                PROB: [self._own(self.prob), self.prob.ema10] if self.prob.count else None,
                "reward_mean": [self.reward.start, self.reward.ema20] if self.reward.count else None,
            },
            onset=self.high.since,
            confidence=0.6 + 0.15 * (size - 1),
        )

    def _size(self, track: Track, floor: float, limit: float, what: str) -> tuple[int, str]:
        """0: none; 1: the reward decides; 2: in any case; 3: critical."""
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
                "rounding: the two compute in bfloat16 with other kernels, over long contexts or experts",
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
                "sampling cuts the distribution, which the trainer's log-probabilities do not know",
                (Remedy("set `top_p` to 1.0", up_to=1.0), Remedy("set `top_k=0`")),
                0.8 if cut else 0.1,
            ),
        ]


class ImportanceStarvation(Rule):
    """The correction for the mismatch throws away most of the gradient.

    ## What it looks for
    The mean importance ratio after truncation or masking, the effective share of samples, the share rejected.

    ## Why it matters
    What is masked teaches nothing: the run pays for completions that it does not learn from.

    ## How it decides
    The mean of ten records, for ten records: a mean ratio below 0.75, an effective share below 0.3, or more
    than half rejected. Warning where the reward does not thrive or the mean ratio is below 0.5, otherwise
    info.

    ## What looks alike but is healthy
    In the masking modes a minimum of 0 is normal; in token modes the mean stays near 1. Healthy logs of one
    source scatter between 0.75 and 1.1.

    ## What to do
    Correct token by token: the ratio of a sequence is a product over its tokens, whose spread grows with
    length.

    ## Sources
    trl#5815 and trl#5814 (0.569 to 0.993 by token truncation), trl#4772; a public log of a 30B model: mean
    ratio 0.465 at 631 tokens.
    """

    code, name, severity = "GEN006", "importance-starvation", Severity.WARNING
    needs = (f"{RATIO}|{EFFECTIVE}|{REJECTED}",)
    algorithms = ONLINE
    enable = GRPO_VLLM

    class Options(RuleOptions, frozen=True):
        """Thresholds of importance-starvation."""

        ratio: float = 0.75
        """Mean ratio."""
        worst: float = 0.5
        """Mean ratio that is a warning whatever the reward."""
        effective: float = 0.3
        """Effective share of the samples."""
        rejected: float = 0.5
        """Share that is masked out."""
        records: int = 10
        """Records in a row."""

    def start(self) -> None:
        track = self.chart.track
        self.ratio, self.effective, self.rejected = track(RATIO), track(EFFECTIVE), track(REJECTED)
        self.difference, self.length = track(LOGP), track(LENGTH)
        self.reward = track(REWARD)
        self.low = Streak()
        self.alarmed = False

    def observe(self, at: Observation) -> Verdict | None:
        text = self._starvation_text()
        held = self.low.feed(text is not None, at.step)
        if text is None or held < self.options.records:
            return None
        thriving = thrives(self.reward) and not 0 < self.ratio.ema10 < self.options.worst
        if thriving and self.alarmed:
            return None
        self.alarmed = not thriving and self.reward.count > 0
        summed = self.difference.ema10 * self.length.ema10
        return Verdict(
            severity=Severity.INFO if thriving or not self.reward.count else Severity.WARNING,
            message=text
            + (f"; the difference adds up to {summed:.1f} nats a completion" if summed > 1 else "")
            + (". The reward does well all the same" if thriving else ""),
            evidence={
                RATIO: self.ratio.ema10 if self.ratio.count else None,
                LOGP: self.difference.ema10 if self.difference.count else None,
                LENGTH: self.length.ema10 if self.length.count else None,
            },
            onset=self.low.since,
            confidence=0.75,
        )

    def _starvation_text(self) -> str | None:
        options = self.options
        if self.ratio.count >= 5 and self.ratio.ema10 < options.ratio:
            return f"the mean importance ratio is {self.ratio.ema10:.2f}: much of the batch is discarded"
        if self.effective.count >= 5 and self.effective.ema10 < options.effective:
            return f"only {self.effective.ema10:.0%} of the samples count after the correction"
        if self.rejected.count >= 5 and self.rejected.ema10 > options.rejected:
            return f"{self.rejected.ema10:.0%} is rejected by the correction"
        return None

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "whole sequences are corrected or masked, whose ratio is a product over their tokens",
                (
                    Remedy(
                        "set `vllm_importance_sampling_mode='token_truncate'`",
                        verl="set algorithm.rollout_correction.rollout_is=token",
                    ),
                    Remedy("set `vllm_importance_sampling_clip_max` to 3", up_to=3),
                    Remedy("raise `vllm_importance_sampling_cap`", scale=1.5),
                ),
                0.7,
            ),
            Cause(
                "engine and trainer differ too much",
                (Remedy("see sampling-mismatch: same precision, same weights"),),
                0.8 if self.difference.count and self.difference.ema10 > 0.05 else 0.4,
            ),
        ]


class StaleRollout(Rule):
    """Generation never sees the new weights.

    ## What it looks for
    A difference between engine and trainer that rises with every step, while the reward stays flat and
    there is a gradient.

    ## Why it matters
    The trainer learns from what an older policy does; nothing comes back.

    ## How it decides
    Over the last 100 records, at least 50, every tenth record: a rank correlation of the difference with
    the step of at least 0.9, a level of at least five times the run's first, and a reward that never stood
    above its start and does not improve: warning.

    ## What looks alike but is healthy
    Warm-up. Steps without a gradient prove nothing (verl#7413). A slow, honest growth of the mismatch while
    the reward rises.

    ## What to do
    Let the engine score one fixed prompt before and after an update: its log-probability must change.

    ## Sources
    verl#7495 (36 times in two months), verl#3516; trl#5312 (sleep mode), trl#3189; ms-swift#8233 (adapter
    counted twice after a resume).
    """

    code, name, severity = "GEN007", "stale-rollout", Severity.WARNING
    needs = (f"{LOGP}|{PROB}|{KL}",)
    algorithms = ONLINE
    enable = GRPO_VLLM

    class Options(RuleOptions, frozen=True):
        """Thresholds of stale-rollout."""

        correlation: float = 0.9
        """Rank correlation of the difference with the step."""
        times: float = 5.0
        """The level as a multiple of the run's first."""
        records: int = 50
        """Records before which it is silent."""

    def start(self) -> None:
        self.difference = self.chart.track(f"{LOGP}|{PROB}|{KL}")
        self.reward = self.chart.track(REWARD)
        self.gradient = self.chart.track("grad_norm")
        self.risen = Streak()
        self.correlation = 0.0

    def observe(self, at: Observation) -> Verdict | None:
        difference = self.difference
        first = abs(difference.start)
        self.risen.feed(difference.count > 5 and abs(difference.ema20) >= 2 * first, at.step)
        if difference.count < self.options.records or abs(difference.ema20) < self.options.times * first:
            self.correlation = 0.0
            return None
        if difference.count % 10 == 0:
            self.correlation = _rank_correlation([abs(value) for value in difference.recent])
        if self.correlation < self.options.correlation or self.gradient.ema20 <= 1e-8:
            return None
        reward = self.reward
        if in_noise(reward, reward.best - reward.start) >= 1.5 or improving(reward):
            return None
        return Verdict(
            severity=Severity.WARNING,
            message=f"the difference between engine and trainer rises with every step, from {first:.2g} to "
            f"{abs(difference.ema20):.2g}, and the reward does not: the engine may keep old weights",
            evidence={
                "difference": [first, abs(difference.ema20)],
                "rank_correlation": self.correlation,
                "reward_mean": [self.reward.start, self.reward.ema20],
            },
            onset=self.risen.since,
            confidence=0.8,
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "new weights do not reach the engine: the adapter is not sent, or waking loads the old ones",
                (
                    Remedy("score one fixed prompt in the engine before and after an update"),
                    Remedy("set `vllm_enable_sleep_mode=False` to test", verl="set model.lora.merge=True"),
                    Remedy("upgrade TRL and PEFT"),
                ),
                0.8,
            )
        ]


def _rank_correlation(values: list[float]) -> float:
    """Spearman's correlation of values with their order; 0 where they are all alike."""
    count = len(values)
    order = sorted(range(count), key=values.__getitem__)
    if count < 2 or values[order[0]] == values[order[-1]]:
        return 0.0
    squares = sum((rank - index) ** 2 for rank, index in enumerate(order))
    return 1.0 - 6.0 * squares / (count * (count * count - 1))


RULES: tuple[type[Rule], ...] = (SamplingMismatch, ImportanceStarvation, StaleRollout)
