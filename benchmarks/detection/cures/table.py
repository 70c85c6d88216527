"""The results, as remedies.json keeps them, and the tables that docs/remedies.md shows of them.

Invariant: it needs no trainer; what it writes follows from the results alone.
"""

from collections import Counter
from pathlib import Path

import msgspec

from cures.outcome import GAP, OUTCOMES, Outcome, closed, end_of, outcome

__all__ = ["PAGE", "RESULTS", "Results", "Treated", "into_page", "load", "missed", "save"]

RESULTS = Path(__file__).resolve().parents[1] / "remedies.json"
PAGE = RESULTS.parents[2] / "docs" / "remedies.md"
BEGIN, END = "<!-- remedies.py writes from here -->", "<!-- to here -->"
LEAST_RUNS, LEAST_FRESH, LEAST_KINDS, LEAST_TRAINERS, LEAST_SHARE = 40, 15, 6, 5, 0.7
SEVERITIES = ("info", "warning", "critical")


class Treated(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One ill run, its first remedy, and the training with it."""

    trainer: str
    set: str
    kind: str
    fault: str
    fresh: bool = False
    """Whether it was tried only when no remedy was changed any more."""
    rule: str | None = None
    severity: str | None = None
    remedy: str | None = None
    """The first remedy of the first story; None where the doctor has none."""
    applicable: bool = False
    """Whether a machine can apply it."""
    ill: list[float]
    """What the training is for, measured while it trained; the higher the better."""
    healthy: list[float] | None = None
    treated: list[float] | None = None
    after: dict[str, str] = {}
    """Severity of each finding of the training with the remedy."""
    metric: str | None = None
    """What the finding is shown on."""
    levels: list[float | None] = msgspec.field(default_factory=lambda: [None, None, None])
    """That metric at the end of the ill, the treated and the healthy training."""
    tried: list[tuple[str, str]] = []
    """Remedies of earlier versions of rldk, each with its outcome: the run served to mend them."""

    @property
    def ends(self) -> tuple[float, float] | None:
        """The ends of the ill and the healthy training."""
        return (end_of(self.ill), end_of(self.healthy)) if self.healthy else None

    @property
    def is_measurable(self) -> bool:
        """Whether the ill end is far enough below the healthy one."""
        return self.ends is not None and self.ends[1] - self.ends[0] >= GAP

    @property
    def is_gone(self) -> bool:
        """Whether neither the finding nor another alarm of its severity or above is left."""
        found = self.after.get(self.rule or "")
        if found is not None and SEVERITIES.index(found) >= SEVERITIES.index(self.severity or "info"):
            return False
        least = max(SEVERITIES.index(self.severity or "info"), 1)
        return all(SEVERITIES.index(one) < least for one in self.after.values())

    @property
    def outcome(self) -> Outcome | None:
        """What the remedy did; None where it was not tried."""
        if not (self.treated and self.ends and self.is_measurable):
            return None
        ill, well = self.ends
        return outcome(ill, end_of(self.treated), well, gone=self.is_gone)


class Results(msgspec.Struct):
    """All that remedies.json holds."""

    healthy: dict[str, list[float]] = {}
    """Measurements of the healthy siblings that are not stored elsewhere."""
    runs: dict[str, Treated] = {}


def load(path: Path = RESULTS) -> Results:
    """The results so far."""
    return msgspec.json.decode(path.read_bytes(), type=Results) if path.exists() else Results()


def save(results: Results) -> None:
    """Store them."""
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def missed(results: Results) -> list[str]:
    """Which of the aims the results miss, in words."""
    tried = {name: run for name, run in results.runs.items() if run.outcome}
    count = Counter(run.outcome for run in tried.values())
    helped = count["cured"] + count["mostly"]
    checks = {
        f"{len(tried)} runs tried, {LEAST_RUNS} wanted": len(tried) >= LEAST_RUNS,
        f"{count['worse']} runs are worse with the remedy": count["worse"] == 0,
        f"{helped} of {len(tried)} cured or mostly": helped >= LEAST_SHARE * len(tried),
        "too few fresh runs": sum(run.fresh for run in tried.values()) >= LEAST_FRESH,
        "too few kinds": len({run.kind for run in tried.values()}) >= LEAST_KINDS,
        "too few trainers": len({run.trainer for run in tried.values()}) >= LEAST_TRAINERS,
    }
    return [text for text, holds in checks.items() if not holds]


def into_page(page: str, results: Results) -> str:
    """The page with the tables of the results between its marks."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{tables(results)}\n{END}{rest.partition(END)[2]}"


def tables(results: Results) -> str:
    """The tables, in Markdown."""
    tried = [(name, run) for name, run in results.runs.items() if run.outcome]
    parts = [
        _summary("By kind of failure", "failure", [(run.kind, run) for _, run in tried]),
        _summary("By trainer", "trainer", [(run.trainer, run) for _, run in tried]),
        _each(tried),
        _left_out(results),
    ]
    return "\n".join(parts)


def _table(title: str, head: list[str], rows: list[list[str]]) -> str:
    lines = [f"### {title}", "", "| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows), ""])


def _summary(title: str, of: str, runs: list[tuple[str, Treated]]) -> str:
    groups: dict[str, list[Treated]] = {}
    for key, run in runs:
        groups.setdefault(key, []).append(run)
    rows = [_counts(key, groups[key]) for key in sorted(groups, key=lambda key: (-len(groups[key]), key))]
    kept = [run for _, run in runs if run.fresh]
    rows += [_counts("all", [run for _, run in runs]), _counts("of these, kept for the end", kept)]
    return _table(title, [of, "runs", *OUTCOMES], rows)


def _counts(key: str, runs: list[Treated]) -> list[str]:
    count = Counter(run.outcome for run in runs)
    return [key, str(len(runs)), *(str(count[one] or "") for one in OUTCOMES)]


def _each(tried: list[tuple[str, Treated]]) -> str:
    rows = []
    for name, run in tried:
        if run.ends is None or run.treated is None:
            continue
        ill, well = run.ends
        end = end_of(run.treated)
        levels = " / ".join("" if one is None else f"{one:.3g}" for one in run.levels)
        kept = "end" if run.fresh else "mended on" if run.tried else ""
        rows.append(
            [
                name,
                run.fault,
                f"{run.severity} {run.rule}",
                (run.remedy or "").replace("|", "\\|"),
                f"{ill:.2f} / {end:.2f} / {well:.2f}",
                f"{closed(ill, end, well):.0%}",
                f"{run.metric or ''} {levels}".strip(),
                str(run.outcome),
                kept,
            ]
        )
    head = ["run", "fault", "finding", "first remedy", "ill / treated / healthy", "gap closed", "metric"]
    return _table("Each run", [*head, "outcome", "kept for"], rows)


def _left_out(results: Results) -> str:
    rows = []
    for name, run in results.runs.items():
        if run.outcome is None:
            why = (
                "the doctor has no remedy"
                if run.remedy is None
                else "no healthy training to compare with is stored"
                if run.healthy is None
                else "the healthy training ends no better"
                if not run.is_measurable
                else "no machine can apply the remedy"
                if not run.applicable
                else "the training left nothing"
            )
            rows.append([name, run.fault, run.remedy or "", why])
    return _table("Left out", ["run", "fault", "first remedy", "why"], rows)
