"""CKP001 checkpoint-incomplete: a checkpoint cannot be loaded, or training cannot resume from it.

Invariant: a checkpoint that holds only weights on purpose is no fault.
"""

from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Severity, Verdict
from rldk.health.rules.checkpoint.common import CheckpointRule, first_names, folder
from rldk.schema.checkpoint import Analysis

__all__ = ["CheckpointIncomplete"]

Problem = tuple[Severity, str]
_ALONE = "training cannot resume from it: it holds no optimizer, scheduler and random states"


class CheckpointIncomplete(CheckpointRule):
    """A checkpoint cannot be loaded, or training cannot resume from it.

    ## What it looks for
    Files of weights that are cut short or have a wrong header; shards and tensors that an index lists and no
    file holds; tensors without an element; a missing configuration; damaged or missing files of the training
    state; a best checkpoint that no longer exists.

    ## Why it matters
    You notice it only when a dead run must resume, or at the very end, when the trainer loads the best model.

    ## How it decides
    *Damaged*: a safetensors file that is not as long as its header says, has gaps, or cannot be read, and
    a truncated file of `torch.save`: critical. Missing shards and empty tensors are critical too. *Not
    resumable*: in a checkpoint of transformers' Trainer, some of optimizer, scheduler, random states and
    `trainer_state.json` are missing: a warning, or info where only random states are missing. All of them
    are missing: a warning if `save_only_model` is known to be off, info if it is not known. *The best
    checkpoint is gone*: critical with `load_best_model_at_end`, info if the folder was moved, else a
    warning.

    ## What looks alike but is healthy
    `save_only_model=True`. A published model, which has no training state. A folder that the trainer deletes
    under `save_total_limit` is not judged. DeepSpeed and FSDP keep their optimizers in their own folders. A
    checkpoint of accelerate or of a loop of your own has other files than the Trainer's.

    ## What to do
    Keep the checkpoint before it. Look for a full disk or a killed save, and save again.

    ## Sources
    safetensors#668 (the limit of 100 MB), ComfyUI#15599 (trailing bytes), speculators#739 (missing shards);
    transformers#35782, #35525, #35580 (missing files), #20082 and DeepSpeed#2413 (empty tensors of ZeRO-3),
    #48315 (best checkpoint).
    """

    code, name, severity = "CKP001", "checkpoint-incomplete", Severity.CRITICAL
    when_over = "keep"
    _alone: bool | None = None
    """Whether every problem was a missing training state that may be intended; None: no problem so far."""

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
            message=f"{folder(found)}: {texts[0]}{more}",
            evidence={"problems": texts[:20], "resumable": found.resumable, "path": found.path},
            confidence=0.95,
        )

    def _problems(self, found: Analysis) -> list[Problem]:
        critical = [f"{part.name} is damaged: {part.fault}" for part in found.parts if part.fault]
        critical += found.faults
        if found.empty_tensors:
            critical.append(f"tensors without an element: {first_names(found.empty, found.empty_tensors)}")
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
            text = f"{found.config_missing} is missing, so it cannot be loaded"
            problems.append((Severity.WARNING, text))
        if found.state == "partial":
            random_only = all(name.startswith("rng_state") for name in found.missing)
            severity = Severity.INFO if random_only else Severity.WARNING
            problems.append((severity, f"training cannot resume exactly: no {first_names(found.missing)}"))
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
        return [(severity, f"the best checkpoint {best.path} no longer exists")]

    def causes(self) -> list[Cause]:
        alone = Cause(
            "the trainer saves only the weights, with save_only_model=True: they are whole, but a resume "
            "begins with a new optimizer and another order of the data",
            (Remedy("set `save_only_model=False`, if you want to resume the run exactly"),),
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
