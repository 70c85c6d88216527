"""CKP009 adapter-config: the configuration of an adapter does not fit its tensors, or names no base model.

Invariant: only a contradiction is a warning; an entry that matches nothing is info.
"""

from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Severity, Verdict
from rldk.health.rules.checkpoint.common import CheckpointRule, first_names
from rldk.schema.checkpoint import Analysis, LoraAdapter

__all__ = ["AdapterConfig"]


class AdapterConfig(CheckpointRule):
    """The configuration of an adapter does not fit its tensors, or names no base model.

    ## What it looks for
    `adapter_config.json`: the base model's name, the target modules and the rank, against the names and
    shapes of the tensors; lora_A without lora_B.

    ## Why it matters
    PEFT loads such an adapter with random or missing parts, at the wrong scale, or onto the wrong model.

    ## How it decides
    A warning if: the configuration names no base model; no entry of `target_modules` matches a module with
    tensors; a rank differs from `r` without a `rank_pattern`; the scale is 0; or half of a pair is missing.
    Entries of `target_modules` that match no module, and a local base model that does not exist, are info.

    ## What looks alike but is healthy
    `target_modules` as a regular expression is not judged, nor are `target_parameters` (all experts in one)
    and other adapters than LoRA. A list of names for many kinds of models matches only in part.

    ## What to do
    Put the configuration of the training back into the adapter's folder; save with `save_pretrained`.

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
            notes.append(f"the base model {adapter.base} does not exist")
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
                "the configuration was edited, or belongs to another adapter",
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
    """The contradictions between configuration and tensors, in words."""
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
        texts.append(f"lora_A or lora_B is missing for {first_names(adapter.unpaired)}")
    if adapter.scale == 0:
        texts.append("lora_alpha is 0: the adapter has no effect")
    return texts
