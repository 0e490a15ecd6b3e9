"""The evidence gate: one JSON object, last on stdout.

judge: a clue's claims, each with its verdict and the number it rests on. score: precision and recall of the gate on a
file of clues whose claims are known.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

from models_ml.face import AuTrackError, read_openface
from models_ml.gate import VERSION, LexiconError, judge, render
from models_ml.gate.score import ClaimsError, score


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m models_ml.gate", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("judge", help="hold a clue's claims against measurements")
    one.add_argument("--text", required=True)
    one.add_argument("--language", required=True, choices=("en", "zh"))
    one.add_argument("--modality", choices=("visual", "audio", "text"), default="visual")
    one.add_argument("--au", metavar="CSV", help="OpenFace 2.2 track")
    one.add_argument("--face", type=int, metavar="FACE_ID", help="another face of the track than the main one")
    one.add_argument("--media", metavar="WAV|MP4", help="its voice is measured")
    one.add_argument("--baseline", metavar="JSON", help="the speaker's usual measures (models_ml.voice.baseline)")
    one.add_argument(
        "--subtitle", action="append", default=[], metavar="[zh:|en:]TEXT", help="in the clue's language unless named"
    )
    one.add_argument(
        "--span", type=float, nargs=2, metavar=("FROM", "TO"), help="seconds of the clip the clue speaks of"
    )
    many = commands.add_parser("score", help="precision and recall on a JSONL file of clues with expected claims")
    many.add_argument("claims")
    arguments = parser.parse_args(argv)
    try:
        answer = score(arguments.claims) if arguments.command == "score" else _judged(arguments)
    except (AuTrackError, ClaimsError, LexiconError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(answer, ensure_ascii=False))
    return 0


def _judged(arguments: argparse.Namespace) -> dict[str, Any]:
    measures = None
    if arguments.media:
        from models_ml.voice import measure

        measures = measure(arguments.media, baseline=_baseline(arguments.baseline) if arguments.baseline else None)
    subtitle: dict[str, str | None] = {}
    for text in arguments.subtitle:
        language, colon, rest = text.partition(":")
        named = bool(colon) and language in ("zh", "en")
        subtitle[language if named else arguments.language] = rest if named else text
    verdicts = judge(
        arguments.text,
        arguments.language,
        modality=arguments.modality,
        au=read_openface(Path(arguments.au), arguments.face) if arguments.au else None,
        measures=measures,
        subtitle=subtitle,
        span=arguments.span,
    )
    return {
        "version": VERSION,
        "verdicts": [{**one, "sentence": {k: render(one, k) for k in ("zh", "en")}} for one in verdicts],
    }


def _baseline(path: str) -> dict[str, float]:
    try:
        usual = json.loads(Path(path).read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON ({error})") from None
    if not isinstance(usual, dict) or not all(
        isinstance(value, (int, float)) and math.isfinite(value) for value in usual.values()
    ):
        raise ValueError(f'{path}: wanted an object of measures and numbers, such as {{"f0_median_hz": 180.0}}')
    return dict(usual)


if __name__ == "__main__":
    raise SystemExit(main())
