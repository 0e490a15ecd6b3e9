"""AffectGPT's `tiny` config on synthetic clips: step time with the encoders' work cached and without.

The difference is what decoding and the frozen encoders cost in every step where nothing is cached (the data share).
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from models_ml.synthetic import make_corpus

from .figures import ratio
from .world import World

CLIPS = 6
EPOCHS = 4


def measure(world: World) -> dict[str, Any]:
    """Median seconds per step of batch 4, cached and uncached, over a snapshot made through the workbench."""
    folder = world.folder / "train-clips"
    make_corpus(folder, n=CLIPS, seed=1)
    world.manage("create_corpus", "train", "--licence", "open", "--review", "none")
    world.manage("ingest", "train", str(folder), "--subtitles", str(folder / "subtitles.csv"))
    annotate_all("train")
    snapshot = world.manage("freeze", "train", "bench")["path"]
    cached = steps(world, snapshot, folder, "memory")
    uncached = steps(world, snapshot, folder, "none")
    return {
        "config": "tiny",
        "clips": CLIPS,
        "batch": 4,
        "steps": len(cached),
        "step_cached_ms": round(statistics.median(cached) * 1000, 1),
        "step_uncached_ms": round(statistics.median(uncached) * 1000, 1),
        "uncached_over_cached": ratio(statistics.median(uncached), statistics.median(cached)),
        "data_share_uncached": round(1 - statistics.median(cached) / statistics.median(uncached), 2),
    }


def annotate_all(slug: str) -> None:
    """A submitted annotation for every clip of a corpus without review, by its services."""
    from annotator.accounts.services import create_person
    from annotator.checking import services
    from annotator.clips.models import Corpus
    from annotator.clips.services import add_member

    corpus = Corpus.objects.get(slug=slug)
    person, _password = create_person(None, f"{slug}-annotator")
    add_member(None, corpus, person, "annotator")
    while (claim := services.claim_next(person, corpus)[0]) is not None:
        text = f"In {claim.clip.name} the voice and the face say {claim.clip.label or 'something'}."
        body = {"clues": [], "description": {"zh": "", "en": text}, "ov_labels": {"zh": [], "en": ["calm"]}}
        services.submit(person, claim.pk, body)


def steps(world: World, snapshot: str, media: Path, cache: str) -> list[float]:
    """Seconds of each step but the first (which warms up)."""
    run = world.folder / f"run-{cache}"
    world.command(
        [sys.executable, "-m", "training", "fit", "--config", "tiny", "--snapshot", snapshot, "--media", str(media),
         "--out", str(run), "--no-register", "--set", f"train.epochs={EPOCHS}", "--set", f"data.cache={cache}"]
    )  # fmt: skip
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["seconds"] for line in lines][1:]
