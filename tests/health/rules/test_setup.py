"""The setup family: before the first record, from the configuration alone."""

import pytest

from health.rows import diagnosed, finding, trains
from rldk.health import RULES, Monitor, RunContext, diagnose

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


def begun(algorithm="grpo", model=None, model_class=None, **options):
    """The findings before the first record."""
    context = RunContext(
        algorithm=algorithm, dialect="trl", options=GRPO | options, model=model or {}, model_class=model_class
    )
    monitor = Monitor(context, RULES)
    monitor.begin()
    assert not monitor.failed
    return {found.rule: found for found in diagnose(monitor).findings}


def test_defaults_say_nothing():
    assert begun() == {}


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("few-generations", {"num_generations": 2}),
        ("biased-sampling", {"use_vllm": True, "top_p": 0.9}),
        ("biased-sampling", {"use_vllm": True, "top_k": 50}),
        ("hidden-non-finite", {"fp16": True}),
        ("sparse-logging", {"max_steps": 100}),
        ("length-bias", {"loss_type": "grpo", "max_completion_length": 4096}),
        ("beyond-context", {"vllm_max_model_length": 768}),
        ("beyond-context", {"model": {"max_position_embeddings": 512}}),
        ("low-lora-rate", {"model_class": "PeftModelForCausalLM"}),
    ],
)
def test_each_rule_speaks_as_information(rule, changes):
    found = begun(**changes)
    assert list(found) == [rule]
    assert (found[rule].severity, found[rule].onset_step) == ("info", 0)
    assert found[rule].remedies


@pytest.mark.parametrize(
    "changes",
    [
        {"top_p": 0.9},
        {"use_vllm": True},
        {"num_generations": 4},
        {"max_steps": 500},
        {"max_steps": 5},
        {"loss_type": "grpo"},
        {"model_class": "PeftModelForCausalLM", "learning_rate": 1e-5},
        {"model": {"max_position_embeddings": 4096}},
    ],
)
def test_what_fits_is_silent(changes):
    assert begun(**changes) == {}


def test_masked_truncation_needs_both():
    rows = trains(truncated_frac=[0.9] * 6, reward_mean=[0.5] * 6)
    masked = {"mask_truncated_completions": True}
    assert finding(rows, "masked-truncation", "grpo", options=GRPO | masked).severity == "warning"
    assert finding(rows, "masked-truncation", "grpo", options=GRPO) is None
    few = trains(truncated_frac=[0.2] * 6, reward_mean=[0.5] * 6)
    assert finding(few, "masked-truncation", "grpo", options=GRPO | masked) is None


def test_what_the_configuration_does_not_hold_is_not_checked():
    told = {one.rule: one for one in diagnosed([], "sft", options=GRPO).not_checked}
    assert {"eos-never-learned", "rows-cut", "disk-nearly-full"} <= set(told)
    assert "labels" in told["eos-never-learned"].how
    assert "hidden-non-finite" not in told


def test_a_foreign_log_says_how_to_enable_them():
    told = {one.rule: one for one in diagnosed([], "grpo").not_checked}
    assert "RLDKCallback" in told["few-generations"].how
