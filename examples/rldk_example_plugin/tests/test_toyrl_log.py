"""Logs of ToyRL become runs."""

import pytest

from rldk import open_run
from rldk.errors import UnknownFormatError
from rldk.runs.adapters import Probe
from rldk_example_plugin.toyrl_log import ADAPTER

LOG = """\
[iteration 10]
return/avg = 0.25
seed = 7

[iteration 20]
return/avg = 0.5
policy/kl = nan
"""


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "toyrl.log"
    path.write_text(LOG)
    return path


def test_each_iteration_is_a_record_under_the_names_of_rldk(log):
    first, second = open_run(log, input_format=ADAPTER)
    assert (first.step, first.metrics) == (10, {"reward_mean": 0.25, "seed": 7.0})
    assert (second.step, second.metrics) == (20, {"reward_mean": 0.5, "kl_mean": None})
    assert list(dict(second.nonfinite())) == ["kl_mean"]


def test_a_line_of_another_kind_is_reported(log):
    log.write_text(LOG + "Traceback (most recent call last):\n")
    run = open_run(log, input_format=ADAPTER)
    assert len(list(run)) == 2
    (bad,) = run.bad_lines
    assert (bad.number, bad.reason) == (8, "neither [iteration N] nor key = number")


def test_it_is_sure_of_its_own_logs_alone(log, tmp_path):
    assert ADAPTER.confidence(Probe(log)) > 0.5
    (tmp_path / "settings.ini").write_text("[trainer]\nseed = 7\n")
    (tmp_path / "empty").touch()
    for name in ("settings.ini", "empty"):
        assert ADAPTER.confidence(Probe(tmp_path / name)) == 0
        with pytest.raises(UnknownFormatError):
            open_run(tmp_path / name)
