"""Remedies: changes to make, by options that the run's trainer really has.

Invariant: a remedy names an option only if the run's trainer has it, in the version of the run, and never
with the value that the run already has.
"""

import ast
import re
from collections.abc import Iterable, Mapping

import msgspec

from rldk.health.context import RunContext
from rldk.metrics.dialects.generic import GENERIC

__all__ = ["OPTIONS", "WARMUP", "Remedy", "render_remedies"]


class Remedy(msgspec.Struct, frozen=True):
    """One change to make.

    Put options in backquotes, alone or with the value to set, as in "set `scale_rewards='batch'`". rldk skips
    the remedy unless the run's trainer has all of them. Put other code in double quotes.
    """

    text: str
    """The change, as a sentence without a full stop."""
    scale: float | None = None
    """Factor for the first option; the text then ends with the new value."""
    up_to: float | None = None
    """Skip this remedy when the first option is already at least this."""
    down_to: float | None = None
    """Skip this remedy when the first option is already at most this."""
    unless: tuple[str, ...] = ()
    """Skip this remedy when any of these options is above 0, or True."""
    only_with: str | None = None
    """Skip this remedy when this option is known and off."""
    verl: str | None = None
    """The same change by verl's options; None: skip a remedy that names options in a run of verl."""
    own_loop: str | None = None
    """The same change where TRL does not train, as in a run of `rldk.record`; None: `text`."""


_NAMED = re.compile(r"`(\w+)(?:=([^`]+))?`")

_GENERATING = "grpo rloo"
_WITH_REFERENCE = "grpo rloo dpo kto"
_EVERY = "grpo rloo dpo kto sft reward ppo@0"
OPTIONS: Mapping[str, frozenset[str]] = {
    option: frozenset(where.split())
    for options, where in {
        "learning_rate max_grad_norm warmup_steps logging_steps logging_nan_inf_filter num_train_epochs"
        " load_best_model_at_end gradient_accumulation_steps per_device_train_batch_size bf16 fp16 optim"
        " lr_scheduler_type adam_beta2 weight_decay gradient_checkpointing_kwargs save_only_model"
        " save_total_limit dataloader_num_workers ddp_timeout": _EVERY,
        "beta": _WITH_REFERENCE,
        "temperature": _GENERATING + " ppo@0",
        "num_generations top_p top_k min_p reward_weights mask_truncated_completions epsilon epsilon_high"
        " num_iterations steps_per_generation log_completions use_vllm vllm_mode"
        " vllm_gpu_memory_utilization vllm_server_timeout": _GENERATING,
        "vllm_enable_sleep_mode": "grpo rloo@1",
        "max_completion_length": _GENERATING + " dpo@0 kto@0",
        "vllm_max_model_length": "grpo@1 rloo@1",
        "max_length": "dpo kto sft reward",
        "loss_type": "grpo dpo kto sft",
        "scale_rewards delta top_entropy_quantile importance_sampling_level"
        " vllm_importance_sampling_correction vllm_importance_sampling_cap": "grpo",
        "multi_objective_aggregation use_bias_correction_kl off_policy_mask_threshold use_adaptive_entropy"
        " entropy_coef entropy_target cast_lm_head_to_fp32 vllm_importance_sampling_mode"
        " vllm_importance_sampling_clip_max vllm_importance_sampling_clip_min": "grpo@1",
        "kl_coef num_ppo_epochs cliprange stop_token response_length missing_eos_penalty": "ppo@0 rloo@0",
        "kl_estimator lam gamma vf_coef cliprange_value whiten_rewards": "ppo@0",
        "disable_dropout": "grpo rloo dpo kto reward",
        "sync_ref_model": "grpo rloo dpo kto@1",
        "label_smoothing loss_weights": "dpo",
        "precompute_ref_log_probs": "dpo kto",
        "center_rewards_coefficient": "reward",
        "completion_only_loss assistant_only_loss": "sft",
        "eos_token": "sft reward@1",
        "pad_token": "sft reward@1 dpo@1",
    }.items()
    for option in options.split()
}
"""Option -> the trainers that have it: by name in both supported TRLs, with `@1` in 1.16 alone, with `@0` in
0.23 alone. For runs without recorded options; tests/health/test_remedies.py compares it with TRL."""
WARMUP = ("warmup_steps", "warmup_ratio")
"""Options that set a warm-up: a run warms up if either is above 0."""
COMMON = frozenset({"learning_rate", "max_grad_norm", "warmup_steps", "num_train_epochs", "weight_decay"})
"""Options that every framework has, under some name."""


def render_remedies(remedies: Iterable[Remedy], context: RunContext) -> list[str]:
    """The texts of the remedies that this run can follow, each once, in order."""
    texts = (_text(remedy, context) for remedy in remedies)
    return list(dict.fromkeys(text for text in texts if text))


def _text(remedy: Remedy, context: RunContext) -> str | None:
    named = _NAMED.findall(remedy.text)
    if named and context.dialect == "verl":
        return remedy.verl
    foreign = context.dialect not in (None, "trl")
    if foreign and remedy.own_loop is not None:
        return remedy.own_loop
    if not _fits(remedy, context) or any(
        not _has(name, context) or _is_set(name, value, context) or (foreign and name not in COMMON)
        for name, value in named
    ):
        return None
    now = context.number(named[0][0]) if named else None
    if now is None:
        return remedy.text
    if (remedy.up_to is not None and now >= remedy.up_to) or (
        remedy.down_to is not None and now <= remedy.down_to
    ):
        return None
    new = "" if remedy.scale is None else f", try {_rounded(now * remedy.scale)}"
    return f"{remedy.text} (now {now:g}{new})"


def _rounded(value: float) -> str:
    """Two digits, without an exponent where the value is a whole number."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _fits(remedy: Remedy, context: RunContext) -> bool:
    """Whether the options meet the remedy's `unless` and `only_with`."""
    if any(context.options.get(name) is True or (context.number(name) or 0) > 0 for name in remedy.unless):
        return False
    needed = remedy.only_with
    return needed is None or needed not in context.options or bool(context.options[needed])


def _has(option: str, context: RunContext) -> bool:
    if context.options or context.dialect == GENERIC.name:  # only its configuration shows its options
        return option in context.options
    trainers = OPTIONS.get(option, frozenset())
    algorithm = context.algorithm
    if algorithm is None:
        return bool(trainers)
    return bool({algorithm, f"{algorithm}@0", f"{algorithm}@1"} & trainers)


def _is_set(option: str, spelled: str, context: RunContext) -> bool:
    """Whether the run already has the value that a remedy names."""
    if not spelled or option not in context.options:
        return False
    now = context.options[option]
    try:
        return bool(now == ast.literal_eval(spelled))
    except (ValueError, SyntaxError):
        return str(now) == spelled
