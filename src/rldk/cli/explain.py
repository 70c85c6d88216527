"""`rldk explain`: what does this metric mean, and are my values normal?"""

import math
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rldk.cli.log_options import input_options, log_of
from rldk.cli.progress import ProgressCounter
from rldk.errors import RLDKError
from rldk.health import Observation, diagnose
from rldk.health.diagnosis import ENOUGH
from rldk.health.normal import QUESTIONS, Answer, History, Question, Questions, question_of
from rldk.metrics import Metric
from rldk.report.curve import Curve
from rldk.report.metric_page import found_as, keys_of, names_of, nearest, quantile, rules_of
from rldk.report.rows import Row, ShortLog, statements_about
from rldk.report.text import counted, number, plain

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["explain"]

BETTER = {"up": "higher is better", "down": "lower is better", "none": "neither higher nor lower is better"}


@click.command(short_help="Explain a metric, and whether your values are normal.")
@click.argument("metric")
@click.argument("run", required=False, type=click.Path(path_type=Path))
@input_options
def explain(metric: str, run: Path | None, input_format: str | None, mapping: dict[str, str]) -> None:
    """Explain METRIC: its meaning and unit, its keys in each framework, and the rules that use it.

    METRIC is a name of docs/metrics.md, or a key that a trainer logs: completions/clipped_ratio. It may
    also be a question, in words or by its name (docs/doctor.md lists them). With RUN, rldk also shows the
    values of that run, and says whether they are normal.

    \b
    Examples:
      rldk explain frac_reward_zero_std
      rldk explain loss rldk_logs/my_run
      rldk explain completions/clipped_ratio output/trainer_state.json
      rldk explain "why is the gradient 0 although rewards vary?" train.log
      rldk explain enough train.log
    """
    if run is not None and Path(metric).exists() and not run.exists():
        metric, run = str(run), Path(metric)  # the order in which one would say it
    known = found_as(metric)
    asked = None if known else question_of(metric)
    if asked is not None:
        _answer_question(asked, run, input_format, mapping)
        return
    series: dict[str, _Series] = {}
    answers: list[Answer] = []
    shown: list[str] = []
    if run is not None:
        names = [metric, *(meaning.name for meaning in known)]
        series, answers, shown = _read(run, input_format, mapping, names)
        # If the key has several meanings, keep the meaning in this run.
        known = [meaning for meaning in known if meaning.name in series] or known
    if not known and not series:
        near = nearest(metric)
        hint = f"; did you mean {', '.join(near)}?" if near else "; docs/metrics.md lists them"
        raise RLDKError(f"there is no metric {metric!r}{hint}")
    from rldk.report.terminal import WIDEST, console_on, printing

    with printing(console_on(sys.stdout, WIDEST)) as console:
        for index, meaning in enumerate(known):
            console.print("\n" * (index > 0), end="")
            _meaning(console, meaning, metric)
        if not known:
            console.print(
                f"{plain(metric)}\nrldk does not know this metric; only the run names it.", markup=False
            )
        if run is not None:
            _standing(console, run, series, answers, shown)
        elif known:
            _print_questions(console, known)


class _Series:
    """Every finite value of one metric, with its curve."""

    def __init__(self) -> None:
        self.curve = Curve()
        self.values: list[float] = []
        self.steps: dict[str, int] = {}

    def push(self, step: int, value: float | None) -> None:
        curve = self.curve
        low, high = curve.low, curve.high
        curve.push(step, value)
        if value is not None and math.isfinite(value):
            self.values.append(value)
            if curve.low < low:
                self.steps["lowest"] = step
            if curve.high > high:
                self.steps["highest"] = step


def _answer_question(
    question: Question, path: Path | None, input_format: str | None, mapping: dict[str, str]
) -> None:
    """Print the answer to a question."""
    from rldk.report.terminal import WIDEST, console_on, printing

    with printing(console_on(sys.stdout, WIDEST)) as console:
        if path is None:
            console.print(
                f"{question.question} For the answer: rldk explain {question.name} RUN", markup=False
            )
            return
        series, answers, shown = _read(path, input_format, mapping, [*question.metrics], question)
        if not answers:
            answers = [_not_asked(question)]
        _standing(console, path, series, answers, shown)


def _not_asked(question: Question) -> Answer:
    return Answer(
        name=question.name,
        question=question.question,
        normal=None,
        text=f"{question.question} The run does not log what would answer it.",
        source=question.source,
        rules=(),
        striking=False,
    )


