"""`python -m benchmarks [--out FILE] [--clips N] [--only PART …]`: all measurements into one JSON."""

import argparse
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import annotation, freeze, large_run, media, page, prelabel, quality, training
from .figures import machine
from .world import use_django, world

PARTS = ("media", "training", "annotation", "prelabel", "freeze", "large_run", "page", "quality")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results.json"))
    parser.add_argument("--clips", type=int, default=20_000, help="clips of the large corpus (default 20,000)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of eight annotators at work (default 20)")
    parser.add_argument("--annotations", type=int, default=50_000, help="behind the pages of quality (default 50,000)")
    parser.add_argument("--in-a-row", type=int, default=30_000, help="submissions in a row (default 30,000)")
    parser.add_argument("--peer-results", type=Path, help="another product's figures at the same workload, as JSON")
    parser.add_argument("--only", choices=PARTS, action="append", help="prelabel and freeze need annotation")
    chosen = parser.parse_args()
    wanted = chosen.only or PARTS
    results: dict[str, Any] = {"machine": machine(), "clips": chosen.clips}
    failed: list[str] = []

    def part(name: str, measure: Callable[[], dict[str, Any]]) -> None:
        if name not in wanted:
            return
        began = time.perf_counter()
        try:
            figures = measure()
        except Exception as error:  # noqa: BLE001 - the other figures are still worth having; said below
            traceback.print_exc()
            figures = {"failed": f"{type(error).__name__}: {error}"[:500]}
            failed.append(name)
        results[name] = {**figures, "took_s": round(time.perf_counter() - began, 1)}
        print(f"{name}: {json.dumps(results[name], ensure_ascii=False)}", file=sys.stderr, flush=True)

    more = (chosen.in_a_row, chosen.peer_results)
    small = max(500, chosen.clips // 10)
    part("media", media.measure)
    with tempfile.TemporaryDirectory() as folder:
        part("training", lambda: training.measure(Path(folder)))
    with world() as ours:
        use_django()
        part("annotation", lambda: annotation.measure(ours, chosen.clips, small, chosen.seconds, *more))
        part("prelabel", lambda: prelabel.measure(ours, "full"))
        part("freeze", lambda: freeze.measure(ours, "full", "small"))
        part("large_run", lambda: large_run.measure(ours))
        part("page", lambda: page.measure(ours))
        part("quality", lambda: quality.measure(ours, chosen.annotations))
    chosen.out.write_text(json.dumps(results, ensure_ascii=False, indent=1) + "\n")
    print(json.dumps({"out": str(chosen.out), "failed": failed}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
