"""CKP002 checkpoint-non-finite: a checkpoint holds NaN or infinities.

Invariant: masks hold -inf on purpose and are never reported.
"""

from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Severity, Verdict
from rldk.health.rules.checkpoint.common import CheckpointRule, first_names, folder
from rldk.schema.checkpoint import Analysis

__all__ = ["CheckpointNonFinite"]


class CheckpointNonFinite(CheckpointRule):
    """A checkpoint holds NaN or infinities.

    ## What it looks for
    Weights that are NaN or infinite, in every element of every tensor.

    ## Why it matters
    A model with one such weight gives NaN for every input, and so does every model trained from it. In GRPO
    the run dies inside generation, after a log that looked healthy.

    ## How it decides
    One such element is enough: critical. It is info where all of them are -inf, in tensors that are bit-equal
    to the checkpoint before: a fixed attention bias may hold them, a trained weight does not.

    ## What looks alike but is healthy
    Masks hold -inf on purpose. The rule ignores tensors with "mask" in their names, and tensors of only 0 and
    -inf that did not change since the checkpoint before.

    ## What to do
    Go back to the last checkpoint without NaN, which `rldk doctor` names.

    ## Sources
    OneTrainer#1147.
    """

    code, name, severity = "CKP002", "checkpoint-non-finite", Severity.CRITICAL
    when_over = "keep"
    explained_by = ("non-finite",)

    def judge(self, found: Analysis) -> Verdict | None:
        spoiled = found.spoiled
        if not spoiled:
            return None
        count = found.non_finite_tensors - max(found.masks, len(found.non_finite) - len(spoiled))
        nan, inf = sum(tensor.nan for tensor in spoiled), sum(tensor.inf for tensor in spoiled)
        lasting = all(tensor.lasting for tensor in spoiled)
        what = "-inf, as in the checkpoint before" if lasting else "NaN or infinities"
        names = first_names([tensor.name for tensor in spoiled], count)
        return Verdict(
            severity=Severity.INFO if lasting else Severity.CRITICAL,
            message=f"{folder(found)}: {count} of {found.tensors} tensors hold {what}: {names}",
            evidence={
                "tensors": [tensor.name for tensor in spoiled],
                "nan": nan,
                "inf": inf,
                "path": found.path,
            },
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
