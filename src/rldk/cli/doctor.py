"""`rldk doctor`: what is wrong with this run, since when, why, and what to do?"""

import sys
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from rldk.cli.log_options import input_options, log_of
from rldk.cli.many_runs import expanded, for_each, identity
from rldk.cli.output import echo_json
from rldk.cli.progress import ProgressCounter
from rldk.cli.rule_options import fail_on_option, settings_options
from rldk.errors import RLDKError
from rldk.health import Incident, Monitor, Settings, Severity
from rldk.runs import RecordedRun, Run

if TYPE_CHECKING:
    from rldk.report.examination import Examination

__all__ = ["doctor"]


class _JudgeOptions(msgspec.Struct, frozen=True):
    """The settings of the command line; the live settings of the run apply for the rest."""

    algorithm: str | None
    settings: Settings

    def monitor(self, run: Run) -> Monitor:
        """A new Monitor for the run."""
        monitor = run.settings().overridden_by(self.settings).monitor(run.context(algorithm=self.algorithm))
        if not monitor.rules:
            raise RLDKError("no rule is left: check --select and --ignore; list the rules with: rldk rules")
        return monitor


@click.command(short_help="Find the problems of a run, and what to do.")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@input_options
@settings_options
@click.option(
    "-f",
    "--format",
    "kind",
    type=click.Choice(["terminal", "json", "markdown", "github"]),
    default="terminal",
    help="Format of the output; github: annotations for a workflow.",
)
@fail_on_option
@click.option("--follow", is_flag=True, help="Judge a live run until it ends; then print the page.")
@click.option("-v", "--verbose", is_flag=True, help="Show every remedy, and all rules that were not checked.")
def doctor(
    paths: tuple[Path, ...],
    input_format: str | None,
    mapping: dict[str, str],
    kind: str,
    fail_on: str,
    follow: bool,
    verbose: bool,
    algorithm: str | None,
    **settings: Any,
) -> None:
    """Judge each PATH: what is wrong, since which step, why, and what to change.

    PATH is a run of rldk, live or finished, or any log that rldk reads (see: rldk info). The page also lists
    the rules that could not judge, and how to enable them. You may quote globs; rldk judges each run once.

    \b
    Exit code: 0 nothing at or above --fail-on, 1 findings, 2 rldk cannot read a path.

    \b
    Examples:
      rldk doctor rldk_logs/my_run
      rldk doctor output/checkpoint-500 --format markdown
      rldk doctor rldk_logs/my_run --follow
      rldk doctor train.log --algorithm grpo --threshold no-learning.records=200
    """
    rules = _JudgeOptions(algorithm, Settings(**settings))
    chosen = expanded(paths)
    if follow and len(chosen) > 1:
        raise click.UsageError("--follow watches one run: name one PATH")
    seen: set[Hashable] = set()

    def examined(path: Path) -> "Examination | None":
        run = log_of(path, input_format, mapping)
        if (known := identity(run)) in seen:
            return None
        if follow:
            _follow(run, rules, path, to_stderr=kind != "terminal")
        exam = _examine(run, rules, path)
        seen.add(known)
        return exam

    found, failed = for_each(chosen, examined)
    _print(found, kind, several=len(paths) > 1 or chosen != list(paths), verbose=verbose)
    bad = fail_on != "never" and any(exam.diagnosis.at_least(Severity.of(fail_on)) for exam in found)
    click.get_current_context().exit(2 if failed else int(bad))


def _examine(run: Run, rules: _JudgeOptions, path: Path) -> "Examination":
    from rldk.doctor.judge import require_events
    from rldk.report.examination import examine

    require_events(run)
    events = ProgressCounter(run, f"judging {path.name}")
    return examine(run, rules.monitor(run), source=str(path), events=events)


def _follow(run: Run, rules: _JudgeOptions, path: Path, *, to_stderr: bool) -> None:
    """Print a line for each alert until the run ends, or until Ctrl-C."""
    from rldk.health import finding_of
    from rldk.report.examination import examine
    from rldk.report.terminal import alert_line, console_on

    if not isinstance(run, RecordedRun):
        raise RLDKError(f"--follow needs a run of rldk, and {path} is another log: omit --follow")
    console = console_on(sys.stderr if to_stderr else sys.stdout)
    monitor = rules.monitor(run)

    def on_incident(incident: Incident) -> None:
        console.print(alert_line(finding_of(incident, monitor)), soft_wrap=True)

    try:
        examine(run, monitor, source=str(path), events=run.follow(), on_incident=on_incident)
    except KeyboardInterrupt:
        click.echo("rldk: stopped following; the findings so far:", err=True)


def _print(found: "list[Examination]", kind: str, *, several: bool, verbose: bool) -> None:
    if kind == "json":
        from rldk.report.json_report import as_json

        objects = [as_json(exam) for exam in found]
        echo_json(objects if several else objects[0])
    elif kind == "terminal":
        _show(found, verbose=verbose)
    else:
        write: Callable[[Examination], str]
        if kind == "markdown":
            from rldk.report.markdown import as_markdown as write
        else:
            from rldk.report.github import as_github

            def write(exam: "Examination") -> str:
                return "\n".join(as_github(exam))

        click.echo("\n".join(write(exam).rstrip("\n") + "\n" * (kind == "markdown") for exam in found))


def _show(found: "list[Examination]", *, verbose: bool) -> None:
    from rldk.report.terminal import console_on, print_page

    console = console_on(sys.stdout)
    for number, exam in enumerate(found):
        if number:
            console.print()
        print_page(console, exam, verbose=verbose)
