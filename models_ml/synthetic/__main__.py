"""`python -m models_ml.synthetic OUT --n 12 --seed 0`: write a synthetic corpus, report it as one JSON object."""

from __future__ import annotations

import argparse
import json
import sys
import time

from models_ml.synthetic import make_corpus


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m models_ml.synthetic", description=__doc__)
    parser.add_argument("out", help="folder to write to")
    parser.add_argument("--n", type=int, default=12, help="number of clips")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    started = time.monotonic()
    try:
        items = make_corpus(arguments.out, n=arguments.n, seed=arguments.seed)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    report = {"out": arguments.out, "clips": len(items), "seconds": round(time.monotonic() - started, 1)}
    print(json.dumps(report, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
