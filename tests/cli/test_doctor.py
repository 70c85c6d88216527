import json
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from events import event, record
from recording_one import begin
from rldk.cli import main
from rldk.health import Finding, NotChecked
from rldk.lock import RunLock
from rldk.recording.writer import JsonlWriter
from rldk.runs import RecordedRun
from rldk.schema.event import encode
from stories import collapsing, learning, write


def rldk(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def ill(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ill")
    write(folder, collapsing(), "my_run")
    return folder


def test_a_run_is_judged_by_one_reading_of_its_run_file(ill, monkeypatch):
    read, reading = [], Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path.name) or reading(path))
    assert rldk("doctor", ill).exit_code == 1
    assert read.count("my_run_run.json") == 1


@pytest.fixture(scope="module")
def well(tmp_path_factory):
    folder = tmp_path_factory.mktemp("well")
    write(folder, learning(), "my_run")
    return folder


def strict(text):
    def refuse(word):
        raise ValueError(word)

    return json.loads(text, parse_constant=refuse)


def test_an_ill_run_is_named_with_onset_causes_remedies_and_what_to_type(ill):
    result = rldk("doctor", ill)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].startswith("CRITICAL  my_run · grpo · 300 records, steps 1 to 300 · ended")
    assert "since step 15" in " ".join(lines[1:3])
    page = result.stdout
    for part in ("Likely because", "Do this", "    1. ", "Last good step: 1", "This explains", "│ onset"):
        assert part in page, part
    assert "rldk rules " in page
    assert "Is this normal?" not in page  # no "yes" stands under a critical finding
    assert result.stderr == ""


def test_a_healthy_run_is_a_short_page_and_exit_0(well):
    result = rldk("doctor", well)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("HEALTHY  my_run")
    assert "Likely because" not in result.stdout
    assert len(result.stdout.splitlines()) < 45
    assert "Is a loss near 0 normal? Yes" in result.stdout


def test_the_json_is_the_object_of_the_design_and_nothing_else(ill):
    result = rldk("doctor", ill, "--format", "json")
    assert result.exit_code == 1
    found = strict(result.stdout)
    assert list(found) == ["rldk", "run", "status", "findings", "not_checked"]
    assert found["run"] == {
        "source": str(ill),
        "format": "rldk",
        "dialect": "trl",
        "algorithm": "grpo",
        "records": 300,
        "first_step": 1,
        "last_step": 300,
        "ended": True,
    }
    assert found["status"] == "critical"
    for finding in found["findings"]:
        assert tuple(finding) == Finding.__struct_fields__
    for entry in found["not_checked"]:
        assert tuple(entry) == NotChecked.__struct_fields__
    assert msgspec.convert(found["findings"], list[Finding])


def test_evidence_that_is_not_finite_is_spelled_out(tmp_path):
    events = [
        event(step, "train", ("nonfinite:grad_norm=nan", "nonfinite:loss=inf"), loss=None, grad_norm=None)
        if step > 20
        else event(step, loss=1 / step, grad_norm=1.0)
        for step in range(1, 41)
    ]
    record(tmp_path, events)
    result = rldk("doctor", tmp_path, "-f", "json")
    found = strict(result.stdout)
    assert "non-finite" in [finding["rule"] for finding in found["findings"]]
    assert result.exit_code == 1
    page = rldk("doctor", tmp_path).stdout
    assert "! not finite" in page
    assert "!!!!" in page
    assert re.search(r"^loss +1 +0.05 +inf ", page, re.MULTILINE)


def test_several_paths_are_an_array_and_pages_one_after_the_other(ill, well):
    both = strict(rldk("doctor", ill, well, "-f", "json").stdout)
    assert [found["status"] for found in both] == ["critical", "healthy"]
    pages = rldk("doctor", ill, well).stdout
    assert pages.index("CRITICAL  my_run") < pages.index("HEALTHY  my_run")


def test_one_path_that_cannot_be_read_does_not_hide_the_others(ill, tmp_path):
    result = rldk("doctor", ill, tmp_path / "none", "-f", "json")
    assert result.exit_code == 2
    assert [found["status"] for found in strict(result.stdout)] == ["critical"]
    assert len(result.stderr.splitlines()) == 1


