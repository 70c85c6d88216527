"""The words that every report of a diagnosis shares: its headline, since when, what was not checked.

Invariant: the terminal page, the Markdown and the annotations say the same of a run.
"""

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from rldk.health import Finding
from rldk.health.diagnosis import ENOUGH, NO_FINDING
from rldk.metrics.aliases import ENTROPY, KL, LENGTH, LOSS, REWARD
from rldk.report.examination import Examination
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
"""What a reader looks at in any run."""
SHOWN = 2
"""Findings whose samples are offered."""
EXCERPT = 120
"""Characters of a sample on the page of a diagnosis."""


def last_good(finding: Finding) -> str:
    """The last good step of a finding, and the last good checkpoint with how that is known."""
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
    """How many records, and from which step to which."""
    if not exam.records or exam.first_step is None or exam.last_step is None:
        return "no train records"
    reach = f"step {exam.first_step:,}"
    if exam.last_step > exam.first_step:
        reach = f"steps {exam.first_step:,} to {exam.last_step:,}"
    return f"{counted(exam.records, 'record')}, {reach}"


def headline(exam: Examination) -> str:
    """What is wrong, in one sentence."""
    worst = exam.worst
    if worst is None:
        if exam.diagnosis.status == "insufficient-data":
            return _too_little(exam)
        return NO_FINDING[exam.diagnosis.status]
    first = worst.summary.rstrip(".")
    others = len([f for f in exam.diagnosis.findings if f.caused_by is None]) - 1
    more = f", and {counted(others, 'other finding')}" if others > 0 else ""
    calm = "Nothing alarming. " if exam.diagnosis.status == "info" else ""
    return f"{calm}{first}, {since(exam, worst).lower()}{more}."


def _too_little(exam: Examination) -> str:
    if exam.records == 0:
        return "The run holds no train record yet: nothing could be judged."
    if exam.records < ENOUGH:
        few = "is" if exam.records == 1 else "are"
        need = f"most rules need {ENOUGH} and more"
        return f"{counted(exam.records, 'train record')} {few} too little to judge by: {need}."
    return "The run logs neither what it is after (a reward, a loss) nor anything that looks wrong."


def since(exam: Examination, finding: Finding) -> str:
    """Since when a finding holds."""
    if exam.first_step is None or finding.last_step < exam.first_step:
        return "Before the first step"
    if finding.onset_step <= exam.first_step:  # below: since a checkpoint from before the log
        return f"From the start (step {exam.first_step:,})"
    return f"Since step {finding.onset_step:,}"


def main_metrics(exam: Examination, most: int = 9) -> list[str]:
    """The metrics that a page shows: those that decided, then what one looks at in any run."""
    curves = exam.curves
    named_by_findings = [name for finding in exam.diagnosis.findings for name in finding.evidence]
    decided = curves.first_of(name for name in named_by_findings if name in curves)[:5]
    usual = [found[0] for names in _MAIN if (found := curves.first_of(names.split("|")))]
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
    """What a finding explains, directly or not, with its depth below it."""
    findings = list(findings)
    members: list[tuple[int, Finding]] = []
    for finding in findings:
        if finding.caused_by == root.rule:
            members.append((1, finding))
            members += [(depth + 1, one) for depth, one in family(findings, finding)]
    return members


def commands(exam: Examination) -> list[tuple[str, str]]:
    """What to type next, and what it does."""
    path = shlex.quote(plain(exam.source))
    worst = exam.worst
    if worst is None:
        if exam.diagnosis.status == "insufficient-data":
            return [(f"rldk info {path}", "what the log holds")]
        return [(f"rldk explain {_first_metric(exam)} {path}", "a metric, and where this run stands")]
    lines = [(f"rldk rules {worst.rule}", "how this was decided, and what looks alike")]
    metric = next((name for name in worst.evidence if name in exam.curves), None)
    if metric is not None:
        lines.append((f"rldk explain {shlex.quote(plain(metric))} {path}", "the metric that decided"))
    shown = [finding.rule for finding in exam.diagnosis.findings if finding.samples][:SHOWN]
    lines += [(f"rldk samples {path} --finding {rule}", "the samples that show it, whole") for rule in shown]
    if exam.state == "running":
        lines.append((f"rldk doctor {path} --follow", "watch it go on"))
    return lines


def samples_of(finding: Finding, most: int) -> list[tuple[str, str]]:
    """Where samples of a finding stand and what they show, and an excerpt of each: the first and the last."""
    samples = finding.samples
    chosen = samples if len(samples) <= most else [*samples[: most - 1], samples[-1]]
    return [
        (f"step {sample['step']:,}, {plain(sample['why'])}", f"“{_excerpt(sample)}”") for sample in chosen
    ]


def _excerpt(sample: Mapping[str, Any]) -> str:
    """Of a text that shows its end alone the end."""
    text: str = sample["text"]
    return " ".join(plain(excerpt(text, EXCERPT, end=text.startswith(GAP.lstrip()))).split())


def _first_metric(exam: Examination) -> str:
    return shlex.quote(plain(next(iter(main_metrics(exam)), "loss")))


def evidence(finding: Finding) -> str:
    """The values that decided, on one line."""
    texts = []
    for name, value in finding.evidence.items():
        if isinstance(value, list | tuple) and all(isinstance(one, int | float) for one in value):
            texts.append(f"{plain(name)} {' to '.join(number(one) for one in value)}")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            texts.append(f"{plain(name)} {number(value)}")
        else:
            texts.append(f"{plain(name)} {plain(str(value))}")
    return ", ".join(texts)
