"""Trains the ill runs with their first remedy, and what they are compared with, one at a time.

Invariant: the results are stored after each training, so that an interruption loses none.
"""

from collections.abc import Callable
from typing import Any

from cures.patient import Patient, patients, stored, stored_sibling
from cures.prescription import applied
from cures.table import Results, Treated
from cures.trial import diagnosis_of, kept_of, level_of, measured_of, trained

__all__ = ["healthy", "treat"]


def healthy(results: Results, wanted: Callable[[str], bool], save: Callable[[Results], None]) -> None:
    """Train each healthy sibling that is not stored, where the doctor has a remedy for the ill run."""
    for patient in patients():
        known = patient.healthy.name if patient.is_wide else None  # type: ignore[union-attr]
        if known is None or known in results.healthy or not wanted(patient.name) or stored_sibling(patient):
            continue
        if _first(patient) and (kept := trained(patient, patient.healthy)):
            results.healthy[known] = kept.measured
            save(results)


def treat(
    results: Results, wanted: Callable[[str], bool], save: Callable[[Results], None], *, fresh: bool
) -> None:
    """Train each ill run with its first remedy, unless it was trained with that remedy already."""
    chosen = [one for one in patients() if one.fresh == fresh and wanted(one.name)]
    for patient in sorted(chosen, key=_needs_training):
        row = _asked(results, patient)
        earlier = results.runs.get(patient.name)
        if earlier and earlier.remedy == row.remedy and earlier.treated:
            continue
        results.runs[patient.name] = row if not earlier else _after(earlier, row)
        _train(patient, results.runs[patient.name])
        save(results)


def _needs_training(patient: Patient) -> bool:
    """Whether no stored run is the training with the remedy."""
    finding = _first(patient)
    recipe = applied(patient, finding.remedies[0]) if finding else None
    return recipe is not None and recipe != patient.recipe and stored(patient, recipe) is None


def _first(patient: Patient) -> Any:
    """The first finding with a remedy: the root of the first story."""
    return next((one for one in diagnosis_of(patient.run).findings if one.remedies), None)


def _asked(results: Results, patient: Patient) -> Treated:
    sibling = stored_sibling(patient)
    known = results.healthy.get(patient.healthy.name) if patient.is_wide else None  # type: ignore[union-attr]
    finding = _first(patient)
    metric = finding.shown_on[0] if finding and finding.shown_on else None
    return Treated(
        trainer=patient.trainer,
        set="wide" if patient.is_wide else "trained",
        kind=patient.kind,
        fault=patient.fault,
        fresh=patient.fresh,
        rule=finding.rule if finding else None,
        severity=finding.severity if finding else None,
        remedy=finding.remedies[0] if finding else None,
        ill=measured_of(patient.run.path, patient.trainer),
        healthy=measured_of(sibling, patient.trainer) if sibling else known,
        metric=metric,
        levels=[
            level_of(path, metric) if path and metric else None for path in (patient.run.path, None, sibling)
        ],
    )


def _after(earlier: Treated, row: Treated) -> Treated:
    """The row, which remembers what was tried before."""
    tried = [*earlier.tried]
    if earlier.treated and earlier.remedy:
        tried.append((earlier.remedy, earlier.outcome or ""))
    row.tried = tried
    return row


def _train(patient: Patient, row: Treated) -> None:
    recipe = applied(patient, row.remedy) if row.remedy else None
    row.applicable = recipe is not None
    if recipe is None or not row.is_measurable:
        return
    if recipe == patient.recipe:  # the remedy found nothing to mend: the training would be the same
        row.treated, row.after, row.levels[1] = row.ill, {row.rule or "": row.severity or ""}, row.levels[0]
        return
    path = stored(patient, recipe)
    kept = kept_of(patient, path, row.metric) if path else trained(patient, recipe, row.metric)
    if kept:
        row.treated, row.after, row.levels[1] = kept.measured, kept.findings, kept.level
