"""SYS008 disk-nearly-full: the disk has no room for the next checkpoints.

Invariant: a small disk that is not getting fuller is healthy; the size of a checkpoint is measured or a lower
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
"""GiB for the rest of the logs: 60,000 records of 1.5 KiB."""


class DiskNearlyFullOptions(RuleOptions, frozen=True):
    """Thresholds of disk-nearly-full."""

    checkpoints: int = 3
    """Checkpoints that must fit, if the run will save that many more."""
    least: float = 1.0
    """GiB below which space is short whatever the size of a checkpoint."""
    records: int = 3
    """Records in a row; during a save less space is free than after it."""


class DiskNearlyFull(Rule[DiskNearlyFullOptions]):
    """The disk has no room for the next checkpoints.

    ## What it looks for
    Free space on the run's disk that is below three checkpoints and the rest of the logs, or is running out.

    ## Why it matters
    A save that fails ends the run, or leaves a checkpoint that cannot be loaded.

    ## How it decides
    Warning where, for three records, the free space is below the size of the next checkpoints and 0.1 GiB for
    the logs. The next checkpoints are three, or fewer if `save_steps` and `save_total_limit` plan fewer. A
    checkpoint has the size of the newest one. Before the first, it has at least two bytes for each weight
    that the model's configuration shows (not for LoRA). Warning, too, where the free space falls evenly over
    the last three quarters of the run, by 1 GiB or more, and at that pace runs out before the planned end.
    Warning, too, where less than 1 GiB is left and the run began with 1 GiB more.

    ## What looks alike but is healthy
    A small disk that gets no fuller. A run at its `save_total_limit`, which removes as much as it writes; one
    more checkpoint must fit, since the trainer writes the new one before it removes the oldest. rldk does not
    see a quota below the free space that the file system reports.

    ## What to do
    Free space; keep fewer checkpoints, or save them without the optimizer's state.

    ## Sources
    The checkpoint rules: a file that was cut short shows only when it is loaded. speculators#739 and
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
        """Steps from one save to the next; None where that is not known, as with `best`."""
        strategy, every = self.context.option("save_strategy"), self.context.number("save_steps")
        if strategy == "epoch":
            epoch = at.values.get("epoch")
            return at.step / epoch if epoch and epoch > 0 else None
        if strategy != "steps" or not every or every < 0:
            return None
        planned = planned_steps(self.context, at)
        return every if every >= 1 else planned and every * planned

    def _taken(self, at: Observation) -> float | None:
        """Checkpoints written so far; None where that is not known."""
        every = self._every(at)
        return at.step // every if every else None

    def _to_come(self, at: Observation) -> int:
        """Checkpoints that must fit, three at most."""
        most: int = self.options.checkpoints
        if self.context.option("save_strategy") == "no":
            return min(most, 1)  # the one that the user's script saves at the end
        every, planned = self._every(at), planned_steps(self.context, at)
        if every and planned is not None:
            most = min(most, ceil((planned - at.step) / every))
        limit, taken = self.context.number("save_total_limit"), self._taken(at)
        if limit is not None:  # with an unknown number on disk, one more is certain
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
                "other data fill this disk: caches of models and datasets, or other people's runs",
                (Remedy('find what is large ("du -xh --max-depth=2 DIR | sort -h")'),),
                0.4,
            ),
        ]


def least_size(context: RunContext) -> float | None:
    """Least size in GiB of a checkpoint of the whole model; None where the configuration does not show it.

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
