"""The texts that all reports of a diagnosis share: the headline, the onset, the rules not checked.

Invariant: the terminal page, the Markdown and the annotations use the same texts.
"""

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from rldk.health import Finding, installed_rules
from rldk.health.diagnosis import ENOUGH, NO_FINDING
from rldk.metrics import metric_of
from rldk.metrics.aliases import ENTROPY, KL, LENGTH, LOSS, REWARD
from rldk.report.examination import Examination
from rldk.report.rows import more_rows
from rldk.report.text import counted, number, plain
from rldk.runs.message_text import GAP, excerpt

__all__ = [
    "commands",
    "evidence",
    "family",
    "headline",
    "last_good",
    "main_metrics",
    "named",
    "rows_show",
    "samples_of",
    "since",
    "steps",
    "unchecked",
]

_MAIN = (
    REWARD,
    "rewards_margins|rewards_margins_reference_free",
    "rewards_accuracies|rewards_accuracies_reference_free",
    LOSS,
    KL,
    ENTROPY,
    LENGTH,
    "truncated_frac|truncated_nonempty_frac",
    "grad_norm",
    "lr",
)
"""Metrics that readers want to see of any run."""
SHOWN = 2
"""Most findings with a command that shows their samples."""
_REWARD = re.compile("reward|return|score", re.IGNORECASE)
"""What the keys of a reward hold in most logs."""
EXCERPT = 120
"""Most characters of a sample on the page of a diagnosis."""


def last_good(finding: Finding) -> str:
    """The last good step of a finding, and the last good checkpoint with the reason."""
    text = f"Last good step: {finding.last_good_step:,}."
    if finding.last_good_checkpoint:
        text += f" Last good checkpoint: {plain(finding.last_good_checkpoint)}"
        text += f" ({finding.last_good_because})." if finding.last_good_because else "."
    return text


def named(exam: Examination) -> str:
    """The run's name, algorithm, size and state."""
    parts = [plain(exam.name)]
    if exam.algorithm:
        parts.append(plain(exam.algorithm))
    parts.append(steps(exam))
    if exam.is_recorded:
        parts.append({"unfinished": "no end recorded"}.get(exam.state, exam.state))
    return " · ".join(parts)


def steps(exam: Examination) -> str:
    """The number of records, and their first and last step."""
    if not exam.records or exam.first_step is None or exam.last_step is None:
        return "no train records"
    if exam.is_excerpt and not exam.has_steps:
        return f"{counted(exam.records, 'record')} from the middle of a training"
    reach = f"step {exam.first_step:,}"
    if exam.last_step > exam.first_step:
        reach = f"steps {exam.first_step:,} to {exam.last_step:,}"
    return f"{counted(exam.records, 'record')}, {reach}"


def headline(exam: Examination) -> str:
    """The main problem, as a sentence."""
    worst = exam.worst
    if worst is None:
        return exam.diagnosis.missing or NO_FINDING[exam.diagnosis.status]
    first = worst.summary.rstrip(".")
    others = len([f for f in exam.diagnosis.findings if f.caused_by is None]) - 1
    more = f", and {counted(others, 'other finding')}" if others > 0 else ""
    calm = "No alarm. " if exam.diagnosis.status == "info" else ""
    return f"{calm}{first}, {since(exam, worst).lower()}{more}."


def since(exam: Examination, finding: Finding) -> str:
    """The onset of a finding, as text."""
    if exam.first_step is None or finding.last_step < exam.first_step:
        return "Before the first step"
    if finding.onset_step <= exam.first_step:  # lower, if a checkpoint is older than the log
        if exam.is_excerpt:
            return "From the first row of this excerpt on"
        return f"From the start (step {exam.first_step:,})"
    return f"Since step {finding.onset_step:,}"


def rows_show(exam: Examination) -> list[str]:
    """What the rows of a short log show, and where more rows lie; empty for a log that is long enough."""
    if exam.is_recorded or exam.records >= ENOUGH:
        return list(exam.statements)
    return [*exam.statements, f"For a verdict on the run, give more rows: {more_rows(exam.dialect)}."]


