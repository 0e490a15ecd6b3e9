"""OpenFace files and videos made for these tests: several faces in one file, drawn people, a real photograph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import numpy as np
from PIL import Image

from models_ml.face.boxes import iou
from models_ml.synthetic.draw import draw_face
from models_ml.synthetic.scenarios import SPEAKERS

FPS = 25


def several_faces(faces: list[dict], *, frames: int = 10, landmarks: bool = True, solid: bool = False) -> str:
    """An OpenFace file; each face: `{id, aus: {AU: intensity}, at: (x, y, side in pixels), seen: frames or None}`.

    `solid` adds 3-D landmarks that a pinhole camera of 1280 x 720 with OpenFace's default intrinsics projects.
    """
    aus = sorted({au for face in faces for au in face["aus"]})
    header = ["frame", "face_id", "timestamp", "confidence", "success"]
    header += [f"{axis}_{i}" for axis in "xy" for i in range(68)] * landmarks
    header += [f"{axis}_{i}" for axis in "XYZ" for i in range(68)] * solid
    header += [f"{au}_r" for au in aus]
    lines = [", ".join(header)]
    for frame in range(frames):
        for face in faces:
            tracked = face.get("seen") is None or frame in face["seen"]
            cells = [str(frame + 1), str(face["id"]), f"{frame / FPS:.3f}", "0.98" if tracked else "0.10"]
            cells.append(str(int(tracked)))
            x, y, side = face.get("at", (0, 0, 0))
            turn = np.linspace(0, 2 * np.pi, 27)
            xs = [*(x + side / 2 + side / 2 * np.cos(turn)), *[x + side / 2] * 41]
            ys = [*(y + side / 2 + side / 2 * np.sin(turn)), *[y + side / 2] * 41]
            cells += [f"{v:.1f}" for v in (*xs, *ys)] * landmarks
            if solid:
                depth = 400 + 40 * np.cos(np.arange(68))
                cells += [f"{v:.3f}" for v in (np.array(xs) - 640) / 1000 * depth]
                cells += [f"{v:.3f}" for v in (np.array(ys) - 360) / 1000 * depth]
                cells += [f"{v:.3f}" for v in depth]
            cells += [f"{face['aus'].get(au, 0):.2f}" for au in aus]
            lines.append(", ".join(cells))
    return "\n".join(lines) + "\n"


def write_video(path: Path, pictures: Iterable[Image.Image], fps: int = FPS) -> Path:
    with av.open(str(path), "w") as container:
        stream = None
        for picture in pictures:
            if stream is None:
                stream = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast"})
                stream.width, stream.height, stream.pix_fmt = *picture.size, "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())
    return path


def side_by_side(n: int, who: tuple[int, ...] = (0, 1), side: int = 240) -> Iterator[Image.Image]:
    """Drawn people next to each other, swaying."""
    for i in range(n):
        picture = Image.new("RGB", (side * len(who), side))
        for place, speaker in enumerate(who):
            offset = (4 * np.sin(i / 9 + place), 2.0)
            face = draw_face(SPEAKERS[speaker], {"AU12": 1.0}, offset=offset, gaze=(0.0, 0.0)).convert("RGB")
            picture.paste(face.resize((side, side)), (side * place, 0))
        yield picture


def covers(box: list[float], wanted: tuple[float, float, float, float], least: float = 0.4) -> bool:
    return iou(box, wanted) >= least
