"""The table of faults: which magnitudes, which rules are due, from where on.

`quiet` and `due` are judgement: up to the one an alarm is false, from the other a finding is due; between
them nothing is scored. Invariant: they say what a user should be told, not what rldk tells.
"""

from dataclasses import dataclass

from injection import offline, online
from injection.base import Base
from injection.edit import (
    CLIPPED,
    ENTROPY,
    GRADIENT,
    KL,
    LENGTH,
    LOSS,
    REWARD,
    STEP_TIME,
    TRUNCATED,
    ZERO_STD,
)
from injection.online import Fault


@dataclass(frozen=True, kw_only=True)
class Family:
    """One kind of fault, put into logs at growing magnitudes."""

    fault: Fault
    magnitudes: tuple[float, ...]
    """From hardly there to beyond doubt."""
    unit: str
    expected: frozenset[str]
    """Rules any of which names it."""
    quiet: float | None
    """The magnitude up to which an alarm of `expected` is false; None: at no magnitude, because what goes
    with the fault may itself be what they say."""
    due: float | None
    """The magnitude from which a finding is due; None: at no magnitude, and any alarm is false."""
    level: str = "warning"
    """The severity that is due."""
    also: frozenset[str] = frozenset()
    """Rules whose findings are true besides."""
    kind: str = "grpo"
    needs: tuple[str, ...] = (REWARD,)
    """Metrics that a log must hold."""
    has_onset: bool = True
    """Whether it begins within the log; else it is there from the start."""

    def fits(self, base: Base) -> bool:
        """Whether the log holds what the fault moves."""
        return base.kind == self.kind and all(map(base.holds, self.needs))

    def verdict(self, magnitude: float) -> str:
        """`due`, `quiet` or `between`."""
        at = self.magnitudes.index(magnitude)
        if self.due is None or (self.quiet is not None and at <= self.magnitudes.index(self.quiet)):
            return "quiet"
        return "due" if at >= self.magnitudes.index(self.due) else "between"


def rules(names: str) -> frozenset[str]:
    """A set of rules by their names."""
    return frozenset(names.split())


COLLAPSED = rules("reward-collapse no-learning")
STUCK = rules("no-learning")
ONTO_SHARES = (0.8, 0.6, 0.4, 0.25, 0.1, 0.03, 0.01)
LOST_SHARES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
CREEPS = rules("gradient-creep gradient-spike")
NO_ADVANTAGE = rules("zero-advantage zero-gradient")
MISMATCHES = rules("sampling-mismatch importance-starvation stale-rollout")
PROXIES = rules("proxy-divergence component-divergence")

