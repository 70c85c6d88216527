"""A disk that does not answer: a folder whose files make a process wait for as long as a test wants."""

import os
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("hanging_disk.c")


class HangingDisk:
    """Holds up what a process of `environment` does below `folder`."""

    def __init__(self, tmp_path):
        self.folder = tmp_path / "logs"
        self.flag = tmp_path / "the-disk-hangs"
        library = tmp_path / "hanging_disk.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
        self.environment = {
            "LD_PRELOAD": str(library),
            "HANG_FOLDER": str(self.folder),
            "HANG_FLAG": str(self.flag),
        }

    def refuse(self, error):
        """Refuse with this error number in place of hanging."""
        self.environment["HANG_ERRNO"] = str(error)
        self.flag.touch()

    def hang(self):
        self.flag.touch()

    def answer(self):
        self.flag.unlink(missing_ok=True)


def environment(*folders, **variables):
    """That of this process, with `folders` before what it imports from."""
    path = [str(folder) for folder in folders] + [os.environ.get("PYTHONPATH", "")]
    return os.environ | variables | {"PYTHONPATH": os.pathsep.join(filter(None, path))}
