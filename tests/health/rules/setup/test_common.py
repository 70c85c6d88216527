"""What several rules of the setup family do with one run."""

import pytest

from health.rows import diagnosed
from health.rules.setup.common import GRPO, begun


def test_defaults_say_nothing():
    assert begun() == {}


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


def test_what_the_configuration_does_not_hold_is_not_checked():
    told = {one.rule: one for one in diagnosed([], "sft", options=GRPO).not_checked}
    assert {"eos-never-learned", "rows-cut", "disk-nearly-full"} <= set(told)
    assert "labels" in told["eos-never-learned"].how
    assert "hidden-non-finite" not in told
