"""The checkpoint family: whether a save is whole and holds weights that training made.

The rest of the family is in `adapters` and `checkpoint_state`. Invariant: what a trainer writes on purpose
is no fault, and most weights of a healthy RL step are unchanged.
"""

from math import exp, log
from statistics import median

from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules import adapters, checkpoint_state
from rldk.health.rules.checkpoint_rule import CheckpointRule, named
from rldk.schema.checkpoint import Analysis, Group

__all__ = ["RULES"]

Problem = tuple[Severity, str]

_ALONE = "training cannot go on from it: it holds no optimizer, scheduler and random states"


class CheckpointIncomplete(CheckpointRule):
    """A checkpoint cannot be loaded, or training cannot go on from it.

    ## What it looks for
    Files of weights that are cut short or have a wrong header; shards and tensors that an index lists and no
    file holds; tensors without an element; a missing configuration; damaged or missing files of the
    training's state; a best checkpoint that is no longer there.

    ## Why it matters
    It shows when the run has died and is to go on, or at the very end, when the best model is loaded.

    ## How it decides
    *Damaged*: a safetensors file must be as long as its header says, without gaps, and whatever else can be
    read must be readable: critical. So are missing shards and empty tensors. *Not resumable*: some of
    optimizer, scheduler, random states and `trainer_state.json` are there, others are not: a warning, or
    info where only random states are missing. None of them is there: a warning if `save_only_model` is known
    to be off, info if it is not known. *The best checkpoint is gone*: critical with
    `load_best_model_at_end`, info if the folder was moved, else a warning.

    ## What looks alike but is healthy
    `save_only_model=True`. A published model, which has no state of a training. A folder that the trainer
    deletes under `save_total_limit` is not judged. Optimizers of DeepSpeed and FSDP in folders of their own.

    ## What to do
    Do not delete the checkpoint before. Look for a full disk or a killed save, and save again.

    ## Sources
    safetensors#668 (the limit of 100 MB), ComfyUI#15599 (trailing bytes), speculators#739 (missing shards);
    transformers#35782, #35525, #35580 (missing files), #20082 and DeepSpeed#2413 (empty tensors of ZeRO-3),
    #48315 (best checkpoint).
    """

    code, name, severity = "CKP001", "checkpoint-incomplete", Severity.CRITICAL
    when_over = "keep"
    _alone: bool | None = None
    """All that was found are weights alone, and nothing says that they are not meant to be; None: nothing."""

    def judge(self, found: Analysis) -> Verdict | None:
        problems = sorted(self._problems(found), key=lambda problem: -problem[0])
        if not problems:
            return None
        texts = [text for _, text in problems]
        meant = texts == [_ALONE] and self.context.option("save_only_model") is None
        self._alone = meant and self._alone is not False
        more = f" (and {len(texts) - 1} more)" if len(texts) > 1 else ""
        return Verdict(
            severity=problems[0][0],
            message=f"{_folder(found)}: {texts[0]}{more}",
            evidence={"problems": texts[:20], "resumable": found.resumable, "path": found.path},
            confidence=0.95,
        )

    def _problems(self, found: Analysis) -> list[Problem]:
        critical = [f"{part.name} is damaged: {part.fault}" for part in found.parts if part.fault]
        critical += found.faults
        if found.empty_tensors:
            critical.append(f"tensors without an element: {named(found.empty, found.empty_tensors)}")
        progress, optimizer = found.progress, found.optimizer
        if progress is not None and progress.fault:
            critical.append(f"trainer_state.json: {progress.fault}")
        if optimizer is not None and optimizer.fault:
            critical.append(f"the optimizer's file is damaged: {optimizer.fault}")
        if optimizer is not None and optimizer.scheduler_fault:
            critical.append(f"scheduler.pt is damaged: {optimizer.scheduler_fault}")
        problems = [(Severity.CRITICAL, text) for text in critical]
        return problems + self._missing(found) + self._best(found)

    def _missing(self, found: Analysis) -> list[Problem]:
        problems = []
        # a model of no library has no configuration to save
        if found.config_missing and (self.context.model or self.context.model_class is None):
            text = f"{found.config_missing} is missing, without which it cannot be loaded"
            problems.append((Severity.WARNING, text))
        if found.state == "partial":
            random_only = all(name.startswith("rng_state") for name in found.missing)
            severity = Severity.INFO if random_only else Severity.WARNING
            problems.append((severity, f"training cannot go on as it was: no {named(found.missing)}"))
        only_model = self.context.option("save_only_model")
        if found.state == "weights" and found.progress is not None and only_model is not True:
            problems.append((Severity.WARNING if only_model is False else Severity.INFO, _ALONE))
        return problems

    def _best(self, found: Analysis) -> list[Problem]:
        best = found.best
        if best is None or best.exists:
            return []
        severity = Severity.INFO if best.moved else Severity.WARNING
        if self.context.option("load_best_model_at_end") and not best.moved:
            severity = Severity.CRITICAL
        return [(severity, f"the best checkpoint {best.path} is no longer there")]

    def causes(self) -> list[Cause]:
        alone = Cause(
            "the trainer saves the weights alone, with save_only_model=True: they are whole, and a resume "
            "begins with a new optimizer and another order of the data",
            (Remedy("set `save_only_model=False`, if the run is to be resumed exactly"),),
            0.9,
        )
        return [
            *([alone] if self._alone else []),
            Cause(
                "the disk was full, or the save was killed",
                (Remedy("make room on the disk, and resume from the last whole checkpoint"),),
                0.5,
            ),
            Cause("a copy or an upload was not finished", (Remedy("copy the folder again"),), 0.3),
            Cause(
                "the weights of several processes were not gathered before the save",
                (Remedy('set "stage3_gather_16bit_weights_on_model_save" for DeepSpeed ZeRO-3'),),
                0.2,
            ),
        ]


