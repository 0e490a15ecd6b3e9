"""A drawn face whose action units move the parts that they move in people (FACS manual, 2002)."""

from __future__ import annotations

from collections.abc import Mapping

from PIL import Image, ImageDraw

from models_ml.synthetic.curves import Colour, Point, mix, shade, smooth
from models_ml.synthetic.look import CENTRE, MARGIN, SCALE, SIZE, Pen, look, mark, outline
from models_ml.synthetic.scenarios import Speaker

EYE_X, EYE_Y = 43.0, 178.0
MOUTH_Y = 261.0
FULL = 4.0  # intensity at which a part has moved as far as it is drawn to move


def draw_face(
    speaker: Speaker,
    aus: Mapping[str, float],
    offset: tuple[float, float] = (0.0, 0.0),
    gaze: tuple[float, float] = (0.0, 0.0),
) -> Image.Image:
    """One frame, RGB 360 x 360: `aus` as AU -> intensity 0..5, the head moved by `offset` pixels,
    the eyes turned by `gaze` (-1..1 each way). Marked SYNTHETIC.
    """
    s = {f"AU{n:02d}": min(1.0, max(0.0, aus.get(f"AU{n:02d}", 0.0)) / FULL) for n in range(1, 46)}
    dx = round(max(-MARGIN, min(MARGIN, offset[0])) * SCALE) / SCALE
    dy = round(max(-MARGIN, min(MARGIN, offset[1])) * SCALE) / SCALE
    shift = (round(dx * SCALE), round(dy * SCALE))
    layers = look(speaker)
    image = layers.wall.copy()
    _put(image, layers.back, shift)
    pen = Pen(image, dx, dy)
    face, corner = _hole(pen, outline(speaker, jaw=s["AU26"]))
    box = (corner[0] - shift[0], corner[1] - shift[1])
    skin = layers.skin.crop((*box, box[0] + face.width, box[1] + face.height))
    image.paste(skin, corner, face)

    _cheeks(pen, speaker, s)
    _nose(pen, speaker, s)
    _mouth(pen, speaker, s)
    for sign in (-1, 1):
        _eye(pen, speaker, s, sign, gaze)
    _forehead(pen, speaker, s)
    for sign in (-1, 1):
        _brow(pen, speaker, s, sign)
    _put(image, layers.front, shift)
    small = image.reduce(SCALE)
    plate = mark()
    small.paste(plate, (SIZE - plate.width - 8, SIZE - plate.height - 8), plate)
    return small


def _put(image: Image.Image, layer: Image.Image, shift: tuple[int, int]) -> None:
    """Paste the part of an RGBA layer that is not empty."""
    box = layer.getbbox()
    if box is not None:
        part = layer.crop(box)
        image.paste(part, (box[0] + shift[0], box[1] + shift[1]), part)


def _side(sign: int, points: list[Point], x: float = 0.0, y: float = 0.0) -> list[Point]:
    return [(CENTRE + sign * (x + a), y + b) for a, b in points]


