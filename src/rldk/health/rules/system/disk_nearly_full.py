"""SYS008 disk-nearly-full: the disk will not take the checkpoints to come.

Invariant: a small disk that is not getting fuller is healthy; what a checkpoint takes is measured or a lower
bound, never a guess.
"""

from math import ceil

from rldk.health.context import RunContext
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.system.trend import Trail, planned_steps, steps_ahead
from rldk.health.tracks import Streak

__all__ = ["DiskNearlyFull", "least_size"]

FREE = "resource/disk_free"
SIZE = "resource/checkpoint_size"
LOGS = 0.1
"""GiB for the logs to come: 60,000 records of 1.5 KiB."""


class DiskNearlyFullOptions(RuleOptions, frozen=True):
    """Thresholds of disk-nearly-full."""

    checkpoints: int = 3
    """Checkpoints for which there must be room, where as many are still to come."""
    least: float = 1.0
    """GiB that are little whatever the checkpoints take."""
    records: int = 3
    """Records in a row: while a save goes on, less is free than after it."""


class DiskNearlyFull(Rule[DiskNearlyFullOptions]):
    """The disk will not take the checkpoints to come.

    ## What it looks for
    Free space where the run writes, below three checkpoints and the logs to come, or on its way to nothing.

    ## Why it matters
    A save that fails ends the run, or leaves a checkpoint that cannot be loaded.

    ## How it decides
    Warning where, for three records, less is free than three checkpoints take, or as many as are still to
    come by `save_steps` and `save_total_limit`, and 0.1 GiB for the logs. A checkpoint has the size of the
    newest one; before there is one, at least two bytes for each weight that the model's configuration shows
    (not for LoRA). Warning, too, where the free space falls evenly over the last three quarters of the run,
    by 1 GiB or more, and at that pace is gone before the planned end; or where less than 1 GiB is left and
    the run began with 1 GiB more.

    ## What looks alike but is healthy
    A small disk that stays as it is. A limit on the number of checkpoints that are kept, which frees as
    much as it takes once they are there: one more must fit, since the new one is written before the oldest is
    removed. A quota below what the file system reports is not seen.

    ## What to do
    Free space; keep fewer checkpoints, or without the optimizer's state.

    ## Sources
    The checkpoint checks: a file cut short is found only when it is loaded. speculators#739 and
    open-instruct, which write a marker of completeness last. transformers' `_save_checkpoint` writes before
    it rotates.
    """

    code, name, severity = "SYS008", "disk-nearly-full", Severity.WARNING
    needs = (FREE,)
    enable = "record the run with RLDKCallback, which measures the disk"

    def start(self) -> None:
        self.size: float | None = None
        self.least_size = least_size(self.context)
        self.first: float | None = None
        self.trail = Trail()
        self.records = 0
        self.short = Streak()
        self.trend: Verdict | None = None

    def observe(self, at: Observation) -> Verdict | None:
        free, size = at.values[FREE], at.values.get(SIZE)
        if free is None:
            return None
        self.size = size or self.size
        self.first = free if self.first is None else self.first
        self.trail.push(at.step, -free)
        self.records += 1
        verdict = self._room(at, free)
        if self.short.feed(verdict is not None, at.step) < self.options.records:
            verdict = None
        if self.records % 10 == 0:
            self.trend = self._trend(at, free)
        return verdict or self.trend

    def _room(self, at: Observation, free: float) -> Verdict | None:
        size = self.size or self.least_size or 0.0
        scarce = free < self.options.checkpoints * size + LOGS and size > 0
        count = self._to_come(at) if scarce else 0
        if count and free < count * size + LOGS:
            each = f"{size:.3g} GiB" if self.size else f"at least {size:.3g} GiB"
            return self._verdict(
                f"{free:.3g} GiB are free where the run writes; "
                + (f"{count} checkpoints of {each} each" if count > 1 else f"a checkpoint of {each}")
                + " will not fit with its logs",
                {"free_gib": free, "checkpoint_gib": size, "checkpoints": count},
                0.9 if self.size else 0.7,
            )
        least = self.options.least
        if free < least and self.first is not None and self.first - free >= least:
            return self._verdict(
                f"{free:.3g} GiB are free where the run writes, {self.first:.3g} GiB when it began",
                {"free_gib": [self.first, free]},
                0.7,
            )
        return None

    def _trend(self, at: Observation, free: float) -> Verdict | None:
        """Whether the space runs out; not while checkpoints are added up to a limit."""
        limit = self.context.number("save_total_limit")
        taken = self._taken(at)
        if limit is not None and (taken is None or taken <= limit):
            return None
        found = self.trail.rise()
        if found is None or found[0] < self.options.least:
            return None
        lost, pace = found
        ahead = steps_ahead(self.context, at)
        if pace * ahead < free:
            return None
        return self._verdict(
            f"{free:.3g} GiB are free where the run writes, {lost:.3g} GiB less than before; at this pace "
            f"nothing is left in {free / pace:.0f} steps",
            {"free_gib": free, "gib_per_step": pace},
            0.7,
        )

    def _verdict(self, message: str, evidence: dict[str, object], confidence: float) -> Verdict:
        onset = self.short.since if self.short.count else None
        return Verdict(
            severity=Severity.WARNING, message=message, evidence=evidence, onset=onset, confidence=confidence
        )

    def _every(self, at: Observation) -> float | None:
        """Steps from one save to the next; None where nobody can tell, as with `best`."""
        strategy, every = self.context.option("save_strategy"), self.context.number("save_steps")
        if strategy == "epoch":
            epoch = at.values.get("epoch")
            return at.step / epoch if epoch and epoch > 0 else None
        if strategy != "steps" or not every or every < 0:
            return None
        planned = planned_steps(self.context, at)
        return every if every >= 1 else planned and every * planned

    def _taken(self, at: Observation) -> float | None:
        """Checkpoints that were written; None where that is not known."""
        every = self._every(at)
        return at.step // every if every else None

    def _to_come(self, at: Observation) -> int:
        """Checkpoints that must find room, three at most."""
        most: int = self.options.checkpoints
        if self.context.option("save_strategy") == "no":
            return min(most, 1)  # the one that the user's script saves at the end
        every, planned = self._every(at), planned_steps(self.context, at)
        if every and planned is not None:
            most = min(most, ceil((planned - at.step) / every))
        limit, taken = self.context.number("save_total_limit"), self._taken(at)
        if limit is not None:  # how many are there already may not be known: then one is sure
            most = min(most, 1 if taken is None else int(max(limit - taken, 0)) + 1)
        return max(most, 0)

    def causes(self) -> list[Cause]:
        limited = self.context.number("save_total_limit") is not None
        return [
            Cause(
                "checkpoints fill the disk",
                (
                    Remedy("lower `save_total_limit`", down_to=1)
                    if limited
                    else Remedy("set `save_total_limit` to a few checkpoints"),
                    Remedy("set `save_only_model=True`, if the run need not be resumed"),
                    Remedy("delete checkpoints of earlier runs"),
                ),
                0.7,
            ),
            Cause(
                "something else writes to this disk: caches of models and datasets, other people's runs",
                (Remedy('look what is large ("du -xh --max-depth=2 DIR | sort -h")'),),
                0.4,
            ),
        ]


def least_size(context: RunContext) -> float | None:
    """GiB that a checkpoint of the whole model takes at least; None where the configuration does not tell.

    Two bytes a weight, and only the weights that every transformer has: embeddings, two projections of
    attention and two of the feed-forward part in each layer.
    """
    if "Peft" in (context.model_class or ""):
        return None
    model = context.model
    width = model.get("hidden_size", model.get("n_embd"))
    layers = model.get("num_hidden_layers", model.get("n_layer"))
    vocabulary_size = model.get("vocab_size")
    inner = model.get("intermediate_size", width)
    if not all(isinstance(number, int) and number > 0 for number in (width, layers, vocabulary_size, inner)):
        return None
    weights = vocabulary_size * width + layers * (2 * width * width + 2 * width * inner)
    return float(2 * weights / 2**30)