def test_globs_and_the_same_run_twice(ill, tmp_path):
    for name in ("a", "b"):
        write(tmp_path, learning(30), name)
    every = strict(rldk("doctor", tmp_path / "*", "-f", "json").stdout)
    assert [found["run"]["records"] for found in every] == [30, 30]
    for again in (ill, ill / "my_run"):
        assert len(strict(rldk("doctor", ill, again, "-f", "json").stdout)) == 1
    assert rldk("doctor", tmp_path / "*", "--follow").exit_code == 2


@pytest.mark.parametrize(
    ("fail_on", "code"), [("info", 1), ("warning", 1), ("critical", 1), ("never", 0), (None, 1)]
)
def test_the_exit_code_goes_by_fail_on(ill, fail_on, code):
    options = [] if fail_on is None else ["--fail-on", fail_on]
    assert rldk("doctor", ill, *options).exit_code == code


def test_what_is_only_information_fails_only_when_asked_to(tmp_path):
    write(tmp_path, (event(s, reward_mean=0.5 + 0.01 * (s % 7), loss=0.1) for s in range(1, 201)))
    result = rldk("doctor", tmp_path, "--select", "no-learning")
    assert (result.exit_code, result.stdout[:4]) == (0, "INFO")
    assert "No alarm." in result.stdout
    assert rldk("doctor", tmp_path, "--select", "no-learning", "--fail-on", "info").exit_code == 1


def test_annotations_are_one_escaped_line_a_finding(ill, tmp_path):
    lines = rldk("doctor", ill, "-f", "github").stdout.splitlines()
    found = strict(rldk("doctor", ill, "-f", "json").stdout)["findings"]
    assert len(lines) == len(found)
    level = {"critical": "error", "warning": "warning", "info": "notice"}
    for line, finding in zip(lines, found, strict=True):
        head, _, message = line.removeprefix("::").partition("::")
        assert head.startswith(
            f"{level[finding['severity']]} title={finding['code']} {finding['rule']}%3A my_run"
        )
        assert "%0A1. " in message
        assert "% " not in message
    write(tmp_path, learning())
    assert rldk("doctor", tmp_path, "-f", "github").stdout.startswith(
        "::notice title=rldk%3A run::These metrics show no problem"
    )


def test_a_hostile_name_breaks_no_format(tmp_path):
    log = tmp_path / "a%\x1b[31m,b:`@me`|<b>.jsonl"
    name = "rewards/\x1b[2J@everyone|<script>`x`\n::error::boo/mean"
    with log.open("w") as file:
        for step in range(1, 80):
            row = {"step": step, "reward": 0.0, "reward_std": 0.0, "kl": 0.0, name: 0.0, "loss": 0.0}
            file.write(json.dumps(row) + "\n")
    for kind in ("terminal", "json", "markdown", "github"):
        result = rldk("doctor", log, "-f", kind, "--algorithm", "grpo")
        assert result.exit_code in (0, 1), result.output
        assert "\x1b" not in result.stdout, kind
    annotations = rldk("doctor", log, "-f", "github").stdout.splitlines()
    assert all(line.split(" ")[0] in ("::error", "::warning", "::notice") for line in annotations)
    assert all("a%25\\x1b[31m%2Cb%3A" in line.split("::")[1] for line in annotations)
    comment = rldk("doctor", log, "-f", "markdown").stdout
    assert "<b>" not in comment.replace("\\<b\\>", "")
    assert "@me" not in comment
    assert "@everyone" not in comment
    assert "<script>" not in comment


def test_a_pipe_gets_no_colour_and_80_columns(ill, tmp_path):
    long = tmp_path / ("a_run_of_a_very_long_name_" * 6)
    write(long.parent, collapsing(), long.name)
    for path in (ill, long):
        done = subprocess.run(
            [sys.executable, "-m", "rldk", "doctor", str(path)],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": "/usr/bin", "PYTHONPATH": ":".join(sys.path), "COLUMNS": "80"},
        )
        assert done.returncode == 1, done.stderr
        assert "\x1b" not in done.stdout
        to_type = [line for line in done.stdout.splitlines() if line.startswith("  rldk ")]
        assert any(str(path) in line for line in to_type)
        others = [line for line in done.stdout.splitlines() if line not in to_type]
        assert max(map(len, others)) <= 80
        assert all(line == line.rstrip() for line in done.stdout.splitlines())


