"""What is called at the end of processes of every kind."""

import subprocess
import sys

import pytest

from processes import PATIENCE_S

CODE = """
import multiprocessing, sys
from rldk.recording.process_end import at_process_end, not_at_process_end

def first():
    print("first", flush=True)

def last():
    error = sys.exc_info()[1]
    print("last", type(error).__name__, type(error and error.__context__).__name__, flush=True)

def never():
    print("never")

def work(how):
    at_process_end(last)
    at_process_end(never)
    at_process_end(first)
    at_process_end(last)
    at_process_end(first)
    not_at_process_end(never)
    if how == "raises":
        raise ValueError("boom")
    if how == "leaves":
        try:
            raise ValueError("boom")
        except ValueError:  # as torch.multiprocessing does
            sys.exit(1)

if __name__ == "__main__":
    way, how = sys.argv[1:]
    if way == "alone":
        work(how)
    else:
        process = multiprocessing.get_context(way).Process(target=work, args=(how,))
        process.start()
        process.join()
        sys.exit(process.exitcode)
"""


@pytest.mark.parametrize("way", ["alone", "fork", "spawn"])
def test_each_is_called_once_the_newest_first(way, tmp_path):
    assert ran(tmp_path, way, "ends") == (0, ["first", "last NoneType NoneType"])


@pytest.mark.parametrize("way", ["fork", "spawn"])
@pytest.mark.parametrize(
    ("how", "seen"), [("raises", "last ValueError NoneType"), ("leaves", "last SystemExit ValueError")]
)
def test_in_a_process_of_multiprocessing_the_exception_is_being_handled(way, how, seen, tmp_path):
    assert ran(tmp_path, way, how) == (1, ["first", seen])


def ran(folder, way, how):
    path = folder / "work.py"  # a child that is spawned reads it again
    path.write_text(CODE)
    result = subprocess.run(
        [sys.executable, path, way, how], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    return result.returncode, result.stdout.splitlines()
