"""The texts of a checkpoint's page: its headline, its verdict, its facts, and the parts not examined.

Invariant: the page never calls unread weights whole or finite.
"""

from collections.abc import Iterator

import msgspec

from rldk.checkpoints.dtypes import FLOATS
from rldk.health import Diagnosis, Finding
from rldk.report.text import counted, listed, number, plain
from rldk.schema.checkpoint import Analysis, Comparison, LoraAdapter, Optimizer, Vocabulary

__all__ = ["CheckpointReport", "amount", "facts", "share", "size", "subject", "unexamined", "verdict"]

NAMES = 3
"""Most names in a line."""


class CheckpointReport(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint, analysed and judged."""

    source: str
    """The path as the user named it."""
    name: str
    """Name in a headline."""
    found: Analysis
    """The facts."""
    diagnosis: Diagnosis
    """The findings of the rules."""
    chosen: str = ""
    """How rldk chose it, as a sentence; empty if the user named it."""
    compared_with: str = ""
    """Names the compared weights and the reason; empty without a comparison."""
    earlier: str | None = None
    """Path of the newest earlier checkpoint in the same folder."""
    run: str | None = None
    """Its run, as the user named it; None if the user named no run."""

    @property
    def read(self) -> bool:
        """Whether rldk could read or judge anything."""
        return self.found.tensors > 0 or bool(self.diagnosis.findings)

    @property
    def status(self) -> str:
        """`healthy`, or the worst severity; `insufficient-data` if rldk could read no weights."""
        if self.diagnosis.findings:
            return self.diagnosis.status
        return "healthy" if self.read else "insufficient-data"

    def location(self, finding: Finding) -> str:  # noqa: ARG002 - pages ask for each finding
        """The location of a finding, as text for the middle of a sentence."""
        return f"in {plain(self.name)}"


def size(count: int) -> str:
    """Bytes, in decimal units."""
    for unit, power in (("GB", 9), ("MB", 6), ("kB", 3)):
        if count >= 10**power:
            return f"{count / 10**power:.3g} {unit}"
    return counted(count, "byte")


def amount(count: int) -> str:
    """A number of parameters."""
    for unit, power in (("B", 9), ("M", 6)):
        if count >= 10**power:
            return f"{count / 10**power:.3g} {unit}"
    return f"{count:,}"


def share(value: float) -> str:
    """A share in percent; it never rounds to 0% or 100% unless it is exactly that."""
    if 0 < value < 0.001:
        return "< 0.1%"
    if 0.999 < value < 1:
        return "> 99.9%"
    return f"{100 * value:.1f}%" if 0 < value < 1 else f"{100 * value:.3g}%"


def subject(report: CheckpointReport) -> str:
    """The headline: name, step, number of parameters, dtypes and size."""
    found = report.found
    parts = [plain(report.name)]
    if found.step is not None and not report.name.endswith(f"-{found.step}"):
        parts.append(f"step {found.step:,}")
    if found.kind == "adapter":
        parts.append("LoRA" if found.adapter and found.adapter.kind == "LORA" else "adapter")
    if found.parameters:
        parts.append(f"{amount(found.parameters)} parameters")
        parts.append(" and ".join(_dtypes(found)))
    if found.bytes:
        parts.append(size(found.bytes))
    return " · ".join(parts)


def _dtypes(found: Analysis) -> list[str]:
    by_count = sorted(found.dtypes, key=lambda dtype: -found.dtypes[dtype])
    return [plain(dtype) for dtype in by_count[:NAMES]]


def verdict(report: CheckpointReport) -> str:
    """Whether it is whole and finite, and whether training can resume from it, in a line."""
    found = report.found
    if not report.read:
        return "rldk could not read any weights."
    if not (found.tensors or found.damaged):
        return f"The weights have no tensor. {_can_resume(report)}".strip()
    spoiled = _spoiled(found)
    if found.damaged:
        state = f"not whole; {spoiled}" if spoiled else "not whole"
    else:
        limit = "as far as rldk read them" if _partly(found) else ""
        state = f"whole, {spoiled}" if spoiled else "whole and finite"
        state = f"{state} {limit}".strip()
    return f"The weights are {state}. {_can_resume(report)}".strip()


def _spoiled(found: Analysis) -> str:
    if not found.non_finite_tensors:
        return ""
    hold = "holds" if found.non_finite_tensors == 1 else "hold"
    what = "NaN or infinities" + ("" if found.spoiled else " (masks do)")
    return f"but {found.non_finite_tensors:,} of {counted(found.tensors, 'tensor')} {hold} {what}"


def _partly(found: Analysis) -> bool:
    """Whether there are weights that rldk did not read or does not understand."""
    unread = any(part.tensors == 0 for part in found.parts) or bool(found.notes)
    return unread or any(_unknown(dtype) for dtype in found.dtypes)


def _unknown(dtype: str) -> bool:
    return dtype[:1] in "FBC" and dtype != "BOOL" and dtype not in FLOATS


def _can_resume(report: CheckpointReport) -> str:
    found = report.found
    if found.resumable and report.status in ("healthy", "info"):
        return "Training can resume from it."
    if found.resumable:
        return "It has all files that training needs to resume."
    if found.progress is None and found.state == "weights":
        return ""  # a published model, an export, or a single file: nobody resumes from these
    if found.state == "weights":
        return "It has only weights, so training cannot resume where it was."
    if found.state == "partial":
        return f"Training cannot resume where it was: no {_first(found.missing)}."
    return "Training cannot resume from it."


def _first(names: list[str]) -> str:
    more = [counted(len(names) - NAMES, "other")] if len(names) > NAMES else []
    return listed([*(plain(name) for name in names[:NAMES]), *more], "or")


def facts(report: CheckpointReport) -> Iterator[tuple[str, str]]:
    """Its facts, as pairs of a title and a text."""
    found = report.found
    if found.parts:
        files = counted(len(found.parts), "file")
        yield "weights", f"{counted(found.tensors, 'tensor')} in {files} of {size(found.bytes)}"
    if found.compared is not None and found.tensors:
        yield "changed", _changed(found.compared, report.compared_with)
    if found.adapter is not None:
        yield "adapter", _adapter(found.adapter)
    if found.optimizer is not None and not found.optimizer.fault and not found.optimizer.unread:
        yield "optimizer", _optimizer(found.optimizer)
    if found.vocabulary is not None and found.vocabulary.embedding_rows is not None:
        yield "vocabulary", _vocabulary(found.vocabulary)
    if found.best is not None:
        state = "exists" if found.best.exists else "missing"
        yield "best so far", f"{plain(found.best.path)}, {state}"


def _changed(compared: Comparison, with_what: str) -> str:
    since = plain(with_what or compared.path)
    if compared.steps:
        since += f", {counted(abs(compared.steps), 'step')} {'earlier' if compared.steps > 0 else 'later'}"
    if not compared.tensors:
        shared = "of the same dtype and shape as in" if compared.retyped else "in common with"
        return f"no tensor {shared} {since}"
    texts = []
    if compared.unchanged is not None:
        texts.append(f"{share(compared.unchanged)} of the weights are bit-equal")
    else:
        texts.append(f"{compared.unchanged_tensors:,} of {counted(compared.tensors, 'tensor')} are bit-equal")
    if compared.drift is not None:
        texts.append(f"||dW||/||W|| {compared.drift:.2g}")
    if compared.highest_lr:
        texts.append(f"learning rate up to {number(compared.highest_lr)}")
    return f"against {since}: {', '.join(texts)}"


def _adapter(adapter: LoraAdapter) -> str:
    texts = [f"{counted(adapter.modules, 'module')} of rank {adapter.r or 'unknown'}"]
    if adapter.alpha is not None:
        texts.append(f"alpha {number(adapter.alpha)}")
    if adapter.update is not None:
        part = f", {share(adapter.update_share)} of the base's weights" if adapter.update_share else ""
        texts.append(f"update ||sBA|| {adapter.update:.3g}{part}")
    if adapter.stable_rank is not None:
        texts.append(f"stable rank {adapter.stable_rank:.3g} (median)")
    if adapter.zero_b:
        texts.append(f"{adapter.zero_b:,} change nothing")
    if adapter.base:
        texts.append(f"base {plain(adapter.base)}")
    return ", ".join(texts)


def _optimizer(optimizer: Optimizer) -> str:
    texts = [counted(optimizer.parameters, "parameter tensor")]
    if optimizer.moments:
        lacking = optimizer.without_state
        texts.append(f"{lacking:,} without a state" if lacking else "each with its state")
    low, high = optimizer.fewest_steps, optimizer.most_steps
    if low is not None and high is not None:
        texts.append(f"after {counted(high, 'step')}" if low == high else f"after {low:,} to {high:,} steps")
    rates = optimizer.scheduled_lr or optimizer.lr
    if rates:
        texts.append(f"next learning rate {number(rates[0])}")
    return ", ".join(texts)


def _vocabulary(vocabulary: Vocabulary) -> str:
    text = f"{counted(vocabulary.embedding_rows or 0, 'row')} of embeddings"
    if vocabulary.tokens is not None:
        text += f" for {counted(vocabulary.tokens, 'token')}"
    if vocabulary.head_rows is None:
        return text + (", the head is tied to them" if vocabulary.tied else "")
    return f"{text}, {counted(vocabulary.head_rows, 'row')} of the head"


def unexamined(report: CheckpointReport) -> list[str]:
    """The parts that rldk did not examine, each with the reason or how to enable it."""
    found, compared = report.found, report.found.compared
    notes = [plain(note) for note in found.notes]
    notes += [
        f"NaN and infinities in tensors of type {plain(dtype)}, which rldk does not read"
        for dtype in found.dtypes
        if _unknown(dtype)
    ]
    if compared is None:
        why = "there is no earlier checkpoint in the same folder; name another as OTHER"
        notes.append(f"changes: {'not compared, as requested' if report.earlier else why}")
    elif compared.unmeasured:
        notes.append(f"how far the weights moved: {plain(compared.unmeasured)}")
    adapter, optimizer = found.adapter, found.optimizer
    if adapter is not None and adapter.update is not None and adapter.update_share is None:
        notes.append("the adapter's update relative to its base model: name the model's folder with --base")
    if optimizer is not None and optimizer.unread:
        notes.append(f"the optimizer: {plain(optimizer.unread)}")
    rules = (entry for entry in report.diagnosis.not_checked if entry.code.startswith("CKP"))
    return notes + [f"{entry.rule}: {plain(entry.how)}" for entry in rules]
