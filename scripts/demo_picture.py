"""Takes the picture in the README: runs the demo for real and saves its page as docs/images/demo.svg."""

import contextlib
import tempfile
from pathlib import Path

from rich.console import Console

from rldk.cli.demo import run_base, run_healthy, show, show_next
from rldk.demo_training import STEPS

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "images" / "demo.svg"


def main() -> None:
    """Train, show, save."""
    console = Console(record=True, width=92, force_terminal=True, highlight=False)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        bars = Console()  # a moving bar makes no still picture
        recorded = run_healthy(bars, run_base(bars, Path(folder)), Path("rldk_demo"), STEPS)
        console.print("$ make demo", style="dim")
        show(console, recorded)
        show_next(console, recorded, ["source .venv/bin/activate"])
        console.print()  # the frame cuts into the last line
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    console.save_svg(str(PICTURE), title="rldk demo")
    print(f"wrote {PICTURE}")


if __name__ == "__main__":
    main()
