"""`python -m models_ml.face peak|people|label OPENFACE.csv`: one JSON object, last on stdout.

peak: the peak frame. people: who is tracked in the file, the main face first. label: the pseudo-label of the peak.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from models_ml.face import AuTrackError, label, openface_faces, peak, read_openface
from models_ml.face.labels import STRENGTH


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m models_ml.face", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one_face = []
    for name, what in (("peak", "the peak frame"), ("people", "who is tracked"), ("label", "the pseudo-label")):
        command = commands.add_parser(name, help=f"{what} of an OpenFace 2.2 CSV")
        command.add_argument("csv")
        if name == "people":
            command.add_argument("--size", help="of the picture in pixels, as 1280x720", metavar="WxH", type=_size)
        else:
            one_face.append(command)
            command.add_argument("--face", type=int, metavar="FACE_ID", help="another face than the main one")
    one_face[-1].add_argument("--strength", type=float, default=STRENGTH, help="least mean intensity (0..5) of a core")
    one_face[-1].add_argument("--rare-first", action="store_true", help="a strong rare label goes before the others")
    arguments = parser.parse_args(argv)
    path = Path(arguments.csv)
    try:
        answer = _answer(arguments, path)
    except AuTrackError as error:
        print(f"{arguments.csv}: {error}" if path.name not in str(error) else error, file=sys.stderr)
        return 1
    print(json.dumps(answer, ensure_ascii=False))
    return 0


def _answer(arguments: argparse.Namespace, path: Path) -> dict[str, Any]:
    if arguments.command == "people":
        return {"people": openface_faces(path, arguments.size)}
    found = peak(read_openface(path, arguments.face))
    if arguments.command == "peak":
        return found
    named = label(found["aus"], strength=arguments.strength, rare_first=arguments.rare_first)
    return named | {"frame": found["frame"], "timestamp": found["timestamp"]}


def _size(text: str) -> tuple[int, int]:
    width, cross, height = text.partition("x")
    if not (cross and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT")
    return int(width), int(height)


if __name__ == "__main__":
    raise SystemExit(main())
