"""SET014 sampling-temperature: runs on which it must speak, and runs on which it must be silent."""

import pytest

from health.rules.setup.common import begun
from rldk.health import Monitor, RunContext
from rldk.health.rules.setup.sampling_temperature import SamplingTemperature

RULE = "sampling-temperature"


@pytest.mark.parametrize("algorithm", ["grpo", "rloo", "ppo"])
@pytest.mark.parametrize(
    ("temperature", "words"),
    [
        (0.01, "nearly the same"),
        (0.1, "nearly the same"),
        (0.3, "nearly the same"),
        (2, "noise"),
        (5.0, "noise"),
    ],
)
def test_a_temperature_far_from_1_is_a_warning(algorithm, temperature, words):
    finding = begun(algorithm, temperature=temperature)[RULE]
    assert (finding.severity, finding.onset_step) == ("warning", 0)
    assert f"at temperature {temperature:g}: " in finding.message
    assert words in finding.message
    assert f"entropy and KL are those of the policy at {temperature:g} too" in finding.message
    assert finding.remedies == [f"set `temperature=1.0` (now {temperature:g})"]


def test_online_dpo_scores_at_temperature_1():
    message = begun("online_dpo", temperature=0.1)[RULE].message
    assert "scored at temperature 1" in message
    assert "entropy" not in message


def test_how_a_loop_of_ones_own_scores_is_not_known():
    found = begun("grpo", dialect="generic", temperature=0.1, generation_kwargs={"temperature": 0.2})[RULE]
    assert found.message == (
        "completions are sampled at temperature 0.1: the completions of a prompt will be nearly the same, so "
        "there is little to compare"
    )
    assert found.remedies == ["sample at temperature 1"]


@pytest.mark.parametrize(("sampling", "scoring"), [(0.7, 1.0), (1.0, 0.6), (0.1, 1.0), (1.5, 0.9)])
def test_sampling_at_another_temperature_than_scoring_is_a_warning(sampling, scoring):
    finding = begun("grpo", temperature=scoring, generation_kwargs={"temperature": sampling})[RULE]
    assert finding.severity == "warning"
    assert f"sampled at temperature {sampling:g} and scored at {scoring:g}" in finding.message
    assert "generation_kwargs" in finding.causes[0]


@pytest.mark.parametrize(
    "options",
    [
        *({"temperature": value} for value in (0.6, 0.7, 0.9, 1.0, 1.2, 1.5, None, 0.0, "hot", True)),
        {"temperature": 1.0, "generation_kwargs": {"eos_token_id": [1, 2]}},
        {"temperature": 1.0, "generation_kwargs": {"temperature": 1.0}},
        {"temperature": 1.0, "generation_kwargs": {"temperature": "hot"}},
        {"temperature": 1.0, "generation_kwargs": None},
    ],
    ids=str,
)
@pytest.mark.parametrize("algorithm", ["grpo", "rloo", "online_dpo"])
def test_a_usual_temperature_is_silent(options, algorithm):
    assert RULE not in begun(algorithm, **options)


def test_a_trainer_that_samples_nothing_is_not_judged():
    assert RULE not in begun("sft", temperature=0.1)


@pytest.mark.parametrize(
    ("temperature", "explained", "others"),
    [
        (0.1, {"zero-advantage", "entropy-collapse"}, {"entropy-explosion", "broken-start"}),
        (5.0, {"entropy-explosion", "broken-start", "dead-reward"}, {"entropy-collapse"}),
        (1.0, set(), {"zero-advantage", "entropy-collapse", "entropy-explosion"}),
    ],
)
def test_it_explains_what_follows_from_that_side_alone(temperature, explained, others):
    context = RunContext(algorithm="grpo", options={"temperature": temperature})
    (rule,) = Monitor(context, [SamplingTemperature]).rules
    assert all(rule.explains(name) for name in explained)
    assert not any(rule.explains(name) for name in others)