def _eye(pen: Pen, speaker: Speaker, s: Mapping[str, float], sign: int, gaze: tuple[float, float]) -> None:
    closed = s["AU45"]
    low = max(1.5, 7.5 - 3.6 * s["AU07"] - 3.4 * s["AU06"] + 1.0 * s["AU05"])
    high = max(2.0, 11.5 + 6.0 * s["AU05"] - 5.0 * s["AU07"] - 2.0 * s["AU06"] - 2.5 * s["AU09"])
    high = high * (1 - closed) - 0.85 * low * closed
    upper = _side(
        sign, [(-20, 3), (-11, -0.72 * high + 0.5), (1, -high), (12, -0.74 * high - 0.5), (21, -1.5)], EYE_X, EYE_Y
    )
    lower = _side(sign, [(21, -1.5), (12, 0.72 * low), (0, low), (-11, 0.8 * low + 0.6), (-20, 3)], EYE_X, EYE_Y)
    lid, lash = smooth(upper), shade(speaker.hair, 0.75)
    skin = speaker.skin
    if closed < 0.85:
        mask, box = _hole(pen, [*lid, *smooth(lower)])
        ball = Image.new("RGB", mask.size, (247, 245, 242))
        inside = Pen(ball, pen.dx - box[0] / SCALE, pen.dy - box[1] / SCALE)
        x, y = CENTRE + sign * EYE_X + 5 * gaze[0], EYE_Y - 1.5 + 3 * gaze[1]
        inside.oval(x, y, 10.2, 10.2, shade(speaker.iris, 0.55))
        inside.oval(x, y, 9.0, 9.0, speaker.iris)
        inside.oval(x, y + 3, 6.5, 5.0, shade(speaker.iris, 1.25), 0.55)
        inside.oval(x, y, 4.6, 4.6, (14, 10, 10))
        inside.stroke([(px, py + 2.2) for px, py in lid], (60, 50, 54), 4.0, 0.35)  # the lid's shadow
        inside.oval(x - 3.2, y - 3.6, 2.2, 2.2, (255, 255, 255), 0.95)
        inside.oval(x + 3.0, y + 3.2, 1.1, 1.1, (255, 255, 255), 0.6)
        pen.image.paste(ball, box, mask)
        pen.stroke(smooth(lower), shade(skin, 0.62), 1.1, 0.8)
    pen.stroke(lid, lash, 3.2 if speaker.lashes else 2.4)
    if speaker.lashes:
        corner = upper[-1]
        pen.stroke([corner, (corner[0] + sign * 5, corner[1] - 4 + 4 * closed)], lash, 1.8)
    # The crease goes under the brow's skin when the lid is pulled up wide, and down with a blink.
    crease = [(px, py - 5.5 - 1.5 * closed + 2.5 * s["AU05"]) for px, py in smooth(upper[1:])]
    pen.stroke(crease, shade(skin, 0.6), 1.3, 0.75)
    pouch = _side(sign, [(-14, low + 6), (0, low + 9.5), (15, low + 5)], EYE_X, EYE_Y)
    pen.stroke(smooth(pouch), shade(skin, 0.66), 1.5, 0.14 + 0.55 * s["AU06"] + 0.5 * s["AU07"])
    for i, slope in enumerate((-5, 0, 5)):
        foot = _side(
            sign,
            [(25, -1 + 3 * (i - 1)), (31, -1 + 3 * (i - 1) + slope * 0.8), (36, slope + 3 * (i - 1))],
            EYE_X,
            EYE_Y,
        )
        pen.stroke(smooth(foot), shade(skin, 0.6), 1.2, 0.75 * s["AU06"])


def _brow(pen: Pen, speaker: Speaker, s: Mapping[str, float], sign: int) -> None:
    lift_in = 13 * s["AU01"] + 2 * s["AU02"] - 6.5 * s["AU04"] - 3 * s["AU09"]
    lift_mid = 4 * s["AU01"] + 8 * s["AU02"] - 6 * s["AU04"] - 2 * s["AU09"]
    lift_out = -2 * s["AU01"] + 10 * s["AU02"] - 2.5 * s["AU04"]
    pull = 5.0 * s["AU04"] + 1.5 * s["AU09"]
    thick = 8.0 * speaker.brow
    start, quarter = (17 - pull, 146.5 - lift_in), (31 - 0.7 * pull, 143.5 - 0.55 * lift_in - 0.45 * lift_mid)
    arch, end = (50.0, 140 - lift_mid), (73.0, 151 - lift_out)
    top = smooth(_side(sign, [start, quarter, arch, end]))
    under = smooth(
        _side(
            sign,
            [(x, y + t * thick) for (x, y), t in zip((start, quarter, arch, end), (0.9, 1, 0.8, 0.1), strict=True)],
        )
    )
    inner = _side(sign, [(start[0] - 2.5, start[1] + 0.5 * thick)])
    pen.fill([*top, *reversed(under), *inner], (*mix(speaker.hair, speaker.skin, 0.12), 235))
    for i in range(0, len(top) - 3):
        pen.stroke([under[i], top[i + 2]], shade(speaker.hair, 0.8), 1.0, 0.45)


def _forehead(pen: Pen, speaker: Speaker, s: Mapping[str, float]) -> None:
    fold = shade(speaker.skin, 0.62)
    for i, y in enumerate((112, 121, 130)):
        arch = 4 * s["AU01"]
        inner = [(-26 + 3 * i, y + arch), (0, y - arch), (26 - 3 * i, y + arch)]
        pen.stroke(smooth([(CENTRE + a, b) for a, b in inner]), fold, 1.4, 0.6 * s["AU01"])
        for sign in (-1, 1):
            outer = _side(sign, [(26, y + 2), (48, y - 3), (66 - 4 * i, y + 5)])
            pen.stroke(smooth(outer), fold, 1.3, 0.55 * s["AU02"])
    for sign in (-1, 1):
        furrow = _side(sign, [(6, 137), (4.5, 148), (6.5, 160)])
        pen.stroke(smooth(furrow), fold, 1.9, 0.85 * s["AU04"] + 0.3 * s["AU09"])


