"""SYS001 resume-jump: runs on which it must speak, and runs on which it must be silent."""

import pytest

from health.rules.system.common import of_rule
from rldk.health import Observation, RunContext, Settings, diagnose
from rldk.testing import line, noise


def attempts(rate_after, reward_after=0.5, at=50, again=50):
    """60 records, then a resume from step `again`."""
    scatter = noise(120, 0.03)
    for record in range(60):
        yield Observation(record + 1, "log", {"lr": 1e-4, "reward_mean": 0.5 + scatter[record]})
    for record in range(40):
        values = {"lr": rate_after, "reward_mean": reward_after + scatter[60 + record]}
        yield Observation(again + record + 1, "log", values, resumed_from=again if record == 0 else None)


def test_another_learning_rate_is_named_at_once():
    finding = of_rule(attempts(1e-3), "resume-jump")
    assert finding.severity == "warning"
    assert (finding.onset_step, finding.first_step) == (51, 51)
    assert "over" not in finding.message


def test_a_longer_schedule_is_information():
    def longer(options, rate):
        past = [({"lr": 2e-5 * (1 - i / 100), "epoch": i / 100}, None) for i in range(98)]
        rows = [*past, ({"lr": rate, "epoch": 0.98}, 98)]
        monitor = Settings().monitor(RunContext(algorithm="sft", options=options))
        for i, (values, resumed) in enumerate(rows):
            monitor.observe(Observation(i + 1, "log", values, resumed_from=resumed))
        found = diagnose(monitor).findings
        return next(one for one in found if one.rule == "resume-jump").severity

    assert longer({"learning_rate": 2e-5, "num_train_epochs": 2}, 1.02e-5) == "info"
    assert longer({"learning_rate": 2e-5, "num_train_epochs": 2}, 2e-5) == "warning"
    assert longer({"learning_rate": 2e-4, "num_train_epochs": 2}, 1.02e-4) == "warning"


def test_a_level_that_is_lost_is_named_after_ten_records():
    finding = of_rule(attempts(1e-4, reward_after=0.2), "resume-jump")
    assert finding.severity == "warning"
    assert (finding.onset_step, finding.first_step) == (51, 60)


@pytest.mark.parametrize("again", [50, 60])
def test_a_resume_that_goes_on_is_silent(again):
    assert of_rule(attempts(1e-4, again=again), "resume-jump") is None


def test_a_schedule_that_moves_on_is_no_jump():
    rates = line(1e-4, 1e-6, 100)
    scatter = noise(140, 0.03)
    run = [
        Observation(
            step, "log", {"lr": rates[step - 1], "reward_mean": 0.5 + scatter[i]}, resumed_from=resumed
        )
        for i, (step, resumed) in enumerate(
            [(step, None) for step in range(1, 81)]
            + [(step, 60 if step == 61 else None) for step in range(61, 101)]
        )
    ]
    assert of_rule(run, "resume-jump") is None
