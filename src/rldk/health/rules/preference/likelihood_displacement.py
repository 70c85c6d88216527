"""PRF001 likelihood-displacement: the chosen answers become less likely, together with the rejected ones.

Invariant: a fall of the chosen reward is never critical, because DPO often lowers both sides.
"""

from rldk.health.context import PAIRS
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import in_noise
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.tracks import Streak

__all__ = ["LikelihoodDisplacement", "LikelihoodDisplacementOptions"]

CHOSEN = "rewards_chosen"


class LikelihoodDisplacementOptions(RuleOptions, frozen=True):
    """Thresholds of likelihood-displacement."""

    info: float = -1.0
    """Mean chosen reward below which it is reported as info."""
    warning: float = -5.0
    """Mean chosen reward below which it is a warning."""
    likelihood: float = 0.2
    """Fall of the chosen log-probability, as a share of its start, that a warning needs."""


class LikelihoodDisplacement(Rule[LikelihoodDisplacementOptions]):
    """The chosen answers become less likely, together with the rejected ones.

    ## What it looks for
    An implicit reward of the chosen answers that is negative and falls while the margin rises.

    ## Why it matters
    The likelihood goes to answers that nobody chose, at worst to their opposite (in one study refusals fell
    from 74% to 33%).

    ## How it decides
    The mean chosen reward over 20 records is below -1, and fell over the last 50 while the margin rose: info.
    Below -5, and the log-probability of the chosen answers down by a fifth where it is logged: warning.

    ## What looks alike but is healthy
    A mild fall: DPO raises a difference, and most good runs lower both sides. It is never
    critical. The reward is in units of beta: with a small beta a fall is more than it looks.

    ## What to do
    Add a likelihood term on the chosen answers; raise beta; drop pairs that are nearly the same.

    ## Sources
    arXiv 2410.08847; LLaMA-Factory#6153; OpenRLHF#1054; public DPO logs, whose good runs end at -1 to -3.
    """

    code, name, severity = "PRF001", "likelihood-displacement", Severity.WARNING
    needs = (CHOSEN, "rewards_margins")
    algorithms = PAIRS - {"kto", "bco"}
    enable = "train with DPO of TRL, which logs rewards/chosen"
    explained_by = ("divergence",)
    answers = ("chosen-falls",)

    def start(self) -> None:
        self.chosen = self.chart.track(CHOSEN)
        self.margin = self.chart.track("rewards_margins")
        self.logps = self.chart.track("logps_chosen")
        self.low = Streak()

    def observe(self, at: Observation) -> Verdict | None:
        chosen = self.chosen
        level = chosen.ema20
        held = self.low.feed(level < self.options.info, at.step)
        if held < 5 or chosen.count < 25:
            return None
        fall, rise, margin = chosen.gain(50), self.margin.gain(50), self.margin.ema20
        records = min(50, chosen.count - 1)
        if in_noise(chosen, fall) > -1.0 or rise <= 0:
            return None
        logps = self.logps
        lost = (logps.start - logps.ema20) / max(abs(logps.start), 1e-9) if logps.count else None
        deep = level < self.options.warning and (lost is None or lost >= self.options.likelihood)
        return Verdict(
            severity=Severity.WARNING if deep and chosen.count >= 50 else Severity.INFO,
            message=f"the chosen answers become less likely: in {records} records their implicit reward fell "
            f"from {level - fall:.3g} to {level:.3g}, while the margin rose from {margin - rise:.3g} to "
            f"{margin:.3g}",
            evidence={
                CHOSEN: [level - fall, level],
                "rewards_margins": [margin - rise, margin],
                "logps_chosen": [logps.start, logps.ema20] if logps.count else None,
            },
            onset=self.low.since,
            confidence=0.8 if deep else 0.6,
            baseline=chosen.start,
            limit=self.options.info,
        )

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
