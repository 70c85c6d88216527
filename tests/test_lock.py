"""One live process records a run."""

import os
import signal

from processes import hold_lock, run_script, script
from rldk.lock import RunLock, is_locked


def test_a_lock_is_held_until_it_is_released(tmp_path):
    path = tmp_path / "lock"
    lock = RunLock.acquire(path)
    assert is_locked(path)
    assert RunLock.acquire(path) is None
    lock.release()
    assert not is_locked(path)
    again = RunLock.acquire(path)
    assert is_locked(path)
    again.release()
    again.release()
    assert not is_locked(path)


def test_nothing_is_locked_where_there_is_no_file(tmp_path):
    assert not is_locked(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_lock_of_another_process_is_free_when_that_process_is_killed(tmp_path):
    path = tmp_path / "lock"
    with hold_lock(path) as process:
        assert process.stdout.readline() == "held\n"
        assert is_locked(path)
        assert RunLock.acquire(path) is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not is_locked(path)
        lock = RunLock.acquire(path)
        assert is_locked(path)
        lock.release()


def test_asking_for_the_lock_does_not_keep_another_from_it(tmp_path):
    path = tmp_path / "lock"
    asking = """
        import sys
        from pathlib import Path
        from rldk.lock import is_locked
        print("asking", flush=True)
        while True:
            is_locked(Path(sys.argv[1]))
    """
    path.touch()
    with script(asking, path) as process:
        assert process.stdout.readline() == "asking\n"
        got = 0
        for _ in range(20):
            if lock := RunLock.acquire(path):
                got += 1
                lock.release()
        assert got > 0


def test_a_place_that_cannot_hold_a_lock_counts_as_free(tmp_path):
    (tmp_path / "file").touch()
    lock = RunLock.acquire(tmp_path / "file" / "lock")
    assert lock is not None
    lock.release()
    assert not is_locked(tmp_path / "file" / "lock")


def test_a_forked_child_neither_holds_nor_frees_the_lock(tmp_path):
    path = tmp_path / "lock"
    lock = RunLock.acquire(path)
    child = os.fork()
    if child == 0:
        lock.release()
        os._exit(0)
    os.waitpid(child, 0)
    assert is_locked(path)
    lock.release()
    assert not is_locked(path)


def test_the_lock_is_free_when_the_parent_dies_though_its_forked_child_lives(tmp_path):
    code = """
        import os, sys, time
        from pathlib import Path
        from rldk.lock import RunLock
        lock = RunLock.acquire(Path(sys.argv[1]))
        if os.fork() == 0:
            # The child speaks, not the parent: only then has it run what a fork runs.
            print(os.getpid(), flush=True)
            sys.stdin.read()
            os._exit(0)
        while True:
            time.sleep(60)
    """
    path = tmp_path / "lock"
    with script(code, path) as process:
        child = int(process.stdout.readline())
        assert is_locked(path)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not is_locked(path)
        os.kill(child, 0)  # it lives


def test_a_subprocess_does_not_inherit_the_lock(tmp_path):
    path = tmp_path / "lock"
    lock = RunLock.acquire(path)
    result = run_script(
        """
        import os
        for name in os.listdir("/proc/self/fd"):
            if os.path.exists(f"/proc/self/fd/{name}"):
                print(os.readlink(f"/proc/self/fd/{name}"))
        """
    )
    assert result.returncode == 0, result.stderr
    assert str(path) not in result.stdout
    lock.release()
