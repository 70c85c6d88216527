"""The kinds of samples that can show a finding: how to select the samples of a kind, and what they show.

Invariant: a description holds only recorded facts: no length where none was counted, no end where none is
known.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from rldk.health import Finding
from rldk.health.rule import SampleKind
from rldk.runs.message_text import completion_text
from rldk.runs.samples import Sample

__all__ = ["MOST", "SAMPLE_KINDS", "SampleSelector"]

MOST = 4
"""Most samples of a finding."""

Rank = tuple[float, ...]


class SampleSelector(NamedTuple):
    """Selects the samples of one kind; the highest-ranked ones show a finding."""

    takes: Callable[[Sample, Finding], bool]
    """Whether a sample is of this kind."""
    rank: Callable[[Sample], Rank]
    """Rank of a sample: the highest are kept, of equal ranks the earlier one."""
    why: Callable[[Sample, Finding], str]
    """What a sample shows, in words: `cut at 512 tokens`."""
    end: bool = False
    """Whether it is the end of the completion that shows it."""
    most: int = 2
    """How many samples are kept."""


def _before(sample: Sample, finding: Finding) -> bool:
    return sample.step < finding.onset_step


def _since(sample: Sample, finding: Finding) -> bool:
    return sample.step >= finding.onset_step


def _scored_before(sample: Sample, finding: Finding) -> bool:
    return sample.score is not None and _before(sample, finding)


def _scored_since(sample: Sample, finding: Finding) -> bool:
    return sample.score is not None and _since(sample, finding)


def _cut(sample: Sample, finding: Finding) -> bool:
    return sample.end == "cut" and _since(sample, finding)


def _end_unknown(sample: Sample, finding: Finding) -> bool:
    """Whether a sample has no known end: TRL's tables do not show how a completion ended."""
    return sample.end is None and _since(sample, finding)


def _unseen(sample: Sample, _: Finding) -> bool:
    return "ended-unseen" in sample.why


def _silent(sample: Sample, finding: Finding) -> bool:
    return bool(_silent_functions(sample, finding))


# Ranks


def _first(sample: Sample) -> Rank:
    return (-sample.step,)


def _last(sample: Sample) -> Rank:
    return (sample.step,)


def _typical(sample: Sample) -> Rank:
    """Prefers samples that were kept at random, and the latest of them."""
    return (not sample.why or "random" in sample.why, sample.step)


def _high_first(sample: Sample) -> Rank:
    return (sample.score or 0.0, -sample.step)


def _high_last(sample: Sample) -> Rank:
    return (sample.score or 0.0, sample.step)


def _long(sample: Sample) -> Rank:
    return (_size(sample), sample.step)


def _short(sample: Sample) -> Rank:
    return (-_size(sample), sample.step)


def _size(sample: Sample) -> int:
    return len(completion_text(sample.completion)) if sample.length is None else sample.length


# Words


def _position(sample: Sample, finding: Finding) -> str:
    """The sample's side of the onset, its score and its length."""
    side = "before it began" if _before(sample, finding) else "since it began"
    scored = "without a reward" if sample.score is None else f"scored {sample.score:.3g}"
    return ", ".join(filter(None, (side, scored, _tokens(sample))))


def _highest(sample: Sample, finding: Finding) -> str:
    return f"the highest reward {_position(sample, finding)}"


def _cut_at(sample: Sample, _: Finding) -> str:
    return f"cut at {_tokens(sample) or 'the limit'}"


def _long_at_least(sample: Sample, _: Finding) -> str:
    return (
        "among the longest"
        + (f", {tokens}" if (tokens := _tokens(sample)) else "")
        + "; its end is not known"
    )


def _ended(sample: Sample, _: Finding) -> str:
    after = f" after {tokens}" if (tokens := _tokens(sample)) else ""
    return f"ended{after} on a token that the trainer does not count as an end"


def _gave_nothing(sample: Sample, finding: Finding) -> str:
    return f"no value from {', '.join(_silent_functions(sample, finding))}"


def _gave(sample: Sample, finding: Finding) -> str:
    values = ((name, sample.rewards[name]) for name in _named(sample, finding))
    return ", ".join(
        f"{name} gave {'nothing' if value is None else f'{value:.3g}'}" for name, value in values
    )


def _tokens(sample: Sample) -> str:
    return "" if sample.length is None else f"{sample.length:,} token{'' if sample.length == 1 else 's'}"


def _silent_functions(sample: Sample, finding: Finding) -> list[str]:
    missing = sample.missing
    return [name for name in _named(sample, finding) if name in missing]


def _named(sample: Sample, finding: Finding) -> list[str]:
    """The reward functions whose metrics are a finding's evidence; all functions where it has none."""
    named = [name for name in sample.rewards if any(f"/{name}/" in key for key in finding.evidence)]
    return named or list(sample.rewards)


SAMPLE_KINDS: Mapping[SampleKind, SampleSelector] = {
    "before": SampleSelector(_before, _typical, _position),
    "since": SampleSelector(_since, _typical, _position),
    "since-end": SampleSelector(_since, _typical, _position, end=True),
    # Of equal rewards the samples farthest from the onset: late samples show an exploit best.
    "highest-before": SampleSelector(_scored_before, _high_first, _highest),
    "highest-since": SampleSelector(_scored_since, _high_last, _highest),
    "longest-since": SampleSelector(_since, _long, _position, end=True),
    "shortest-since": SampleSelector(_since, _short, _position),
    "first-cut": SampleSelector(_cut, _first, _cut_at, end=True),
    "last-cut": SampleSelector(_cut, _last, _cut_at, end=True),
    "longest-unknown-end": SampleSelector(_end_unknown, _long, _long_at_least, end=True),
    "ended-unseen": SampleSelector(_unseen, _first, _ended, end=True, most=MOST),
    "without-reward": SampleSelector(_silent, _first, _gave_nothing, most=MOST),
    "reward-values": SampleSelector(_since, _typical, _gave, most=MOST),
}
"""The kinds of samples that a rule can name in `shown_by`."""