def main_metrics(exam: Examination, most: int = 9) -> list[str]:
    """The metrics on a page: the metrics that decided and the main metrics of any run; else the log's own."""
    curves = exam.curves
    named_by_findings = [name for finding in exam.diagnosis.findings for name in finding.evidence]
    decided = curves.first_of(name for name in named_by_findings if name in curves)[:5]
    usual = [found[0] for names in _MAIN if (found := curves.first_of(names.split("|")))]
    if not decided and not usual:
        return list(curves)[:most]
    kept = set(list(dict.fromkeys([*decided, *usual]))[:most])
    # In the usual order, so that pages of different runs can be compared.
    return [name for name in dict.fromkeys([*usual, *decided]) if name in kept]


def unchecked(exam: Examination) -> list[tuple[str, list[str]]]:
    """How to enable what was not checked, and the rules that this would enable; the most first."""
    by_how: dict[str, list[str]] = {}
    for entry in exam.diagnosis.not_checked:
        by_how.setdefault(plain(entry.how), []).append(entry.rule)
    return sorted(by_how.items(), key=lambda entry: -len(entry[1]))


def family(findings: Iterable[Finding], root: Finding) -> list[tuple[int, Finding]]:
    """The findings that a finding explains, directly or not, each with its depth."""
    findings = list(findings)
    members: list[tuple[int, Finding]] = []
    for finding in findings:
        if finding.caused_by == root.rule:
            members.append((1, finding))
            members += [(depth + 1, effect) for depth, effect in family(findings, finding)]
    return members


def commands(exam: Examination) -> list[tuple[str, str]]:
    """The next commands, each with its purpose."""
    path = shlex.quote(plain(exam.source))
    worst = exam.worst
    if worst is None:
        if exam.diagnosis.status == "insufficient-data":
            return [(f"rldk info {path}", "the content of the log"), *_naming(exam, path)]
        return [(f"rldk explain {_first_metric(exam)} {path}", "a metric and its values in this run")]
    lines = [(f"rldk rules {worst.rule}", "how the rule decides")]
    metric = next(iter(exam.curves.first_of([*_needs(worst.rule), *worst.evidence])), None)
    if metric is not None:
        lines.append((f"rldk explain {shlex.quote(plain(metric))} {path}", "the metric that decided"))
    shown = [finding.rule for finding in exam.diagnosis.findings if finding.samples][:SHOWN]
    lines += [(f"rldk samples {path} --finding {rule}", "whole samples that show it") for rule in shown]
    if exam.state == "running":
        lines.append((f"rldk doctor {path} --follow", "watch the run"))
    return lines


def _naming(exam: Examination, path: str) -> list[tuple[str, str]]:
    """The command that names a key of a log in which rldk knows no metric."""
    if exam.is_recorded or not exam.curves or any(map(metric_of, exam.curves)):
        return []
    likely = next((key for key in exam.curves if _REWARD.search(key)), next(iter(exam.curves)))
    pair = shlex.quote(plain(f"{likely}={REWARD.partition('|')[0]}"))
    return [(f"rldk doctor {path} --map {pair}", "rldk knows no key of the log: name those that you know")]


def _needs(name: str) -> list[str]:
    """The metrics that a rule needs, with their alternatives; empty for a rule that is not installed."""
    needs = next((rule.needs for rule in installed_rules() if rule.name == name), ())
    return [metric for need in needs for metric in need.split("|")]


def samples_of(finding: Finding, most: int) -> list[tuple[str, str]]:
    """Step and reason of the first samples and the last sample of a finding, and an excerpt of each."""
    samples = finding.samples
    chosen = samples if len(samples) <= most else [*samples[: most - 1], samples[-1]]
    return [
        (f"step {sample['step']:,}, {plain(sample['why'])}", f"“{_excerpt(sample)}”") for sample in chosen
    ]


def _excerpt(sample: Mapping[str, Any]) -> str:
    """An excerpt; only the end if the sample holds only the end of its text."""
    text: str = sample["text"]
    return " ".join(plain(excerpt(text, EXCERPT, end=text.startswith(GAP.lstrip()))).split())


def _first_metric(exam: Examination) -> str:
    return shlex.quote(plain(next(iter(main_metrics(exam)), "loss")))


def evidence(finding: Finding) -> str:
    """The values that decided, on a single line."""
    texts = []
    for name, value in finding.evidence.items():
        if isinstance(value, list | tuple) and all(isinstance(item, int | float) for item in value):
            texts.append(f"{plain(name)} {' to '.join(map(number, value))}")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            texts.append(f"{plain(name)} {number(value)}")
        else:
            texts.append(f"{plain(name)} {plain(str(value))}")
    return ", ".join(texts)
