"""Runs that tests of several rules of the setup family use."""

from rldk.health import RULES, Monitor, RunContext, diagnose
from rldk.schema.training_start import TrainingStart

GRPO = {
    "num_generations": 8,
    "max_completion_length": 512,
    "max_prompt_length": 512,
    "learning_rate": 1e-6,
    "loss_type": "dapo",
    "use_vllm": False,
    "vllm_importance_sampling_correction": True,
    "mask_truncated_completions": False,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": None,
    "fp16": False,
    "logging_nan_inf_filter": True,
    "logging_steps": 10,
    "logging_strategy": "steps",
    "max_steps": -1,
    "num_train_epochs": 3.0,
}


WHOLE = {
    "parameters": 500_000_000,
    "trainable": 500_000_000,
    "optimized": 500_000_000,
    "optimizer": "AdamW",
    "learning_rate": 1e-6,
}
"""What a trainer holds that trains a whole model."""
ADAPTER = WHOLE | {"trainable": 2_000_000, "optimized": 2_000_000, "adapter": "LORA"}
"""What a trainer holds that trains an adapter."""


def begun(algorithm="grpo", model=None, model_class=None, start=None, dialect="trl", **options):
    """The findings before the first record."""
    context = RunContext(
        algorithm=algorithm,
        dialect=dialect,
        options=GRPO | options,
        model=model or {},
        model_class=model_class,
        start=TrainingStart(**(start or {})),
    )
    monitor = Monitor(context, RULES)
    monitor.begin()
    assert not monitor.failed
    return {found.rule: found for found in diagnose(monitor).findings}
