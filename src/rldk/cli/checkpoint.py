"""`rldk checkpoint`: is this checkpoint whole, can training resume from it, and what changed?"""

import sys
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from rldk.cli.output import echo_json, echo_lines
from rldk.cli.progress import measuring
from rldk.cli.rule_options import fail_on_option, rule_options
from rldk.errors import RLDKError
from rldk.health import Diagnosis, RunContext, Settings, Severity, diagnose
from rldk.runs.side_files import observation
from rldk.schema.checkpoint import Analysis

if TYPE_CHECKING:
    from rldk.cli.checkpoint_path import ChosenCheckpoint, ComparedWith
    from rldk.report.checkpoint_phrases import CheckpointReport

__all__ = ["checkpoint", "examine_checkpoint"]

FAMILY = "CKP"


@click.command(short_help="Check a checkpoint, and show what changed.")
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@click.argument("other", metavar="[OTHER]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--base",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="The model from which the training started, to measure the update of an adapter.",
)
@click.option("--no-compare", is_flag=True, help="Do not compare with an earlier checkpoint; reads half.")
@rule_options
@click.option(
    "-f",
    "--format",
    "kind",
    type=click.Choice(["terminal", "json", "markdown"]),
    default="terminal",
    help="Format of the output.",
)
@fail_on_option
@click.option("-v", "--verbose", is_flag=True, help="Show each part of each layer, and every remedy.")
def checkpoint(
    path: Path,
    other: Path | None,
    base: Path | None,
    no_compare: bool,
    kind: str,
    fail_on: str,
    verbose: bool,
    **judging: Any,
) -> None:
    """Check the checkpoint PATH: is it whole and finite, can training resume from it, what changed?

    PATH is the folder of a checkpoint (one file, shards, or LoRA) or a .safetensors file. For the
    output_dir of a trainer, or a run of rldk, rldk takes the newest checkpoint.

    rldk compares it with OTHER, a checkpoint or a model. Without OTHER, it compares with the newest earlier
    checkpoint-N in the same folder. It reads every byte, one tensor at a time, and needs no torch.

    \b
    Exit code: 0 nothing at or above --fail-on, 1 findings, 2 rldk cannot read PATH.

    \b
    Examples:
      rldk checkpoint output/checkpoint-500
      rldk checkpoint output/checkpoint-500 output/checkpoint-100
      rldk checkpoint rldk_logs/my_run --base models/Qwen2.5-0.5B
      rldk checkpoint output --no-compare --fail-on critical --format json
    """
    if no_compare and other is not None:
        raise click.UsageError("--no-compare and OTHER exclude each other")
    report = examine_checkpoint(path, other, base, compare=not no_compare, **judging)
    _print(report, kind, verbose=verbose)
    bad = fail_on != "never" and bool(report.diagnosis.at_least(Severity.of(fail_on)))
    if not report.read:
        echo_lines(f"rldk: could not read any weights of {report.found.path}", err=True)
    click.get_current_context().exit(int(bad) if report.read else 2)


def examine_checkpoint(
    path: Path, other: Path | None = None, base: Path | None = None, *, compare: bool = True, **judging: Any
) -> "CheckpointReport":
    """Analyse and judge a checkpoint, with the arguments of the command.

    Raises:
        RLDKError: rldk cannot read it, somebody deleted it meanwhile, or no rule is left.
        OSError: rldk cannot list its folder.
    """
    from rldk.checkpoints.folder import step_of  # here, because only this command needs numpy
    from rldk.cli.checkpoint_path import ComparedWith, checkpoint_at
    from rldk.report.checkpoint_phrases import CheckpointReport

    chosen = checkpoint_at(path)
    against = ComparedWith(chosen.path, other, base, compare=compare)
    found = _analysed(chosen, against)
    if found.gone is not None:
        raise RLDKError(found.gone)
    there = Path(found.path)
    return CheckpointReport(
        source=str(path),
        name=there.name if step_of(str(there.parent)) is None else f"{there.parent.name}/{there.name}",
        found=found,
        diagnosis=_judged(found, chosen, Settings(**judging)),
        chosen=chosen.how,
        compared_with=against.description if found.compared is not None else "",
        earlier=str(against.earlier) if against.earlier else None,
        run=str(path) if chosen.run else None,
    )


def _analysed(chosen: "ChosenCheckpoint", against: "ComparedWith") -> Analysis:
    from rldk.checkpoints import Analyst

    analyst = Analyst(against.base)
    read = [chosen.path, *([against.previous] if against.previous else [])]
    with measuring(f"reading {chosen.path.name}", lambda: analyst.bytes_read, sum(map(_size, read))):
        return analyst.analyse(chosen.path, against.previous)


def _size(path: Path) -> int:
    """Approximate size of the weights in bytes, for the progress bar."""
    with suppress(OSError):  # the folder changes meanwhile
        files = chain(path.glob("*.safetensors"), path.glob("*/*.safetensors")) if path.is_dir() else [path]
        return sum(file.stat().st_size for file in files if file.is_file())
    return 0


def _judged(found: Analysis, chosen: "ChosenCheckpoint", given: Settings) -> Diagnosis:
    """The diagnosis by the rules for checkpoints; a chosen run adds its settings and its context."""
    recorded = chosen.run.settings() if chosen.run else Settings()
    settings = msgspec.structs.replace(recorded, select=(FAMILY,)).overridden_by(given)
    monitor = settings.monitor(chosen.run.context() if chosen.run else RunContext(dialect="trl"))
    if not any(rule.family() == FAMILY for rule in monitor.rules):
        raise RLDKError(f"no rule for checkpoints ({FAMILY}) is left: check --select and --ignore")
    line = {"kind": "checkpoint", "step": found.step or 0, "analysis": found.detail()}
    if (at := observation(line)) is not None:
        monitor.observe(at)
    return diagnose(monitor)


def _print(report: "CheckpointReport", kind: str, *, verbose: bool) -> None:
    from rldk.report.checkpoint_page import as_markdown, as_object, print_checkpoint
    from rldk.report.terminal import console_on

    if kind == "json":
        echo_json(as_object(report))
    elif kind == "markdown":
        click.echo(as_markdown(report), nl=False)
    else:
        print_checkpoint(console_on(sys.stdout), report, verbose=verbose)
