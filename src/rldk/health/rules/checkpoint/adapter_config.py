"""CKP009 adapter-config: the configuration of an adapter does not fit its tensors, or does not say what it
belongs to.

Invariant: an adapter that had no chance to learn yet is not called dead.
"""

from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Severity, Verdict
from rldk.health.rules.checkpoint.common import CheckpointRule, first_names
from rldk.schema.checkpoint import Analysis, LoraAdapter

__all__ = ["AdapterConfig"]


class AdapterConfig(CheckpointRule):
    """The configuration of an adapter does not fit its tensors, or does not say what it belongs to.

    ## What it looks for
    `adapter_config.json`: the base model's name, the target modules and the rank, against the names and
    shapes of the tensors; lora_A without lora_B.

    ## Why it matters
    Such an adapter is loaded with random or missing parts, at the wrong scale, or onto the wrong model.

    ## How it decides
    No base model is named; a module with tensors stands in no entry of `target_modules`; a rank differs from
    `r` without a `rank_pattern`; a scale of 0; a half of a pair is missing: a warning. Entries of
    `target_modules` that no module has, and a local base model that is not there, are info.

    ## What looks alike but is healthy
    `target_modules` as a regular expression is not judged, nor are `target_parameters` (all experts in one)
    and other adapters than LoRA. Lists of names for many kinds of models, of which some match.

    ## What to do
    Write the configuration that the training used back beside the tensors; save with `save_pretrained`.

    ## Sources
    qlora-pipe#61; ms-swift#8233; peft's `check_target_module_exists`.
    """

    code, name, severity = "CKP009", "adapter-config", Severity.WARNING

    def judge(self, found: Analysis) -> Verdict | None:
        adapter = found.adapter
        if adapter is None or found.config_missing:
            return None
        warnings, notes = _contradictions(adapter), []
        if adapter.unmatched_targets and adapter.modules:
            notes.append(f"no module for the target_modules {first_names(adapter.unmatched_targets)}")
        if adapter.base_missing:
            notes.append(f"the base model {adapter.base} is not there")
        texts = warnings + notes
        if not texts:
            return None
        return Verdict(
            severity=Severity.WARNING if warnings else Severity.INFO,
            message="; ".join(texts[:3]),
            evidence={
                "base": adapter.base,
                "r": adapter.r,
                "wrong_rank": adapter.wrong_rank,
                "untargeted": adapter.untargeted,
                "unmatched_targets": adapter.unmatched_targets,
                "unpaired": adapter.unpaired,
            },
            confidence=0.9,
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the configuration was edited, or is of another adapter",
                (Remedy('save the adapter again with "model.save_pretrained(folder)"'),),
                0.7,
            ),
            Cause(
                "the base model was made in memory and has no name",
                (Remedy('set "base_model_name_or_path" in adapter_config.json'),),
                0.4,
            ),
        ]


def _contradictions(adapter: LoraAdapter) -> list[str]:
    """What of the configuration cannot be right, in words."""
    texts = []
    if adapter.fault:
        texts.append(f"adapter_config.json: {adapter.fault}")
    elif adapter.base is None:
        texts.append("adapter_config.json names no base model")
    if adapter.untargeted:
        texts.append(f"target_modules leave out {first_names(adapter.untargeted)}")
    if adapter.wrong_rank:
        texts.append(f"r={adapter.r}, but {first_names(adapter.wrong_rank)}")
    if adapter.unpaired:
        texts.append(f"one of lora_A and lora_B is missing for {first_names(adapter.unpaired)}")
    if adapter.scale == 0:
        texts.append("lora_alpha is 0: the adapter has no effect")
    return texts
