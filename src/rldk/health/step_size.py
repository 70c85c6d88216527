"""How far one update moves the model, from the first updates of a run, and the learning rate that fits.

Invariant: it answers only from a log that shows the beginning: each rate since step 1, and a first move that
stands out of the noise. Otherwise it knows nothing, and says so.
"""

from collections.abc import Mapping
from math import isfinite, sqrt

from rldk.health.context import OFFLINE, RunContext
from rldk.health.remedies import Remedy

__all__ = ["BLAMED", "StepSize"]

TRUST = 0.01
"""Nats a token by which one update may move the model: the trust region of TRPO (arXiv 1502.05477). What one
update moves grows with the square of the learning rate."""
HIGHEST = 1e-3
"""Highest learning rate to suggest: Adam's default, and the top of what transformers are trained with."""
FIRST = 25
"""Records in which the first move is looked for."""
LONGEST = 20
"""Steps between two records from which the rates in between are not known well enough."""
LEAST = 1e-9
"""Least KL that is a move: below are rounding errors."""
LEAST_SIGNED = 0.02
"""The same for a KL that may be negative, whose noise is as large as small moves."""
CLEAR = 10.0
"""Multiple of the KL before the first update that a move must exceed."""
LEAST_RISE = (0.05, 0.1)
"""Least rise of a loss that is a move: in nats, and as a share of the loss before the first update."""
LONG = (10, 20)
"""Records at the highest rate without trouble that acquit it, because what worked before is not the cause:
the least, where they are `MOST_OF_IT`, and those that are enough."""
MOST_OF_IT = 0.8
"""Share of the run until the trouble."""
CALM = 15
"""Records among the first without a clear move that acquit a rate."""
BLAMED = 0.7
"""Share of the run's rate below which the fitting one makes it the likely cause."""
FAR = 0.3
"""The same for a rate that has worked for long: only one that is far beyond may still be the cause."""


class StepSize:
    """The first move of a run, and the rates of the updates that made it.

    Args:
        context: the run; its algorithm says whether its KL may be negative.
    """

    __slots__ = (
        "_before",
        "_context",
        "_last_step",
        "_rate",
        "_records",
        "_still",
        "_travelled",
        "_watched",
        "curvature",
        "peak",
        "peak_step",
    )

    def __init__(self, context: RunContext | None = None) -> None:
        self._context = context or RunContext()
        self._records, self._last_step, self._rate, self._travelled = 0, 0, 0.0, 0.0
        self._still, self._before = 0.0, 0.0
        self._watched = 0  # records that could show a move
        self.peak, self.peak_step = 0.0, 0
        self.curvature: float | None = None
        """Nats a token of a move, by the square of the sum of the rates that made it; None: not known."""

    def feed(self, step: int, values: Mapping[str, float | None]) -> None:
        """Take in the next train record."""
        rate = _finite(values, "lr")
        if rate is None:
            self._records = FIRST
            return
        if rate > self.peak:
            self.peak, self.peak_step = rate, step
        if self._records >= FIRST or self.curvature is not None:
            return
        steps = step - self._last_step
        if not 0 < steps < LONGEST:
            self._records = FIRST
            return
        self._records += 1
        square = self._advance(rate, steps)
        self._last_step = step
        move = self._move(values, square)
        if move is not None and square > 0:
            self.curvature = move / square

    def _advance(self, rate: float, steps: int) -> float:
        """Mean square of the sum of rates before each step of a record whose last step had this rate."""
        squares = 0.0
        for part in range(1, steps + 1):
            squares += self._travelled**2
            self._travelled += self._rate + (rate - self._rate) * part / steps
        self._rate = rate
        return squares / steps

    def _move(self, values: Mapping[str, float | None], square: float) -> float | None:
        """Nats a token that the model is away from its beginning, if that is clear."""
        kl, signed = _finite(values, "kl_mean"), self._context.algorithm != "grpo"
        if kl is None and (whole := _finite(values, "kl_sequence_mean")) is not None:
            longest = self._context.number("max_new_tokens") or self._context.number("response_length")
            kl = whole / (_finite(values, "completion_length_mean") or (longest or 100) / 2)
        if kl is not None:
            if square == 0:
                self._still = max(self._still, kl)
            self._watched += 1
            clear = max(LEAST_SIGNED if signed else LEAST, CLEAR * self._still)
            return kl if kl >= clear else None
        loss = _finite(values, "loss")
        if loss is None or self._context.algorithm not in OFFLINE:
            return None
        if square == 0 or self._records == 1:
            self._before = loss if self._records == 1 else max(self._before, loss)
            return None
        self._watched += 1
        least, share = LEAST_RISE
        rise = loss - self._before
        return rise if rise >= max(least, share * abs(self._before)) else None

    @property
    def fitting(self) -> float | None:
        """The learning rate at which one update moves the model by `TRUST`; None: not known."""
        if not self.curvature:
            return None
        return min(sqrt(TRUST / self.curvature), HIGHEST)

    @property
    def scale(self) -> float | None:
        """The fitting rate as a multiple of the run's highest; None: not known."""
        planned = self._context.number("learning_rate") or self.peak
        return self.fitting / planned if self.fitting and planned else None

    def _is_beyond(self, share: float) -> bool:
        """Whether the fitting rate is below this share of the highest so far."""
        return self.fitting is not None and self.fitting < share * self.peak

    def worked_until(self, onset: int, spacing: float) -> bool:
        """Whether the rate had been at its highest for long before a step, and the first updates acquit it.

        Args:
            onset: the step at which the trouble began.
            spacing: mean distance of records, in steps.
        """
        if self._is_beyond(FAR):
            return False
        least, enough = LONG
        return self.peak > 0 and onset - self.peak_step >= max(
            least * spacing, min(enough * spacing, MOST_OF_IT * onset)
        )

    def blame(self, otherwise: float, onset: int | None = None, spacing: float = 1.0) -> float:
        """How likely it is that the rate is too high, 0 to 1; `otherwise`, where the run does not show it."""
        if onset is not None and self.worked_until(onset, spacing):
            return min(otherwise, 0.25 if self.fitting else 0.35)
        if self.fitting is not None:
            return max(otherwise, 0.85) if self._is_beyond(BLAMED) else min(otherwise, 0.25)
        return min(otherwise, 0.35) if self._watched >= CALM else otherwise

    def lower(self, otherwise: float, verl: str | None = "lower actor_rollout_ref.actor.optim.lr") -> Remedy:
        """The remedy that lowers the rate to what fits, or to a share `otherwise` of itself."""
        scale = self.scale
        known = scale is not None and scale < BLAMED
        return Remedy("lower `learning_rate`", scale=scale if known else otherwise, verl=verl)

    def higher(self, otherwise: float, up_to: float | None = None) -> Remedy:
        """The remedy that raises the rate to what fits, or to a multiple `otherwise` of itself."""
        scale = self.scale
        if scale is not None and scale > 1 / BLAMED:
            return Remedy("raise `learning_rate`", scale=scale)
        return Remedy("raise `learning_rate`", scale=otherwise, up_to=up_to)


def _finite(values: Mapping[str, float | None], name: str) -> float | None:
    """The value as a finite float; None where there is none, or where no float can hold it."""
    value = values.get(name)
    try:
        return float(value) if value is not None and isfinite(value) else None
    except OverflowError:
        return None
