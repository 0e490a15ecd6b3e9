"""A plain SVG of curves: one panel per quantity, raw points faint, smoothed lines on top, intervals as bands.

No drawing library: the figure is a few hundred lines of text, opens in any browser and is the same for the same input.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .curves import Series

WIDTH, HEIGHT = 720, 300  # of a panel, legend apart
LEFT, RIGHT, TOP, BOTTOM = 58, 16, 30, 42
# Okabe and Ito's palette (2008): told apart by colour-blind readers, too; dashes tell apart what comes after it.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
DASHES = ("", "6 3", "2 3")
TITLES = {"avg": "Avg of accuracy and recall", "accuracy": "Accuracy (set level)", "recall": "Recall (set level)",
          "loss": "Training loss per target token"}  # fmt: skip
BANDED = 3  # with more curves in a panel their intervals would hide each other; the legend still says them


def chart(series: Sequence[Series], weight: float) -> str:
    """The figure: a panel per ``what``, in the order of the series; the formula of the smoothing below."""
    from .curves import formula

    whats = list(dict.fromkeys(one.what for one in series))
    parts: list[str] = []
    top = 0.0
    for what in whats:
        drawn, height = _panel([one for one in series if one.what == what], what, top)
        parts += drawn
        top += height
    parts.append(_text(LEFT, top + 14, f"Bold: {formula(weight)}. Faint: as measured.", size=11, colour="#555"))
    total = top + 26
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {total:g}" width="{WIDTH}" height="{total:g}" '
        f'font-family="sans-serif" role="img" aria-label="Curves by epoch">\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) that span [low, high]."""
    span = high - low or abs(high) or 1.0
    rough = span / wanted
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * number, 12) for number in range(first, max(last, first + 1) + 1)]


def _panel(series: Sequence[Series], what: str, top: float) -> tuple[list[str], float]:
    scale = 1.0 if what == "loss" else 100.0
    banded = len(series) <= BANDED
    values = [scale * value for one in series for value in _extent(one, banded)]
    epochs = [point.epoch for one in series for point in one.points]
    across, up = ticks(min(0.0, *epochs), max(epochs)), ticks(min(values), max(values))
    if what != "loss" and (up[0] < 0 or up[-1] > 100):  # round ticks may pass what a score can be
        up = [tick for tick in ticks(max(0.0, min(values) - 1), min(100.0, max(values))) if 0 <= tick <= 100]

    def x(epoch: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (epoch - across[0]) / (across[-1] - across[0])

    def y(value: float) -> float:
        share = (scale * value - up[0]) / (up[-1] - up[0])
        return top + TOP + (HEIGHT - TOP - BOTTOM) * (1 - share)

    parts = [_text(LEFT, top + 18, TITLES[what] + ("" if what == "loss" else ", points of 100"), size=13, bold=True)]
    for tick in up:
        height = y(tick / scale)
        parts.append(f'<path d="M{LEFT} {height:.1f}H{WIDTH - RIGHT}" stroke="#ddd" fill="none"/>')
        parts.append(_text(LEFT - 6, height + 4, f"{tick:g}", anchor="end"))
    floor = top + HEIGHT - BOTTOM
    for tick in across:
        parts.append(f'<path d="M{x(tick):.1f} {floor:g}v4" stroke="#555" fill="none"/>')
        parts.append(_text(x(tick), floor + 16, f"{tick:g}", anchor="middle"))
    parts.append(f'<path d="M{LEFT} {floor:g}H{WIDTH - RIGHT}" stroke="#555" fill="none"/>')
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, floor + 32, "epoch", anchor="middle"))
    legend: list[str] = []
    for index, one in enumerate(series):
        colour, dash = COLOURS[index % len(COLOURS)], DASHES[index // len(COLOURS) % len(DASHES)]
        if banded and all(point.low is not None for point in one.points):
            edge = [(x(p.epoch), y(p.high if p.high is not None else p.value)) for p in one.points]
            back = [(x(p.epoch), y(p.low if p.low is not None else p.value)) for p in reversed(one.points)]
            parts.append(f'<path d="{_line([*edge, *back])}Z" fill="{colour}" fill-opacity="0.1" stroke="none"/>')
        raw = [(x(point.epoch), y(point.value)) for point in one.points]
        bold = [(x(point.epoch), y(value)) for point, value in zip(one.points, one.smoothed, strict=True)]
        parts.append(f'<path d="{_line(raw)}" fill="none" stroke="{colour}" stroke-opacity="0.35"/>')
        if len(raw) <= 60:
            parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2" fill="{colour}" fill-opacity="0.5"/>' for a, b in raw]
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        parts.append(f'<path d="{_line(bold)}" fill="none" stroke="{colour}" stroke-width="2"{dashed}/>')
        height = top + HEIGHT + 4 + 16 * index
        legend.append(f'<path d="M{LEFT} {height:g}h24" stroke="{colour}" stroke-width="2"{dashed}/>')
        legend.append(_text(LEFT + 32, height + 4, _label(one)))
    return parts + legend, HEIGHT + 16 * len(series) + 12


def _label(one: Series) -> str:
    if one.what == "loss":
        return f"{one.run}: {len(one.points)} epochs"
    widths = [point.high - point.low for point in one.points if point.low is not None and point.high is not None]
    half = f", 95 % ± {50 * sum(widths) / len(widths):.1f}" if widths else ""
    return f"{one.run}: {one.clips}, n = {one.n}{half} ({one.route}, grouping {one.grouping}, labels {one.extraction})"


def _extent(one: Series, banded: bool) -> list[float]:
    values = [*one.smoothed, *(point.value for point in one.points)]
    if banded:
        values += [edge for point in one.points for edge in (point.low, point.high) if edge is not None]
    return values


def _line(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in points)


def _text(
    x: float, y: float, text: str, anchor: str = "start", size: int = 11, colour: str = "#222", bold: bool = False
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}"{weight}>'
        f"{escape(text)}</text>"
    )
