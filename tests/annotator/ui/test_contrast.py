"""The colours of the pages are legible in both themes: WCAG 2.2 AA (4.5:1 for text, 3:1 for controls)."""

import re
from pathlib import Path

import pytest

CSS = Path(__file__).resolve().parents[3] / "static" / "css" / "workbench.css"
TEXT = [
    *((ink, ground) for ink in ("text", "muted") for ground in ("bg", "surface", "surface-2", "surface-3")),
    *(("accent", ground) for ground in ("bg", "surface")),
    *(("faint", ground) for ground in ("surface",)),
    ("on-accent", "accent"),
    ("on-accent", "accent-strong"),
    ("accent-strong", "accent-soft"),
    ("text", "accent-soft"),
    *((name, f"{name}-soft") for name in ("ok", "warn", "danger", "violet", "teal")),
    *((name, "surface") for name in ("ok", "warn", "danger")),
]
CONTROLS = [("control-line", "surface"), ("control-line", "bg"), ("accent", "bg")]


def themes() -> dict[str, dict[str, str]]:
    light, dark = re.findall(r":root \{(.*?)\}", CSS.read_text(encoding="utf-8"), re.DOTALL)[:2]
    read = lambda block: dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6});", block))  # noqa: E731
    return {"light": read(light), "dark": {**read(light), **read(dark)}}


def luminance(colour: str) -> float:
    """Relative luminance of a #rgb or #rrggbb colour (WCAG 2.2, definition)."""
    digits = colour[1:] if len(colour) == 7 else "".join(c * 2 for c in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_the_ratio_of_the_standard() -> None:
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#fff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("pairs", "least"), [(TEXT, 4.5), (CONTROLS, 3.0)], ids=["text", "controls"])
def test_every_pair_in_use_is_legible(theme: str, pairs: list[tuple[str, str]], least: float) -> None:
    colours = themes()[theme]
    weak = {pair: round(contrast(colours[pair[0]], colours[pair[1]]), 2) for pair in pairs}
    assert {pair: ratio for pair, ratio in weak.items() if ratio < least} == {}
