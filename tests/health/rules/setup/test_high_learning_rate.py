"""SET015 high-learning-rate: runs on which it must speak, and runs on which it must be silent."""

import pytest

from health.rules.setup.common import ADAPTER, WHOLE, begun
from rldk.health.rules.setup.high_learning_rate import pretraining_rate

RULE = "high-learning-rate"


def held(rate, parameters=500_000_000, kind=WHOLE, **changes):
    trainable = parameters if kind is WHOLE else parameters // 250
    return kind | {"parameters": parameters, "trainable": trainable, "learning_rate": rate} | changes


@pytest.mark.parametrize(
    ("parameters", "published"),
    [
        (125e6, 6e-4),
        (1.3e9, 2e-4),
        (6.7e9, 1.2e-4),
        (13e9, 1e-4),
        (175e9, 6e-5),
        (8e9, 3e-4),
        (70e9, 1.5e-4),
        (405e9, 8e-5),
    ],
)
def test_the_pretraining_rate_is_that_of_published_models_within_a_factor(parameters, published):
    assert 1 / 2.5 < pretraining_rate(int(parameters)) / published < 2.5


@pytest.mark.parametrize(
    ("algorithm", "start"),
    [
        ("sft", held(0.05)),
        ("sft", held(0.05, 7_000_000_000)),
        ("sft", held(0.05, 12_000_000)),
        ("reward", held(0.01)),
        ("grpo", held(0.05)),
        ("grpo", held(1e-3)),
        ("dpo", held(5e-4, 7_000_000_000)),
        ("ppo", held(2e-3, 124_000_000)),
        ("sft", held(0.05, kind=ADAPTER)),
        ("grpo", held(0.01, kind=ADAPTER)),
        ("dpo", held(0.05, 12_000_000, ADAPTER)),
        ("dpo", held(4e-4, optimizer="Lion")),
        ("sft", held(0.05, optimizer="AdamW8bit")),
        ("grpo", held(0.05, optimizer="PagedAdamW32bit")),
    ],
    ids=str,
)
def test_an_absurd_rate_is_a_warning(algorithm, start):
    finding = begun(algorithm, start=start, learning_rate=start["learning_rate"])[RULE]
    assert (finding.severity, finding.onset_step) == ("warning", 0)
    assert f"the learning rate is {start['learning_rate']:g} for" in finding.message
    assert finding.remedies[0].startswith("lower `learning_rate` to about ")


def test_the_message_has_the_numbers_that_decide():
    message = begun("grpo", start=held(0.05, 7_000_000_000), learning_rate=0.05)[RULE].message
    assert message == (
        "the learning rate is 0.05 for a model of 7 billion parameters: 178.9 times the highest that grpo "
        "bears (about 0.0003; such models are pretrained at about 0.0003)"
    )


def test_a_rate_of_an_own_optimizer_is_changed_there():
    remedies = begun("sft", start=held(0.05), learning_rate=2e-5)[RULE].remedies
    assert remedies == ["lower the rate of the optimizer that the trainer was given to about 2e-05"]


@pytest.mark.parametrize(
    ("algorithm", "start"),
    [
        ("sft", held(2e-5)),
        ("sft", held(1e-3)),
        ("sft", held(5e-4, 7_000_000_000)),
        ("reward", held(1e-4)),
        ("grpo", held(1e-6)),
        ("grpo", held(5e-5)),
        ("dpo", held(1e-4)),
        ("orpo", held(2e-4)),
        ("sft", held(5e-3, kind=ADAPTER)),
        ("grpo", held(1e-3, kind=ADAPTER)),
        ("dpo", held(2e-3, 7_000_000_000, ADAPTER)),
        ("sft", held(0.1, 60_000)),
        ("grpo", held(0.05, 5_000_000)),
        ("sft", held(0.3, kind=ADAPTER, adapter="PROMPT_TUNING")),
        ("sft", held(0.5, optimizer="SGD")),
        ("sft", held(0.05, optimizer="Adafactor")),
        ("sft", held(0.05, optimizer="AdamWScheduleFree")),
        ("sft", held(0.05, optimizer="GaLoreAdamW")),
        ("sft", held(1.0, optimizer="Prodigy")),
        ("sft", held(0.05) | {"parameters": None}),
        ("sft", held(None)),
        ("trainer", held(0.05)),
    ],
    ids=str,
)
def test_a_rate_that_may_be_right_is_silent(algorithm, start):
    assert RULE not in begun(algorithm, start=start, learning_rate=start["learning_rate"])
