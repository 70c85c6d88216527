"""A diagnosis as Markdown, for a comment on a pull request.

Invariant: text from a log cannot open HTML, mention a user or break a table.
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
    rows_show,
    samples_of,
    since,
    unchecked,
)
from rldk.report.text import counted, number, plain, sentence

__all__ = ["as_markdown", "family_lines", "folded"]

SAMPLES = 2
"""Most samples of a finding."""


def as_markdown(exam: Examination) -> str:
    """The page of a run."""
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
        lines += [f"rldk could not read {counted(exam.bad_lines, 'line')} of the log.", ""]
    findings = exam.diagnosis.findings
    for finding in findings:
        if finding.caused_by is None:
            lines += family_lines(finding, findings, lambda member: since(exam, member).lower())
    if statements := rows_show(exam):
        lines += ["What these rows show", "", *(f"- {literal(text)}" for text in statements), ""]
    if exam.records:
        lines += folded("Metrics", _numbers(exam))
    if exam.answers:
        answers = [f"- *{literal(answer.question)}* {literal(answer.text)}" for answer in exam.answers[:3]]
        lines += folded("Is this normal?", answers)
    groups = unchecked(exam)
    if groups:
        answers = [f"- {', '.join(f'`{rule}`' for rule in rules)}: {literal(how)}" for how, rules in groups]
        lines += folded(f"Not checked ({counted(len(exam.diagnosis.not_checked), 'rule')})", answers)
    return "\n".join(lines).rstrip() + "\n"


def family_lines(finding: Finding, findings: Sequence[Finding], when: Callable[[Finding], str]) -> list[str]:
    """A root finding, which no other finding explains, and its effects.

    Args:
        finding: the root finding.
        findings: all findings of the diagnosis.
        when: gives the onset or the location of a finding, as text for the middle of a sentence.
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
        numbered = enumerate(finding.remedies[:5], 1)
        lines += ["Do this", "", *(f"{index}. {literal(sentence(text))}" for index, text in numbered), ""]
    if finding.last_good_step is not None:
        lines += [literal(last_good(finding)), ""]
    if shown := samples_of(finding, SAMPLES):
        excerpts = (f"- {literal(where)}: {literal(text)}" for where, text in shown)
        lines += ["In the samples", "", *excerpts, ""]
    explained = family(findings, finding)
    if explained:
        lines += ["This explains", ""]
        for depth, effect in explained:
            head = f"{effect.severity}: `{effect.rule}` {literal(when(effect))}"
            lines.append(f"{'  ' * (depth - 1)}- {head}: {literal(sentence(effect.message))}")
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
    """Lines that GitHub shows when a reader opens them."""
    return [f"<details><summary>{title}</summary>", "", *lines, "", "</details>", ""]
