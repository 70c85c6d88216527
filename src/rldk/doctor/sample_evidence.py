"""Finds the samples of a run that show a finding, and says what each of them shows.

Invariant: the samples are read once and only a few are kept, whatever their number. A finding that samples
cannot show gets none, and unreadable samples cost only themselves.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from rldk.doctor.sample_kinds import MOST, SAMPLE_KINDS, SampleSelector
from rldk.health import Diagnosis, Finding, Rule, installed_rules
from rldk.health.rule import SampleKind
from rldk.runs.message_text import completion_text, excerpt
from rldk.runs.samples import Sample, Samples

__all__ = ["EXCERPT", "MOST", "SampleEvidence", "evidence", "with_samples"]

EXCERPT = 300
"""Characters of a completion in a finding."""
TABLES = 200
"""Most tables of TRL that are read: a table takes some milliseconds, and a long run has thousands."""


class SampleEvidence(NamedTuple):
    """A sample that shows a finding."""

    sample: Sample
    why: str
    """What the sample shows, in words: `cut at 512 tokens`."""
    end: bool
    """Whether the end of the completion shows it, and not its beginning."""


def with_samples(
    diagnosis: Diagnosis, samples: Callable[[], Samples], rules: Iterable[type[Rule]] = ()
) -> Diagnosis:
    """The diagnosis with a few excerpts for each finding that samples can show.

    Args:
        diagnosis: the diagnosis of the run.
        samples: returns the run's samples (`Run.samples`); called only if samples could show a finding.
        rules: rules that judged the run and are not installed.
    """
    shown_by = _shown_by(rules)
    if not any(shown_by.get(finding.rule) for finding in diagnosis.findings):
        return diagnosis
    try:
        found = evidence(diagnosis, samples(), rules)
    except Exception:  # a fault of the samples must not cost the diagnosis
        return diagnosis
    if not found:
        return diagnosis

    def add_samples(finding: Finding) -> Finding:
        shown = [_summary(item) for item in found.get(finding.rule, ())]
        return msgspec.structs.replace(finding, samples=shown) if shown else finding

    return msgspec.structs.replace(
        diagnosis, findings=[add_samples(finding) for finding in diagnosis.findings]
    )


def evidence(
    diagnosis: Diagnosis, samples: Samples, rules: Iterable[type[Rule]] = ()
) -> dict[str, list[SampleEvidence]]:
    """The samples that show each finding, at most `MOST` each, by the rule's name and in order of step.

    Args:
        diagnosis: the diagnosis of the run.
        samples: the run's samples.
        rules: rules that judged the run and are not installed.

    Raises:
        MissingDependencyError: the samples are in tables, and no reader for them is installed.
    """
    if not samples.sources:
        return {}
    shown_by = _shown_by(rules)
    held = [
        (finding, [_Candidates(SAMPLE_KINDS[kind]) for kind in shown_by.get(finding.rule, ())])
        for finding in diagnosis.findings
    ]
    requested = [(finding, candidates) for finding, kinds in held for candidates in kinds]
    if requested:  # reads nothing for findings that samples do not show
        for sample in samples.spread(TABLES):
            if sample.phase == "train":
                for finding, candidates in requested:
                    candidates.offer(sample, finding)
    found = {finding.rule: _ordered(finding, kinds) for finding, kinds in held}
    return {rule: shown for rule, shown in found.items() if shown}


def _shown_by(rules: Iterable[type[Rule]]) -> dict[str, tuple[SampleKind, ...]]:
    return {rule.name: rule.shown_by for rule in (*installed_rules(), *rules)}


class _Candidates:
    """The highest-ranked samples of a kind so far, no two with the same text."""

    def __init__(self, selector: SampleSelector) -> None:
        self.selector = selector
        self.best: list[tuple[tuple[float, ...], Sample]] = []

    def offer(self, sample: Sample, finding: Finding) -> None:
        if not self.selector.takes(sample, finding):
            return
        rank = self.selector.rank(sample)
        full = len(self.best) >= self.selector.most
        if full and rank <= self.best[-1][0]:
            return
        same = [pair for pair in self.best if pair[1].completion == sample.completion]
        if same and rank <= same[0][0]:
            return
        self.best = [pair for pair in self.best if pair not in same]
        self.best.append((rank, sample))
        self.best.sort(
            key=lambda pair: pair[0], reverse=True
        )  # stable: of equal ranks the earlier sample stays first
        del self.best[self.selector.most :]


def _ordered(finding: Finding, kinds: Sequence[_Candidates]) -> list[SampleEvidence]:
    shown: list[SampleEvidence] = []
    for held in kinds:
        for _, sample in held.best:
            if all(sample is not item.sample for item in shown):
                shown.append(SampleEvidence(sample, held.selector.why(sample, finding), held.selector.end))
    return sorted(shown[:MOST], key=lambda item: item.sample.step)


def _summary(shown: SampleEvidence) -> dict[str, object]:
    sample = shown.sample
    return {
        "step": sample.step,
        "index": sample.index,
        "reward": sample.score,
        "why": shown.why,
        "text": excerpt(completion_text(sample.completion), EXCERPT, end=shown.end),
    }
