"""The stand-in for a disk that fails or hangs does what the tests and attacks that use it count on."""

import errno
import os
import select
import subprocess
import sys

import pytest

from faulty_disk import FaultyDisk
from processes import environment

CALLS = """
import errno, os, sys
from pathlib import Path

folder = Path(sys.argv[1])


def attempt(call, *arguments):
    try:
        call(*arguments)
        return "ok"
    except OSError as error:
        return errno.errorcode[error.errno]


def attempts():
    print(
        attempt(os.stat, folder),
        attempt(os.listdir, folder),
        attempt((folder / "there").read_bytes),
        attempt((folder / "new").write_bytes, b"x"),
        attempt(os.rename, folder / "there", folder / "there"),
        attempt(os.mkdir, folder / "made"),
        flush=True,
    )
"""


@pytest.fixture
def disk(tmp_path):
    disk = FaultyDisk(tmp_path / "logs", tmp_path / "control")
    disk.folder.mkdir()
    (disk.folder / "there").touch()
    (tmp_path / "logs-of-another").mkdir()
    (tmp_path / "logs-of-another" / "there").touch()
    yield disk
    disk.recover()


@pytest.fixture
def start(disk):
    """Starts a process that sees the faults and calls what touches files of a folder."""
    processes = []

    def start_process(code="attempts()", folder=disk.folder):
        process = subprocess.Popen(
            [sys.executable, "-c", CALLS + code, str(folder)],
            env=environment(**disk.environment()),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start_process
    for process in processes:
        process.kill()
        process.communicate()


def results(process):
    return process.communicate(timeout=60)[0].split()


def test_a_disk_without_faults_does_all(start):
    assert results(start()) == ["ok"] * 6


@pytest.mark.parametrize("error", [errno.EACCES, errno.ENOSPC])
def test_a_disk_that_refuses_gives_each_call_its_error(disk, start, error):
    disk.refuse(error)
    assert results(start()) == [errno.errorcode[error]] * 6


def test_a_disk_that_fails_can_be_looked_at(disk, start):
    disk.fail(1.0)
    found = results(start())
    assert found[:2] == ["ok", "ok"]
    assert set(found[2:]) <= {"ENOSPC", "EIO", "EDQUOT", "EROFS", "ESTALE"}


def test_a_disk_that_hangs_lets_calls_go_on_when_it_recovers(disk, start):
    disk.hang(reads=True)
    process = start("print('begins', flush=True); attempts()")
    assert process.stdout.readline() == "begins\n"
    assert select.select([process.stdout], [], [], 0.5)[0] == []
    disk.recover()
    assert results(process) == ["ok"] * 6


def test_a_frozen_file_system_can_be_read(disk, start):
    disk.hang()
    looks = "print(attempt(os.stat, folder), attempt((folder / 'there').read_bytes), flush=True)"
    process = start(f"{looks}; attempts()")
    assert process.stdout.readline() == "ok ok\n"
    assert select.select([process.stdout], [], [], 0.5)[0] == []
    assert disk.is_faulty()
    disk.recover()
    assert not disk.is_faulty()
    assert results(process) == ["ok"] * 6


def test_a_fault_begins_and_ends_while_a_process_runs(disk, start):
    process = start("attempts(); sys.stdin.readline(); attempts()")
    assert process.stdout.readline().split() == ["ok"] * 6
    disk.refuse(errno.EIO)
    assert process.communicate("\n", timeout=60)[0].split() == ["EIO"] * 6


def test_a_folder_beside_it_and_another_process_see_no_fault(disk, start):
    disk.refuse(errno.EIO)
    assert results(start(folder=disk.folder.with_name("logs-of-another"))) == ["ok"] * 6
    assert os.stat(disk.folder)


def test_the_short_writes_of_a_failing_disk_write_a_part(disk, start):
    code = """
file = os.open(folder / "held", os.O_WRONLY | os.O_CREAT)
print("begins", flush=True)
sys.stdin.readline()
wrote = []
for _ in range(200):
    try:
        wrote.append(os.write(file, b"x" * 100))
    except OSError:
        pass
print(*wrote, flush=True)
"""
    process = start(code)
    assert process.stdout.readline() == "begins\n"
    disk.fail(1.0)
    wrote = [int(count) for count in process.communicate("\n", timeout=60)[0].split()]
    assert 40 < len(wrote) < 120
    assert all(0 < count < 100 for count in wrote)
    assert (disk.folder / "held").stat().st_size == sum(wrote)
