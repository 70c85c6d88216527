import json
import sys

import pytest
from click.testing import CliRunner

from events import end, logged, record
from rldk.cli import main
from rldk.runs.adapters import adapters
from rldk.runs.opener import OURS


def rldk(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def about(*arguments):
    result = rldk("info", *arguments, "-f", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def console(path, *logs):
    path.write_text("".join(f"{log}\n" for log in logs))
    return path


def test_a_run_of_ours_is_described(tmp_path):
    end(record(tmp_path, [*map(logged, (1, 2, 3, 6)), logged(6, "eval", (), eval_loss=0.5)]))
    (found,) = about(tmp_path / "run")
    assert (found["format"], found["state"], found["records"]) == ("rldk", "ended", {"train": 4, "eval": 1})
    assert (found["first_step"], found["last_step"], found["every"], found["gaps"]) == (1, 6, 1, 1)
    assert found["known"] == ["eval_loss", "loss", "reward_mean"]
    assert found["unknown"] == []


def test_what_is_odd_about_a_log_is_said(tmp_path):
    log = console(
        tmp_path / "train.log", *({"loss": 1 / n, "mine": n, "grad_norm": 0.1} for n in range(1, 5))
    )
    shown = rldk("info", log).stdout
    assert "format     console, dialect trl" in shown
    assert "the log has no steps: rldk counts the train records" in shown
    assert "unknown    mine" in shown
    lines = [{"step": step, "loss": loss} for step, loss in ((10, 1.0), (20, 0.5), (20, 0.4), (10, "NaN"))]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + "{cut")
    (found,) = about(tmp_path / "log.jsonl")
    assert (found["repeated_steps"], found["steps_back"], found["records_with_nonfinite"]) == (1, 1, 1)
    assert found["bad_lines"] == 1
    assert "log.jsonl:5: " in found["first_bad_lines"][0]


def test_names_of_the_user_win_on_the_command_line_and_in_pyproject(tmp_path, monkeypatch):
    log = console(tmp_path / "train.log", *({"loss": 1 / n, "my/score": n, "other": n} for n in range(1, 5)))
    monkeypatch.chdir(tmp_path)
    assert about(log, "--map", "my/score=reward_mean")[0]["known"] == ["loss", "reward_mean"]
    (tmp_path / "pyproject.toml").write_text('[tool.rldk.map]\n"other" = "kl_mean"\n')
    assert about(log, "--map", "my/score=reward_mean")[0]["known"] == ["kl_mean", "loss", "reward_mean"]
    (tmp_path / "pyproject.toml").write_text("[tool.rldk.map]\nother = 5\n")
    assert rldk("info", log).exit_code == 2


def test_an_input_format_overrides_the_guess_and_an_unknown_one_names_the_known(tmp_path):
    log = console(tmp_path / "train.log", *({"loss": 1 / n} for n in range(1, 5)))
    assert about(log, "--input-format", "pairs")[0]["format"] == "pairs"
    refused = rldk("info", log, "--input-format", "nonsense")
    assert refused.exit_code == 2
    assert "trainer-state" in refused.stderr


def test_several_logs_are_told_one_after_the_other(tmp_path):
    logs = [console(tmp_path / f"{name}.log", {"loss": 1.0, "epoch": 1}) for name in "ab"]
    assert [found["path"] for found in about(*logs)] == [str(log) for log in logs]


def test_what_is_no_log_is_refused_in_one_line_that_says_what_was_tried(tmp_path):
    (tmp_path / "poem.txt").write_text("no metric\nin sight\n")
    result = rldk("info", tmp_path / "poem.txt")
    assert result.exit_code == 2
    assert "tried: rldk, " in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_an_export_of_a_foreign_log_is_a_valid_events_file(tmp_path):
    log = console(tmp_path / "train.log", *({"loss": 1 / n, "learning_rate": "1e-06"} for n in range(1, 5)))
    assert rldk("export", log, "-o", tmp_path / "events.jsonl").exit_code == 0
    checked = rldk("validate", tmp_path / "events.jsonl")
    assert (checked.exit_code, "4 events (4 train), steps 1 to 4" in checked.stdout) == (0, True)
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [event["metrics"] for event in events] == [{"loss": 1 / n, "lr": 1e-6} for n in range(1, 5)]


def test_a_foreign_log_with_a_line_that_cannot_be_read_is_not_valid(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 1, "loss": 2}\n{"step": 2, "loss": 1}\n{"step": 3, "lo\n')
    result = rldk("validate", tmp_path / "log.jsonl")
    assert result.exit_code == 1
    assert "log.jsonl:3: " in result.stdout


def jsonl(path, *records):
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    return path


def test_each_quirk_is_a_note_with_its_count(tmp_path):
    steps = (*range(1, 24), 25, 26, 26, 24, 29)
    log = jsonl(tmp_path / "log.jsonl", *({"step": step, "loss": 1.0} for step in steps))
    with log.open("a") as file:
        file.write('{"step": 30, "loss": NaN}\n{torn\n{again\n')
    result = rldk("info", log)
    assert result.exit_code == 0
    head = "  note       "
    notes = [line.removeprefix(head) for line in result.stdout.splitlines() if line.startswith(head)]
    assert notes[:5] == [
        "gaps between steps: 2",
        "train records that repeat a step: 1",
        "train records that go back to an earlier step: 1",
        "records with a value that is not finite: 1",
        "unreadable lines: 2",
    ]
    assert notes[5].startswith(f"{log}:30: ")
    assert "steps      1 to 30, every 1" in result.stdout
    (found,) = about(log)
    assert (found["gaps"], found["repeated_steps"], found["steps_back"], found["bad_lines"]) == (2, 1, 1, 2)
    assert found["steps_counted"] is False


def test_ours_as_text(tmp_path):
    record(tmp_path, [logged(10), logged(20, "train", ("nonfinite:loss=nan",), loss=None, mine=2)])
    shown = rldk("info", tmp_path).stdout.splitlines()
    assert shown[0] == str(tmp_path / "run")
    assert "  format     rldk" in shown
    assert "  algorithm  unknown" in shown
    assert "  state      unfinished" in shown
    assert "  records    2 train" in shown
    assert "  steps      10 to 20, every 10" in shown
    assert "  unknown    mine" in shown


def test_a_run_without_records_is_described_too(tmp_path):
    (tmp_path / "run_events.jsonl").touch()
    (found,) = about(tmp_path)
    assert (found["records"], found["first_step"], found["every"], found["known"]) == ({}, None, None, [])
    assert "records    none" in rldk("info", tmp_path).stdout


def test_hundreds_of_metrics_are_wrapped_and_of_thousands_the_first_are_shown(tmp_path):
    log = jsonl(tmp_path / "log.jsonl", {"step": 1, "loss": 1, **{f"my/{n:04}": n for n in range(3_000)}})
    shown = rldk("info", log).stdout
    assert max(map(len, shown.splitlines()[1:])) <= 100
    narrow = CliRunner().invoke(main, ["info", str(log)], env={"COLUMNS": "60"}).stdout
    assert max(map(len, narrow.splitlines()[1:])) <= 60
    assert narrow.split() == shown.split()
    assert [n for n in range(3_000) if f"my/{n:04}" in shown] == [*range(500)]
    assert "and 2,500 more (all of them: -f json)" in shown
    (found,) = about(log)
    assert len(found["unknown"]) == 3_000


def test_a_path_and_keys_of_hostile_characters(tmp_path):
    path = tmp_path / b"a\xff\n b".decode("utf-8", "surrogateescape")
    try:
        jsonl(path, {"step": 1, "loss": 1, "\ud800\n": 1})
    except OSError:
        pytest.skip("this file system has no such name")
    (found,) = about(path)
    assert found["known"] == ["loss"]
    for command in (["info"], ["validate"], ["validate", "-f", "json"], ["export"]):
        result = rldk(*command, path)
        assert result.exit_code == 0, (command, result.output, result.exception)


@pytest.mark.parametrize("command", ["info", "validate", "export"])
@pytest.mark.parametrize("path", ["none", "x" * 300, "empty", "folder"])
def test_what_cannot_be_read_is_one_line_and_exit_2(tmp_path, command, path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    result = rldk(command, tmp_path / path)
    if command == "validate" and path == "empty":
        assert result.exit_code == 0  # a file of no lines has no bad one
        return
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("rldk: ")
    assert isinstance(result.exception, SystemExit)


def test_a_folder_of_several_logs_lists_them(tmp_path):
    for name in ("a.jsonl", "b.jsonl"):
        jsonl(tmp_path / name, {"step": 1, "loss": 1})
    result = rldk("info", tmp_path)
    assert result.exit_code == 2
    assert f"  {tmp_path / 'a.jsonl'}\n  {tmp_path / 'b.jsonl'}\n" in result.stderr


@pytest.mark.parametrize("value", ["x", "=x", "x=", "="])
def test_a_name_that_is_no_pair_is_refused(tmp_path, value):
    result = rldk("info", tmp_path, "--map", value)
    assert result.exit_code == 2
    assert "KEY=METRIC" in result.stderr


@pytest.mark.parametrize(
    "text",
    ["tool = 5", "[tool]\nrldk = 5", "[tool.rldk]\nmap = 5", "[tool.rldk]\nmap = [1]", "torn", "\ufffe[["],
)
def test_a_pyproject_that_cannot_be_used_is_one_line(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text(text)
    result = rldk("info", jsonl(tmp_path / "log.jsonl", {"step": 1, "loss": 1}))
    assert result.exit_code == 2
    assert "[tool.rldk.map]" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("text", ["", "[tool.ruff]\na = 1", "[tool.rldk]\nother = 1", "[tool.rldk.map]"])
def test_a_pyproject_that_says_nothing_is_no_matter(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text(text)
    assert rldk("info", jsonl(tmp_path / "log.jsonl", {"step": 1, "loss": 1})).exit_code == 0


def test_samples_are_counted_or_it_is_said_why_not(tmp_path, monkeypatch):
    import pandas as pd

    log = jsonl(tmp_path / "log.jsonl", {"step": 1, "loss": 1})
    assert (about(log)[0]["samples"], "  samples  " in rldk("info", log).stdout) == (0, False)
    (tmp_path / "completions").mkdir()
    frame = pd.DataFrame(
        {"step": [1] * 2000, "prompt": ["a"] * 2000, "completion": ["b"] * 2000, "f": [0.5] * 2000}
    )
    for step in (1, 2):
        frame.to_parquet(tmp_path / "completions" / f"completions_{step:05}.parquet")
    (tmp_path / "completions" / "completions_00003.parquet").write_bytes(b"torn")
    for path in (log, tmp_path / "completions"):
        assert about(path)[0]["samples"] == 4_000
        shown = rldk("info", path).stdout
        assert "  samples    4,000\n" in shown
        assert "unreadable lines: 1" in shown
    assert rldk("validate", tmp_path / "completions").exit_code == 1
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert "  samples    Reading completions needs pyarrow. Install it with:" in rldk("info", log).stdout
    assert isinstance(about(log)[0]["samples"], str)


def test_the_help_names_every_format():
    shown = " ".join(rldk("info", "--help").stdout.split())
    assert f"Formats: {', '.join([OURS, *(adapter.name for adapter in adapters())])}." in shown


UNKNOWN = [
    {"iter": step, "train": {"entropy_of_mine": 0.5, "avg_return": step / 30}} for step in range(1, 31)
]


def test_a_log_without_a_known_key_names_the_option_that_names_them(tmp_path):
    log = jsonl(tmp_path / "mine.jsonl", *UNKNOWN)
    assert "rldk knows no key of the log: name them with --map" in rldk("info", log).stdout
    page = rldk("doctor", log).stdout
    assert "train/avg_return" in page.partition("Not checked")[0]
    (hint,) = [line for line in page.splitlines() if "--map" in line]
    assert "--map train/avg_return=reward_mean" in hint
    mapped = rldk("doctor", log, "--map", "train/avg_return=reward_mean")
    assert "--map" not in mapped.stdout
    assert mapped.stderr == ""


@pytest.mark.parametrize(
    ("pair", "hint"),
    [
        ("train/avg_return=rewrd_mean", "'rewrd_mean' is no metric of rldk (did you mean 'reward_mean'?)"),
        ("reward=train/avg_return", "'train/avg_return' is no metric of rldk; no rule of rldk reads it"),
    ],
)
def test_a_name_that_no_rule_reads_is_a_warning(tmp_path, pair, hint):
    result = rldk("info", jsonl(tmp_path / "mine.jsonl", *UNKNOWN), "--map", pair)
    assert result.exit_code == 0
    assert hint in result.stderr


def test_the_folder_one_is_in_has_a_name(tmp_path, monkeypatch):
    (tmp_path / "trainer_state.json").write_text(
        '{"log_history": [{"step": 1, "loss": 0.5}], "global_step": 1}'
    )
    monkeypatch.chdir(tmp_path)
    assert rldk("doctor", ".").stdout.split()[1] == tmp_path.name
