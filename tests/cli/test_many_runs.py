"""info, export and validate over several logs at once."""

import json
import os
import pty
import subprocess
import sys

import pandas as pd
import pytest
from click.testing import CliRunner

from events import end, logged, record
from rldk.cli import main
from rldk.cli.many_runs import expanded
from rldk.schema.event import decode


def rldk(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def csv(path, losses):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("step,loss\n" + "".join(f"{step},{loss}\n" for step, loss in enumerate(losses, 1)))
    return path


@pytest.fixture
def logs(tmp_path):
    """Two runs of ours and a CSV log in one folder."""
    for name in ("first", "second"):
        end(record(tmp_path / "logs", map(logged, range(1, 4)), name))
    csv(tmp_path / "logs" / "third.csv", [0.5, 0.25])
    return tmp_path / "logs"


# Paths


def test_globs_are_expanded_by_name_and_what_exists_is_no_glob(tmp_path):
    for name in ("b.csv", "a.csv", "c[1].csv", "deep/er/d.csv"):
        csv(tmp_path / name, [1])
    names = lambda *paths: [path.name for path in expanded([tmp_path / path for path in paths])]  # noqa: E731
    assert names("*.csv") == ["a.csv", "b.csv", "c[1].csv"]
    assert names("b.csv", "?.csv") == ["b.csv", "a.csv"]
    assert names("c[1].csv") == ["c[1].csv"]
    assert names("**/d.csv") == ["d.csv"]
    assert names("none*", "none") == ["none*", "none"]


# info and validate


def test_info_tells_each_log_of_a_glob_once(logs):
    told = json.loads(rldk("info", logs / "*", "-f", "json").stdout)
    assert [about["path"] for about in told] == [
        str(logs / name) for name in ("first", "second", "third.csv")
    ]
    text = rldk("info", logs / "*").stdout
    assert [block.splitlines()[0] for block in text.split("\n\n")] == [about["path"] for about in told]


def test_validate_checks_each_log_of_a_glob_once_and_each_part(logs):
    result = rldk("validate", logs / "*")
    # A file of events is checked by itself; any other file of a run stands for the run.
    names = [line.partition(":")[0].removeprefix(f"{logs}/") for line in result.stdout.splitlines()]
    assert names == [
        *("first_events.jsonl", "first_run.json", "second_events.jsonl", "second_run.json", "third.csv")
    ]
    assert result.exit_code == 0
    record(logs / "parts", map(logged, range(1, 40)), rotate_mb=0.004, compress=True)
    parts = sorted((logs / "parts").glob("*_events*"))
    shown = rldk("validate", logs / "parts" / "*_events*").stdout.splitlines()
    assert len(shown) == len(parts) > 2
    assert (
        len(rldk("validate", logs / "first", logs / "first", logs / "first_run.json").stdout.splitlines())
        == 1
    )


@pytest.mark.parametrize("command", ["info", "validate", "export"])
def test_one_that_cannot_be_read_costs_none_of_the_others(logs, tmp_path, command):
    options = ["-o", tmp_path / "tables"] if command == "export" else []
    result = rldk(command, logs / "first", tmp_path / "none", logs / "second", *options)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"rldk: {tmp_path / 'none'} does not exist")
    if command == "export":
        assert sorted(path.name for path in options[1].iterdir()) == ["first.csv", "second.csv"]
    else:
        assert str(logs / "first") in result.stdout
        assert str(logs / "second") in result.stdout


@pytest.mark.parametrize("command", ["info", "validate", "export"])
def test_where_none_can_be_read_each_is_told(tmp_path, command):
    result = rldk(command, tmp_path / "a", tmp_path / "b*")
    assert result.exit_code == 2
    assert result.stderr.count("does not exist") == len(result.stderr.splitlines()) == 2


def test_validate_of_several_goes_by_the_worst(logs, tmp_path):
    (logs / "first_events.jsonl").write_bytes(b"torn\n")
    assert rldk("validate", logs / "first", logs / "second").exit_code == 1
    assert rldk("validate", logs / "first", logs / "second", tmp_path / "none").exit_code == 2


# export


