"""Takes the picture of a diagnosis in the README, of a recorded training whose learning rate jumps.

It is saved as docs/images/doctor.svg.
"""

import contextlib
from pathlib import Path

from rich.console import Console

from rldk.report.examination import examine
from rldk.report.terminal import print_page
from rldk.runs import open_run

ROOT = Path(__file__).resolve().parent.parent
RUNS = ROOT / "benchmarks" / "detection" / "runs"
RUN = "grpo-lr-spike-s1"
PICTURE = ROOT / "docs" / "images" / "doctor.svg"


def main() -> None:
    """Judge, show, save."""
    console = Console(record=True, width=92, force_terminal=True, highlight=False)
    with contextlib.chdir(RUNS):
        run = open_run(RUN)
        monitor = run.settings().monitor(run.context())
        console.print(f"$ rldk doctor {RUN}", style="dim")
        print_page(console, examine(run, monitor, source=RUN))
        console.print()  # the frame cuts into the last line
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    console.save_svg(str(PICTURE), title="rldk doctor")
    print(f"wrote {PICTURE}")


if __name__ == "__main__":
    main()
