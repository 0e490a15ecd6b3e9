"""The parts of a drawn speaker that do not move with the expression: wall, shoulders, hair, shaded skin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from models_ml.synthetic.curves import Colour, Point, mix, shade, smooth
from models_ml.synthetic.scenarios import Speaker

SIZE = 360
SCALE = 2
CENTRE = SIZE / 2
MARGIN = 12  # how far the head may move


@dataclass(frozen=True)
class Look:
    """Layers at SCALE, in the order they are put on top of each other; the face goes between skin and front."""

    wall: Image.Image  # RGB, with shoulders and neck; stays still
    back: Image.Image  # RGBA hair and ears behind the face
    skin: Image.Image  # RGB skin, pasted through the outline of the face
    front: Image.Image  # RGBA hair, and spectacles, in front of the face


class Pen:
    """Draws in picture units, moved by (dx, dy), on an image that is SCALE times larger."""

    def __init__(self, image: Image.Image, dx: float = 0.0, dy: float = 0.0) -> None:
        self.image = image
        self.draw = ImageDraw.Draw(image, "RGBA")
        self.dx, self.dy = dx, dy

    def at(self, points: list[Point]) -> list[Point]:
        return [((x + self.dx) * SCALE, (y + self.dy) * SCALE) for x, y in points]

    def fill(self, points: list[Point], colour: Colour | tuple[int, int, int, int]) -> None:
        self.draw.polygon(self.at(points), fill=colour)

    def stroke(self, points: list[Point], colour: Colour, width: float, alpha: float = 1.0) -> None:
        if alpha > 0.02:
            fill = (*colour, round(255 * min(1.0, alpha)))
            self.draw.line(self.at(points), fill=fill, width=max(1, round(width * SCALE)), joint="curve")

    def oval(self, x: float, y: float, rx: float, ry: float, colour: Colour, alpha: float = 1.0) -> None:
        (x0, y0), (x1, y1) = self.at([(x - rx, y - ry), (x + rx, y + ry)])
        self.draw.ellipse((x0, y0, x1, y1), fill=(*colour, round(255 * min(1.0, alpha))))


def mirrored(points: Sequence[Point]) -> list[Point]:
    """The other side of the face, in reverse order, so that a closed outline goes on round."""
    return [(SIZE - x, y) for x, y in reversed(points)]


def outline(speaker: Speaker, jaw: float = 0.0, grow: float = 0.0) -> list[Point]:
    """The face from the skull to the chin; `jaw` 0..1 drops the chin, `grow` widens everything (pixels)."""
    right = [(0, 74), (46, 82), (80, 116), (89, 164), (85, 212), (70, 258), (42, 296), (16, 313)]
    side = [
        (
            CENTRE + x * speaker.width + (grow if x else 0),
            y + 15 * jaw * max(0.0, (y - 215) / 98) + (-grow if y < 90 else 0),
        )
        for x, y in right
    ]
    return smooth([*side, *mirrored(side[1:])], loop=True)


@lru_cache(maxsize=16)
def look(speaker: Speaker) -> Look:
    """The still layers of a speaker (cached: they are the slow part)."""
    return Look(_wall(speaker), _back(speaker), _skin(speaker), _front(speaker))


def _blank(colour: tuple[int, ...] = (0, 0, 0, 0)) -> Image.Image:
    return Image.new("RGBA", (SIZE * SCALE, SIZE * SCALE), colour)


def _grid() -> tuple[np.ndarray, np.ndarray]:
    axis = (np.arange(SIZE * SCALE) + 0.5) / SCALE
    return np.meshgrid(axis, axis)


def _spot(x: np.ndarray, y: np.ndarray, cx: float, cy: float, rx: float, ry: float) -> np.ndarray:
    return np.exp(-(((x - cx) / rx) ** 2) - ((y - cy) / ry) ** 2)


def _wall(speaker: Speaker) -> Image.Image:
    x, y = _grid()
    light = 1.0 + 0.10 * _spot(x, y, 90, 60, 190, 170) - 0.22 * (y / SIZE) ** 2
    wall = np.clip(np.asarray(speaker.wall)[None, None] * light[..., None], 0, 255).astype(np.uint8)
    image = Image.fromarray(wall)
    pen = Pen(image)
    # A window out of focus, so that the wall is a room.
    for left in (18, 62):
        pen.fill([(left, 34), (left + 38, 34), (left + 38, 150), (left, 150)], (*shade(speaker.wall, 1.45), 120))
    image = image.filter(ImageFilter.GaussianBlur(5 * SCALE))
    pen = Pen(image)
    if speaker.style == "long":
        _hair_behind(pen, speaker)
    neck = [(CENTRE + a, b) for a, b in [(40, 250), (38, 300), (46, 330), (30, 368)]]
    pen.fill(smooth([*neck, *mirrored(neck)], loop=True), shade(speaker.skin, 0.9))
    # The chin's shadow on the neck.
    shadow = [(CENTRE + a, b) for a, b in [(39, 270), (38, 306), (18, 322)]]
    pen.fill(smooth([*shadow, *mirrored(shadow)], loop=True), (*shade(speaker.skin, 0.6), 110))
    neckline = [(0, 347), (20, 341), (37, 327), (45, 312)]
    shoulder = [(45, 312), (66, 322), (118, 338), (150, 366), (156, 384)]
    right = smooth([(CENTRE + a, b) for a, b in neckline]) + smooth([(CENTRE + a, b) for a, b in shoulder])
    pen.fill([*right, *mirrored(right)], speaker.shirt)
    pen.stroke(
        smooth([(CENTRE + a, b) for a, b in [(104, 350), (112, 364), (114, 384)]]), shade(speaker.shirt, 0.75), 2, 0.6
    )
    pen.stroke(
        smooth([(CENTRE - a, b) for a, b in [(104, 350), (112, 364), (114, 384)]]), shade(speaker.shirt, 0.75), 2, 0.6
    )
    edge = [(CENTRE + a, b) for a, b in neckline]
    pen.stroke(smooth([*mirrored(edge[1:]), *edge]), shade(speaker.shirt, 0.8), 4)
    return image


def _hair_behind(pen: Pen, speaker: Speaker) -> None:
    side = [(0, 48), (62, 58), (104, 104), (114, 170), (114, 240), (122, 300), (112, 350), (60, 350)]
    half = [(CENTRE + a * speaker.width, b) for a, b in side]
    pen.fill(smooth([*half, *mirrored(half[1:])], loop=True), shade(speaker.hair, 0.85))


def _back(speaker: Speaker) -> Image.Image:
    image = _blank()
    pen = Pen(image)
    if speaker.style == "bob":
        side = [(0, 44), (64, 54), (108, 104), (116, 170), (112, 232), (98, 284), (70, 296), (40, 280)]
        half = [(CENTRE + a * speaker.width, b) for a, b in side]
        pen.fill(smooth([*half, *mirrored(half[1:])], loop=True), shade(speaker.hair, 0.85))
    if speaker.style in ("short", "receding"):
        for side_sign in (-1, 1):
            x = CENTRE + side_sign * 91 * speaker.width
            pen.oval(x, 186, 12, 22, shade(speaker.skin, 0.9))
            pen.oval(x, 187, 6, 14, shade(speaker.skin, 0.74))
    return image


def _skin(speaker: Speaker) -> Image.Image:
    x, y = _grid()
    w = speaker.width
    light = 1.05 - 0.20 * (((x - CENTRE + 14) / (104 * w)) ** 2 + ((y - 176) / 165) ** 2) ** 1.3
    light += 0.05 * _spot(x, y, CENTRE - 8, 112, 46, 30)  # forehead
    light += 0.05 * _spot(x, y, CENTRE - 1, 205, 8, 28) + 0.05 * _spot(x, y, CENTRE, 224, 9, 7)  # nose
    for sign in (-1, 1):
        light += 0.05 * _spot(x, y, CENTRE + sign * 52 * w, 212, 22, 15)  # cheekbone
        light -= 0.09 * _spot(x, y, CENTRE + sign * 40, 172, 26, 15)  # eye socket
        light -= 0.07 * _spot(x, y, CENTRE + sign * 15, 205, 6, 26)  # side of the nose
    light -= 0.10 * _spot(x, y, CENTRE, 284, 22, 6)  # below the lower lip
    light += 0.04 * _spot(x, y, CENTRE, 300, 16, 9)  # chin
    light -= 0.06 * _spot(x, y, CENTRE, 246, 7, 8)  # philtrum
    tint = np.asarray(speaker.skin, dtype=float)[None, None] * light[..., None]
    blush = np.asarray([1.0, 0.86, 0.86])
    for sign in (-1, 1):
        share = 0.45 * _spot(x, y, CENTRE + sign * 54 * w, 218, 26, 19)[..., None]
        tint = tint * (1 - share) + tint * blush * share
    return Image.fromarray(np.clip(tint, 0, 255).astype(np.uint8))


def _front(speaker: Speaker) -> Image.Image:
    image = _blank()
    pen = Pen(image)
    hair, w = speaker.hair, speaker.width
    if speaker.style == "short":
        outer = [(-94, 176), (-98, 130), (-84, 74), (-40, 44), (14, 40), (66, 56), (96, 100), (98, 140), (94, 176)]
        inner = [(86, 150), (78, 118), (52, 98), (16, 104), (-22, 92), (-58, 104), (-80, 124), (-87, 152)]
    elif speaker.style == "receding":
        outer = [(-94, 172), (-97, 130), (-82, 80), (-40, 56), (0, 52), (40, 56), (82, 80), (97, 130), (94, 172)]
        inner = [(87, 148), (80, 122), (62, 92), (40, 84), (20, 92), (0, 94), (-20, 92), (-40, 84), (-62, 92),
                 (-80, 122), (-87, 148)]  # fmt: skip
    elif speaker.style == "long":
        outer = [(-84, 322), (-112, 300), (-112, 190), (-102, 104), (-62, 56), (0, 42), (62, 56), (102, 104),
                 (112, 190), (112, 300), (84, 322)]  # fmt: skip
        inner = [(74, 286), (88, 232), (90, 176), (78, 128), (40, 92), (14, 78), (-24, 94), (-70, 122), (-88, 172),
                 (-88, 232), (-74, 286)]  # fmt: skip
    else:  # bob with a fringe
        outer = [(-96, 268), (-110, 190), (-102, 104), (-64, 54), (0, 40), (64, 54), (102, 104), (110, 190), (96, 268)]
        inner = [(82, 262), (90, 200), (84, 126), (52, 116), (18, 122), (-18, 117), (-54, 121), (-84, 128), (-90, 200),
                 (-82, 262)]  # fmt: skip
    shape = smooth([(CENTRE + a * w, b) for a, b in outer]) + smooth([(CENTRE + a * w, b) for a, b in inner])
    pen.fill(shape, hair)
    mask = image.getchannel("A")
    strands = _blank()
    brush = Pen(strands)
    rng = np.random.default_rng(len(speaker.code) + sum(speaker.hair))
    for _ in range(70):
        a = float(rng.uniform(-100, 100))
        top = (CENTRE + a * 0.35, 44 + abs(a) * 0.1)
        path = smooth([top, (CENTRE + a * 0.85, 82 + abs(a) * 0.25), (CENTRE + a * 1.03, 150 + abs(a) * 0.6)])
        tone = shade(hair, 1.0 + float(rng.uniform(0.04, 0.22))) if rng.random() < 0.5 else shade(hair, 0.7)
        brush.stroke(path, tone, 1.0, 0.35)
    strands = strands.filter(ImageFilter.GaussianBlur(0.6 * SCALE))
    image.paste(Image.alpha_composite(image, strands), (0, 0), mask)
    image.putalpha(mask.filter(ImageFilter.GaussianBlur(0.7 * SCALE)))
    if speaker.glasses:
        _spectacles(Pen(image), mix(hair, (20, 20, 24), 0.5))
    return image


def _spectacles(pen: Pen, colour: Colour) -> None:
    for sign in (-1, 1):
        x = CENTRE + sign * 43
        corners = [(-29, -19), (0, -22), (29, -18), (31, 4), (22, 22), (0, 25), (-22, 22), (-30, 4)]
        rim = smooth([(x + a, 178 + b) for a, b in corners], loop=True)
        pen.fill(rim, (235, 244, 250, 26))
        pen.stroke([*rim, rim[0], rim[1]], colour, 2.6)
        pen.stroke([(x + sign * 30, 172), (CENTRE + sign * 92, 170)], colour, 2.6)
    pen.stroke(smooth([(CENTRE - 13, 174), (CENTRE, 170), (CENTRE + 13, 174)]), colour, 2.6)


@lru_cache(maxsize=1)
def mark() -> Image.Image:
    """The word SYNTHETIC on a faint plate, RGBA at picture size: visible on every frame, in nobody's way."""
    font = ImageFont.load_default(size=11)
    box = font.getbbox("SYNTHETIC")
    width, height = round(box[2] - box[0]) + 12, round(box[3] - box[1]) + 8
    plate = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    draw = ImageDraw.Draw(plate)
    draw.rounded_rectangle((0, 0, width - 1, height - 1), radius=4, fill=(0, 0, 0, 105))
    draw.text((6 - box[0], 4 - box[1]), "SYNTHETIC", font=font, fill=(255, 255, 255, 220))
    return plate
