"""`rldk demo`: train a tiny model with rldk attached, and show what was recorded and what was found."""

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from rldk.demo import Reward
    from rldk.runs import RecordedRun

__all__ = ["demo", "run", "run_broken", "show", "show_found", "show_next"]


@click.command(short_help="Train a tiny model with rldk attached.")
@click.option(
    "-o",
    "--output-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default="./rldk_demo",
    show_default=True,
    help="Folder of the run's files.",
)
@click.option("--steps", type=click.IntRange(1), help="Optimizer steps.  [default: 200]")
def demo(output_dir: Path, steps: int | None) -> None:
    """Train a tiny model by GRPO on this CPU, with rldk attached; show what was recorded and found.

    A random model of two layers learns to write vowels: the reward is the share of vowels in what it
    writes. Then it is trained again with a reward function whose pattern never matches, for the doctor. It
    takes less than a minute. Needs TRL: pip install trl
    """
    from rich.console import Console

    from rldk.demo import STEPS

    console = Console(highlight=False)
    # `make demo` runs it in an environment that the user's shell knows nothing of.
    command = "rldk" if shutil.which("rldk") else os.path.relpath(sys.argv[0])
    show(console, run(console, output_dir, steps or STEPS))
    show_found(console, run_broken(console, output_dir))
    show_next(console, output_dir, command)


def run_broken(console: "Console", output_dir: Path) -> "RecordedRun":
    """Train with a reward function whose pattern never matches: rldk says so meanwhile."""
    from rldk.demo import BROKEN_STEPS, answers

    console.print("\n[bold]Now the same with a reward function whose pattern never matches.[/] rldk says:")
    return run(console, output_dir, BROKEN_STEPS, "broken", answers)


def run(
    console: "Console",
    output_dir: Path,
    steps: int,
    run_id: str = "demo",
    reward: "Reward | None" = None,
) -> "RecordedRun":
    """Train, with a bar that shows the reward."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from rldk.demo import train, vowels

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[reward]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("loading torch and TRL", total=steps, reward="")

        def on_log(step: int, logs: dict[str, Any]) -> None:
            if "reward" in logs:
                progress.update(
                    bar, completed=step, description="GRPO training", reward=f"reward {logs['reward']:.3f}"
                )

        return train(output_dir, run_id, steps=steps, reward=reward or vowels, on_log=on_log)


def show(console: "Console", run: "RecordedRun") -> None:
    """What was recorded, read back from the files."""
    from rich.markup import escape
    from rich.table import Table

    from rldk.report.sparkline import sparkline
    from rldk.report.text import plain

    events = [event for event in run if event.phase == "train"]
    rewards = [event.metrics["reward_mean"] for event in events]
    console.print(f"\n[bold]{len(events)} steps recorded.[/] The reward, step by step:")
    console.print(f"  {sparkline(rewards, min(console.width - 4, 72))}\n", style="green")

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("metric", no_wrap=True)
    for column in ("first", "middle", "last"):
        table.add_column(f"{column} step", justify="right")
    picked = [events[0], events[len(events) // 2], events[-1]]
    for name in (
        "reward_mean",
        "reward_std",
        "kl_mean",
        "entropy_mean",
        "completion_length_mean",
        "grad_norm",
    ):
        table.add_row(name, *(f"{event.metrics.get(name):.4g}" for event in picked))
    console.print(table)

    folder = Path(os.path.relpath(run.files.folder))
    console.print(f"\n[bold]The files[/] in {escape(plain(str(folder)))}:")
    files = Table(box=None, show_header=False, pad_edge=False, padding=(0, 3, 0, 0))
    files.add_column(no_wrap=True)
    files.add_column(justify="right")
    for path, meaning in _meanings(run):
        files.add_row(f"  {path.name}", f"{path.stat().st_size:,} B", meaning)
    console.print(files)
    console.print(f"\n[bold]What rldk found:[/] {_verdict(run)}")


def show_found(console: "Console", run: "RecordedRun") -> None:
    """The doctor's page of a run."""
    from rldk.report.examination import examine
    from rldk.report.terminal import print_page

    source = os.path.relpath(run.files.folder / run.run_id)
    monitor = run.settings().monitor(run.context())
    console.print("\n[bold]And afterwards the doctor:[/]\n")
    print_page(console, examine(run, monitor, source=source))


def show_next(console: "Console", output_dir: Path, command: str = "rldk") -> None:
    """What to type next: `command` starts rldk."""
    from rich.markup import escape

    from rldk.report.text import plain

    folder = escape(plain(os.path.relpath(output_dir)))
    console.print("\n[bold]Next[/], type:")
    for line in (
        f"{command} runs {folder}",
        f"{command} doctor {folder}/demo",
        f"{command} samples {folder}/demo",
        f"{command} export {folder}/demo -o {folder}/demo.csv",
        f"tail -n 1 {folder}/demo_events.jsonl",
    ):
        console.print(f"  {line}", style="cyan", soft_wrap=True)
    console.print('\nIn your own training: [cyan]callbacks=[RLDKCallback(run_id="my_run")][/]')


def _verdict(run: "RecordedRun") -> str:
    from rldk.doctor.judge import judge
    from rldk.integrations.trl.terminal_lines import verdict_line

    return verdict_line(judge(run))


def _meanings(run: "RecordedRun") -> list[tuple[Path, str]]:
    files = run.files
    return [
        (files.events, "one Event a line, written at once"),
        (files.metrics_csv, "the same as a table"),
        (files.metrics_json, "with statistics of each metric"),
        (files.final_report, "how the run went and ended"),
        (files.run, "configuration, versions, devices, git"),
        (files.alerts, "what was found while it trained"),
        (files.samples, "a few completions of each step"),
        (files.resources(), "memory, CPU, disk, GPUs, step times"),
        (files.checkpoints, "what was saved, and what changed"),
    ]
