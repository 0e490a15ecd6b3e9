"""MediaPipe Face Landmarker's blendshapes as an OpenFace-like CSV.

The 52 blendshapes bear the names of Apple's ARKit (ARFaceAnchor.BlendShapeLocation); which action unit each moves
follows M. Ozel, "ARKit to FACS" (melindaozel.com), for those units that OpenFace tells too. A score of 0..1 is the
rig's, not a FACS intensity: it is multiplied by 5 so that the two share a scale, which the track's producer says, and
a unit counts as present from intensity 1 on. AU23 has no blendshape; AU06 and AU09 are known to stay low.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from models_ml.face.people import tracks_of
from models_ml.face.rows import AuTrackError, NoFace

#: AU -> the blendshapes that move it; of left and right the stronger side counts.
AU_OF: dict[str, tuple[str, ...]] = {
    "AU01": ("browInnerUp",),
    "AU02": ("browOuterUpLeft", "browOuterUpRight"),
    "AU04": ("browDownLeft", "browDownRight"),
    "AU05": ("eyeWideLeft", "eyeWideRight"),
    "AU06": ("cheekSquintLeft", "cheekSquintRight"),
    "AU07": ("eyeSquintLeft", "eyeSquintRight"),
    "AU09": ("noseSneerLeft", "noseSneerRight"),
    "AU10": ("mouthUpperUpLeft", "mouthUpperUpRight"),
    "AU12": ("mouthSmileLeft", "mouthSmileRight"),
    "AU14": ("mouthDimpleLeft", "mouthDimpleRight"),
    "AU15": ("mouthFrownLeft", "mouthFrownRight"),
    "AU17": ("mouthShrugLower",),
    "AU20": ("mouthStretchLeft", "mouthStretchRight"),
    "AU26": ("jawOpen",),
    "AU28": ("mouthRollLower", "mouthRollUpper"),
    "AU45": ("eyeBlinkLeft", "eyeBlinkRight"),
}
SCALE = 5.0
PRESENT_FROM = 1.0
#: OpenFace tells AU28 by presence only.
INTENSITIES = (*(au for au in AU_OF if au != "AU28"), "AU25")
PRESENCES = (*AU_OF, "AU25")


def to_csv(lines: Iterable[str]) -> tuple[str, str]:
    """(CSV text, producer) from the worker's JSON lines: a head `{mediapipe, model}`, then one line a frame
    `{frame, timestamp, faces: [{box: [x, y, w, h] in shares, blendshapes: {name: score}}]}`.

    Faces are linked over time by their boxes, for MediaPipe gives them no identity. Raises AuTrackError.
    """
    rows: list[dict[str, Any]] = []
    head: dict[str, Any] = {}
    for number, line in enumerate(lines, 1):
        try:
            found = json.loads(line)
            if number == 1:
                head = {"mediapipe": str(found["mediapipe"]), "model": str(found["model"])}
                continue
            for face in found["faces"]:
                face["box"] = [float(value) for value in face["box"]]
                face["blendshapes"] = {str(k): float(v) for k, v in face["blendshapes"].items()}
            rows.append({"frame": int(found["frame"]), "t": float(found["timestamp"]), "faces": found["faces"]})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise AuTrackError(f"MediaPipe's worker: line {number} is not as agreed ({error})") from None
    if not rows:
        raise AuTrackError("MediaPipe's worker gave no frame")
    columns = ["frame", "face_id", "timestamp", "confidence", "success", "box_x", "box_y", "box_w", "box_h"]
    out = [", ".join([*columns, *(f"{au}_r" for au in INTENSITIES), *(f"{au}_c" for au in PRESENCES)])]
    ids = _identities(rows)
    for row in rows:
        for face in row["faces"]:
            identity = ids.get((row["t"], *face["box"]))
            if identity is None:
                continue
            aus = intensities(face["blendshapes"])
            cells = [
                str(row["frame"]),
                str(identity),
                f"{row['t']:.3f}",
                "1.00",
                "1",
                *(f"{v:.4f}" for v in face["box"]),
            ]
            cells += [f"{aus[au]:.2f}" for au in INTENSITIES]
            cells += [f"{aus[au] >= PRESENT_FROM:.2f}" for au in PRESENCES]
            out.append(", ".join(cells))
    if len(out) == 1:
        raise NoFace("MediaPipe found no face that stays for more than a frame")
    return "\n".join(out) + "\n", f"mediapipe {head['mediapipe'][:20]} {head['model'][:28]} blendshapes x5"


def intensities(blendshapes: dict[str, float]) -> dict[str, float]:
    """AU -> 0..5. AU25, lips part: the jaw is open more than the lips are closed over it (ARKit's mouthClose)."""
    aus = {au: SCALE * max(blendshapes.get(name, 0.0) for name in names) for au, names in AU_OF.items()}
    aus["AU25"] = SCALE * (blendshapes.get("jawOpen", 0.0) - blendshapes.get("mouthClose", 0.0))
    return {au: min(SCALE, max(0.0, value)) for au, value in aus.items()}


def _identities(rows: list[dict[str, Any]]) -> dict[tuple[float, ...], int]:
    """(time, x, y, w, h) -> track number from 0; a face seen in one frame only belongs to none."""
    frames = [{"t": row["t"], "faces": [[*face["box"], 1.0] for face in row["faces"]]} for row in rows]
    lasting = [track for track in tracks_of(frames) if len(track) > 1 or len(frames) == 1]
    return {tuple(box): number for number, track in enumerate(lasting) for box in track}
