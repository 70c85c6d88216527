"""Names of the files of a run."""

import gzip
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import event, lines, write_run
from rldk.schema import files as files_module
from rldk.schema.files import RunFiles, list_runs, remove_leftovers, replacing, runs_in, safe_run_id

any_text = st.text(st.characters(exclude_categories=()), max_size=300)


@given(any_text)
def test_a_safe_run_id_is_a_plain_file_name_whatever_it_was_made_from(name):
    safe = safe_run_id(name)
    assert 0 < len(safe.encode()) <= 160
    assert not set(safe) & set('/\\:*?"<>|\0\n\r\t')
    assert safe == safe.strip()
    assert not safe.startswith(".")
    assert safe.isprintable()
    assert safe_run_id(safe) == safe


@given(any_text)
def test_the_file_of_a_safe_run_id_names_its_run(name):
    files = RunFiles(Path("logs"), safe_run_id(name))
    for path in (files.events, files.part(3), files.alerts, files.run, files.metrics_csv, files.final_report):
        assert RunFiles.of(path) == files


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("my_run", "my_run"),
        ("Qwen/Qwen2-0.5B", "Qwen-Qwen2-0.5B"),
        ("my run", "my run"),
        ("..", "run"),
        ("../../etc/passwd", "etc-passwd"),
        (" . hidden ", "hidden"),
        ("", "run"),
        ("läuft 🚀", "läuft 🚀"),
        ("a\nb", "a-b"),
        ("v1.2.3", "v1.2.3"),
        ("x" * 300, "x" * 160),
        ("é" * 300, "é" * 80),
    ],
)
def test_a_run_id_becomes_a_file_name(name, safe):
    assert safe_run_id(name) == safe


def test_runs_are_found_by_any_of_their_events_or_their_run_file(tmp_path):
    write_run(tmp_path, event(1), run_id="b")
    RunFiles(tmp_path, "a").run.write_text("{}")
    RunFiles(tmp_path, "c").part(1).write_bytes(lines(event(1)))
    (tmp_path / "d_events.0001.jsonl.gz").write_bytes(gzip.compress(lines(event(1))))
    (tmp_path / "notes.txt").write_text("no run")
    (tmp_path / "_run.json").write_text("{}")
    assert [files.run_id for files in runs_in(tmp_path)] == ["a", "b", "c", "d"]


def test_a_missing_folder_holds_no_runs(tmp_path):
    assert runs_in(tmp_path / "none") == []
    assert not RunFiles(tmp_path / "none", "run").exist()


def test_parts_are_ordered_by_number_with_the_live_one_last(tmp_path):
    files = write_run(tmp_path, event(1))
    for number in (10_000, 2, 9999, 1):
        files.part(number).write_bytes(b"")
    (tmp_path / "run_events.0003.jsonl.gz").write_bytes(b"")
    (tmp_path / "run_events.1.jsonl").write_bytes(b"")  # not ours: parts have four digits
    (tmp_path / "run-2_events.0004.jsonl").write_bytes(b"")
    found = [path.name.removeprefix("run_events.") for path in files.parts()]
    assert found == ["0001.jsonl", "0002.jsonl", "0003.jsonl.gz", "9999.jsonl", "10000.jsonl", "jsonl"]
    assert files.last_part() == 10_000


def test_a_part_that_is_there_twice_is_listed_once_as_the_plain_one(tmp_path):
    files = RunFiles(tmp_path, "run")
    files.part(1).write_bytes(b"")
    files.part(1).with_name("run_events.0001.jsonl.gz").write_bytes(b"torn")
    assert files.parts() == [files.part(1)]


def test_a_run_exists_once_any_of_its_files_does(tmp_path):
    for name in ("run", "alerts", "final_report", "metrics_csv", "metrics_json", "events"):
        files = RunFiles(tmp_path, name)
        assert not files.exist()
        getattr(files, name).write_text("")
        assert files.exist()
        assert files.existing() == [getattr(files, name)]


def test_a_lock_alone_is_no_run(tmp_path):
    files = RunFiles(tmp_path, "run")
    files.lock.write_text("")
    assert not files.exist()
    assert runs_in(tmp_path) == []


KINDS = (
    "events.jsonl",
    "events.0001.jsonl.gz",
    "run.json",
    "alerts.json",
    "samples.jsonl",
    "crash.txt",
    "crash.rank1.txt",
    "resources.rank0.jsonl",
    "resources.rank1.jsonl",
)


@pytest.fixture
def looks(monkeypatch):
    """The folders that were listed, one entry a look."""
    found = []
    for name in ("listdir", "scandir"):
        look = getattr(os, name)
        monkeypatch.setattr(os, name, lambda folder=".", look=look: found.append(folder) or look(folder))
    return found