class CheckpointNonFinite(CheckpointRule):
    """A checkpoint holds NaN or infinities.

    ## What it looks for
    Weights that are NaN or infinite, in every element of every tensor.

    ## Why it matters
    A model with one such weight gives NaN for every input, and so does every model trained from it. In GRPO
    the run dies inside generation, after a log that looked healthy.

    ## How it decides
    One such element is enough: critical. It is info where all of them are -inf, in tensors that are bit-equal
    to those of the checkpoint before: a fixed bias of attention may hold them, no weight that learns does.

    ## What looks alike but is healthy
    Masks hold -inf on purpose: tensors with "mask" in their names are left out, and those that hold nothing
    but 0 and -inf, unless they changed since the checkpoint before.

    ## What to do
    Go back to the last checkpoint without them, which the doctor names.

    ## Sources
    OneTrainer#1147.
    """

    code, name, severity = "CKP002", "checkpoint-non-finite", Severity.CRITICAL
    when_over = "keep"

    def judge(self, found: Analysis) -> Verdict | None:
        spoiled = found.spoiled
        if not spoiled:
            return None
        count = found.non_finite_tensors - max(found.masks, len(found.non_finite) - len(spoiled))
        nan, inf = sum(one.nan for one in spoiled), sum(one.inf for one in spoiled)
        lasting = all(one.lasting for one in spoiled)
        what = "-inf, as in the checkpoint before" if lasting else "NaN or infinities"
        names = named([one.name for one in spoiled], count)
        return Verdict(
            severity=Severity.INFO if lasting else Severity.CRITICAL,
            message=f"{_folder(found)}: {count} of {found.tensors} tensors hold {what}: {names}",
            evidence={"tensors": [one.name for one in spoiled], "nan": nan, "inf": inf, "path": found.path},
            confidence=0.99,
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "a step with a gradient that was not finite reached the weights",
                (
                    Remedy("resume from the last checkpoint without NaN"),
                    Remedy("lower `learning_rate`", scale=1 / 3),
                    Remedy("lower `max_grad_norm`", down_to=0.2),
                ),
                0.7,
            )
        ]


class WeightsUnchanged(CheckpointRule):
    """Training went on, but no weight changed.

    ## What it looks for
    Whether every tensor is bit-equal to that of the checkpoint before, or of the model at the start.

    ## Why it matters
    Steps were made, and nothing was learned in them: what is trained is not what is saved.

    ## How it decides
    All tensors equal, at least five steps in between, a learning rate above 0 logged for them: critical.
    With fewer steps, or where no learning rate is known, it is info.

    ## What looks alike but is healthy
    Of the weights of an RL step in bfloat16, 70 to 95% are unchanged. Layers that are frozen. Steps of a
    warm-up whose learning rate was 0.

    ## What to do
    Look at which parameters have `requires_grad`, and whether the optimizer was built after the adapter.

    ## Sources
    qlora-pipe#61, peft#353, unsloth#2486; arXiv:2505.11711 (sparse updates in RL).
    """

    code, name, severity = "CKP003", "weights-unchanged", Severity.CRITICAL

    class Options(RuleOptions, frozen=True):
        """Thresholds of weights-unchanged."""

        steps: int = 5
        """Steps between the two checkpoints from which it is critical."""

    def judge(self, found: Analysis) -> Verdict | None:
        compared, progress = found.compared, found.progress
        if compared is None or not compared.identical or not compared.steps or compared.steps < 0:
            return None
        rate = compared.highest_lr
        if rate is None and progress is not None:
            rate = progress.logged_lr  # of an earlier step: the trainer logs less often than it saves
        if rate == 0:
            return None
        sure = bool(rate) and compared.steps >= self.options.steps
        before = "the model at the start" if compared.base else f"step {compared.step}"
        return Verdict(
            severity=Severity.CRITICAL if sure else Severity.INFO,
            message=f"{_folder(found)}: all {compared.tensors} tensors are bit-equal to those of {before}, "
            f"{compared.steps} steps earlier"
            + (f", at learning rates up to {rate:.2g}" if rate else "; no learning rate was logged"),
            evidence={"compared_with": compared.path, "steps": compared.steps, "learning_rate": rate},
            onset=compared.step,
            confidence=0.95 if sure else 0.5,
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "what the optimizer updates is not what is saved: it was built before the adapter",
                (
                    Remedy(
                        'look at "trainer.optimizer.param_groups" and "model.print_trainable_parameters()"'
                    ),
                ),
                0.5,
            ),
            Cause(
                "the updates are smaller than the weights can hold in bfloat16",
                (Remedy("raise `learning_rate`", scale=3), Remedy("keep the weights in float32")),
                0.4,
            ),
            Cause("the gradients are zero: see zero-gradient", (), 0.3),
        ]


