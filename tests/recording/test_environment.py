"""What a run ran on."""

import json
import os
import subprocess
import sys
import threading

import pytest

import rldk
from processes import run_script
from recording.nvml import LOST, RecordedNVML, gpu
from rldk.recording import environment as module
from rldk.recording.environment import environment, git_state

GIT = ["git", "-c", "user.name=me", "-c", "user.email=me@example.org", "-c", "protocol.file.allow=always"]


def git(folder, *arguments):
    return subprocess.run(
        [*GIT, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-b", "main")
    git(folder, "commit", "--allow-empty", "-m", "first")
    return folder


def test_it_describes_this_process_in_plain_json():
    found = json.loads(json.dumps(environment()))
    assert found["pid"] == os.getpid()
    assert found["cpus"] == os.cpu_count()
    assert found["memory_bytes"] > 0
    assert found["versions"]["rldk"] == rldk.__version__
    assert "numpy" in found["versions"]
    assert found["command"][0] == sys.executable
    assert found["folder"] == os.getcwd()
    assert set(found["git"]) == {"sha", "branch"}
    assert isinstance(found["devices"], list)


def test_secrets_on_the_command_line_are_blanked(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "--hub_token", "s3cret"])
    assert "s3cret" not in json.dumps(environment())


def test_looking_initialises_no_framework():
    result = run_script(
        """
        import sys
        from rldk.recording.environment import environment
        assert environment()["versions"]["torch"]
        print([name for name in ("torch", "transformers", "trl", "numpy") if name in sys.modules])
        """
    )
    assert result.stdout == "[]\n", result.stderr


def test_a_folder_that_was_deleted_is_unknown(tmp_path):
    result = run_script(
        """
        import json, os, sys
        from rldk.recording.environment import environment
        folder = os.path.join(sys.argv[1], "gone")
        os.mkdir(folder)
        os.chdir(folder)
        os.rmdir(folder)
        found = environment()
        print(json.dumps([found["folder"], found["git"]]))
        """,
        tmp_path,
    )
    assert json.loads(result.stdout) == [None, {"sha": None, "branch": None}], result.stderr


def test_a_branch_is_found_from_a_folder_below(repository):
    below = repository / "a" / "b"
    below.mkdir(parents=True)
    assert git_state(below) == {"sha": git(repository, "rev-parse", "HEAD"), "branch": "main"}


def test_a_branch_with_slashes_keeps_its_name(repository):
    git(repository, "checkout", "-b", "feature/one")
    assert git_state(repository)["branch"] == "feature/one"


def test_a_detached_head_has_no_branch(repository):
    sha = git(repository, "rev-parse", "HEAD")
    git(repository, "checkout", "--detach")
    assert git_state(repository) == {"sha": sha, "branch": None}


def test_packed_references_are_read(repository):
    git(repository, "pack-refs", "--all")
    assert not (repository / ".git/refs/heads/main").exists()
    assert git_state(repository)["sha"] == git(repository, "rev-parse", "HEAD")


@pytest.mark.parametrize("packed", [False, True])
def test_a_worktree_has_a_branch_of_its_own(repository, tmp_path, packed):
    git(repository, "worktree", "add", "-b", "side", str(tmp_path / "side"))
    git(tmp_path / "side", "commit", "--allow-empty", "-m", "second")
    if packed:
        git(repository, "pack-refs", "--all")
    sha = git(tmp_path / "side", "rev-parse", "HEAD")
    assert sha != git(repository, "rev-parse", "HEAD")
    assert git_state(tmp_path / "side") == {"sha": sha, "branch": "side"}


def test_a_submodule_has_a_head_of_its_own(repository, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-b", "trunk")
    git(other, "commit", "--allow-empty", "-m", "of the other")
    git(repository, "submodule", "add", str(other), "sub")
    assert git_state(repository / "sub")["sha"] == git(other, "rev-parse", "HEAD")


def test_a_repository_without_a_commit_has_a_branch_only(tmp_path):
    git(tmp_path, "init", "-b", "main")
    assert git_state(tmp_path) == {"sha": None, "branch": "main"}


@pytest.mark.parametrize("head", [None, b"\xff\xfe"])
def test_a_broken_repository_is_unknown(tmp_path, head):
    (tmp_path / ".git").mkdir()
    if head:
        (tmp_path / ".git" / "HEAD").write_bytes(head)
    assert git_state(tmp_path) == {"sha": None, "branch": None}


def described(name, **changed):
    return gpu(nvmlDeviceGetName=name, **changed)


def nvml(monkeypatch, *gpus, **options):
    monkeypatch.setitem(sys.modules, "pynvml", RecordedNVML(gpus, **options))


def test_a_gpu_that_is_lost_leaves_the_others(monkeypatch):
    odd = described("odd", nvmlDeviceGetMemoryInfo=LOST)
    nvml(monkeypatch, described("first"), LOST, odd, described("last"))
    assert [device["name"] for device in environment()["devices"]] == ["first", "last"]


def test_without_a_driver_there_are_no_devices(monkeypatch):
    nvml(monkeypatch, described("first"), start=LOST)
    assert environment()["devices"] == []


def test_a_driver_that_hangs_costs_a_training_no_more_than_what_it_does_not_tell(monkeypatch):
    monkeypatch.setattr(module, "DRIVER_SECONDS", 0.2)
    goes_on, asked = threading.Event(), threading.Event()

    class Hanging(RecordedNVML):
        def _answer(self, name, *args):
            if name == "nvmlDeviceGetHandleByIndex" and args[0] == 1:
                asked.set()
                goes_on.wait()
            return super()._answer(name, *args)

    monkeypatch.setitem(sys.modules, "pynvml", Hanging([described("first"), described("second")]))
    told = environment()["devices"]
    assert asked.is_set()
    assert [device["name"] for device in told] == ["first"]
    goes_on.set()
