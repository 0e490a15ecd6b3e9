"""``python -m training cache``: features made ahead of a run, verified, pruned."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from .affectgpt.model import resolve_device
from .cache import cache_folder, open_store
from .config import load_config
from .data import Featurizer, Sample, require_media
from .errors import UsageError
from .media import MediaReport, survey
from .snapshot import Record, read_snapshot
from .sources import load_sources
from .weights import assemble, check_weights, identities, make_tokenizer

log = logging.getLogger("training")


def cache_command(
    config_name: str, snapshot_folder: str, media: str | None, overrides: list[str] | None = None,
    workers: int | None = None, folder: str | None = None, whole: bool = True, verify: bool = False,
    prune: bool = False, missing_media: str | None = None,
) -> tuple[dict[str, Any], int]:  # fmt: skip
    """Make every feature that training and evaluation on this snapshot (all its splits) and data.sources will ask for.

    whole: also whole pictures, which evaluation looks at, where training looks at crops; verify: hash every entry
    again first; prune: remove leftovers of killed builders and what other encoders or transforms made. Returns ``{made,
    kept, failed, seconds, bytes, folder, damaged, pruned}`` and exit code 1 where a clip failed.

    Raises UsageError: config, snapshot or media cannot be used, or data.cache is not disk and no folder is named.
    """
    config = load_config(config_name, [*(overrides or []), "data.cache=disk"])
    place = Path(folder) if folder else cache_folder(config)
    if place is None:
        raise UsageError("no folder to keep features in: give --dir, or set data.cache_dir or EMER_CACHE")
    check_weights(config)
    snapshot = read_snapshot(snapshot_folder)
    records = list(snapshot.records.values())
    report = survey(records, snapshot, media, config, place, workers)
    require_media(report, len(records), missing_media)
    samples = _samples(records, report)
    for source in load_sources(config, place):
        require_media(source.media, len(source.records), missing_media)
        report.missing.update(source.media.missing)
        samples += _samples(source.records, source.media)
    model = assemble(config, make_tokenizer(config, []), encoders_only=True)
    store = open_store(config, identities(config, model), place)
    model.to(resolve_device(config.train.device)).eval()
    result: dict[str, Any] = {"folder": str(place.absolute()), "damaged": [], "pruned": None}
    if verify:
        checked = store.verify()
        result["damaged"] = checked.damaged
        log.info("cache: %d entries verified (%.1f MB), %d damaged", checked.checked, checked.bytes / 1e6,
                 len(checked.damaged))  # fmt: skip
        for row in checked.damaged:
            log.warning("cache: %s of clip %s is damaged and is made again: %s", row["modality"], row["clip"],
                        row["reason"])  # fmt: skip
    featurizer = Featurizer(model, config, store)
    built = featurizer.build(samples, workers)
    if whole and config.data.crop_scale is not None:
        more = featurizer.build(samples, workers, training=False)
        built.made, built.seconds, built.bytes = built.made + more.made, built.seconds + more.seconds, more.bytes
        built.failed.update(more.failed)
    if prune:
        result["pruned"] = store.prune()
    store.close()
    for clip, reason in built.failed.items():
        log.warning("cache: clip %s is left out: %s", clip, reason)
    failed = [{"clip": clip, "reason": reason} for clip, reason in {**report.missing, **built.failed}.items()]
    result |= {
        "made": built.made, "kept": built.kept, "failed": failed, "seconds": round(built.seconds, 1),
        "bytes": store.bytes,
    }  # fmt: skip
    return result, 1 if built.failed else 0


def _samples(records: list[Record], report: MediaReport) -> list[Sample]:
    """Every clip that has media, whatever is asked about it."""
    return [
        Sample(record.clip, "", "", report.files[record.clip], turns=record.turns)
        for record in records
        if record.clip in report.files
    ]