def _nose(pen: Pen, speaker: Speaker, s: Mapping[str, float]) -> None:
    shadow, up = shade(speaker.skin, 0.66), 5.0 * s["AU09"] + 2.0 * s["AU10"]
    flare = 2.0 * s["AU09"]
    for sign in (-1, 1):
        wing = _side(
            sign, [(12 + flare, 220 - up), (19 + flare, 225 - up), (18 + flare, 233 - up), (9, 235 - up * 0.6)]
        )
        pen.stroke(smooth(wing), shadow, 1.8, 0.75)
        hole = _side(
            sign, [(4.5, 234 - up * 0.6), (9, 231 - up * 0.8), (13.5 + flare, 233 - up), (9, 236.5 - up * 0.7)]
        )
        pen.fill(smooth(hole, loop=True), (*shade(speaker.skin, 0.4), 215))
        ridge = _side(sign, [(9, 172), (7.5, 190), (9.5, 208)])
        pen.stroke(smooth(ridge), shadow, 1.5, 0.22)
        for i in range(3):
            y = 172 + 8 * i
            wrinkle = _side(sign, [(3, y + 3), (9, y - 1), (14, y + 5)])
            pen.stroke(smooth(wrinkle), shadow, 1.5, 0.9 * s["AU09"])
    base = [(CENTRE - 5, 238 - up * 0.4), (CENTRE, 240 - up * 0.4), (CENTRE + 5, 238 - up * 0.4)]
    pen.stroke(smooth(base), shadow, 1.4, 0.5)


def _cheeks(pen: Pen, speaker: Speaker, s: Mapping[str, float]) -> None:
    fold = shade(speaker.skin, 0.64)
    up = 5 * s["AU06"]
    wide = 7 * s["AU12"] + 5 * s["AU20"]
    deep = 0.1 + 0.6 * max(s["AU12"], s["AU10"], 0.9 * s["AU09"], 0.5 * s["AU06"])
    for sign in (-1, 1):
        if s["AU06"] > 0.05:
            lit = mix(speaker.skin, (255, 150, 120), 0.3)
            for grow in (1.0, 0.8, 0.6, 0.4):
                pen.oval(CENTRE + sign * 53, 214 - up, 25 * grow, 13 * grow, lit, 0.16 * s["AU06"])
        path = _side(sign, [(22, 228 - up * 0.5), (33 + wide * 0.6, 243 - up), (39 + wide, 258 - 4 * s["AU12"])])
        pen.stroke(smooth(path), fold, 1.9, deep)