@pytest.mark.parametrize("kind", [None, "jsonl", "parquet"])
def test_several_runs_become_a_file_each_in_a_folder(logs, tmp_path, kind):
    folder = tmp_path / "new" / "tables"
    result = rldk("export", logs / "*", "-o", folder, *(["-f", kind] if kind else []))
    assert result.exit_code == 0
    names = [f"{name}.{kind or 'csv'}" for name in ("first", "second", "third")]
    assert result.stderr.splitlines() == [
        f"{folder / name}: {count} records" for name, count in zip(names, (3, 3, 2), strict=True)
    ]
    assert sorted(path.name for path in folder.iterdir()) == names
    if kind == "jsonl":
        assert [decode(line).step for line in (folder / names[0]).read_bytes().splitlines()] == [1, 2, 3]
    else:
        read = pd.read_csv if kind is None else pd.read_parquet
        assert read(folder / names[2])["loss"].tolist() == [0.5, 0.25]


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path):
    for place, loss in (("a", 1), ("b", 2), ("x/b", 3)):
        csv(tmp_path / place / "progress.csv", [loss])
    csv(tmp_path / "a" / "other.csv", [4])
    folder = tmp_path / "tables"
    assert rldk("export", tmp_path / "**" / "*.csv", "-o", folder).exit_code == 0
    found = {path.stem: pd.read_csv(path)["loss"].tolist() for path in folder.iterdir()}
    assert found == {"a-progress": [1], "b-progress": [2], "b-progress-2": [3], "other": [4]}


def test_several_runs_without_a_folder_are_refused_and_one_needs_none(logs, tmp_path):
    (tmp_path / "file").touch()
    for output in ([], ["-o", tmp_path / "all.csv"], ["-o", tmp_path / "file"]):
        result = rldk("export", logs / "first", logs / "second", *output)
        assert result.exit_code == 2
        assert "these are 2 runs" in result.stderr
        assert "-o FOLDER" in result.stderr
    assert not (tmp_path / "all.csv").exists()
    # Six names of one run are one run.
    assert len(rldk("export", logs / "first*").stdout.splitlines()) == 4


@pytest.mark.parametrize("there", [False, True])
def test_a_single_run_goes_into_a_folder_that_is_there_or_is_named_as_one(logs, tmp_path, there):
    if there:
        (tmp_path / "tables").mkdir()
    assert rldk("export", logs / "first", "-o", f"{tmp_path / 'tables'}{'' if there else '/'}").exit_code == 0
    assert (tmp_path / "tables" / "first.csv").is_file()
    assert rldk("export", logs / "second", "-o", tmp_path / "plain").exit_code == 0
    assert (tmp_path / "plain").is_file()


def test_no_log_is_written_over_by_the_table_of_another(tmp_path):
    first, second = csv(tmp_path / "a.csv", [1]), csv(tmp_path / "sub" / "a.csv.gz", [2])
    before = first.read_bytes()
    result = rldk("export", second, first, "-o", tmp_path)
    assert result.exit_code == 0  # a-a.csv and the like: no name of a log
    second.rename(tmp_path / "sub" / "b.csv")
    result = rldk("export", tmp_path / "sub" / "b.csv", first, "-o", tmp_path)
    assert result.exit_code == 2
    assert f"{first} is the log itself" in result.stderr
    assert not (tmp_path / "b.csv").exists()
    assert first.read_bytes() == before


def test_a_table_that_fails_costs_none_of_the_others(logs, tmp_path):
    record(logs, [logged(2**63)], "huge")
    result = rldk("export", logs / "*", "-f", "parquet", "-o", tmp_path / "tables")
    assert result.exit_code == 2
    assert "rldk: record 1 has the step 9223372036854775808" in result.stderr
    assert sorted(path.stem for path in (tmp_path / "tables").iterdir()) == ["first", "second", "third"]


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="terminals are another matter here")
@pytest.mark.parametrize("command", ["info", "validate", "export"])
def test_a_long_read_shows_its_progress_with_the_name_on_a_terminal(tmp_path, command):
    record(tmp_path, map(logged, range(20_000)), "a[bold]b")
    parent, child = pty.openpty()
    options = ["-o", str(tmp_path / "out.csv")] if command == "export" else []
    with subprocess.Popen(
        [sys.executable, "-m", "rldk", command, str(tmp_path / "a[bold]b"), *options],
        stdout=subprocess.DEVNULL,
        stderr=child,
        env={**os.environ, "TERM": "xterm"},
    ) as process:
        os.close(child)
        shown = b""
        try:
            while piece := os.read(parent, 1 << 16):
                shown += piece
        except OSError:  # how Linux says that the other end is closed
            pass
    os.close(parent)
    assert process.returncode == 0
    assert b"a[bold]b" in shown
