"""Draws series of two runs beside each other as a small SVG, without any package.

Invariant: both panels of a row have one scale, and the colours are readable on white and on black.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

__all__ = ["Panel", "Points", "Row", "draw"]

Points = list[tuple[int, float | None]]
"""A series: step and value; None where the value was not finite."""

WIDTH, GAP = 800, 26
LEFT = 52
"""Room for the labels of the scale."""
TOP, ROW, BETWEEN, BOTTOM = 36, 116, 30, 22
MAX_COLUMNS = 130
"""Points of a series from which neighbours become one stroke from their least to their greatest value."""
DECADES = 25.0
"""Ratio of the largest value to the usual one from which a scale is logarithmic."""
GREY, ILL, HEALTHY = "#848d97", "#d9622b", "#3987d9"
STYLE = (
    "text{font:11px system-ui,sans-serif;fill:#848d97}.t{font-weight:600;font-size:12px}"
    "path{fill:none;stroke-width:1.3;stroke-linejoin:round}.g{stroke:#848d97;stroke-width:.6;opacity:.35}"
    ".b{fill:#d9622b;opacity:.13}.d{stroke:#848d97;stroke-width:1.2;stroke-dasharray:2 3}"
)


@dataclass(frozen=True)
class Row:
    """One metric in both runs."""

    label: str
    """Its name and unit."""
    left: Points
    right: Points
    level: float | None = None
    """A threshold to draw across both panels."""
    is_share: bool = False
    """Whether its values are shares from 0 to 1, whose scale is never logarithmic."""


@dataclass(frozen=True)
class Panel:
    """One of the two runs."""

    title: str
    band: tuple[int, int] | None = None
    """First and last step of the finding."""
    reported: int | None = None
    """Step at which it was first reported."""


@dataclass(frozen=True)
class Scale:
    """Where a value lies on the axis of a row."""

    low: float
    high: float
    is_log: bool

    def share(self, value: float) -> float:
        """0 at the bottom of the panel, 1 at its top; values outside of it lie on its edge."""
        low, high = self._position(self.low), self._position(self.high)
        position = self._position(max(value, self.low))
        return min(max((position - low) / (high - low), 0.0), 1.0)

    def _position(self, value: float) -> float:
        return math.log10(value) if self.is_log else value

    def ticks(self) -> list[float]:
        """Two to four round values."""
        if self.is_log:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            apart = max(1, round((last - first) / 3))
            return [10.0**power for power in range(first, last + 1, apart)]
        rough = (self.high - self.low) / 3
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [step * number for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


def scale_of(row: Row) -> Scale:
    """The scale of a row: from its values, and logarithmic where a few of them dwarf the others."""
    values = sorted(value for _, value in (*row.left, *row.right) if value is not None)
    if row.level is not None:
        values = sorted([*values, row.level])
    if not values:
        return Scale(0.0, 1.0, is_log=False)
    low, high = values[0], values[-1]
    positive = [value for value in values if value > 0]
    if low >= 0 and positive and not row.is_share and high > DECADES * positive[len(positive) // 2]:
        floor = max(positive[len(positive) // 20], high * 1e-6)
        return Scale(floor / 1.3, high * 1.3, is_log=True)
    if low < 0:  # a single spike must not flatten the rest
        spread = values[-1 - len(values) // 50] - values[len(values) // 50]
        low = max(low, values[len(values) // 50] - spread)
        high = min(high, values[-1 - len(values) // 50] + spread)
    if low == high:
        low, high = min(low, 0.0), max(high, 0.0) or 1.0
    elif 0 <= low < 0.35 * high:
        low = 0.0
    room = 0.04 * (high - low)
    return Scale(low - room, high + room, is_log=False)


def draw(title: str, panels: tuple[Panel, Panel], rows: Sequence[Row]) -> str:
    """The picture as an SVG of 800 pixels in width."""
    height = TOP + len(rows) * ROW + (len(rows) - 1) * BETWEEN + BOTTOM
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
    ]
    wide = (WIDTH - LEFT - GAP - 8) / 2
    for side, panel in enumerate(panels):
        x = LEFT + side * (wide + GAP)
        colour = HEALTHY if side else ILL
        steps = [step for row in rows for step, _ in (row.right if side else row.left)]
        first, last = min(steps), max(*steps, min(steps) + 1)
        parts.append(f'<text class="t" x="{x:g}" y="12" style="fill:{colour}">{escape(panel.title)}</text>')
        for number, row in enumerate(rows):
            y = TOP + number * (ROW + BETWEEN)
            points = row.right if side else row.left
            label = "" if side else f'<text x="{x:g}" y="{y - 4:g}">{escape(row.label)}</text>'
            parts += [label, *_panel(panel, row, points, (x, y, wide), (first, last), colour)]
            if not side:
                parts += _scale_labels(row, x, y)
        foot = height - BOTTOM + 14
        parts.append(f'<text x="{x:g}" y="{foot}">step {first}</text>')
        parts.append(f'<text x="{x + wide:g}" y="{foot}" text-anchor="end">{last}</text>')
    return "\n".join(part for part in (*parts, "</svg>") if part) + "\n"


def _scale_labels(row: Row, x: float, y: float) -> list[str]:
    scale, parts = scale_of(row), []
    for tick in scale.ticks():
        height = y + ROW * (1 - scale.share(tick)) + 4
        parts.append(f'<text x="{x - 6:g}" y="{height:.1f}" text-anchor="end">{tick:.4g}</text>')
    return parts


def _panel(
    panel: Panel,
    row: Row,
    points: Points,
    box: tuple[float, float, float],
    steps: tuple[int, int],
    colour: str,
) -> list[str]:
    (x, y, wide), (first, last), scale = box, steps, scale_of(row)

    def across(step: float) -> float:
        return x + wide * min(max((step - first) / (last - first), 0.0), 1.0)

    def down(value: float) -> float:
        return y + ROW * (1 - scale.share(value))

    parts = []
    if panel.band is not None:
        begin, end = across(panel.band[0]), across(panel.band[1])
        parts.append(
            f'<rect class="b" x="{begin:.1f}" y="{y}" width="{max(end - begin, 2):.1f}" height="{ROW}"/>'
        )
    if panel.reported is not None:
        parts.append(f'<path class="d" d="M{across(panel.reported):.1f} {y}v{ROW}"/>')
    grid = "".join(f"M{x:g} {down(tick):.1f}h{wide:g}" for tick in scale.ticks())
    parts.append(f'<path class="g" d="{grid}M{x:g} {y + ROW}h{wide:g}"/>')
    if row.level is not None:
        parts.append(
            f'<path d="M{x:g} {down(row.level):.1f}h{wide:g}" stroke="{GREY}" stroke-dasharray="6 3"/>'
        )
    parts.append(f'<path stroke="{colour}" d="{_line(points, across, down)}"/>')
    lost = "".join(f"M{across(step) - 3:.1f} {y + 1}l6 6m0-6l-6 6" for step, value in points if value is None)
    if lost:
        parts.append(f'<path stroke="{colour}" d="{lost}"/>')
    return parts


def _line(points: Points, across: Callable[[float], float], down: Callable[[float], float]) -> str:
    """The path of a series, with a gap where a value is not finite."""
    size = max(1, math.ceil(len(points) / MAX_COLUMNS))
    path, pen = "", "M"
    for begin in range(0, len(points), size):
        some = [(step, value) for step, value in points[begin : begin + size] if value is not None]
        if not some:
            pen = "M"
            continue
        extremes = {min(some, key=lambda point: point[1]), max(some, key=lambda point: point[1])}
        for step, value in sorted(extremes):
            path += f"{pen}{across(step):.1f} {down(value):.1f}"
            pen = "L"
    return path
