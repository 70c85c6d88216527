"""Which samples of a run show a finding, and what each of them shows.

Invariant: the samples are passed over once and a few are held, whatever their number; a finding that samples
do not show gets none, and nothing raises.
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
"""Tables of TRL that are read at most: opening one takes some milliseconds, and a long run has thousands."""


class SampleEvidence(NamedTuple):
    """A sample that shows a finding."""

    sample: Sample
    why: str
    """What it shows, in words: `cut at 512 tokens`."""
    end: bool
    """Whether it is the end of the completion that shows it."""


def with_samples(
    diagnosis: Diagnosis, samples: Callable[[], Samples], rules: Iterable[type[Rule]] = ()
) -> Diagnosis:
    """The diagnosis with a few excerpts a finding, where samples show it.

    Args:
        diagnosis: what was found.
        samples: gives those of the run (`Run.samples`); called only where they could show a finding.
        rules: the rules that found it, where they are not installed.
    """
    shown_by = _shown_by(rules)
    if not any(shown_by.get(finding.rule) for finding in diagnosis.findings):
        return diagnosis
    try:
        found = evidence(diagnosis, samples(), rules)
    except Exception:  # whatever is wrong with them, the diagnosis stands
        return diagnosis
    if not found:
        return diagnosis

    def add_samples(finding: Finding) -> Finding:
        shown = [_summary(one) for one in found.get(finding.rule, ())]
        return msgspec.structs.replace(finding, samples=shown) if shown else finding

    return msgspec.structs.replace(diagnosis, findings=[add_samples(one) for one in diagnosis.findings])


def evidence(
    diagnosis: Diagnosis, samples: Samples, rules: Iterable[type[Rule]] = ()
) -> dict[str, list[SampleEvidence]]:
    """The samples that show each finding, at most `MOST` each, by the rule's name and in order of the steps.

    Args:
        diagnosis: what was found.
        samples: those of the run.
        rules: the rules that found it, where they are not installed.

    Raises:
        MissingDependencyError: the samples are in tables, and what reads them is not installed.
    """
    if not samples.sources:
        return {}
    shown_by = _shown_by(rules)
    held = [
        (finding, [_Candidates(SAMPLE_KINDS[kind]) for kind in shown_by.get(finding.rule, ())])
        for finding in diagnosis.findings
    ]
    requested = [(finding, one) for finding, kinds in held for one in kinds]
    if requested:  # nothing is read for findings that samples do not show
        for sample in samples.spread(TABLES):
            if sample.phase == "train":
                for finding, one in requested:
                    one.offer(sample, finding)
    found = {finding.rule: _ordered(finding, kinds) for finding, kinds in held}
    return {rule: shown for rule, shown in found.items() if shown}


def _shown_by(rules: Iterable[type[Rule]]) -> dict[str, tuple[SampleKind, ...]]:
    return {rule.name: rule.shown_by for rule in (*installed_rules(), *rules)}


class _Candidates:
    """The samples of a kind that rank highest so far, no two with the same text."""

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
        self.best.sort(key=lambda pair: pair[0], reverse=True)  # of two alike the earlier stays before
        del self.best[self.selector.most :]


def _ordered(finding: Finding, kinds: Sequence[_Candidates]) -> list[SampleEvidence]:
    shown: list[SampleEvidence] = []
    for held in kinds:
        for _, sample in held.best:
            if all(sample is not one.sample for one in shown):
                shown.append(SampleEvidence(sample, held.selector.why(sample, finding), held.selector.end))
    return sorted(shown[:MOST], key=lambda one: one.sample.step)


def _summary(shown: SampleEvidence) -> dict[str, object]:
    sample = shown.sample
    return {
        "step": sample.step,
        "index": sample.index,
        "reward": sample.score,
        "why": shown.why,
        "text": excerpt(completion_text(sample.completion), EXCERPT, end=shown.end),
    }
