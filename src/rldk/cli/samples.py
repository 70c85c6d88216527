"""`rldk samples`: prompts, completions, and the values of each reward function."""

import math
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import msgspec

from rldk.cli.log_options import input_options, log_of
from rldk.cli.output import echo_json, echo_lines
from rldk.cli.progress import ProgressCounter
from rldk.cli.sample_filter import SORTS, SampleFilter, in_order
from rldk.doctor.judge import judge
from rldk.doctor.sample_evidence import SampleEvidence, evidence
from rldk.errors import RLDKError
from rldk.health import find_rule
from rldk.report.text import counted, listed, plain
from rldk.runs import Run
from rldk.runs.samples import Samples
from rldk.schema.event import Phase

__all__ = ["samples"]

NAMES = 20
"""Most names of reward functions in an error."""


def _steps(context: click.Context, option: click.Parameter, value: str | None) -> tuple[float, float]:
    found = re.fullmatch(r"(\d{0,18})(:?)(\d{0,18})", (value or ":").strip(), re.ASCII)
    if found is None or not found[0]:
        raise click.BadParameter(f"{value!r} is neither a step nor a range N:M", context, option)
    first, colon, last = found.groups()
    if not colon:
        return int(first), int(first)
    low, high = int(first) if first else -math.inf, int(last) if last else math.inf
    if low > high:
        raise click.BadParameter(
            f"{value!r} ends before it starts; did you mean {last}:{first}?", context, option
        )
    return low, high