def test_the_listing_of_a_folder_holds_what_each_run_would_find_alone(tmp_path):
    for run in ("r", "r-2", "r-20", "other"):
        for kind in KINDS:
            (tmp_path / f"{run}_{kind}").touch()
    (tmp_path / "only_samples.jsonl").touch()
    (tmp_path / "notes.txt").touch()
    found = list_runs(tmp_path)
    assert [files.run_id for files in found] == ["only", "other", "r", "r-2", "r-20"]
    for files, listing in found.items():
        assert listing.numbered_parts == files.numbered_parts()
        assert listing.paths == files.existing()
    assert [path.name for path in RunFiles(tmp_path, "r").existing()] == [
        "r_events.0001.jsonl.gz",
        "r_events.jsonl",
        "r_run.json",
        "r_alerts.json",
        "r_samples.jsonl",
        "r_crash.txt",
        "r_crash.rank1.txt",
        "r_resources.rank0.jsonl",
        "r_resources.rank1.jsonl",
    ]
    assert RunFiles(tmp_path, "r").ranks() == [0, 1]
    assert [files.run_id for files in runs_in(tmp_path)] == ["other", "r", "r-2", "r-20"]


def test_a_prefix_leaves_out_the_files_of_other_runs(tmp_path):
    for run in ("r", "r-2", "other"):
        (tmp_path / f"{run}_run.json").touch()
    assert [files.run_id for files in list_runs(tmp_path, "r-")] == ["r-2"]


@pytest.mark.parametrize("runs", [1, 50])
def test_all_runs_cost_one_look_at_the_folder(tmp_path, looks, runs):
    for number in range(runs):
        for kind in KINDS:
            (tmp_path / f"r-{number}_{kind}").touch()
    for look in (runs_in, list_runs):
        looks.clear()
        assert len(look(tmp_path)) == runs
        assert looks == [tmp_path]
    files = RunFiles(tmp_path, "r-0")
    for look in (files.existing, files.parts, files.ranks, files.last_part):
        looks.clear()
        assert look() is not None
        assert looks == [tmp_path]


def test_a_run_in_a_folder_that_may_not_be_listed_exists(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(folder)

    files = write_run(tmp_path, event(1))
    monkeypatch.setattr(os, "listdir", refuse)
    assert files.exist()
    assert not RunFiles(tmp_path, "other").exist()


def test_replacing_shows_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "file.json"
    path.write_text("old")
    with replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_replacing_keeps_the_old_file_and_leaves_no_other_when_the_block_fails(tmp_path):
    path = tmp_path / "file.json"
    path.write_text("old")

    def fail():
        with replacing(path) as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_under_a_temporary_name_is_never_followed(tmp_path, monkeypatch):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    monkeypatch.setattr("rldk.schema.files.os.urandom", bytes)
    with replacing(tmp_path / "file") as file:
        beside = Path(file.name) if isinstance(file.name, str) else next(tmp_path.glob(".file.*.tmp"))
    beside.symlink_to(victim)
    with pytest.raises(FileExistsError), replacing(tmp_path / "file") as file:
        file.write(b"report")
    assert victim.read_text() == "mine"
    assert beside.is_symlink()


def test_temporary_files_of_dead_processes_are_removed_and_no_others(tmp_path):
    files = RunFiles(tmp_path, "run")
    dead = subprocess.Popen(["true"])
    dead.wait()

    def beside(name, process, place=None):
        path = tmp_path / f".{name}.{place or files_module._process_space()}-{process}-00000000.tmp"
        path.touch()
        return path

    left = [beside("run_events.0016.jsonl.gz", dead.pid), beside("run_run.json", dead.pid)]
    old = beside("run_metrics.csv", dead.pid, "00000000")
    os.utime(old, (0, 0))
    kept = [
        beside("run_run.json", os.getpid()),
        beside("run-2_run.json", dead.pid),
        beside("run_2_run.json", dead.pid),
        beside("run_run.json", dead.pid, "00000000"),
        tmp_path / ".run_run.json.tmp",
    ]
    kept[-1].touch()
    remove_leftovers(files)
    assert not any(path.exists() for path in [*left, old])
    assert all(path.exists() for path in kept)


def test_a_file_that_is_to_survive_a_loss_of_power_is_synced_before_it_is_renamed(tmp_path, monkeypatch):
    calls, replace = [], os.replace
    monkeypatch.setattr("rldk.schema.files.os.fsync", lambda _: calls.append("fsync"))
    monkeypatch.setattr(
        "rldk.schema.files.os.replace", lambda *paths: (calls.append("replace"), replace(*paths))
    )
    with replacing(tmp_path / "file", durably=True) as file:
        file.write(b"x")
    assert calls == ["fsync", "replace", "fsync"]