class WeightDrift(CheckpointRule):
    """One layer moved far more than its like, or the weights changed their dtype or size.

    ## What it looks for
    ||dW|| / ||W|| since the checkpoint before, by part and layer, and the dtypes and the size of the file.

    ## Why it matters
    A single layer that runs away is where a divergence begins. A dtype that changed is seldom meant.

    ## How it decides
    Parts of one kind (such as the MLPs of all layers), six or more that moved: one is above the median by
    five median absolute deviations on a log scale, and by a factor of three. Dtypes or shapes changed, or the
    size by more than 1%, of checkpoints that have tensors in common. It is info.

    ## What looks alike but is healthy
    First and last layers often move more. Frozen layers do not move, and are left out.

    ## What to do
    Look at the gradients of that layer; give it a lower learning rate, or freeze it.

    ## Sources
    arXiv:2505.11711 (updates of RL are spread evenly over layers).
    """

    code, name, severity = "CKP005", "weight-drift", Severity.INFO
    when_over = "forget"

    class Options(RuleOptions, frozen=True):
        """Thresholds of weight-drift."""

        deviations: float = 5.0
        """Median absolute deviations above the median."""
        ratio: float = 3.0
        """Least multiple of the median."""
        layers: int = 6
        """Least number of parts of one kind."""
        size: float = 0.01
        """Relative change of the size."""

    def judge(self, found: Analysis) -> Verdict | None:
        compared = found.compared
        if compared is None:
            return None
        texts = []
        if not compared.base and not found.damaged:  # else it is another rule's to say why the size changed
            if compared.retyped:
                texts.append(f"dtype or shape changed since step {compared.step}: {named(compared.retyped)}")
            related = compared.tensors or compared.retyped
            if related and self._resized(found.bytes, compared.bytes_before):
                texts.append(f"the weights had {compared.bytes_before:,} bytes and have {found.bytes:,}")
        outliers = self._outliers(found.groups)
        texts += [
            f"{group.name} moved by {drift:.2g}, its like by {usual:.2g}" for group, drift, usual in outliers
        ]
        if not texts:
            return None
        return Verdict(
            severity=Severity.INFO,
            message=f"{_folder(found)}: {named(texts)}",
            evidence={
                "drift": {group.name: [drift, usual] for group, drift, usual in outliers[:20]},
                "retyped": compared.retyped,
                "bytes": [compared.bytes_before, found.bytes],
            },
            onset=compared.step,
            confidence=0.6,
        )

    def _resized(self, now: int, before: int) -> bool:
        return before > 0 and abs(now - before) > self.options.size * before

    def _outliers(self, groups: list[Group]) -> list[tuple[Group, float, float]]:
        """Groups that moved more than their like, each with its drift and the median."""
        kinds: dict[str, list[tuple[Group, float]]] = {}
        for group in groups:
            kind = ".".join("*" if part.isdigit() else part for part in group.name.split("."))
            if group.drift:
                kinds.setdefault(kind, []).append((group, log(group.drift)))
        found = []
        for moved in kinds.values():
            if len(moved) < self.options.layers:
                continue
            middle = median(level for _, level in moved)
            spread = median(abs(level - middle) for _, level in moved)
            limit = middle + max(self.options.deviations * spread, log(self.options.ratio))
            found += [(group, exp(level), exp(middle)) for group, level in moved if level > limit]
        return found


def _folder(found: Analysis) -> str:
    return found.path.replace("\\", "/").rstrip("/").rpartition("/")[2]


RULES: tuple[type[Rule], ...] = (
    CheckpointIncomplete,
    CheckpointNonFinite,
    WeightsUnchanged,
    WeightDrift,
    *adapters.RULES,
    *checkpoint_state.RULES,
)
