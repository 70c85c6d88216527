"""REW011 reward-length-correlation: runs on which it must speak, and runs on which it must be silent."""

from rldk.testing import found, line, noise

N = 160
RISING = line(0.2, 0.9, N) + noise(N, 0.04)


def test_length_that_drives_the_reward_is_said():
    length = line(50, 150, N) + noise(N, 15)
    columns = {"completion_length_mean": length, "reward_mean": length / 200 + noise(N, 0.02, seed=3)}
    finding = found(columns, "reward-length-correlation")
    assert finding.severity == "info"
    assert finding.evidence["correlation"] > 0.8


def test_two_series_that_rise_by_themselves_are_not_correlated():
    columns = {"completion_length_mean": line(50, 150, N) + noise(N, 15, seed=9), "reward_mean": RISING}
    assert found(columns, "reward-length-correlation") is None
