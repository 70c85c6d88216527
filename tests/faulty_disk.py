"""A disk that fails or hangs, for the files below one folder of a process that preloads faulty_disk.c.

Invariant: a process outside of `environment`, and a file outside of the folder, see the disk as it is.
"""

import os
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("faulty_disk.c")


class FaultyDisk:
    """The disk below `folder`; any process may switch its faults on and off.

    Args:
        folder: the folder whose files are meant. It is made.
        control: a folder outside of it, for the switches and the library. It is made.
    """

    def __init__(self, folder: Path, control: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        control.mkdir(parents=True, exist_ok=True)
        self.folder, self.control = folder.resolve(), control.resolve()

    def environment(self, seed: int = 0) -> dict[str, str]:
        """What to add to the environment of a process that is to see the faults; compiles the library."""
        library = self.control / "faulty_disk.so"
        if not library.exists():
            compiled = library.with_suffix(f".{os.getpid()}")
            subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", compiled, SOURCE, "-ldl"], check=True)
            os.replace(compiled, library)
        return {
            "LD_PRELOAD": str(library),
            "FAULTY_DISK_FOLDER": str(self.folder),
            "FAULTY_DISK_CONTROL": str(self.control),
            "FAULTY_DISK_SEED": str(seed),
        }

    def fail(self, share: float) -> None:
        """From now on so large a share of the calls that write, sync, open, rename or remove fails."""
        whole = self.control / "fail.new"
        whole.write_text(str(share))
        os.replace(whole, self.control / "fail")

    def hang(self, *, reads: bool = False) -> None:
        """From now on each call that changes something waits; with `reads`, each call on a path or file."""
        (self.control / ("hang-all" if reads else "hang-writes")).touch()

    def recover(self) -> None:
        """No call fails or waits any longer."""
        for name in ("fail", "hang-writes", "hang-all"):
            (self.control / name).unlink(missing_ok=True)
