"""The checkpoint family, of LoRA adapters: whether one does anything, its rank, and its configuration.

Invariant: an adapter that had no chance to learn yet is not called dead.
"""

from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.checkpoint_rule import CheckpointRule, named
from rldk.schema.checkpoint import Analysis, LoraAdapter

__all__ = ["RULES"]


class LoraDead(CheckpointRule):
    """A LoRA adapter changes nothing.

    ## What it looks for
    An adapter whose lora_B are all zeros, as they were at the start, or that holds no tensor at all.

    ## Why it matters
    The saved policy is the base model, whatever the log says.

    ## How it decides
    Every lora_B is zero at step 5 or later, after two or more steps with a learning rate above 0 as far as
    that was logged; or the file has no tensors: a warning.

    ## What looks alike but is healthy
    A save before any step, or during a warm-up at rate 0. Single modules that see no gradient.

    ## What to do
    Let the trainer wrap the model (`peft_config`), and save with `trainer.save_model()`.

    ## Sources
    peft#1402, peft#793; alpaca-lora#293 (an adapter of 443 bytes).
    """

    code, name, severity = "CKP004", "lora-dead", Severity.WARNING

    class Options(RuleOptions, frozen=True):
        """Thresholds of lora-dead."""

        steps: int = 5
        """Step from which zeros are reported."""

    def judge(self, found: Analysis) -> Verdict | None:
        adapter, progress = found.adapter, found.progress
        if adapter is None or any(part.fault for part in found.parts) or not found.parts:
            return None
        if not found.tensors:
            message = f"the adapter of {adapter.bytes:,} bytes holds no tensor"
        elif adapter.modules and adapter.zero_b == adapter.modules:
            updates = progress.updates if progress is not None else None
            if (found.step or 0) < self.options.steps or (updates is not None and updates < 2):
                return None
            message = f"all {adapter.modules} lora_B of the adapter are zeros at step {found.step}"
        else:
            return None
        return Verdict(
            severity=Severity.WARNING,
            message=f"{message}: it changes nothing",
            evidence={"modules": adapter.modules, "zero_b": adapter.zero_b, "bytes": adapter.bytes},
            confidence=0.9,
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the adapter gets no gradient: it is frozen, or gradient checkpointing cuts it off",
                (
                    Remedy('look at "model.print_trainable_parameters()"'),
                    Remedy('call "model.enable_input_require_grads()"'),
                ),
                0.6,
            ),
            Cause(
                "another state was saved than that which was trained",
                (Remedy('save with "trainer.save_model()", never with a state dict that was taken before'),),
                0.4,
            ),
        ]


class LoraRank(CheckpointRule):
    """The rank of a LoRA adapter is far from what the update uses.

    ## What it looks for
    The stable rank of BA, ||BA||_F^2 / ||BA||_2^2, against the rank r of the configuration.

    ## Why it matters
    Near 1 most of the rank is unused, and so is the memory that it takes; near r the update may want more.

    ## How it decides
    From step 50: the median over the modules is below 1.2 with r of 8 or more, or above 0.8 r. It is info.

    ## What looks alike but is healthy
    RL from a verifiable reward works at rank 1. Updates begin with one direction and spread later.

    ## What to do
    Try half the rank, or twice, and compare the evals.

    ## Sources
    OpenReview qmBLPS6tRP; arXiv:2603.03995; Thinking Machines, "LoRA Without Regret" (rank 1 suffices in RL).
    """

    code, name, severity = "CKP006", "lora-rank", Severity.INFO
    when_over = "forget"

    class Options(RuleOptions, frozen=True):
        """Thresholds of lora-rank."""

        steps: int = 50
        """Step from which it is judged."""
        low: float = 1.2
        """Stable rank that is as good as 1."""
        high: float = 0.8
        """Share of r that is as good as all of it."""

    def judge(self, found: Analysis) -> Verdict | None:
        adapter = found.adapter
        if adapter is None or adapter.stable_rank is None or not adapter.r:
            return None
        if (found.step or 0) < self.options.steps:
            return None
        rank, stable = adapter.r, adapter.stable_rank
        unused, full = rank >= 8 and stable < self.options.low, rank > 1 and stable > self.options.high * rank
        if not (unused or full):
            return None
        meaning = "most of the rank is unused" if unused else "the whole rank is used"
        return Verdict(
            severity=Severity.INFO,
            message=f"the update has a stable rank of {stable:.1f} at r={rank}: {meaning}",
            evidence={
                "stable_rank": stable,
                "r": rank,
                "update": adapter.update,
                "update_share": adapter.update_share,
            },
            confidence=0.5,
        )


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
            notes.append(f"no module for the target_modules {named(adapter.unmatched_targets)}")
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
        texts.append(f"target_modules leave out {named(adapter.untargeted)}")
    if adapter.wrong_rank:
        texts.append(f"r={adapter.r}, but {named(adapter.wrong_rank)}")
    if adapter.unpaired:
        texts.append(f"one of lora_A and lora_B is missing for {named(adapter.unpaired)}")
    if adapter.scale == 0:
        texts.append("lora_alpha is 0: the adapter has no effect")
    return texts


RULES: tuple[type[Rule], ...] = (LoraDead, LoraRank, AdapterConfig)
