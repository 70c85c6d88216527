"""POL007 broken-start: at the first records trainer and generation already disagree, or the entropy is
absurd.

Invariant: the first records decide, and the finding stays open until the values are back to normal.
"""

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.common import EXCERPT
from rldk.metrics.aliases import ENTROPY

__all__ = ["BrokenStart", "BrokenStartOptions"]

LOGP_DIFFERENCE = "sampling_logp_difference_mean"
PROB_DIFFERENCE = "sampling_prob_difference_mean"
RATIO = "importance_sampling_ratio_mean"


class BrokenStartOptions(RuleOptions, frozen=True):
    """Thresholds of broken-start."""

    logp: float = 0.1
    """Difference of log-probabilities above which it is a warning; above twice that it is critical."""
    prob: float = 0.05
    """Difference of probabilities above which it is a warning; above twice that it is critical."""
    entropy: float = 5.0
    """Entropy in nats above which it is critical."""
    records: int = 3
    """Records from the first on that the rule judges."""


class BrokenStart(Rule[BrokenStartOptions]):
    """At the first records trainer and generation already disagree, or the entropy is absurd.

    ## What it looks for
    In the first three records: the difference between the probabilities that the engine sampled with and the
    trainer's own for the same weights, and the entropy.

    ## Why it matters
    Before any update both are the same model. If they differ, weights, precision, template or positions are
    wrong, and the whole run builds on it.

    ## How it decides
    TRL, log-probabilities: a difference above 0.2 is critical, above 0.1 a warning. verl, probabilities:
    above 0.1 critical, above 0.05 a warning; the units differ. An entropy above 5 nats is critical. The
    finding stays open until the mean of ten records is back below the threshold.

    ## What looks alike but is healthy
    Engines in fp8 or int4 differ by 0.05 to 0.1. Base models have an entropy of 2 to 3 nats. Typical first
    differences are 0.0045 to 0.06.

    ## What to do
    Compare the log-probabilities of one fixed prompt in both engines; same weights, same precision.

    ## Sources
    A public log that starts with an entropy of 6.44, a difference of 0.996 and a mean ratio of 0.022;
    trl#4159 (temperature applied on one side); open-instruct warns above 0.5 nats.
    """

    code, name, severity = "POL007", "broken-start", Severity.CRITICAL
    needs = (f"{LOGP_DIFFERENCE}|{PROB_DIFFERENCE}|{ENTROPY}",)
    algorithms = ONLINE
    enable = "log the entropy, or generate with vLLM, where TRL logs sampling/*"
    explained_by = ("sampling-temperature",)

    def checkable(self) -> str | None:
        return EXCERPT if self.context.is_excerpt else None

    def start(self) -> None:
        track = self.chart.track
        options = self.options
        self.parts = [
            (track(LOGP_DIFFERENCE), options.logp, 2 * options.logp, "log-probabilities differ by {:.2g}"),
            (track(PROB_DIFFERENCE), options.prob, 2 * options.prob, "probabilities differ by {:.2g}"),
            (track(ENTROPY), options.entropy, options.entropy, "the entropy is {:.3g} nats"),
        ]
        self.ratio = track(RATIO)
        self.records = 0
        self.begin = 0
        self.broken: list[int] = []

    def observe(self, at: Observation) -> Verdict | None:
        self.records += 1
        if self.records == 1:
            self.begin = at.step
        if self.records <= self.options.records:
            self.broken = [index for index, part in enumerate(self.parts) if part[0].ema10 > part[1]]
        if not self.broken:
            return None
        deviations = [
            self.parts[index] for index in self.broken if self.parts[index][0].ema10 > self.parts[index][1]
        ]
        if not deviations:
            self.broken = []
            return None
        compared = any(track.count for track, *_ in self.parts[:2])
        critical = any(track.ema10 > limit for track, _, limit, _ in deviations)
        joined = " and ".join(text.format(track.first) for track, _, _, text in deviations)
        return Verdict(
            severity=Severity.CRITICAL if critical else Severity.WARNING,
            message=f"before anything could be learned, {joined}: "
            + ("generation and training differ" if compared else "the weights may be random"),
            evidence={
                "difference": [track.first for track, *_ in self.parts[:2] if track.count],
                "entropy": self.parts[2][0].first if self.parts[2][0].count else None,
                RATIO: self.ratio.first if self.ratio.count else None,
            },
            onset=self.begin,
            confidence=0.95 if critical else 0.7,
            limit=deviations[0][1],
        )

    def causes(self) -> list[Cause]:
        compared = any(track.count for track, *_ in self.parts[:2])
        return [
            Cause(
                "the engine has other weights, another precision, or merged the adapter differently",
                (
                    Remedy("compare the log-probabilities of one prompt in the engine and in the trainer"),
                    Remedy("load both in the same precision"),
                ),
                0.8,
            ),
            Cause(
                "template, position ids or temperature differ between the two",
                (Remedy("compare the token ids of one prompt on both sides"),),
                0.6,
            ),
            Cause(
                "the model was not loaded: its weights are random",
                (Remedy("let the untrained model answer one prompt, and read it"),),
                0.85 if not compared or self.parts[2][0].first > 7 else 0.2,
            ),
        ]