KL_BLOWUP = {
    f"kl-{mode}": Family(
        fault=online.kl(mode),
        magnitudes=(0.03, 0.1, 0.3, 1, 3, 12, 50),
        unit="nats a token added",
        expected=rules("kl-blowup"),
        quiet=quiet,
        due=due,
        also=COLLAPSED,
        needs=(REWARD, KL),
    )
    for mode, quiet, due in (("paid", 0.1, 3), ("flat", 0.1, 1), ("falling", None, 1))
}
ENTROPY_DECAY = {
    f"entropy-decay-{mode}": Family(
        fault=online.entropy_decay(mode),
        magnitudes=ONTO_SHARES,
        unit="share left",
        expected=rules("entropy-collapse"),
        quiet=quiet,
        due=due,
        level=level,
        also=also,
        needs=(REWARD, ENTROPY),
    )
    for mode, quiet, due, level, also in (
        ("paid", 0.25, 0.03, "info", frozenset[str]()),
        ("flat", 0.6, 0.1, "warning", rules("no-learning zero-advantage")),
        ("falling", None, 0.25, "warning", COLLAPSED | {"zero-advantage"}),
    )
}
ENTROPY_EXPLOSION = {
    f"entropy-explosion-{mode}": Family(
        fault=online.entropy_explosion(mode),
        magnitudes=(1.2, 1.5, 2, 3, 5, 10, 20),
        unit="times",
        expected=rules("entropy-explosion"),
        quiet=quiet,
        due=due,
        also=also,
        needs=(REWARD, ENTROPY),
    )
    for mode, quiet, due, also in (("flat", 1.5, 5, STUCK), ("falling", None, 3, COLLAPSED))
}
LENGTHS = {
    f"length-{what}-{mode}": Family(
        fault=online.length(mode),
        magnitudes=magnitudes,
        unit=unit,
        expected=expected,
        quiet=quiet,
        due=due,
        level="info" if mode == "paid" else "warning",
        also=frozenset() if mode == "paid" else STUCK,
        needs=(REWARD, LENGTH),
    )
    for what, magnitudes, unit, expected, thresholds in (
        (
            "runaway",
            (1.1, 1.3, 1.6, 2, 3, 5, 10),
            "times",
            rules("length-runaway reward-length-correlation"),
            (("paid", 3, 10), ("flat", 1.3, 3)),
        ),
        (
            "collapse",
            (0.8, 0.6, 0.45, 0.3, 0.15, 0.05, 0.01),
            "share left",
            rules("length-collapse"),
            (("paid", 0.3, 0.05), ("flat", 0.6, 0.15)),
        ),
    )
    for mode, quiet, due in thresholds
}
TRUNCATION = {
    f"truncation-{mode}": Family(
        fault=online.truncation(mode),
        magnitudes=(0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0),
        unit="share of the rest that is cut",
        expected=rules("truncation"),
        quiet=quiet,
        due=due,
        also=also | {"length-runaway"},
        needs=(REWARD, TRUNCATED, LENGTH),
    )
    for mode, quiet, due, also in (
        ("paid", 0.2, 0.75, frozenset[str]()),
        ("flat", 0.1, 0.5, STUCK),
        ("falling", None, 0.3, COLLAPSED),
    )
}
GRADIENTS = {
    "gradient-creep-paid": Family(
        fault=online.gradient_creep("paid"),
        magnitudes=(1.5, 2, 3, 5, 10, 30, 100),
        unit="times",
        expected=CREEPS,
        quiet=3,
        due=30,
        needs=(REWARD, GRADIENT),
    ),
    "gradient-creep-flat": Family(
        fault=online.gradient_creep("flat"),
        magnitudes=(1.5, 2, 3, 5, 10, 30, 100),
        unit="times",
        expected=CREEPS,
        quiet=2,
        due=10,
        also=STUCK,
        needs=(REWARD, GRADIENT),
    ),
    "gradient-spikes-flat": Family(
        fault=online.gradient_spikes("flat"),
        magnitudes=(2, 3, 5, 10, 30, 100, 1000),
        unit="times",
        expected=CREEPS,
        quiet=3,
        due=30,
        level="info",
        also=STUCK,
        needs=(REWARD, GRADIENT),
    ),
    "gradient-spikes-falling": Family(
        fault=online.gradient_spikes("falling"),
        magnitudes=(2, 3, 5, 10, 30, 100, 1000),
        unit="times",
        expected=CREEPS,
        quiet=None,
        due=10,
        also=COLLAPSED,
        needs=(REWARD, GRADIENT),
    ),
}
REWARDS = {
    "reward-collapse": Family(
        fault=online.reward_falls("collapse"),
        magnitudes=(0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5),
        unit="of the gain (or 4 sd) lost",
        expected=rules("reward-collapse"),
        quiet=0.1,
        due=1.0,
        also=STUCK,
    ),
    "reward-decay": Family(
        fault=online.reward_falls("decay"),
        magnitudes=(0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5),
        unit="of the gain (or 4 sd) lost",
        expected=rules("reward-collapse"),
        quiet=0.1,
        due=1.0,
        also=STUCK,
    ),
    "no-learning": Family(
        fault=online.no_learning,
        magnitudes=(0.75, 0.5, 0.25, 0.1, 0.05, 0.02, 0.0),
        unit="share of the trend left",
        expected=STUCK,
        quiet=None,
        due=0.05,
        level="info",
        has_onset=False,
    ),
    "null-reward-every-k": Family(
        fault=online.null_reward,
        magnitudes=(50, 20, 10, 5, 3, 2, 1),
        unit="every k-th record",
        expected=rules("missing-rewards non-finite"),
        quiet=None,
        due=5,
    ),
    "component-stuck": Family(
        fault=online.component_stuck,
        magnitudes=(0.02, 0.05, 0.1, 0.2, 0.4, 0.7),
        unit="gain of the other component",
        expected=PROXIES | rules("dead-reward-component dominant-reward-component"),
        quiet=0.02,
        due=0.4,
        level="info",
        also=STUCK,
    ),
    "component-falling": Family(
        fault=online.component_falls,
        magnitudes=LOST_SHARES,
        unit="share of its level lost",
        expected=PROXIES,
        quiet=0.05,
        due=0.35,
    ),
    "eval-reward-falling": Family(
        fault=online.evaluation_falls,
        magnitudes=LOST_SHARES,
        unit="share of its level lost",
        expected=rules("proxy-divergence overfitting eval-divergence"),
        quiet=0.05,
        due=0.35,
    ),
}
ZERO_ADVANTAGE = {
    f"zero-advantage-{mode}": Family(
        fault=online.zero_advantage(mode),
        magnitudes=(0.3, 0.5, 0.7, 0.8, 0.9, 0.97, 1.0),
        unit="share of groups",
        expected=NO_ADVANTAGE,
        quiet=None if mode == "solved" else 0.5,
        due=None if mode == "solved" else 0.9,
        also=also,
        needs=(REWARD, ZERO_STD),
    )
    for mode, also in (
        ("unsolvable", COLLAPSED | {"dead-reward"}),
        ("flat", STUCK),
        ("solved", frozenset[str]()),
    )
}
SAMPLING = {
    **{
        f"off-policy-{mode}": Family(
            fault=online.off_policy(mode),
            magnitudes=(0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.8),
            unit="share clipped, added",
            expected=rules("off-policy"),
            quiet=quiet,
            due=due,
            also=also,
            needs=(REWARD, CLIPPED),
        )
        for mode, quiet, due, also in (("paid", 0.1, 0.5, frozenset[str]()), ("flat", 0.03, 0.3, STUCK))
    },
    **{
        f"sampling-mismatch-{mode}": Family(
            fault=online.sampling_mismatch(mode),
            magnitudes=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
            unit="nats of log-probability",
            expected=MISMATCHES,
            quiet=quiet,
            due=due,
            also=also | {"broken-start"},
        )
        for mode, quiet, due, also in (("paid", 0.02, 0.2, frozenset[str]()), ("flat", 0.01, 0.1, STUCK))
    },
    "slow-steps": Family(
        fault=online.slow_steps,
        magnitudes=(1.1, 1.3, 1.6, 2, 3, 5, 10),
        unit="times",
        expected=rules("slow-steps"),
        quiet=1.3,
        due=3,
        needs=(REWARD, STEP_TIME),
    ),
}
NON_FINITE = {
    "nan-every-k": Family(
        fault=offline.nan_every,
        magnitudes=(50, 20, 10, 5, 3, 2, 1),
        unit="every k-th record",
        expected=rules("non-finite"),
        quiet=None,
        due=10,
        also=rules("missing-rewards zero-gradient"),
        needs=(REWARD, GRADIENT, LOSS),
    ),
    "nan-for-n": Family(
        fault=offline.nan_for,
        magnitudes=(1, 2, 3, 5, 10, 20, 9999),
        unit="records",
        expected=rules("non-finite"),
        quiet=None,
        due=3,
        also=rules("zero-gradient"),
        needs=(REWARD, GRADIENT, LOSS),
    ),
}
PAIRS = (offline.MARGINS, offline.REJECTED, offline.ACCURACIES, LOSS)
PREFERENCES = {
    "dpo-stuck": Family(
        fault=offline.pairs_stuck,
        magnitudes=(0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.0),
        unit="share of the learning left",
        expected=rules("frozen-policy no-learning"),
        quiet=None,
        due=0.02,
        also=rules("zero-gradient"),
        kind="dpo",
        needs=PAIRS,
        has_onset=False,
    ),
    "dpo-displacement": Family(
        fault=offline.displacement,
        magnitudes=(0.5, 1, 2, 5, 10, 20, 50),
        unit="fall of the chosen reward",
        expected=rules("likelihood-displacement"),
        quiet=1,
        due=10,
        kind="dpo",
        needs=PAIRS,
    ),
    "dpo-margin-collapse": Family(
        fault=offline.margin_collapse,
        magnitudes=(0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5),
        unit="share of the margin lost",
        expected=rules("margin-collapse divergence reward-collapse"),
        quiet=0.1,
        due=0.75,
        kind="dpo",
        needs=PAIRS,
    ),
    "dpo-saturation": Family(
        fault=offline.saturation,
        magnitudes=(2, 4, 6, 10, 20, 50, 100),
        unit="margin",
        expected=rules("preference-saturated"),
        quiet=2,
        due=10,
        level="info",
        also=rules("likelihood-displacement"),
        kind="dpo",
        needs=PAIRS,
    ),
    "dpo-eval-falling": Family(
        fault=offline.pair_evaluation_falls,
        magnitudes=(0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.45),
        unit="points of eval accuracy lost",
        expected=rules("overfitting swapped-preferences proxy-divergence eval-divergence"),
        quiet=0.02,
        due=0.15,
        kind="dpo",
        needs=PAIRS,
    ),
}
SUPERVISED = {
    "sft-eval-rising": Family(
        fault=offline.evaluation_rises,
        magnitudes=(0.01, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0),
        unit="rise of eval_loss, as a share",
        expected=rules("overfitting"),
        quiet=0.01,
        due=0.2,
        also=rules("divergence"),
        kind="sft",
        needs=(LOSS,),
    ),
    "sft-divergence": Family(
        fault=offline.divergence,
        magnitudes=(1.05, 1.1, 1.2, 1.5, 2, 3, 5),
        unit="times",
        expected=rules("divergence"),
        quiet=1.05,
        due=1.5,
        also=CREEPS,
        kind="sft",
        needs=(LOSS,),
    ),
}
FAMILIES: dict[str, Family] = {
    **KL_BLOWUP,
    **ENTROPY_DECAY,
    **ENTROPY_EXPLOSION,
    **LENGTHS,
    **TRUNCATION,
    **GRADIENTS,
    **REWARDS,
    **ZERO_ADVANTAGE,
    **SAMPLING,
    **NON_FINITE,
    **PREFERENCES,
    **SUPERVISED,
}
"""Every family by its name."""
