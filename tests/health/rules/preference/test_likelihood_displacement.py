"""PRF001 likelihood-displacement: runs on which it must speak, and runs on which it must be silent."""

import numpy as np

from health.rows import evaluated, finding, trains
from health.rules.preference.common import dpo
from rldk.testing import line, noise

DISPLACED = "likelihood-displacement"


def test_a_mild_fall_is_information_and_a_deep_one_a_warning():
    assert finding(dpo(chosen=-2.5), DISPLACED, "dpo").severity == "info"
    deep = finding(dpo(chosen=-12), DISPLACED, "dpo")
    assert deep.severity == "warning"
    assert "loss_weights" in " ".join(deep.remedies)


def test_a_chosen_reward_that_rises_or_stands_is_silent():
    assert finding(dpo(chosen=1.0), DISPLACED, "dpo") is None
    assert finding(dpo(rewards_chosen=np.full(150, -3.0) + noise(150, 0.1)), DISPLACED, "dpo") is None


def test_a_small_reward_is_a_deep_fall_where_beta_is_small():
    def lowered(beta):
        fall = line(0, 0.005, 150)  # 0.005 is 1.7 nats at a beta of 0.003
        logps = -1.5 - fall / 0.003 + noise(150, 0.3)
        return dpo(rewards_chosen=-fall, logps_chosen=logps), {"beta": beta}

    rows, options = lowered(0.003)
    found = finding(rows, DISPLACED, "dpo", options=options)
    assert found.severity == "warning"
    assert "times that before the training" in found.message
    assert finding(rows, DISPLACED, "dpo", options={"beta": 0.1}) is None  # then the answers differ


def test_evaluations_tell_beta_where_no_configuration_does():
    reward = -line(0, 0.3, 150)
    rows = dpo(rewards_chosen=reward, logps_chosen=-1.2 + reward / 0.3 + noise(150, 0.2))
    rewards = np.array([-0.05, -0.1, -0.2, -0.25, -0.3])
    told = evaluated(rows, 30, rewards_chosen=rewards, logps_chosen=-1.2 + rewards / 0.3)
    assert finding(told, DISPLACED, "dpo").severity == "warning"


def test_a_chosen_reward_deep_down_is_a_warning_without_a_margin():
    columns = {"rewards_chosen": line(0, -15, 100), "logps_chosen": -2 + line(0, -75, 100)}
    rows = trains(loss=np.full(100, 0.5), rewards_margins=line(0, -1.5, 100), **columns)
    assert finding(rows, DISPLACED, "kto", options={"beta": 0.2}).severity == "warning"


def test_kto_with_bad_answers_only_is_judged_by_its_evaluations():
    rows = trains(loss=line(0.5, 0.01, 100), rewards_rejected=line(0, -7, 100))
    lost = {"rewards_chosen": [-0.1, -4.6, -6.6, -7.9, -8.5], "logps_chosen": [-2, -24.8, -34, -41, -44]}
    assert finding(evaluated(rows, 20, **lost), DISPLACED, "kto", options={"beta": 0.2}).severity == "warning"
    held = {"rewards_chosen": [-0.01] * 5, "logps_chosen": [-2.0] * 5}
    assert finding(evaluated(rows, 20, **held), DISPLACED, "kto", options={"beta": 0.2}) is None
