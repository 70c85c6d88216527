import csv
import json
import sys
from io import StringIO
from statistics import fmean

import pytest
from click.testing import CliRunner
from rich.console import Console

from events import event, record
from rldk.cli import main
from rldk.cli.demo import _activation, show, show_next
from rldk.demo_training import BROKEN_RATE, BROKEN_STEPS, STEPS
from rldk.doctor.judge import judge
from rldk.runs import RecordedRun, open_run
from rldk.schema.files import RunFiles


def printed(do, *arguments, width=80):
    page = StringIO()
    do(Console(file=page, width=width, highlight=False), *arguments)
    return page.getvalue()


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory):
    """The demo, run once: its folder and its page."""
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        result = CliRunner().invoke(main, ["demo"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return folder / "rldk_demo", result.output


def series(run, name):
    return [event.metrics[name] for event in run if event.phase == "train"]


@pytest.mark.training
@pytest.mark.compat
def test_the_healthy_training_looks_healthy_to_the_eye(demonstration):
    folder, _ = demonstration
    run = open_run(folder / "demo")
    reward, entropy = series(run, "reward_mean"), series(run, "entropy_mean")
    assert len(reward) == STEPS
    assert fmean(reward[:10]) > 0.2, "the base model can already do something"
    assert fmean(reward[-20:]) > fmean(reward[:10]) + 0.15
    assert max(series(run, "truncated_frac")) < 0.15, "completions end by themselves"
    assert 0.3 * fmean(entropy[:10]) < fmean(entropy[-10:]) < fmean(entropy[:10])
    assert fmean(series(run, "kl_mean")[-10:]) < 0.3
    # A busy machine has slow steps, and rldk says so.
    assert [one.rule for one in judge(run).findings if not one.code.startswith("SYS")] == []


@pytest.mark.training
@pytest.mark.compat
def test_the_broken_training_is_found_with_its_learning_rate_as_the_cause(demonstration):
    folder, page = demonstration
    diagnosis = judge(open_run(folder / "broken"))
    assert diagnosis.status == "critical"
    root = diagnosis.findings[0]
    assert (root.rule, root.caused_by) == ("kl-blowup", None)
    assert "learning rate is too high" in root.causes[0]
    assert f"now {BROKEN_RATE:g}" in root.remedies[0]
    assert root.onset_step < BROKEN_STEPS / 4
    assert any(one.severity == "critical" and one.caused_by == "kl-blowup" for one in diagnosis.findings)
    assert "kl-blowup (POL001)" in page


@pytest.mark.training
@pytest.mark.compat
def test_the_demo_shows_what_it_recorded_and_what_to_type_next(demonstration):
    folder, page = demonstration
    assert f"{STEPS} steps recorded" in page
    assert "demo_events.jsonl" in page
    assert "Verdict of rldk: " in page
    assert "  rldk runs rldk_demo\n" in page  # as the user would type it
    assert json.loads((folder / "demo_final_report.json").read_bytes())["end"]["how"] == "completed"
    with (folder / "demo_metrics.csv").open() as file:
        assert len(list(csv.DictReader(file))) == STEPS + 1


def test_what_to_type_next_names_the_run_that_was_just_recorded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = printed(show_next, RecordedRun(RunFiles(tmp_path / "my demo", "demo-2")))
    assert "  rldk runs 'my demo'\n" in page
    assert "  rldk doctor 'my demo/demo-2'\n" in page
    assert "  tail -n 1 'my demo/demo-2_events.jsonl'\n" in page
    runs = [RecordedRun(RunFiles(tmp_path / "my demo", name)) for name in ("demo-2", "broken-2")]
    page = printed(lambda console: show_next(console, runs[0], broken=runs[1]))
    assert "  rldk doctor 'my demo/broken-2'\n" in page


def test_in_an_environment_that_the_shell_does_not_know_the_first_command_activates_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    activate = tmp_path / ".venv" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _activation() == ["source .venv/bin/activate"]
    (tmp_path / "rldk").touch(mode=0o755)
    assert _activation() == []


@pytest.mark.parametrize(
    ("steps", "columns"),
    [(1, ["1 to 1"]), (5, ["1 to 2", "2 to 3", "4 to 5"]), (150, ["1 to 10", "71 to 80", "141 to 150"])],
)
def test_the_table_gives_means_of_the_beginning_the_middle_and_the_end(tmp_path, steps, columns):
    files = record(
        tmp_path, (event(i, reward_mean=i / 4, kl_mean=None) for i in range(1, steps + 1)), run_id="demo"
    )
    for name in (
        "metrics.csv",
        "metrics.json",
        "final_report.json",
        "run.json",
        "alerts.json",
        "samples.jsonl",
    ):
        (tmp_path / f"demo_{name}").touch()
    files.resources().touch()
    files.checkpoints.touch()
    page = printed(show, RecordedRun(files))
    assert all(f"steps {column}" in page for column in columns)
    last = fmean(range(steps - min(10, -(-steps // 3)) + 1, steps + 1)) / 4
    (line,) = (line for line in page.splitlines() if line.startswith("reward_mean"))
    assert line.split()[-1] == f"{last:.4g}"
    (line,) = (line for line in page.splitlines() if line.startswith("kl_mean"))
    assert line.split()[1:] == ["-"] * 3
