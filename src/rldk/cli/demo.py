"""`rldk demo`: train a tiny model with rldk attached, and show the records and the findings."""

import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from rldk.demo_training import Progress
    from rldk.runs import RecordedRun
    from rldk.schema.event import Event

__all__ = ["demo", "run_base", "run_broken", "run_healthy", "show", "show_found", "show_next"]


@click.command(short_help="Train a tiny model with rldk attached.")
@click.option(
    "-o",
    "--output-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default="./rldk_demo",
    show_default=True,
    help="Folder of the run's files.",
)
@click.option("--steps", type=click.IntRange(1), help="Optimizer steps of GRPO.  [default: 150]")
def demo(output_dir: Path, steps: int | None) -> None:
    """Train a tiny model by GRPO on this CPU, with rldk attached, and show the records and the findings.

    A model of two layers learns to count from texts with mistakes, by plain language modelling. GRPO then
    rewards it for correct counting. A second GRPO training fails, because its learning rate is 100 times as
    high; rldk names the cause. The demo takes less than a minute. It needs TRL: pip install trl
    """
    from rich.console import Console

    from rldk.demo_training import STEPS

    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="rldk-demo-") as folder:
        base = run_base(console, Path(folder))
        healthy = run_healthy(console, base, output_dir, steps or STEPS)
        show(console, healthy)
        broken = run_broken(console, base, output_dir)
    show_found(console, broken)
    show_next(console, healthy, _activation(), broken)


def run_base(console: "Console", folder: Path) -> Path:
    """Make the base model that both trainings start from."""
    from rldk.demo_training import TEACHING_STEPS, teach

    with _bar(console, "teaching a base model", TEACHING_STEPS, "loss") as on_step:
        return teach(folder, on_step=on_step)


def run_healthy(console: "Console", base: Path, output_dir: Path, steps: int) -> "RecordedRun":
    """Train with a good learning rate."""
    from rldk.demo_training import train

    with _bar(console, "GRPO training", steps, "reward") as on_log:
        return train(base, output_dir, steps=steps, on_log=on_log)


def run_broken(console: "Console", base: Path, output_dir: Path) -> "RecordedRun":
    """Train with a learning rate that is too high; rldk alerts during the training."""
    from rldk.demo_training import BROKEN_RATE, BROKEN_STEPS, LEARNING_RATE, train

    rates = f"{BROKEN_RATE:g}, not {LEARNING_RATE:g}"
    console.print(f"\n[bold]The same training with a learning rate of {rates}.[/] rldk alerts:")
    with _bar(console, "GRPO training", BROKEN_STEPS, "reward") as on_log:
        return train(base, output_dir, "broken", steps=BROKEN_STEPS, learning_rate=BROKEN_RATE, on_log=on_log)


@contextmanager
def _bar(console: "Console", what: str, steps: int, metric: str) -> "Iterator[Progress]":
    """A bar that shows one metric of each step."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[metric]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("loading torch and TRL", total=steps, metric="")

        def on_step(step: int, logs: dict[str, Any]) -> None:
            if metric in logs:
                progress.update(bar, completed=step, description=what, metric=f"{metric} {logs[metric]:.2f}")

        yield on_step


def show(console: "Console", run: "RecordedRun") -> None:
    """Print the records, as read from the files."""
    from rich.markup import escape
    from rich.table import Table

    from rldk.report.sparkline import sparkline
    from rldk.report.terminal import printing
    from rldk.report.text import counted, number, plain

    events = [event for event in run if event.phase == "train"]
    rewards = [event.metrics["reward_mean"] for event in events]
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("mean of", no_wrap=True)
    stretches = _stretches(events)
    for stretch in stretches:
        table.add_column(f"steps {stretch[0].step} to {stretch[-1].step}", justify="right")
    for name in (
        "reward_mean",
        "reward_std",
        "kl_mean",
        "entropy_mean",
        "completion_length_mean",
        "truncated_frac",
        "grad_norm",
    ):
        table.add_row(name, *(number(_mean(stretch, name)) for stretch in stretches))

    files = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    files.add_column(no_wrap=True)
    files.add_column(justify="right", no_wrap=True)
    files.add_column()
    for path, meaning in _meanings(run):
        files.add_row(f"  {path.name}", f"{path.stat().st_size:,} B", meaning)

    folder = Path(os.path.relpath(run.files.folder))
    with printing(console) as out:
        recorded = f"[bold]{counted(len(events), 'step')} recorded.[/]"
        out.print(f"\n{recorded} The reward (the share of right answers), step by step:")
        out.print(f"  {sparkline(rewards, min(out.width - 4, 72))}\n", style="green")
        out.print(table)
        out.print(f"\n[bold]The files[/] in {escape(plain(str(folder)))}:")
        out.print(files)
        out.print(f"\n[bold]Verdict of rldk:[/] {_verdict(run)}")


def show_found(console: "Console", run: "RecordedRun") -> None:
    """The doctor's page of a run."""
    from rldk.report.examination import examine
    from rldk.report.terminal import print_page

    source = os.path.relpath(run.files.folder / run.run_id)
    monitor = run.settings().monitor(run.context())
    console.print("\n[bold]The doctor's diagnosis afterwards:[/]\n")
    print_page(console, examine(run, monitor, source=source))