def _read(
    path: Path,
    input_format: str | None,
    mapping: dict[str, str],
    names: list[str],
    question: Question | None = None,
) -> tuple[dict[str, _Series], list[Answer], list[str]]:
    """The series of the names that the run holds, the answers about them, and what the latest rows show."""
    run = log_of(path, input_format, mapping)
    monitor = run.settings().monitor(run.context())
    monitor.begin()
    context = monitor.context
    history = History(has_steps=run.has_steps, is_excerpt=context.is_excerpt)
    questions = Questions(context, monitor.chart, history=history)
    series: dict[str, _Series] = {}
    rows: deque[tuple[int, Row]] = deque(maxlen=ENOUGH)
    names = list(dict.fromkeys([*names, *names_of(names[0])]))
    series_names = {*names, *(f"eval_{name}" for name in names)}
    for event in ProgressCounter(run, "reading"):
        at = Observation.of(event)
        monitor.observe(at)
        history.add(at)
        if event.phase == "train":
            rows.append((at.step, at.values))
        for name in series_names & at.values.keys():
            is_closing = event.phase == "summary" and name not in series
            if event.phase == "train" or is_closing or name.startswith("eval_"):
                series.setdefault(name, _Series()).push(event.step, at.values[name])
    answers: dict[str, Answer] = {}
    for name in names:
        answers |= {answer.name: answer for answer in questions.for_metric(name)}
    if question is not None:
        one = questions.answer(question)
        answers = {} if one is None else {one.name: one}
    diagnosis = diagnose(monitor)
    critical = diagnosis.status == "critical" and question is None
    kept = [answer for answer in answers.values() if not (critical and answer.normal)]
    log = ShortLog(
        [values for _, values in rows],
        context.algorithm,
        context.dialect,
        steps=[step for step, _ in rows] if run.has_steps else (),
        closing=history.closing,
        is_excerpt=context.is_excerpt or len(history.train) > len(rows),
    )
    return series, kept, statements_about(log, names)


def _meaning(console: "Console", metric: Metric, name: str) -> None:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    also = "" if metric.name in (name, name.removeprefix("eval_")) else f" ({name})"
    console.print(Text.assemble((metric.name, "bold"), f"{also}: {metric.unit}; {BETTER[metric.direction]}"))
    console.print(Padding(Text(metric.meaning), (0, 0, 0, 2)))
    grid = Table.grid(padding=(0, 2, 0, 0))
    for title, keys in keys_of(metric):
        grid.add_row(Text(f"  {title}", "dim"), Text(keys))
    used = [rule.name for rule in rules_of(metric.name)]
    grid.add_row(Text("  rules", "dim"), Text(", ".join(used) or "no rule uses it"))
    console.print(grid)


def _standing(
    console: "Console", path: Path, series: dict[str, _Series], answers: list[Answer], shown: list[str]
) -> None:
    from rich.padding import Padding
    from rich.text import Text

    console.print(Text(f"\nIn {plain(str(path))}", "bold"))
    if not series:
        console.print("  This run does not log it.", markup=False)
    for name, found in series.items():
        curve = found.curve
        broken = f", and {counted(curve.nonfinite, 'value')} not finite" if curve.nonfinite else ""
        console.print(Text(f"  {plain(name)}: {counted(curve.count, 'record')}{broken}"))
        if found.values:
            _figures(console, found)
    if shown:
        console.print(Text(f"\nWhat its latest rows show (at most {ENOUGH})", "bold"))
    for text in shown:
        console.print(Padding(Text(f"- {text}"), (0, 0, 0, 2)))
    for answer in answers:
        console.print(Text(f"\n{answer.question}" if answer.normal is not None else "", "bold"))
        console.print(Padding(Text(f"{answer.text}\nSources: {answer.source}."), (0, 0, 0, 2)))


def _figures(console: "Console", found: _Series) -> None:
    from rich.table import Table
    from rich.text import Text

    curve, ordered = found.curve, sorted(found.values)
    console.print(Text(f"  {curve.spark(min(console.width - 4, 72))}", "cyan"))
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_row("  first", number(curve.first), "5%", number(quantile(ordered, 0.05)))
    table.add_row("  last", number(curve.last), "median", number(quantile(ordered, 0.5)))
    for word, value in (("lowest", curve.low), ("highest", curve.high)):
        share = ("95%", number(quantile(ordered, 0.95))) if word == "lowest" else ("", "")
        table.add_row(f"  {word}", f"{number(value)} (step {found.steps[word]:,})", *share)
    console.print(table)


def _print_questions(console: "Console", known: list[Metric]) -> None:
    """Print the questions that a run would answer."""
    from rich.text import Text

    names = {metric.name for metric in known}
    questions = [question.question for question in QUESTIONS if names & set(question.metrics)]
    if questions:
        console.print(Text(f"\n{' '.join(questions)} For answers: rldk explain METRIC RUN", "dim"))
