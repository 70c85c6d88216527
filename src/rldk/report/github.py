"""A diagnosis as annotations of a GitHub workflow: one line a finding.

Invariant: each line is a single command, whatever the names and messages of the run contain.
"""

from rldk.health import Finding
from rldk.report.examination import Examination
from rldk.report.phrases import headline, since
from rldk.report.text import plain, sentence

__all__ = ["as_github"]

_LEVELS = {"critical": "error", "warning": "warning", "info": "notice"}


def as_github(exam: Examination) -> list[str]:
    """The workflow commands of a run; a run without findings has a single notice."""
    lines = [_annotation(exam, finding) for finding in exam.diagnosis.findings]
    return lines or [_command("notice", f"rldk: {exam.name}", headline(exam))]


def _annotation(exam: Examination, finding: Finding) -> str:
    text = [f"{since(exam, finding)}: {finding.message}."]
    if finding.caused_by:
        text.append(f"Explained by {finding.caused_by}.")
    if finding.causes:
        text.append(f"Likely: {'; '.join(finding.causes[:3])}.")
    text += [f"{number}. {sentence(remedy)}" for number, remedy in enumerate(finding.remedies[:4], 1)]
    title = f"{finding.code} {finding.rule}: {exam.name}"
    return _command(_LEVELS[finding.severity], title, "\n".join(plain(line) for line in text))


def _command(level: str, title: str, message: str) -> str:
    title = _escape(plain(title)).replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={title}::{_escape(message)}"


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