def _mouth(pen: Pen, speaker: Speaker, s: Mapping[str, float]) -> None:
    fold = shade(speaker.skin, 0.6)
    y0 = MOUTH_Y + 3.0 * s["AU26"] - 2.0 * s["AU10"]
    half = (
        29
        + 8 * s["AU12"]
        + 10 * s["AU20"]
        + 3 * s["AU14"]
        - 7 * s["AU23"]
        - 2 * s["AU17"]
        - 5 * s["AU26"]
        - 3 * s["AU28"]
    )
    corner = -9 * s["AU12"] + 9 * s["AU15"] + 2 * s["AU20"] + 2 * s["AU26"] - 2 * s["AU14"]
    thin = 1 - 0.55 * s["AU23"] - 0.3 * s["AU20"] - 0.85 * s["AU28"] - 0.15 * s["AU12"] - 0.25 * s["AU14"]
    up, low = 7.5 * max(0.15, thin), 9.5 * max(0.15, thin) * (1 + 0.15 * s["AU17"])
    gap = 9 * s["AU25"] * (1 - 0.5 * s["AU28"]) + 17 * s["AU26"]
    sag = 4.5 * s["AU12"] - 5 * s["AU15"] - 4 * s["AU17"]
    raise_up = 6 * s["AU10"]
    top_in, low_in = sag - 0.3 * gap - 0.5 * raise_up, sag + 0.7 * gap

    def both(points: list[Point]) -> list[Point]:
        return [*_left(points, y0), *((CENTRE + a, y0 + b) for a, b in points[1:])]

    def along(middle: float, share: float) -> float:
        return middle + (corner - middle) * share

    outer_top = both([(0, top_in - 0.75 * up - 0.5 * raise_up), (0.17 * half, top_in - up - 0.5 * raise_up),
                      (0.6 * half, along(top_in - 0.5 * up - 0.35 * raise_up, 0.35)), (half, corner)])  # fmt: skip
    inner_top = both([(0, top_in), (0.5 * half, along(top_in, 0.25)), (half - 1, corner)])
    inner_low = both([(0, low_in), (0.5 * half, along(low_in, 0.22)), (half - 1, corner)])
    outer_low = both([(0, low_in + low), (0.5 * half, along(low_in + 0.86 * low, 0.2)), (half, corner)])
    top_curve, low_curve = smooth(inner_top), smooth(inner_low)
    if gap > 1.0:
        _inside(pen, [*top_curve, *reversed(low_curve)], y0 + top_in, y0 + low_in, half, gap)
    lips = speaker.lips
    pen.fill([*smooth(outer_top), *reversed(top_curve)], shade(lips, 0.88))
    pen.fill([*low_curve, *reversed(smooth(outer_low))], lips)
    gloss = both([(0, low_in + 0.42 * low), (0.36 * half, along(low_in + 0.4 * low, 0.12))])
    pen.stroke(smooth(gloss), shade(lips, 1.45), 0.28 * low, 0.38)
    if gap <= 3.0:
        pen.stroke(top_curve, shade(lips, 0.45), 1.7, 0.9)
    if s["AU23"] > 0.05:  # tightened lips wrinkle along their edge
        for x in (-0.6, -0.3, 0.3, 0.6):
            at = CENTRE + x * half
            pen.stroke(
                [(at, y0 + sag - up - 3.5), (at * 0.98 + CENTRE * 0.02, y0 + sag - up + 0.5)],
                fold,
                1.1,
                0.55 * s["AU23"],
            )
    for sign in (-1, 1):
        end = (CENTRE + sign * half, y0 + corner)
        pen.oval(end[0], end[1], 2.0, 1.6, shade(speaker.skin, 0.5), 0.55)
        dimple = [(end[0] + sign * 4, end[1] - 6), (end[0] + sign * 8, end[1]), (end[0] + sign * 4.5, end[1] + 7)]
        pen.stroke(smooth(dimple), fold, 2.0, 0.95 * s["AU14"] + 0.35 * s["AU12"])
        droop = [(end[0] + sign * 1, end[1] + 3), (end[0] + sign * 5, end[1] + 9), (end[0] + sign * 6, end[1] + 16)]
        pen.stroke(smooth(droop), fold, 1.7, 0.8 * s["AU15"])
        for i in (0, 1):
            line = _side(
                sign,
                [(half + 9 + 5 * i, -7 + corner), (half + 11 + 5 * i, 2 + corner), (half + 8 + 5 * i, 12 + corner)],
                0,
                y0,
            )
            pen.stroke(smooth(line), fold, 1.4, 0.6 * s["AU20"])
    chin_y = 287 + 13 * s["AU26"] - 4 * s["AU17"]
    crease = [(CENTRE - 17, chin_y + 3), (CENTRE, chin_y - 2 - 2 * s["AU17"]), (CENTRE + 17, chin_y + 3)]
    pen.stroke(smooth(crease), fold, 2.0, 0.18 + 0.6 * s["AU17"])
    for x, y in ((-9, 10), (-3, 14), (4, 9), (9, 13), (0, 6), (-6, 17), (6, 18)):
        pen.oval(CENTRE + x, chin_y + y, 1.5, 1.1, fold, 0.5 * s["AU17"])


def _left(points: list[Point], y0: float) -> list[Point]:
    return [(CENTRE - a, y0 + b) for a, b in reversed(points)]


def _inside(pen: Pen, hole: list[Point], top: float, low: float, half: float, gap: float) -> None:
    """Teeth, tongue and the dark of an open mouth."""
    mask, box = _hole(pen, hole)
    dark: Colour = (66, 22, 26)
    cave = Image.new("RGB", mask.size, dark)
    inside = Pen(cave, pen.dx - box[0] / SCALE, pen.dy - box[1] / SCALE)
    if gap > 6:
        inside.oval(CENTRE, low + 1, 0.5 * half, 0.42 * gap, (186, 84, 86))
    teeth = min(6.0, 0.5 * gap)
    bite = [(CENTRE - 0.66 * half, top - 9), (CENTRE + 0.66 * half, top - 9), (CENTRE + 0.6 * half, top + 0.8 * teeth),
            (CENTRE, top + teeth), (CENTRE - 0.6 * half, top + 0.8 * teeth)]  # fmt: skip
    inside.fill(bite, (244, 240, 232))
    for x in (-0.36, -0.18, 0.0, 0.18, 0.36):
        inside.stroke([(CENTRE + x * half, top - 9), (CENTRE + x * half, top + teeth)], (206, 198, 190), 0.6, 0.6)
    pen.image.paste(cave, box, mask)


def _hole(pen: Pen, points: list[Point]) -> tuple[Image.Image, tuple[int, int]]:
    """A mask of the closed shape and the pixel at which it lies: what shows through an eye or a mouth."""
    corners = pen.at(points)
    left, top = (int(min(p[axis] for p in corners)) - 1 for axis in (0, 1))
    right, low = (int(max(p[axis] for p in corners)) + 2 for axis in (0, 1))
    mask = Image.new("L", (right - left, low - top), 0)
    ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in corners], fill=255)
    return mask, (left, top)
