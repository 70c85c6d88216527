"""Causes that rules of several families name, with the remedy that follows from the run's own numbers."""

from rldk.health.context import RunContext
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause
from rldk.health.tracks import Chart

__all__ = [
    "CHECK_REWARD",
    "LOOPHOLE",
    "READ_PAIRS",
    "changed_here",
    "loophole",
    "reused",
    "temperature",
    "too_fast",
]

LOOPHOLE = Remedy("read the best-rewarded completions, and close the loophole in the reward")
"""How what is really paid is found."""
CHECK_REWARD = Remedy(
    "run the reward function on gold answers, on garbage and on three completions of the run, as it gets "
    "them: they must differ"
)
"""How a reward function is tried; each of the three shows another fault of it."""
READ_PAIRS = Remedy("read ten pairs, and label anew what was labelled at random or the wrong way round")
"""How noise in the labels of pairs is found."""
USUAL = 1e-5
"""Learning rate above those with which policies are usually trained online (1e-7 to 5e-6)."""
COLD, HOT = 0.5, 1.5
"""Temperatures below and above which nothing is sampled as the policy would write."""
NO_CLIP = 1.0
"""Clip range from which the ratio of an update is hardly clipped."""


def too_fast(chart: Chart, text: str, otherwise: float, onset: int | None, *more: Remedy) -> Cause:
    """Updates that are too large, for a rule of online training.

    The first updates tell whether they are, and which rate fits. Without them it is a tenth where the run
    fails at once at a rate above the usual ones, else three tenths. A rate that had been at its highest for
    long when the trouble began is hardly the cause.

    Args:
        chart: the tracks of the run.
        text: the cause in words.
        otherwise: its likelihood where the first updates tell nothing.
        onset: the step at which the trouble began; None or 0: not known.
        more: further remedies, after the lower rate.
    """
    rate, spacing = chart.step_size, chart.spacing
    at_once = bool(onset) and not rate.worked_until(onset or 0, spacing)
    far_off = at_once and rate.scale is None and rate.peak > USUAL
    lower = rate.lower(0.1 if far_off else 0.3)
    return Cause(text, (lower, *more), rate.blame(otherwise, onset or None, spacing))


def changed_here(chart: Chart, onset: int | None, *, paid: bool = False, certain: bool = False) -> Cause:
    """Data or a reward function that changed in mid-run: likely where the rate had worked until then.

    Args:
        chart: the tracks of the run.
        onset: the step at which the trouble began; None or 0: not known.
        paid: whether the reward has gained since then.
        certain: whether the policy is known to be as before the onset.
    """
    worked = chart.step_size.worked_until(onset, chart.spacing) if onset else False
    late = worked or not chart.step_size.peak
    return Cause(
        "data, curriculum or reward function changed here",
        (Remedy("compare prompts and reward function before and after the onset"),),
        0.95 if certain and late else 0.3 if not worked else 0.45 if paid else 0.75,
    )


def temperature(context: RunContext, otherwise: float = 0.2) -> Cause:
    """A sampling temperature far from 1: completions that are all alike, or noise."""
    now = context.number("temperature")
    if now is not None and now > 1.0:
        hot = 0.92 if now > HOT else 0.5
        return Cause("sampling is too hot", (Remedy("set `temperature` to 1.0", down_to=1.0),), hot)
    likelihood = otherwise if now is None or now >= 0.9 else 0.92 if now < COLD else 0.8
    return Cause("sampling is too cold", (Remedy("set `temperature` to 1.0", up_to=1.0),), likelihood)


def reused(context: RunContext) -> Cause:
    """Several updates from one batch: likely where the clip range holds nothing back."""
    several = (context.number("num_iterations") or 1.0) > 1
    unclipped = (context.number("epsilon") or 0.0) >= NO_CLIP
    return Cause(
        "several updates from one batch",
        (Remedy("set `num_iterations` to 1", down_to=1), Remedy("set `epsilon` to 0.2", down_to=0.2)),
        0.1 if not several else 0.9 if unclipped else 0.55,
    )


def loophole(otherwise: float, *, paid: bool) -> Cause:
    """A reward that pays for what the rule finds.

    Args:
        otherwise: the likelihood where the reward gained nothing.
        paid: whether the reward has gained since the condition began.
    """
    return Cause("the reward pays for it", (LOOPHOLE,), 0.8 if paid else otherwise)
