"""The one place that writes clips: folder, manifest, upload and REST all end here, a batch at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from annotator.core import audit

from . import hooks, storage
from .models import AuTrack, Clip, Corpus, DerivedMedia, Subtitle
from .reports import Report
from .signals import clips_changed, subtitles_changed
from .storage import MEDIA_LOCK, Stored

PLAIN = ("source", "speaker", "label")


@dataclass
class Item:
    """What is known about one clip; None or "" means that the entrance said nothing about it."""

    name: str
    line: int | None = None
    from_file: bool = False  # a new clip needs its file opened; a row of a manifest does not
    media: str = ""  # "stored" | "reference" | "url"
    media_path: str = ""
    media_url: str = ""
    sha256: str | None = None
    probe: dict[str, Any] | None = None  # models_ml.media.Probe as a dict; None = the media was not opened
    derived: dict[str, Stored] | None = None
    au: Stored | None = None
    au_peak: dict[str, Any] = field(default_factory=dict)
    duration: float | None = None
    source: str = ""
    speaker: str = ""
    licence: str = ""
    label: str = ""
    subtitles: dict[str, str] = field(default_factory=dict)
    clues: list[dict[str, Any]] | None = None

    def files(self) -> list[str]:
        """Storage names that the clip will rely on."""
        names = [stored.path for stored in (self.derived or {}).values()]
        names += [self.media_path] if self.media == "stored" else []
        return names + ([self.au.path] if self.au else [])


@dataclass(frozen=True)
class Outcome:
    """What became of an item: created | updated | unchanged | duplicate | failed."""

    state: str
    clip_id: int | None = None
    reason: str = ""
    of: str = ""


@transaction.atomic
def store(corpus: Corpus, items: Sequence[Item], report: Report, *, actor: Any = None) -> dict[str, Outcome]:
    """Create and update clips of `corpus`, all of the batch in one transaction; names are unique in a batch.

    Idempotent: what is there already is `unchanged`. A clip's media never changes: other bytes under a name
    that has media fail. The same bytes under a second name are a duplicate of the first. Holds the corpus'
    row for the length of the transaction, so that concurrent ingests into a corpus take turns.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [MEDIA_LOCK])
    Corpus.objects.select_for_update(no_key=True).get(pk=corpus.pk)
    batch = _Batch(corpus, items, report)
    outcomes = {item.name: batch.take(item) for item in items}
    outcomes |= batch.write(outcomes)
    for outcome in outcomes.values():
        if outcome.state in ("created", "updated", "unchanged"):
            setattr(report, outcome.state, getattr(report, outcome.state) + 1)
    counts = {state: sum(o.state == state for o in outcomes.values()) for state in ("created", "updated")}
    if any(counts.values()):
        audit.record(actor, "clip.ingest", corpus=corpus.slug, target=corpus.slug, **counts)
    return outcomes


