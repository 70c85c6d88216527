"""A diagnosis as Markdown, for a comment on a pull request.

Invariant: what comes from a log is text: it opens no HTML, calls nobody by name and breaks no table.
"""

from collections.abc import Callable, Sequence

from rldk.health import Finding
from rldk.health.text import literal
from rldk.report.examination import Examination
from rldk.report.phrases import (
    evidence,
    family,
    headline,
    last_good,
    main_metrics,
    named,
    samples_of,
    since,
    unchecked,
)
from rldk.report.text import counted, number, plain, sentence

__all__ = ["as_markdown", "family_lines", "folded"]

SAMPLES = 2
"""Samples of a finding."""


def as_markdown(exam: Examination) -> str:
    """The page of one run."""
    status = exam.diagnosis.status
    lines = [
        f"### rldk: {status.upper()}",
        "",
        f"{literal(named(exam))}",
        "",
        f"**{literal(headline(exam))}**",
        "",
    ]
    if exam.bad_lines:
        lines += [f"{counted(exam.bad_lines, 'line')} of the log could not be read.", ""]
    findings = exam.diagnosis.findings
    for finding in findings:
        if finding.caused_by is None:
            lines += family_lines(finding, findings, lambda one: since(exam, one).lower())
    if exam.records:
        lines += folded("The numbers", _numbers(exam))
    if exam.answers:
        answers = [f"- *{literal(answer.question)}* {literal(answer.text)}" for answer in exam.answers[:3]]
        lines += folded("Is this normal?", answers)
    groups = unchecked(exam)
    if groups:
        answers = [f"- {', '.join(f'`{rule}`' for rule in rules)}: {literal(how)}" for how, rules in groups]
        lines += folded(f"Not checked ({counted(len(exam.diagnosis.not_checked), 'rule')})", answers)
    return "\n".join(lines).rstrip() + "\n"


def family_lines(finding: Finding, findings: Sequence[Finding], when: Callable[[Finding], str]) -> list[str]:
    """A finding that nothing else explains, and what it explains.

    Args:
        finding: what is told.
        findings: all that was found.
        when: since when, or where, in words for the middle of a sentence.
    """
    head = f"#### {finding.severity}: `{finding.rule}` ({finding.code}), {literal(when(finding))}"
    lines = [head, "", literal(sentence(finding.message)), ""]
    if finding.evidence:
        lines += [f"Evidence: {literal(evidence(finding))}.", ""]
    if finding.causes:
        lines += [
            "Likely because",
            "",
            *(f"- {literal(sentence(cause))}" for cause in finding.causes[:3]),
            "",
        ]
    if finding.remedies:
        numbered = (f"{index}. {literal(sentence(one))}" for index, one in enumerate(finding.remedies[:5], 1))
        lines += ["Do this", "", *numbered, ""]
    if finding.last_good_step is not None:
        lines += [literal(last_good(finding)), ""]
    if shown := samples_of(finding, SAMPLES):
        excerpts = (f"- {literal(where)}: {literal(text)}" for where, text in shown)
        lines += ["In the samples", "", *excerpts, ""]
    explained = family(findings, finding)
    if explained:
        lines += ["This explains", ""]
        for depth, one in explained:
            line = f"{one.severity}: `{one.rule}` {literal(when(one))}: {literal(sentence(one.message))}"
            lines.append(f"{'  ' * (depth - 1)}- {line}")
        lines.append("")
    return lines


def _numbers(exam: Examination) -> list[str]:
    rows = ["| metric | first | last | lowest | highest | curve |", "| --- | --: | --: | --: | --: | --- |"]
    for name in main_metrics(exam):
        curve = exam.curves[name]
        cells = [literal(plain(name)), *map(number, (curve.first, curve.newest, curve.low, curve.high))]
        rows.append(f"| {' | '.join([*cells, curve.spark(24)])} |")
    return rows


def folded(title: str, lines: list[str]) -> list[str]:
    """Lines that a reader opens."""
    return [f"<details><summary>{title}</summary>", "", *lines, "", "</details>", ""]
