"""`python -m models_ml.voice describe MEDIA`: measures with units and a sentence, as one JSON object."""

from __future__ import annotations

import argparse
import json
import math
import sys

from models_ml.media import MediaError
from models_ml.voice import UNITS, codes, measure, render_voice


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m models_ml.voice", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    describe = commands.add_parser("describe", help="measured prosody of a media file")
    describe.add_argument("media")
    describe.add_argument("--baseline", help="JSON file of the speaker's usual measures (voice.baseline)")
    describe.add_argument("--syllables", type=_positive, help="syllables of the subtitle; estimated when left out")
    arguments = parser.parse_args(argv)
    try:
        usual = _baseline(arguments.baseline) if arguments.baseline else None
        measures = measure(arguments.media, baseline=usual, syllables=arguments.syllables)
    except (MediaError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    found = codes(measures)
    answer = {
        "measures": {key: {"value": value, "unit": UNITS[key]} for key, value in measures.items()},
        "codes": found,
        "sentence": {language: render_voice(found, language) for language in ("zh", "en")},
    }
    print(json.dumps(answer, ensure_ascii=False))
    return 0


def _baseline(path: str) -> dict[str, float]:
    """The speaker's usual measures from a file. Raises OSError, and ValueError naming the file."""
    try:
        with open(path, encoding="utf-8") as file:
            usual = json.load(file)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    numbers = isinstance(usual, dict) and all(
        isinstance(value, (int, float)) and math.isfinite(value) for value in usual.values()
    )
    if not numbers:
        raise ValueError(f'{path}: wanted an object of measures and numbers, such as {{"f0_median_hz": 180.0}}')
    return dict(usual)


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError(text)
    return number


if __name__ == "__main__":
    raise SystemExit(main())
