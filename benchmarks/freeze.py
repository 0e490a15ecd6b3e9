"""Freezing: a snapshot of every clip of a corpus, its digest checked by sha256sum, and one of a tenth of it."""

import subprocess
import time
from typing import Any

from . import workload
from .figures import ratio
from .world import World


def measure(world: World, slug: str, small_slug: str) -> dict[str, Any]:
    """Seconds to write what records are missing, to freeze both corpora, and to check the larger one's sums."""
    from annotator.clips.models import Corpus
    from annotator.snapshots import services

    corpus, small = Corpus.objects.get(slug=slug), Corpus.objects.get(slug=small_slug)
    began = time.perf_counter()
    written = write_missing(corpus) + write_missing(small)
    write_s = time.perf_counter() - began
    sizes = {"train": 0.8, "test": 0.2}
    began = time.perf_counter()
    few = services.freeze_snapshot(None, small, "bench", sizes=sizes)
    few_s = time.perf_counter() - began
    began = time.perf_counter()
    many = services.freeze_snapshot(None, corpus, "bench", sizes=sizes)
    many_s = time.perf_counter() - began
    folder = services.folder_of(many)
    checked = subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=folder, capture_output=True)
    records, fewer = many.manifest["counts"]["records"], few.manifest["counts"]["records"]
    return {
        "records": records,
        "records_written_per_s": round(written / write_s) if written else None,
        "freeze_s": round(many_s, 2),
        "records_per_s": round(records / many_s),
        "seconds_per_record_over_small": ratio(many_s / records, few_s / fewer),
        "bytes": sum(file["bytes"] for file in many.manifest["files"]),
        "sums_hold": checked.returncode == 0,
    }


def write_missing(corpus: Any) -> int:
    """A fine record, written by the service that every path ends in, for each clip that has none."""
    from django.db import transaction

    from annotator.checking import records
    from annotator.checking.queries import clue_json
    from annotator.prelabels.models import Clue

    clips = corpus.clips.exclude(records__grade="fine").prefetch_related("subtitles")
    todo = list(clips.order_by("id"))
    for start in range(0, len(todo), 500):
        part = todo[start : start + 500]
        for clip in part:
            clip.corpus = corpus
        clues: dict[int, list[Any]] = {}
        rows = Clue.objects.filter(clip__in=part, superseded_at=None).select_related("prelabeller")
        for clue in rows.order_by("id"):
            clues.setdefault(clue.clip_id, []).append(clue)
        with transaction.atomic():
            for clip in part:
                shown = {"clip": {"name": clip.name}, "clues": [clue_json(clue) for clue in clues[clip.pk]]}
                records.write(clip, "fine", workload.body(shown), source="import", source_detail="benchmark")
    return len(todo)
