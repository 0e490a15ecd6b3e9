"""`python -m benchmarks.learning --out DIR [--slice]`: that AffectGPT's arrangement learns, shown in a synthetic world.

Makes the clips, pre-trains and freezes encoders and language model, trains every arm by the commands of
``python -m training``, and prints the tables (also DIR/report.md, results.json, table4.csv, curves-*.svg). What is
done is kept in DIR and not done again. About an hour on two CPU cores; ``--slice`` takes minutes and has one seed.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

# Before torch is imported here or in the processes that are started: one thread each.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from .sizes import FULL, SLICE, Size  # noqa: E402

log = logging.getLogger("learning")
CONFIG = Path(__file__).with_name("config.yaml")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning", description=__doc__)
    parser.add_argument("--out", required=True, metavar="DIR", help="a folder of its own; what is done there is kept")
    parser.add_argument("--slice", action="store_true", help="a small part: one seed, the modalities' arms only")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    options = parser.parse_args(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    report, _ = show(Path(options.out).absolute(), SLICE if options.slice else FULL, options.processes)
    print(report)
    return 0


def show(out: Path, size: Size, processes: int) -> tuple[str, dict[str, Any]]:
    """The whole demonstration below `out`: the report and the results."""
    from . import report
    from .arms import Arms
    from .corpus import make_clips, make_snapshots
    from .jobs import run_command, run_jobs
    from .pretraining import pretrain

    began = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    (out / "README.md").write_text(report.SYNTHETIC + "\n", encoding="utf-8")
    facts = make_clips(out / "world", size, processes)
    make_snapshots(out / "snapshots", out / "world", facts, size)
    log.info("%d clips: %.0f s", sum(map(len, facts.values())), time.monotonic() - began)
    pretrain(out, CONFIG, facts["elsewhere"], size, processes)
    write_config(out)
    log.info("encoders and language model: %.0f s", time.monotonic() - began)

    arms = Arms(out, size)
    for seed in size.seeds:
        captions = arms.captions(seed)
        if size.table:
            arms.table(seed, captions)
        else:
            arms.both(seed, captions)
        arms.modalities(seed, captions)
        arms.shuffled(seed)
    run_jobs(out, arms.jobs, processes)
    found = report.results(out, arms, facts)
    found["seconds"] = round(time.monotonic() - began)
    if size.table:
        for name, runs in arms.curves().items():
            run_command(out, f"curves-{name}", ("curves", "--run", *runs, "--out", str(out / f"curves-{name}.svg")))
    return report.write(out, found), found


def write_config(out: Path) -> None:
    """`out`/config.yaml: the model with its pre-trained parts and the folder of its features."""
    import yaml

    values = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    frozen = out / "frozen"
    for part, folder in (("vision", "vision"), ("image_qformer", "vision"), ("audio", "audio"), ("llm", "language")):
        values["model"][part]["pretrained"] = str(frozen / folder)
    values["data"]["cache_dir"] = str(out / "features")
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    (out / "config.yaml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
