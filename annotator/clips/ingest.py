"""A folder of real files becomes clips: examined in a small pool, stored a batch at a time, every problem named."""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from annotator.core.errors import Invalid
from models_ml.face import AuTrackError
from models_ml.media import MediaError

from . import examine
from .folder import Found, find_media
from .models import Clip, Corpus, DerivedMedia
from .names import clean_name
from .reports import Report
from .storage import Stored, exists
from .store import Item, Outcome, store
from .tables import LABEL_COLUMNS, SUBTITLE_COLUMNS, read_by_name

BATCH = 16


def ingest_folder(
    corpus: Corpus,
    path: Path,
    *,
    subtitles: Path | None = None,
    labels: Path | None = None,
    au: Path | None = None,
    keep: str = "copy",
    actor: Any = None,
) -> Report:
    """Every media file below `path` becomes a clip named by its stem. Idempotent; killed at any time, what
    was stored stays and a second run does the rest.

    subtitles: CSV `name` + `chinese` and/or `english`; labels: CSV `name,label`; au: folder of
    `<clip>.csv` by OpenFace. Rows and tracks of clips that were ingested before update those.
    Raises Invalid when a given file or folder is not there or is something else.
    """
    report = Report()
    if keep == "reference":
        require_import_root(path)
    if au is not None and not au.is_dir():
        raise Invalid(_("There is no folder “%(path)s”.") % {"path": au})
    words = read_by_name(subtitles, SUBTITLE_COLUMNS, report) if subtitles else {}
    classes = read_by_name(labels, LABEL_COLUMNS, report) if labels else {}
    tracks = _au_files(au, report) if au else {}
    found = find_media(path, report)
    seen = {f.name for f in found}
    for batch in _batches(corpus, found, keep, report):
        for item in batch:
            _add_tables(item, words, classes, tracks, report)
            if subtitles and not item.subtitles:
                report.warn(item.name, _("no subtitle: no row, or an empty one, in %(f)s") % {"f": subtitles.name})
        _store_batch(corpus, batch, report, actor)
    _update_others(corpus, seen, words, classes, tracks, report, actor)
    return report


def require_import_root(path: Path) -> None:
    """Raise Invalid unless `path` lies below one of MEDIA_IMPORT_ROOTS."""
    roots = settings.MEDIA_IMPORT_ROOTS
    if any(path.resolve().is_relative_to(root) for root in roots):
        return
    allowed = ", ".join(str(root) for root in roots) or _("none is set")
    text = _("Media by reference must lie below MEDIA_IMPORT_ROOTS (%(roots)s): “%(path)s” does not.")
    raise Invalid(text % {"roots": allowed, "path": path})


def workers() -> int:
    """Files examined at once: decoding is a child process each, so threads wait for them."""
    return max(2, min(8, os.cpu_count() or 2))


def known_derivatives(sha256s: list[str]) -> dict[str, tuple[dict[str, Any], dict[str, Stored]]]:
    """What was made of these media before, in whatever corpus, and is still there: sha256 -> (probe, files)."""
    clips = Clip.objects.present().filter(media_sha256__in=sha256s, derived="ready").order_by("media_sha256", "id")
    first = {clip.pk: clip for clip in clips.distinct("media_sha256")}
    made: dict[int, dict[str, Stored]] = {pk: {} for pk in first}
    for row in DerivedMedia.objects.filter(clip__in=first):
        made[row.clip_id][row.kind] = Stored(row.path, row.sha256, row.bytes)
    return {
        str(clip.media_sha256): (clip.probe, made[pk])
        for pk, clip in first.items()
        if all(exists(stored.path) for stored in made[pk].values())
    }


def fill(item: Item, path: Path, keep: str, known: dict[str, Any], suffix: str | None = None) -> Item:
    """Make `item` whole from its file, with the work that was done before where there is such."""
    if item.sha256 in known:
        probe, derived = known[str(item.sha256)]
        item.probe, item.derived = probe, dict(derived)
        return examine.keep_original(item, path, keep=keep, suffix=suffix)
    return examine.open_media(item, path, keep=keep, suffix=suffix)


def remarks(item: Item) -> list[str]:
    """What a person should know about a valid clip."""
    if item.probe and not item.probe["has_audio"]:
        return [_("the file has no audio stream")]
    return []


def _batches(corpus: Corpus, found: list[Found], keep: str, report: Report) -> Iterator[list[Item]]:
    """Items ready to be stored, in path order. While one batch is handed out the next is being examined."""
    parts = [found[i : i + BATCH] for i in range(0, len(found), BATCH)]
    with ThreadPoolExecutor(max_workers=workers()) as pool:
        ahead = [pool.submit(examine.fingerprint, f.path) for f in parts[0]] if parts else []
        for index, part in enumerate(parts):
            hashes = [_result(future, f, report) for future, f in zip(ahead, part, strict=True)]
            ahead = [pool.submit(examine.fingerprint, f.path) for f in parts[index + 1]] if parts[index + 1 :] else []
            items = [
                (Item(name=f.name, sha256=sha, from_file=True), f) for sha, f in zip(hashes, part, strict=True) if sha
            ]
            yield _examined(corpus, items, keep, pool, report)


def settled(corpus: Corpus, item: Item) -> bool:
    """Whether `store` can decide about this file without opening it: unchanged, a duplicate, or other media
    under a name that has some."""
    return _settled(corpus, [item])[item.name]