def _rule(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    try:
        return value and find_rule(value).name
    except ValueError as error:
        raise click.BadParameter(str(error), context, option) from None


@click.command(short_help="Show prompts, completions and their rewards.")
@click.argument("path", metavar="RUN", type=click.Path(path_type=Path))
@input_options
@click.option("--step", "steps", metavar="N|N:M", callback=_steps, help="A step, or steps N to M (N:, :M).")
@click.option("--finding", metavar="RULE", callback=_rule, help="Samples that show a finding of rldk doctor.")
@click.option(
    "--sort",
    type=click.Choice(SORTS),
    help="reward: lowest first; -reward: highest first. Default: newest step first.",
)
@click.option(
    "--limit", type=click.IntRange(min=0), default=5, show_default=True, help="Number of samples; 0: all."
)
@click.option("--function", metavar="NAME", help="Samples of this reward function; --sort reward uses it.")
@click.option("--phase", type=click.Choice(["train", "eval"]), help="Samples of training or of evaluations.")
@click.option("--grep", metavar="TEXT", help="Samples with this text in prompt or completion, ignoring case.")
@click.option("--full", is_flag=True, help="Show whole completions.")
@click.option(
    "-f",
    "--format",
    "kind",
    type=click.Choice(["terminal", "json", "jsonl", "markdown"]),
    default="terminal",
    help="Format of the output.",
)
def samples(
    path: Path,
    input_format: str | None,
    mapping: dict[str, str],
    steps: tuple[float, float],
    finding: str | None,
    sort: str | None,
    limit: int,
    function: str | None,
    phase: Phase | None,
    grep: str | None,
    full: bool,
    kind: str,
) -> None:
    """Show samples of RUN: prompt, completion, the value of each reward function, and the end.

    RUN is a run with reward functions wrapped in observe_rewards, or a run of rldk.record whose loop calls
    run.samples. Or it is the folder of a trainer with log_completions=True, a log in that folder, or its
    completions. rldk shows the start and the end of a long completion.

    \b
    Exit code: 0 samples are shown, 1 no sample matches, 2 RUN has no samples or rldk cannot read it.

    \b
    Examples:
      rldk samples rldk_logs/my_run
      rldk samples rldk_logs/my_run --finding truncation
      rldk samples rldk_logs/my_run --step 100:200 --sort -reward --limit 3
      rldk samples output --function accuracy --sort reward --grep "the answer is"
      rldk samples rldk_logs/my_run --limit 0 --format jsonl > samples.jsonl
    """
    run = log_of(path, input_format, mapping)
    found = run.samples()
    if not found.sources:
        raise RLDKError(
            f"{path} has no samples. Wrap the reward functions before the next training: "
            "reward_funcs=observe_rewards(reward_funcs), from rldk.integrations.trl; or set "
            "log_completions=True in the trainer's configuration. In a loop of your own, call run.samples"
        )
    sample_filter = SampleFilter(steps, phase, function, grep)
    if finding is None:
        shown = in_order(sample_filter.of(_all(found, path)), sort or "-step", function, limit or None)
    else:
        chosen = sample_filter.of(_of_finding(run, found, finding, path))
        shown = in_order(chosen, sort, function, limit or None)
    if kind == "jsonl":
        _print_lines(shown, finding)
    else:
        _print(list(shown), sample_filter, kind, path, finding, full=full or finding is not None)
    _report_bad(run, found)
    if not sample_filter.taken:
        _explain_none(run, found, sample_filter, path, finding, function)
        click.get_current_context().exit(1)


def _all(found: Samples, path: Path) -> Iterator[SampleEvidence]:
    for sample in ProgressCounter(found, f"reading {path.name}"):
        yield SampleEvidence(sample, "", end=False)


def _of_finding(run: Run, found: Samples, rule: str, path: Path) -> list[SampleEvidence]:
    """The samples that show a finding of the doctor; if there are none, print why."""
    diagnosis = judge(run)
    shown = evidence(diagnosis, found).get(rule, [])
    if not shown:
        rules = [finding.rule for finding in diagnosis.findings]
        if rule in rules:
            echo_lines(f"rldk: no recorded sample of {path} shows {rule}", err=True)
        else:
            others = f"; found: {listed(rules)}" if rules else ""
            echo_lines(f"rldk: the doctor does not find {rule} in {path}{others}", err=True)
    return shown


def _print_lines(shown: Iterable[SampleEvidence], finding: str | None) -> None:
    from rldk.report.samples_page import as_object

    for sample in shown:
        click.echo(msgspec.json.encode(as_object(sample, finding)))


def _print(
    shown: list[SampleEvidence],
    sample_filter: SampleFilter,
    kind: str,
    path: Path,
    finding: str | None,
    *,
    full: bool,
) -> None:
    from rldk.report.samples_page import as_markdown, as_object, print_samples
    from rldk.report.terminal import console_on

    if kind == "json":
        echo_json([as_object(sample, finding) for sample in shown])
        return
    if not shown:
        return
    if finding is not None:
        title = f"{path}: {counted(len(shown), 'sample')} of {finding}"
    else:
        title = f"{path}: {len(shown):,} of {counted(sample_filter.taken, 'sample')}"
        title += (
            f" that match, of {sample_filter.checked:,}"
            if sample_filter.taken < sample_filter.checked
            else ""
        )
    if kind == "markdown":
        click.echo(as_markdown(title, shown, full=full), nl=False)
        return
    more = [] if full else ["Whole texts: --full."]
    if len(shown) < sample_filter.taken:
        more += ["More samples: --limit 50.", "Highest rewards: --sort -reward."]
    print_samples(console_on(sys.stdout), title, shown, full=full, more=" ".join(more))


def _report_bad(run: Run, found: Samples) -> None:
    files = {source.path for source in found.sources}
    bad = [line for line in run.bad_lines if line.path in files]
    if bad:
        first = f"{bad[0].path}:{bad[0].number}: {bad[0].reason}"
        warning = f"rldk: could not read {counted(len(bad), 'sample')}; the first: {first}"
        echo_lines(warning, err=True)


def _explain_none(
    run: Run,
    found: Samples,
    sample_filter: SampleFilter,
    path: Path,
    finding: str | None,
    function: str | None,
) -> None:
    """Print why no sample is shown.

    Raises:
        RLDKError: rldk could read no sample, or the run has no such reward function.
    """
    if not sample_filter.checked:
        if finding is not None:
            return  # `_of_finding` has printed the reason
        if any(line.path in {source.path for source in found.sources} for line in run.bad_lines):
            raise RLDKError(f"could not read any sample of {path}")
        echo_lines(f"rldk: {path} has no sample yet", err=True)
        return
    if function is not None and function not in sample_filter.functions:
        names = list(sample_filter.functions)
        known = listed([plain(name) for name in names[:NAMES]]) or "none"
        raise RLDKError(f"no sample of {path} has a reward function {function!r}; they have: {known}")
    echo_lines(f"rldk: no match among {counted(sample_filter.checked, 'sample')}", err=True)
