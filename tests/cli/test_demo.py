import csv
import json

import pytest
from click.testing import CliRunner

from rldk.cli import main
from rldk.doctor.judge import judge
from rldk.health import Severity
from rldk.runs import open_run

pytestmark = [pytest.mark.training, pytest.mark.compat]


def test_the_demo_trains_a_model_that_learns_and_shows_what_it_recorded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "rldk_demo"
    result = CliRunner().invoke(main, ["demo"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    rewards = [event.metrics["reward_mean"] for event in open_run(folder / "demo") if event.phase == "train"]
    assert len(rewards) == 200
    assert sum(rewards[-20:]) / 20 > sum(rewards[:20]) / 20 + 0.3
    assert "200 steps recorded" in result.output
    assert "demo_events.jsonl" in result.output
    assert "runs rldk_demo\n" in result.output  # as the user would type it
    assert judge(open_run(folder / "demo")).at_least(Severity.WARNING) == []
    assert "What rldk found: nothing is wrong" in result.output
    assert judge(open_run(folder / "broken")).status == "critical"
    assert "dead-reward (REW002)" in result.output
    assert json.loads((folder / "demo_final_report.json").read_bytes())["end"]["how"] == "completed"
    with (folder / "demo_metrics.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 201