def _settled(corpus: Corpus, items: list[Item]) -> dict[str, bool]:
    hashes = [str(item.sha256) for item in items]
    here = dict(corpus.clips.filter(media_sha256__in=hashes).values_list("media_sha256", "name"))
    held = corpus.clips.filter(name__in=[item.name for item in items]).exclude(media_sha256=None)
    names = dict(held.values_list("name", "media_sha256"))
    ready = _whole(corpus, hashes)
    return {
        item.name: item.sha256 in ready
        or here.get(item.sha256, item.name) != item.name
        or names.get(item.name, item.sha256) != item.sha256
        for item in items
    }


def _examined(
    corpus: Corpus, items: list[tuple[Item, Found]], keep: str, pool: ThreadPoolExecutor, report: Report
) -> list[Item]:
    known = known_derivatives([str(item.sha256) for item, _found in items])
    done_with = _settled(corpus, [item for item, _found in items])
    first: set[str | None] = set()
    jobs: list[tuple[Item, Found, Future[Item] | None]] = []
    for item, found in items:
        idle = done_with[item.name] or item.sha256 in first  # the same bytes twice in the folder: open them once
        first.add(item.sha256)
        jobs.append((item, found, None if idle else pool.submit(fill, item, found.path, keep, known)))
    ready = []
    for item, found, future in jobs:
        if future is not None and _result(future, found, report) is None:
            continue
        for remark in remarks(item):
            report.warn(item.name, remark)
        ready.append(item)
    return ready


def _whole(corpus: Corpus, hashes: list[str]) -> set[str]:
    """Those of the media hashes whose clip here needs no work: ready, and no file of it was lost."""
    clips = {clip.pk: clip for clip in corpus.clips.filter(media_sha256__in=hashes, derived="ready")}
    lost = {clip.pk for clip in clips.values() if clip.media == "stored" and not exists(clip.media_path)}
    rows = DerivedMedia.objects.filter(clip__in=clips).values_list("clip_id", "path")
    lost |= {clip_id for clip_id, path in rows if not exists(path)}
    return {str(clip.media_sha256) for pk, clip in clips.items() if pk not in lost or clip.withdrawn_at}


def _result(future: Future[Any], found: Found, report: Report) -> Any:
    """The result, or None after the file's own failure went to the report."""
    try:
        return future.result()
    except MediaError as error:
        report.fail(str(error), name=found.name)
    except OSError as error:
        report.fail(f"{found.path.name}: {error.strerror or error}", name=found.name)
    return None


def _au_files(folder: Path, report: Report) -> dict[str, Path]:
    """{clip name: OpenFace CSV}, by the same rule as the media files' names; what has no such name is reported."""
    tracks: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() != ".csv" or path.name.startswith("."):
            continue
        try:
            name = clean_name(path.stem)
        except Invalid as error:
            report.fail(error.message, name=path.name)
            continue
        if name in tracks:
            text = _("the name “%(name)s” is used twice: “%(first)s” has it")
            report.fail(text % {"name": name, "first": tracks[name].name}, name=path.name)
            continue
        tracks[name] = path
    return tracks


def _add_tables(
    item: Item,
    words: dict[str, dict[str, str]],
    classes: dict[str, dict[str, str]],
    tracks: dict[str, Path],
    report: Report,
) -> None:
    item.subtitles = words.get(item.name, {})
    item.label = classes.get(item.name, {}).get("label", "")
    if path := tracks.get(item.name):
        add_au(item, path, report)


def add_au(item: Item, path: Path, report: Report) -> None:
    """Give the item its AU track; one that cannot be read is a warning that names file and line."""
    try:
        item.au, item.au_peak, remark = examine.read_au(path)
    except AuTrackError as error:
        report.warn(item.name, _("AU track left out: %(why)s") % {"why": error})
    except OSError as error:
        report.warn(item.name, _("AU track left out: %(why)s") % {"why": f"{path.name}: {error.strerror or error}"})
    else:
        if remark:
            report.warn(item.name, remark)


def _store_batch(corpus: Corpus, items: list[Item], report: Report, actor: Any) -> dict[str, Outcome]:
    return store(corpus, items, report, actor=actor) if items else {}


def _update_others(
    corpus: Corpus,
    seen: set[str],
    words: dict[str, dict[str, str]],
    classes: dict[str, dict[str, str]],
    tracks: dict[str, Path],
    report: Report,
    actor: Any,
) -> None:
    """Rows and tracks without a file in the folder: for clips that the corpus has, else a warning."""
    kinds: list[tuple[Mapping[str, Any], str]] = [
        (words, _("a subtitle row without a clip")),
        (classes, _("a label row without a clip")),
        (tracks, _("an AU track without a clip")),
    ]
    names = sorted({name for table, _what in kinds for name in table} - seen)
    for start in range(0, len(names), 1000):
        part = names[start : start + 1000]
        there = set(corpus.clips.present().filter(name__in=part).values_list("name", flat=True))
        items = []
        for name in part:
            if name in there:
                item = Item(name=name)
                _add_tables(item, words, classes, tracks, report)
                items.append(item)
                continue
            for table, what in kinds:
                if name in table:
                    report.warn(name, what)
        _store_batch(corpus, items, report, actor)
