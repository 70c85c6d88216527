"""A checkpoint by part and layer, as rows of a table: a model of a hundred layers on a single screen.

Invariant: every group of tensors is in exactly one row; a row joins only layers of the same kind and state,
and a layer that a rule names has its own row.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from rldk.checkpoints.layer_groups import group_of
from rldk.health import Finding
from rldk.schema.checkpoint import Analysis, Group

__all__ = ["LayerRow", "rows_of"]

SPANS = 3
"""Most spans of layers in a name."""


class LayerRow(msgspec.Struct, frozen=True):
    """A part of the model, in one or several layers."""

    name: str
    """Such as `model.layers.0-27.mlp`."""
    layers: int
    """Number of layers in the row."""
    parameters: int
    """Elements of all these layers."""
    unchanged: float | None
    """Share of bit-equal elements, 0 to 1; None: unknown."""
    drift: float | None
    """||dW|| / ||W||; None: unknown."""
    norm: float | None
    """||W||; None: no float."""
    series: Sequence[float | None]
    """Drift by layer; without a comparison, the norm by layer."""
    mark: str = ""
    """The oddity of the row, as text."""


def rows_of(found: Analysis, findings: Iterable[Finding], *, every: bool) -> list[LayerRow]:
    """The rows, in the order of the files.

    Args:
        found: the checkpoint.
        findings: the findings about it; the rows of the layers that they name get a mark.
        every: give each group of tensors its own row.
    """
    marks = _marks(found, findings)
    together: dict[tuple[str, ...], list[tuple[int, Group]]] = {}
    for group in found.groups:
        before, layer, after = _layer(group.name)
        mark = marks.get(group.name, "")
        still = "still" if group.unchanged == 1.0 else "moved"
        alone = group.name if every or mark or layer is None else ""
        together.setdefault((before, after, still, alone), []).append((layer or 0, group))
    kinds = {kind: at for at, kind in enumerate(dict.fromkeys(key[:2] for key in together))}
    compared = any(group.unchanged is not None or group.drift is not None for group in found.groups)
    rows = []
    for key, held in together.items():
        held.sort(key=lambda item: item[0])
        row = _row(key, held, marks.get(held[0][1].name, ""), compared=compared)
        rows.append((kinds[key[:2]], held[0][0], row))
    return [row for *_, row in sorted(rows, key=lambda item: item[:2])]


def _marks(found: Analysis, findings: Iterable[Finding]) -> dict[str, str]:
    """The mark of each odd group, by its name."""
    marks: dict[str, str] = {}
    for finding in findings:
        drift = finding.evidence.get("drift") if finding.rule == "weight-drift" else None
        for name, (moved, usual) in drift.items() if isinstance(drift, Mapping) else ():
            if isinstance(moved, float) and isinstance(usual, float):  # an infinity is spelled out
                marks[name] = f"{moved / usual:.3g}x its peers"
    marks.update((group_of(tensor.name)[:200], "NaN" if tensor.nan else "inf") for tensor in found.non_finite)
    return marks


def _layer(name: str) -> tuple[str, int | None, str]:
    """A name split at the number of its layer: the prefix, the number, the suffix."""
    parts = name.split(".")
    at = next((i for i, part in enumerate(parts) if part.isdecimal() and len(part) < 6), None)
    if at is None:
        return name, None, ""
    return ".".join(parts[:at]), int(parts[at]), ".".join(parts[at + 1 :])


def _row(key: tuple[str, ...], held: Sequence[tuple[int, Group]], mark: str, *, compared: bool) -> LayerRow:
    groups = [group for _, group in held]
    name = groups[0].name
    if len(groups) > 1:
        name = ".".join(filter(None, (key[0], _spans([layer for layer, _ in held]), key[1])))
    drifts = [group.drift for group in groups]
    return LayerRow(
        name,
        len(groups),
        sum(group.parameters for group in groups),
        _mean(groups),
        _root([None if g.drift is None or g.norm is None else g.drift * g.norm for g in groups], groups),
        _norm(groups),
        drifts if compared else [group.norm for group in groups],
        mark,
    )


def _spans(layers: Sequence[int]) -> str:
    """`0-3,5-27`; of many, the first ones."""
    spans: list[list[int]] = []
    for layer in layers:
        if spans and layer == spans[-1][1] + 1:
            spans[-1][1] = layer
        else:
            spans.append([layer, layer])
    texts = [str(first) if first == last else f"{first}-{last}" for first, last in spans]
    return ",".join([*texts[:SPANS], *["…"] * (len(texts) > SPANS)])


def _mean(groups: Sequence[Group]) -> float | None:
    """The share of bit-equal elements over all groups."""
    total = sum(group.parameters for group in groups)
    if not total or any(group.unchanged is None for group in groups):
        return None
    return math.fsum((group.unchanged or 0.0) * group.parameters for group in groups) / total


def _norm(groups: Sequence[Group]) -> float | None:
    """The norm over all groups."""
    norms = [group.norm for group in groups if group.norm is not None]
    return math.hypot(*norms) if norms else None


def _root(moved: Sequence[float | None], groups: Sequence[Group]) -> float | None:
    """||dW|| / ||W|| over all groups, from the ||dW|| of each."""
    if len(groups) == 1:
        return groups[0].drift
    norm = _norm(groups)
    known = [distance for distance in moved if distance is not None]
    return math.hypot(*known) / norm if norm and len(known) == len(moved) else None