class _Batch:
    """The rows that a batch touches, read once, and the writes that it comes to."""

    def __init__(self, corpus: Corpus, items: Sequence[Item], report: Report) -> None:
        self.corpus, self.report = corpus, report
        self.by_name = {c.name: c for c in corpus.clips.filter(name__in=[i.name for i in items])}
        hashes = {item.sha256 for item in items if item.sha256}
        holders = corpus.clips.filter(media_sha256__in=hashes)
        self.by_sha = {c.media_sha256: self.by_name.get(c.name, c) for c in holders}
        ids = [clip.pk for clip in self.by_name.values()]
        self.subtitles = {(s.clip_id, s.language): s for s in Subtitle.objects.filter(clip__in=ids)}
        self.tracks = {track.clip_id: track for track in AuTrack.objects.filter(clip__in=ids)}
        self.new: list[tuple[Clip, Item]] = []
        self.kept: list[tuple[Clip, Item, bool]] = []

    def take(self, item: Item) -> Outcome:
        """Decide about one item; nothing is written yet."""
        clip = self.by_name.get(item.name)
        if clip is not None and clip.withdrawn_at:
            return self._fail(item, _("the clip was withdrawn and does not come back"))
        holder = self.by_sha.get(item.sha256) if item.sha256 else None
        if holder is not None and holder is not clip:
            if holder.withdrawn_at:
                return self._fail(item, _("this media was withdrawn as “%(name)s”") % {"name": holder.name})
            self.report.duplicate(item.name, holder.name)
            return Outcome("duplicate", holder.pk, of=holder.name)
        if clip is not None and clip.media_sha256 and item.sha256 and clip.media_sha256 != item.sha256:
            text = _("the clip has other media (sha256 %(sha)s…), and a clip's media never changes; use another name")
            return self._fail(item, text % {"sha": clip.media_sha256[:12]})
        gone = [name for name in item.files() if not storage.exists(name)]
        if gone:
            return self._fail(item, _("its media was withdrawn meanwhile; ingest it again if it may be kept"))
        if clip is None and item.from_file and item.probe is None:
            return self._fail(item, _("its media could not be read"))
        if clip is None:
            clip = Clip(corpus=self.corpus, name=item.name, synthetic=self.corpus.synthetic)
            _apply(clip, item, self.report)
            self.new.append((clip, item))
            self.by_name[item.name] = clip
            if item.sha256:
                self.by_sha[item.sha256] = clip
            return Outcome("created")
        changed = _apply(clip, item, self.report)
        if item.sha256:
            self.by_sha[item.sha256] = clip
        self.kept.append((clip, item, changed))
        return Outcome("unchanged", clip.pk)

    def _fail(self, item: Item, reason: str) -> Outcome:
        self.report.fail(reason, name=item.name, line=item.line)
        return Outcome("failed", reason=reason)

    def write(self, decided: dict[str, Outcome]) -> dict[str, Outcome]:
        """Write everything, tell the rooms above, and say what became of the items that were taken."""
        Clip.objects.bulk_create([clip for clip, _item in self.new])
        changed = {clip.pk for clip, _item, plain in self.kept if plain}
        fields = [f.name for f in Clip._meta.fields if f.name not in ("id", "corpus", "name", "created_at")]
        Clip.objects.bulk_update([clip for clip, _item, plain in self.kept if plain], fields, batch_size=500)
        both = [*self.new, *((clip, item) for clip, item, _plain in self.kept)]
        spoken = self._write_subtitles(both)
        changed |= self._write_derived(both) | spoken | self._write_tracks(both)
        changed |= self._write_clues(both)
        if self.new:
            ids = [clip.pk for clip, _item in self.new]
            clips_changed.send(sender=Clip, corpus=self.corpus, clip_ids=ids)
        if later := spoken - {clip.pk for clip, _item in self.new}:
            subtitles_changed.send(sender=Clip, corpus=self.corpus, clip_ids=sorted(later))
        done = {clip.name: Outcome("created", clip.pk) for clip, _item in self.new}
        for clip, _item, _plain in self.kept:
            done[clip.name] = Outcome("updated" if clip.pk in changed else "unchanged", clip.pk)
        return done

    def _write_derived(self, pairs: list[tuple[Clip, Item]]) -> set[int]:
        with_files = [(clip, item) for clip, item in pairs if item.derived is not None]
        DerivedMedia.objects.filter(clip__in=[clip.pk for clip, _item in with_files]).delete()
        DerivedMedia.objects.bulk_create(
            DerivedMedia(clip=clip, kind=kind, path=s.path, sha256=s.sha256, bytes=s.bytes)
            for clip, item in with_files
            for kind, s in (item.derived or {}).items()
        )
        return {clip.pk for clip, _item in with_files}

    def _write_subtitles(self, pairs: list[tuple[Clip, Item]]) -> set[int]:
        new, changed = [], []
        for clip, item in pairs:
            for language, text in item.subtitles.items():
                old = self.subtitles.get((clip.pk, language))
                if old is None:
                    new.append(Subtitle(clip=clip, language=language, text=text))
                elif old.text != text:
                    old.text = text
                    changed.append(old)
        Subtitle.objects.bulk_create(new)
        Subtitle.objects.bulk_update(changed, ["text"], batch_size=500)
        return {subtitle.clip_id for subtitle in [*new, *changed]}

    def _write_tracks(self, pairs: list[tuple[Clip, Item]]) -> set[int]:
        changed = set()
        for clip, item in pairs:
            old = self.tracks.get(clip.pk)
            if item.au is None or (old is not None and old.sha256 == item.au.sha256):
                continue
            values = {"path": item.au.path, "sha256": item.au.sha256, "peak": item.au_peak}
            AuTrack.objects.update_or_create(clip=clip, defaults=values)
            changed.add(clip.pk)
        return changed

    def _write_clues(self, pairs: list[tuple[Clip, Item]]) -> set[int]:
        given = {clip.pk: item.clues for clip, item in pairs if item.clues}
        if given and not hooks.clue_importers:
            self.report.warn(self.corpus.slug, _("clues were left out: pre-labels are not installed"))
        changed: set[int] = set()
        for importer in hooks.clue_importers if given else []:
            changed |= importer(self.corpus, given)
        return changed


def _apply(clip: Clip, item: Item, report: Report) -> bool:
    """Put what the item says onto the clip; whether that changed anything."""
    wanted: dict[str, Any] = {name: getattr(item, name) for name in PLAIN if getattr(item, name)}
    facts = item.probe
    opened = facts is not None
    if facts is not None and clip.derived != "ready":
        wanted |= {
            "media": item.media,
            "media_path": item.media_path,
            "media_sha256": item.sha256,
            "duration": facts["duration"],
            "has_video": facts["has_video"],
            "has_audio": facts["has_audio"],
            "probe": facts,
            "derived": "ready",
            "derived_error": "",
        }
    elif not opened and clip.derived == "none" and item.media:
        wanted |= {"media": item.media, "media_path": item.media_path, "media_url": item.media_url}
    if not opened and clip.derived == "none":
        wanted |= {"duration": item.duration} if item.duration is not None else {}
        wanted |= {"media_sha256": item.sha256} if item.sha256 else {}
    if item.licence:
        if clip.licence == "restricted" and item.licence == "open":
            report.warn(item.name, _("the clip is restricted and stays so: the stricter licence wins"))
        else:
            wanted["licence"] = item.licence
    changed = [name for name, value in wanted.items() if getattr(clip, name) != value]
    for name in changed:
        setattr(clip, name, wanted[name])
    if changed:
        clip.updated_at = timezone.now()  # bulk writes do not set it
    return bool(changed)
