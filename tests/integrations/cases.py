"""Trainings that end in many ways, each in a child of one process, which imported everything once."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PATH = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]


def run_cases(cases: Mapping[str, Callable[[], None]]) -> None:
    """Call each in a forked child, in a folder of its name, which holds its output and status afterwards."""
    for name, case in cases.items():
        os.mkdir(name)
        if (child := os.fork()) == 0:
            os.chdir(name)
            for stream, number in (("out", 1), ("err", 2)):
                os.dup2(os.open(stream + ".txt", os.O_WRONLY | os.O_CREAT), number)
            case()
            sys.exit()
        status = os.waitpid(child, 0)[1]
        Path(name, "status.txt").write_text(str(os.waitstatus_to_exitcode(status)))


def folders_of(script: str, folder: Path, names: Sequence[str], *arguments: str) -> dict[str, Path]:
    """Run a script that runs these cases in `folder`; the folder of each."""
    (folder / "script.py").write_text(script)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONFAULTHANDLER"}
    subprocess.run(
        [sys.executable, "script.py", *arguments, *names],
        cwd=folder,
        env=environment | {"PYTHONPATH": os.pathsep.join(PATH), "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=600,  # a machine may be busy
    )
    return {name: folder / name for name in names}


def status(folder: Path) -> int:
    """The exit status of a case; negative: the signal that ended it."""
    return int((folder / "status.txt").read_text())
