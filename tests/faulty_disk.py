"""A disk that fails or hangs, for the files below one folder of a process that preloads faulty_disk.c.

Invariant: a process outside of `environment`, and a file outside of the folder, see the disk as it is.
"""

import os
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("faulty_disk.c")
FAULTS = ("fail", "refuse", "hang-writes", "hang-all")
"""The control files that faulty_disk.c looks for."""


class FaultyDisk:
    """The disk below `folder`; any process may switch its faults on and off.

    Args:
        folder: the folder whose files are meant; it need not be there.
        control: a folder outside of it, for the control files and the library. It is made.
    """

    def __init__(self, folder: Path, control: Path) -> None:
        control.mkdir(parents=True, exist_ok=True)
        self.folder, self.control = folder, control

    def environment(self, seed: int = 0) -> dict[str, str]:
        """What to add to the environment of a process that is to see the faults; compiles the library."""
        library = self.control.resolve() / "faulty_disk.so"
        if not library.exists():
            compiled = library.with_suffix(f".{os.getpid()}")
            subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", compiled, SOURCE, "-ldl"], check=True)
            os.replace(compiled, library)
        return {
            "LD_PRELOAD": str(library),
            "FAULTY_DISK_FOLDER": str(self.folder.resolve()),
            "FAULTY_DISK_CONTROL": str(library.parent),
            "FAULTY_DISK_SEED": str(seed),
        }

    def fail(self, share: float) -> None:
        """From now on so large a share of the calls that write, sync, open, rename or remove fails."""
        self._write("fail", share)

    def refuse(self, error: int) -> None:
        """From now on each call on a path, and each that changes something, fails with this `errno`."""
        self._write("refuse", error)

    def hang(self, *, reads: bool = False) -> None:
        """From now on each call that changes something waits; with `reads`, each call on a path or file."""
        (self.control / ("hang-all" if reads else "hang-writes")).touch()

    def recover(self) -> None:
        """No call fails or waits any longer."""
        for name in FAULTS:
            (self.control / name).unlink(missing_ok=True)

    def is_faulty(self) -> bool:
        """Whether a fault is switched on."""
        return any((self.control / name).exists() for name in FAULTS)

    def _write(self, name: str, number: float) -> None:
        whole = self.control / f"{name}.new"
        whole.write_text(str(number))
        os.replace(whole, self.control / name)