def show_next(
    console: "Console",
    run: "RecordedRun",
    before: Sequence[str] = (),
    broken: "RecordedRun | None" = None,
) -> None:
    """Print the next commands, after the commands in `before`; `broken` is the run for the doctor."""
    from rich.markup import escape

    from rldk.report.text import plain

    folder = os.path.relpath(run.files.folder)
    path = os.path.join(folder, run.run_id)
    quoted = shlex.quote(plain(path))
    ill = shlex.quote(plain(os.path.join(folder, (broken or run).run_id)))
    console.print("\n[bold]More to try[/]:")
    for line in (
        *before,
        f"rldk runs {shlex.quote(plain(folder))}",
        f"rldk doctor {ill}",
        f"rldk samples {quoted}",
        f"rldk export {quoted} -o {shlex.quote(plain(path) + '.csv')}",
        f"tail -n 1 {shlex.quote(plain(path) + '_events.jsonl')}",
    ):
        console.print(f"  {escape(line)}", style="cyan", soft_wrap=True)
    console.print('\nIn your own training: [cyan]callbacks=[RLDKCallback(run_id="my_run")][/]')


def _activation() -> list[str]:
    """The command that activates the environment of `make demo`, if the shell does not find `rldk` yet."""
    activate = Path(sys.prefix, "bin", "activate")
    if shutil.which("rldk") or not activate.exists():
        return []
    return [f"source {shlex.quote(os.path.relpath(activate))}"]


def _stretches(events: "list[Event]") -> "list[list[Event]]":
    """The first ten steps, ten in the middle and the last ten; fewer of a short run."""
    count = min(10, -(-len(events) // 3))
    middle = (len(events) - count) // 2
    return [events[start : start + count] for start in (0, middle, len(events) - count)]


def _mean(events: "list[Event]", name: str) -> float | None:
    """The mean of a metric; None where no event has it."""
    values = [value for event in events if (value := event.metrics.get(name)) is not None]
    return fmean(values) if values else None


def _verdict(run: "RecordedRun") -> str:
    from rldk.doctor.judge import judge
    from rldk.recording.closing_line import verdict_line

    return verdict_line(judge(run))


def _meanings(run: "RecordedRun") -> list[tuple[Path, str]]:
    files = run.files
    return [
        (files.events, "one Event a line, written at once"),
        (files.metrics_csv, "all metrics as a table"),
        (files.metrics_json, "the table, with statistics of each metric"),
        (files.final_report, "the diagnosis and the end of the run"),
        (files.run, "configuration, versions, devices, git"),
        (files.alerts, "the alerts during the training"),
        (files.samples, "a few completions of each step"),
        (files.resources(), "memory, CPU, disk, GPUs, step times"),
        (files.checkpoints, "the analysis of each checkpoint"),
    ]
