"""Logs of two gigabytes and of a million keys: bounded memory, bounded time, nothing lost in silence.

The large files are sparse: they take no room on the disk. Each is read by a process of its own, which may
not ask for more memory than a gigabyte.
"""

import json
import os
import sys

import pytest

from events import lines, logged
from processes import run_script

SIZE = 1 << 31
READ = """
    import resource, sys
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    from rldk import RLDKError, open_run
    for path in sys.argv[1:]:
        try:
            run = open_run(path)
            print(run.format, [one.step for one in run], [bad.reason for bad in run.bad_lines])
        except RLDKError as error:
            print(type(error).__name__)
"""
JUNK = ("junk", "train.log", "log.jsonl", "progress.csv", "run.wandb", "project.db")
CONSOLE = b"".join(b"{'loss': 0.%d, 'step': %d}\n" % (step, step) for step in range(1, 300))

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are another matter here")


def output_of(*paths):
    done = run_script(READ, *paths)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def sparse(path, head, tail):
    with path.open("wb") as file:
        file.write(head)
        file.seek(SIZE)
        file.write(tail)
    return path


def test_two_gigabytes_of_nothing_are_refused_at_once(tmp_path):
    paths = [tmp_path / name for name in JUNK]
    for path in paths:
        path.touch()
        os.truncate(path, SIZE)
    assert output_of(*paths) == ["UnknownFormatError"] * len(JUNK)


@pytest.mark.parametrize(
    ("name", "text", "record", "format_"),
    [
        ("train.log", CONSOLE, b"{'loss': 0.5, 'step': 300}\n", "console"),
        ("run_events.jsonl", lines(*map(logged, range(1, 300))), b"\n" + lines(logged(300)), "rldk"),
    ],
)
def test_a_hole_of_two_gigabytes_in_a_log_costs_no_record(tmp_path, name, text, record, format_):
    path = sparse(tmp_path / name, text, record)
    assert path.stat().st_size > SIZE
    (shown,) = output_of(path)
    reason = (
        "a line of more than 33,554,432 characters"
        if format_ == "rldk"
        else f"a hole of {SIZE - len(text):,} NUL bytes: the data there is lost"
    )
    assert shown == f"{format_} {[*range(1, 301)]} {[reason]}"


def test_a_million_distinct_keys(tmp_path):
    path = tmp_path / "log.jsonl"
    with path.open("w") as file:
        for step in range(1_000):
            keys = {f"m/{step}/{number}": number for number in range(1_000)}
            file.write(json.dumps({"step": step, "loss": 0.5, **keys}) + "\n")
    done = run_script(
        """
        import resource, sys
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        from rldk.cli import main
        main(["info", *sys.argv[1:]])
        """,
        path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "1,000 train" in done.stdout
    assert "and 999,500 more" in done.stdout
    assert len(done.stdout.splitlines()) < 200