def test_a_stream_without_the_characters_gets_question_marks(ill):
    for command in (["doctor"], ["doctor", "-f", "markdown"], ["explain", "loss"]):
        done = subprocess.run(
            [sys.executable, "-m", "rldk", *command, str(ill)],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": "/usr/bin", "PYTHONPATH": ":".join(sys.path), "PYTHONIOENCODING": "ascii"},
        )
        assert "Traceback" not in done.stderr, (command, done.stderr)
        assert len(done.stdout.splitlines()) > 20


def test_no_color_is_heeded_on_a_terminal(ill):
    from io import StringIO

    from rich.console import Console

    from rldk.report.examination import examine
    from rldk.report.terminal import print_page
    from rldk.runs import open_run

    def page(**options):
        run = open_run(ill)
        console = Console(file=StringIO(), force_terminal=True, width=80, **options)
        print_page(console, examine(run, run.settings().monitor(run.context()), source=str(ill)))
        return console.file.getvalue()

    assert "\x1b[1;31m" in page(color_system="standard")
    assert "31m" not in page(no_color=True)


@pytest.mark.parametrize("path", ["none", "empty", "junk", "folder"])
def test_what_cannot_be_read_is_one_line_and_exit_2(tmp_path, path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    (tmp_path / "junk").write_bytes(bytes(range(256)) * 9)
    result = rldk("doctor", tmp_path / path, "-f", "json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1


def test_a_folder_of_several_runs_lists_them(tmp_path):
    for name in ("a", "b"):
        write(tmp_path, learning(3), name)
    result = rldk("doctor", tmp_path)
    assert result.exit_code == 2
    assert f"{tmp_path / 'a'}\n" in result.stderr


def test_a_run_without_records_has_too_little_to_judge(tmp_path):
    (tmp_path / "run_events.jsonl").touch()
    result = rldk("doctor", tmp_path)
    assert result.exit_code == 0
    assert result.stdout.startswith("INSUFFICIENT-DATA  run · no train records")
    assert "rldk cannot judge it" in result.stdout
    found = strict(rldk("doctor", tmp_path, "-f", "json").stdout)
    assert (found["status"], found["findings"], found["run"]["records"]) == ("insufficient-data", [], 0)
    assert found["not_checked"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--select", "nonsense"], "no rule 'nonsense'"),
        (["--select", ","], "name a rule"),
        (["--ignore", "reward-colapse"], "reward-collapse"),
        (["--threshold", "no-learning.records"], "RULE.OPTION=VALUE"),
        (["--threshold", "no-learning.record=3"], "it has: "),
        (["--threshold", "no-learning.records=many"], "Expected `int`"),
        (["--threshold", "nonsense.records=3"], "no rule 'nonsense'"),
        (["--algorithm", "grop"], "grpo"),
        (["--format", "xml"], "xml"),
        (["--fail-on", "high"], "high"),
    ],
)
def test_wrong_arguments_exit_2_and_name_what_was_meant(well, arguments, said):
    result = rldk("doctor", well, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in " ".join(result.stderr.split())


def test_rules_are_chosen_by_name_code_and_family_and_thresholds_are_set(ill, well):
    def rules(*options):
        return {f["rule"] for f in strict(rldk("doctor", ill, "-f", "json", *options).stdout)["findings"]}

    assert rules("--select", "reward-collapse,no-learning") == {"reward-collapse"}
    assert rules("--select", "REW007", "--select", "no-learning") == {"reward-collapse"}
    assert "reward-collapse" not in rules("--ignore", "REW")
    assert rules("--select", "REW007", "--threshold", "reward-collapse.records=1000") == set()
    changed = rldk("doctor", well, "--select", "no-learning", "--threshold", "REW003.gain=1e9", "-f", "json")
    assert strict(changed.stdout)["status"] in ("info", "healthy")


def test_the_settings_of_the_recording_hold_where_none_are_given(tmp_path):
    files = write(tmp_path, collapsing())
    info = msgspec.json.decode(files.run.read_bytes())
    info["attempts"][0]["judging"] = {"ignore": ["REW", "GEN"]}
    files.run.write_bytes(msgspec.json.encode(info))
    assert rldk("doctor", tmp_path).exit_code == 0
    assert rldk("doctor", tmp_path, "--ignore", "OPT").exit_code == 1


def test_a_log_that_does_not_tell_its_algorithm_is_judged_as_one(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps({"step": s, "loss": 1 / s}) + "\n" for s in range(1, 60)))
    told = [strict(rldk("doctor", log, "-f", "json", *o).stdout) for o in ([], ["--algorithm", "SFT"])]
    assert [found["run"]["algorithm"] for found in told][1] == "sft"
    assert "overfitting" in {e["rule"] for e in told[1]["not_checked"]} or told[1]["status"] == "healthy"


def test_a_live_run_is_followed_alert_by_alert_until_its_end(tmp_path):
    events = list(collapsing())
    files = write(tmp_path, iter(events[:100]), end=None)
    lock = RunLock.acquire(files.lock)

    def train():
        writer = JsonlWriter(files)
        for one in events[100:]:
            writer.write(encode(one))
        writer.close()
        time.sleep(0.3)
        lock.release()

    trainer = threading.Thread(target=train)
    trainer.start()
    result = rldk("doctor", tmp_path, "--follow")
    trainer.join()
    assert result.exit_code == 1
    alerts, _, page = result.stdout.partition("CRITICAL  run · grpo")
    assert "reward-collapse at step 1" in alerts
    assert all(line.split()[0] in ("INFO", "WARNING", "CRITICAL") for line in alerts.splitlines())
    assert "no end recorded" in page
    after = rldk("doctor", tmp_path)
    assert after.stdout == f"CRITICAL  run · grpo{page}"
    quiet = rldk("doctor", tmp_path, "--follow", "-f", "json")
    assert strict(quiet.stdout)["status"] == "critical"
    assert "reward-collapse at step 1" in quiet.stderr


def test_ctrl_c_ends_the_following_with_the_page(ill, monkeypatch):
    def follow(run):
        yield from list(run)[:200]
        raise KeyboardInterrupt

    monkeypatch.setattr(RecordedRun, "follow", follow)
    result = rldk("doctor", ill, "--follow")
    assert result.exit_code == 1
    assert "stopped following" in result.stderr
    assert "CRITICAL  my_run" in result.stdout


def test_few_records_are_too_little(tmp_path):
    write(tmp_path, learning(1))
    shown = rldk("doctor", tmp_path).stdout
    assert "1 train record is too few to judge: most rules need 20." in " ".join(shown.split())


def test_following_is_for_one_run_of_ours(ill, well, tmp_path):
    assert rldk("doctor", ill, well, "--follow").exit_code == 2
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 1, "loss": 1}\n{"step": 2, "loss": 1}\n')
    result = rldk("doctor", log, "--follow")
    assert result.exit_code == 2
    assert "--follow needs a run of rldk" in result.stderr


def test_lines_that_cannot_be_read_are_told(tmp_path):
    files = write(tmp_path, learning())
    with files.events.open("ab") as file:
        file.write(b"{torn\n")
    assert "rldk could not read 1 line of the log." in rldk("doctor", tmp_path).stdout
    assert "rldk could not read 1 line of the log." in rldk("doctor", tmp_path, "-f", "markdown").stdout


def test_verbose_lists_everything_that_was_not_checked(well):
    short, long = rldk("doctor", well).stdout, rldk("doctor", well, "--verbose").stdout
    every = strict(rldk("doctor", well, "-f", "json").stdout)["not_checked"]
    assert all(entry["rule"] in " ".join(long.split()) for entry in every)
    assert "--verbose lists them" in short
    assert "--verbose" not in long


def test_a_run_that_died_before_its_first_record_is_judged(tmp_path):
    recorder = begin(tmp_path)
    recorder.end("exception", "KeyError: 'answer'")
    result = CliRunner().invoke(main, ["doctor", str(tmp_path / "run"), "--format", "json"])
    assert result.exit_code == 1
    (finding,) = json.loads(result.stdout)["findings"]
    assert finding["rule"] == "crash"
    assert "KeyError: 'answer'" in finding["message"]
