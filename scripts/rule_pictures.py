"""Draws, for each rule, a labelled run on which it fires beside a healthy one that looks most alike.

`python scripts/rule_pictures.py` writes `docs/images/rules/{rule}.svg` and `captions.json`, from which
`generate_docs.py` makes the pages; with `--check` it writes nothing, and exits 1 if something is stale.
Which runs are shown is decided here, by the labels of benchmarks/detection and by what rldk finds in them.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from statistics import fmean

import msgspec

ROOT = Path(__file__).resolve().parent.parent
DETECTION = ROOT / "benchmarks" / "detection"
PICTURES = ROOT / "docs" / "images" / "rules"
sys.path[:0] = [str(ROOT / "src"), str(DETECTION)]

from inside.table import by_run  # noqa: E402

from rldk.doctor.judge import judge  # noqa: E402
from rldk.health import RULES, Finding, Rule, Severity  # noqa: E402
from rldk.metrics import metric_of  # noqa: E402
from rldk.runs import open_run  # noqa: E402
from rldk.schema.event import Event  # noqa: E402
from run_chart import Panel, Points, Row, draw  # noqa: E402

LEAST = 4
"""Records of a series that is drawn, as of an evaluation."""
LONG = 50
"""Records from which a trained run shows more than a simulated one."""
SHAPE = 40
"""Points by which two series are compared."""


class LabelledRun:
    """A run, its label, and what rldk finds in it.

    Args:
        path: its folder.
        is_trained: whether a real training made it, and not a simulation.
        trainer: what trained it, as its label names it.
        fault: what was done to it; empty: nothing.
        is_healthy: whether its label says that every alarm would be false.
        expected: rules that name what is wrong.
        also_true: rules that name true consequences.
        truth_metric: what the doctor is to be given as such.
    """

    def __init__(
        self,
        path: Path,
        *,
        is_trained: bool,
        trainer: str,
        fault: str,
        is_healthy: bool,
        expected: Iterable[str],
        also_true: Iterable[str],
        truth_metric: str | None,
    ) -> None:
        self.name, self.trainer, self.is_trained = path.name, trainer, is_trained
        self.fault, self.is_healthy = fault, is_healthy
        self.expected, self.also_true = frozenset(expected), frozenset(also_true)
        self.run = open_run(path)
        settings = msgspec.structs.replace(self.run.settings(), truth_metric=truth_metric)
        diagnosis = judge(self.run, settings=settings)
        self.findings = {finding.rule: finding for finding in diagnosis.findings}
        self.not_checked = {one.rule for one in diagnosis.not_checked}

    @cached_property
    def events(self) -> list[Event]:
        """The records."""
        return list(self.run)

    def series(self, metric: str) -> Points:
        """A metric by steps; None where it was not finite."""
        return [(one.step, one.metrics[metric]) for one in self.events if metric in one.metrics]

    def holds(self, metric: str) -> bool:
        """Whether the run has enough records of a metric."""
        points = self.series(metric)
        return len(points) >= LEAST and any(value is not None for _, value in points)

    @cached_property
    def metrics(self) -> list[str]:
        """All metrics that it holds, by name."""
        return sorted({name for one in self.events for name in one.metrics})


def labelled_runs() -> Iterator[LabelledRun]:
    """The runs of benchmarks/detection that have a label."""
    for name, label in json.loads((DETECTION / "labels.json").read_text(encoding="utf-8")).items():
        yield LabelledRun(
            DETECTION / "runs" / name,
            is_trained=label["kind"] == "trained",
            trainer=label["trainer"],
            fault=label["fault"],
            is_healthy=label["verdict"] == "healthy",
            expected=label["expected"],
            also_true=label["also_true"],
            truth_metric=label["truth_metric"],
        )
    for name, row in by_run().items():
        yield LabelledRun(
            DETECTION / "inside" / "runs" / name,
            is_trained=True,
            trainer=row.trainer,
            fault=row.fault,
            is_healthy=not row.fault,
            expected=row.expected,
            also_true=row.also_true,
            truth_metric=row.truth,
        )


def run_with(rule: type[Rule], runs: list[LabelledRun]) -> LabelledRun | None:
    """The run that shows a rule best; None where no label names the rule.

    First those whose label expects the rule, then by severity, then those with a fifth of the records before
    the onset, then those that were trained and not simulated.
    """

    def worth(one: LabelledRun) -> tuple[object, ...]:
        finding, steps = one.findings[rule.name], [event.step for event in one.events]
        before = sum(step < finding.onset_step for step in steps)
        seen = min(before, len(steps) - before) >= len(steps) // 5
        return (
            rule.name in one.expected,
            Severity.of(finding.severity),
            seen,
            one.is_trained and len(steps) >= LONG,
            bool(series_of(rule, finding, one)),
            len(steps),
        )

    named = [one for one in runs if rule.name in one.findings and rule.name in one.expected | one.also_true]
    return max(named, key=worth, default=None)


def series_of(rule: type[Rule], finding: Finding, run: LabelledRun) -> list[str]:
    """The metrics that decide, two at most: those that the rule needs, then those that the evidence names."""
    if rule.kinds == ("end",):  # no series decides
        return []
    needed = [name for need in rule.needs for name in need.split("|")]
    patterns = [name for name in needed if "*" in name]
    names = [name for name in needed if name not in patterns] + list(finding.evidence)
    names += [name for name in run.metrics if any(fnmatchcase(name, pattern) for pattern in patterns)]
    return [name for name in dict.fromkeys(names) if run.holds(name)][:2]


def look_alike(
    rule: type[Rule], ill: LabelledRun, metrics: list[str], runs: list[LabelledRun]
) -> LabelledRun | None:
    """The healthy run, of the same trainer if there is one, whose first metric lies nearest to the ill run's.

    The distance is the mean absolute difference of the two series, each drawn over the length of its run.
    """
    healthy = [
        one for one in runs if one.is_healthy and rule.name not in one.findings.keys() | one.not_checked
    ]
    healthy = [one for one in healthy if all(map(one.holds, metrics))]
    alike = [one for one in healthy if one.trainer == ill.trainer] or healthy
    alike = [one for one in alike if one.is_trained == ill.is_trained] or alike
    if not metrics:
        return next(iter(alike), None)
    shape = _shape(ill.series(metrics[0]))
    return min(alike, key=lambda one: _distance(shape, _shape(one.series(metrics[0]))), default=None)


def _shape(points: Points) -> list[float]:
    """A series as `SHAPE` means over its length."""
    values = [value for _, value in points if value is not None]
    bounds = [round(number * len(values) / SHAPE) for number in range(SHAPE + 1)]
    return [fmean(values[a : max(b, a + 1)] or values[-1:]) for a, b in pairwise(bounds)]


def _distance(a: list[float], b: list[float]) -> float:
    return fmean(abs(x - y) for x, y in zip(a, b, strict=True))


def picture(rule: type[Rule], ill: LabelledRun, healthy: LabelledRun, metrics: list[str]) -> str:
    """The SVG of two runs."""
    finding = ill.findings[rule.name]
    rows = []
    for number, name in enumerate(metrics):
        metric = metric_of(name)
        label = f"{name} ({metric.unit})" if metric is not None and metric.unit != name else name
        level = _limit(finding) if number == 0 else None
        is_share = metric is not None and metric.unit == "fraction"
        rows.append(Row(label, ill.series(name), healthy.series(name), level, is_share))
    left = Panel(f"fires: {ill.name}", (finding.onset_step, finding.last_step), finding.first_step)
    title = f"{rule.name} fires on {ill.name} and is silent on {healthy.name}"
    return draw(title, (left, Panel(f"healthy: {healthy.name}")), rows)


def _limit(finding: Finding) -> float | None:
    limit = finding.evidence.get("limit")
    return float(limit) if isinstance(limit, int | float) else None


def caption(rule: type[Rule], ill: LabelledRun, healthy: LabelledRun | None, metrics: list[str]) -> str:
    """What the page of a rule says of the two runs, in Markdown."""
    finding = ill.findings[rule.name]
    done = f" ({ill.fault})" if ill.fault else ""
    side = "Left: `" if metrics and healthy else "It fires on `"
    text = f'{side}{ill.name}`{done}: {finding.severity}, "{finding.message}"'
    if healthy is None:
        return f"{text}.\nNo healthy run logs what the rule goes by."
    if not metrics:
        return f"{text}.\nIt is silent on `{healthy.name}`, which is labelled healthy."
    limit = " The dashed line is the limit." if _limit(finding) is not None else ""
    kind = "healthy" if healthy.trainer != ill.trainer else f"healthy {ill.trainer.upper()}"
    return (
        f"{text}.\n"
        f"The band is the finding, from its onset at step {finding.onset_step}; "
        f"the dotted line is its first report, at step {finding.first_step}.{limit}\n"
        f"Right: `{healthy.name}`, the {kind} run whose `{metrics[0]}` comes nearest to the left one's; "
        "the rule is silent on it."
    )


def rendered() -> dict[str, str]:
    """Each file of docs/images/rules with its text."""
    runs = list(labelled_runs())
    files, captions = {}, {}
    for rule in RULES:
        ill = run_with(rule, runs)
        if ill is None:
            continue
        metrics = series_of(rule, ill.findings[rule.name], ill)
        healthy = look_alike(rule, ill, metrics, runs)
        captions[rule.name] = caption(rule, ill, healthy, metrics)
        if metrics and healthy is not None:
            files[f"{rule.name}.svg"] = picture(rule, ill, healthy, metrics)
    files["captions.json"] = json.dumps(captions, indent=1, ensure_ascii=False) + "\n"
    return files


def main(arguments: Iterable[str] | None = None) -> int:
    """Write the pictures, or with --check only compare them; the result is the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    options = parser.parse_args(None if arguments is None else list(arguments))
    files = rendered()
    PICTURES.mkdir(parents=True, exist_ok=True)
    there = {path.name: path.read_text(encoding="utf-8") for path in PICTURES.iterdir()}
    stale = sorted(name for name in files.keys() | there.keys() if files.get(name) != there.get(name))
    for name in stale:
        if options.check:
            print(f"docs/images/rules/{name} is stale: run python scripts/rule_pictures.py", file=sys.stderr)
        elif name in files:
            (PICTURES / name).write_text(files[name], encoding="utf-8")
            print(f"wrote docs/images/rules/{name}")
        else:
            (PICTURES / name).unlink()
    return int(options.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
