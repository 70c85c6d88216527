"""CKP003 weights-unchanged: training continued, but no weight changed.

Invariant: most weights of a healthy RL step are unchanged, so only all of them unchanged is a finding.
"""

from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, RuleOptions, Severity, Verdict
from rldk.health.rules.checkpoint.common import CheckpointRule, folder
from rldk.schema.checkpoint import Analysis

__all__ = ["WeightsUnchanged", "WeightsUnchangedOptions"]


class WeightsUnchangedOptions(RuleOptions, frozen=True):
    """Thresholds of weights-unchanged."""

    steps: int = 5
    """Steps between the two checkpoints from which it is critical."""


class WeightsUnchanged(CheckpointRule[WeightsUnchangedOptions]):
    """Training continued, but no weight changed.

    ## What it looks for
    Whether every tensor is bit-equal to the checkpoint before, or to the model at the start.

    ## Why it matters
    The run made steps and learned nothing, or the trained weights are not the saved ones.

    ## How it decides
    All tensors are equal after at least five steps with a logged learning rate above 0: critical. With fewer
    steps, or where no learning rate is known, it is info.

    ## What looks alike but is healthy
    An RL step in bfloat16 leaves 70 to 95% of the weights unchanged. Frozen layers do not change. In a
    warm-up the learning rate may be 0.

    ## What to do
    Check which parameters have `requires_grad`, and whether the optimizer was built after the adapter.

    ## Sources
    qlora-pipe#61, peft#353, unsloth#2486; arXiv:2505.11711 (sparse updates in RL).
    """

    code, name, severity = "CKP003", "weights-unchanged", Severity.CRITICAL
    explained_by = ("nothing-trained", "zero-learning-rate", "zero-gradient", "lora-dead", "frozen-policy")

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
            message=f"{folder(found)}: all {compared.tensors} tensors are bit-equal to those of {before}, "
            f"{compared.steps} steps earlier"
            + (f", at learning rates up to {rate:.2g}" if rate else "; no learning rate was logged"),
            evidence={"compared_with": compared.path, "steps": compared.steps, "learning_rate": rate},
            onset=compared.step,
            confidence=0.95 if sure else 0.5,
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the optimizer does not update the saved weights: it was built before the adapter",
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
