"""Reading how a process ended from its crash file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldk.schema.crash_file import ENDED, read_crash
from rldk.schema.run_info import RunEnd

FATAL = """Fatal Python error: Segmentation fault

Thread 0x00007f1a9bfff6c0 (most recent call first):
  File "/usr/lib/python3.11/threading.py", line 331 in wait

Current thread 0x00007f1aa2e44b80 (most recent call first):
  File "/usr/lib/python3.11/ctypes/__init__.py", line 519 in string_at
  File "/home/me/train.py", line 14 in <module>

Extension modules: msgspec._core (total: 1)
"""


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("", None),
        ("=== rldk: no step has ended for 301 s after step 4\n", None),
        (f"{ENDED}\n", None),
        (
            f"{ENDED}\nhow: terminated\ndetail: SIGTERM\nstep: x\n",
            RunEnd(how="terminated", detail="SIGTERM"),
        ),
        (f"{ENDED}\nhow: interrupted\nstep: 4\n\nhow: exception\n", RunEnd(how="interrupted", step=4)),
        (f"{ENDED}\nhow: exception\nstep: {'9' * 5_000}\n", RunEnd(how="exception")),
        (FATAL, RunEnd(how="native", detail="Segmentation fault", where="string_at (__init__.py:519)")),
        ("Fatal Python error: Aborted\n\n<no Python frame>\n", RunEnd(how="native", detail="Aborted")),
        (f"{FATAL}\n=== rldk: recording from step 8, 2026-01-01T00:00:00+00:00\n", None),
    ],
)
def test_what_a_file_says(text, note, tmp_path):
    path = tmp_path / "r_crash.txt"
    path.write_text(text)
    assert read_crash(path) == note


def test_a_file_that_cannot_be_read_says_nothing(tmp_path):
    assert read_crash(tmp_path / "none") is None
    assert read_crash(tmp_path) is None


def test_a_huge_file_is_read_from_its_end(tmp_path):
    path = tmp_path / "r_crash.txt"
    path.write_text("x" * 5_000_000 + f"\n{ENDED}\nhow: exception\n")
    assert read_crash(path) == RunEnd(how="exception")


@given(st.binary(max_size=300))
def test_no_content_breaks_it(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("crash") / "r_crash.txt"
    path.write_bytes(f"{ENDED}\nhow: ".encode() + content)
    read_crash(path)
