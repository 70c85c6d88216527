"""CKP009 adapter-config: runs on which it must speak, and runs on which it must be silent."""

import math

import pytest

from checkpoints.judging import observe
from health.rules.checkpoint.common import adapter, compared, facts, found, optimizer
from rldk.health import Monitor, RunContext, Settings, diagnose
from rldk.schema.checkpoint import NonFiniteTensor, Vocabulary


@pytest.mark.parametrize(
    ("changes", "severity"),
    [
        ({}, None),
        ({"base": None}, "warning"),
        ({"base": None, "fault": "no JSON"}, "warning"),
        ({"base_missing": True}, "info"),
        ({"unmatched_targets": ["w1"]}, "info"),
        ({"untargeted": ["model.layers.0.q_proj"]}, "warning"),
        ({"wrong_rank": ["q_proj has rank 8"]}, "warning"),
        ({"unpaired": ["q_proj"]}, "warning"),
        ({"scale": 0.0}, "warning"),
        ({"scale": 2.0}, None),
    ],
)
def test_what_an_adapters_configuration_must_say(changes, severity):
    one = found("adapter-config", facts(kind="adapter", adapter=adapter(zero_b=0, **changes)))
    assert (one and one.severity) == severity


# all of them
def test_each_rule_names_causes_with_something_to_do():
    monitor: Monitor = Settings().monitor(RunContext(dialect="trl", algorithm="grpo"))
    observe(
        monitor,
        facts(
            compared=compared(),
            faults=["x is missing"],
            non_finite=[NonFiniteTensor(name="w", nan=1)],
            non_finite_tensors=1,
            adapter=adapter(base=None),
            vocabulary=Vocabulary(embedding_rows=3, config_rows=4),
            optimizer=optimizer(without_state=9),
        ),
    )
    diagnosis = diagnose(monitor)
    loud = [one for one in diagnosis.findings if one.severity != "info"]
    assert len(loud) == 7
    assert all(one.causes and one.remedies for one in loud)
    assert all(math.isfinite(one.confidence) for one in loud)
    assert diagnosis.status == "critical"


def test_from_a_log_alone_the_family_is_told_as_not_checked():
    monitor = Settings().monitor(RunContext())
    unchecked = [one for one in diagnose(monitor).not_checked if one.code.startswith("CKP")]
    assert len(unchecked) == 9
    assert all("rldk checkpoint" in one.how for one in unchecked)
