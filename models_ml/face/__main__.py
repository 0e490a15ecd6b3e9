"""`python -m models_ml.face peak OPENFACE.csv`: the peak frame as one JSON object."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from models_ml.face import AuTrackError, peak, read_openface


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m models_ml.face", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("peak", help="the peak frame of an OpenFace 2.2 CSV").add_argument("csv")
    arguments = parser.parse_args(argv)
    try:
        answer = peak(read_openface(Path(arguments.csv)))
    except AuTrackError as error:
        print(f"{arguments.csv}: {error}" if Path(arguments.csv).name not in str(error) else error, file=sys.stderr)
        return 1
    print(json.dumps(answer, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
