"""What snapshots read: current record lines, provenance, annotations, withdrawn clips, differences."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from django.db.models import F, QuerySet

from annotator.checking.models import Annotation, Check, Record, RecordRevision
from annotator.checking.queries import pseudonym
from annotator.clips.access import corpora_where
from annotator.clips.models import Corpus

from .models import Snapshot, SnapshotEntry

CLIPS_AT_A_TIME = 1_000  # whose annotations are held in memory while annotations.jsonl is written


class CurrentLine(NamedTuple):
    line: str
    revision_id: int
    media: str
    media_path: str
    media_url: str
    licence: str


def left_out(corpus: Corpus, grade: str) -> int:
    """Clips whose current record stands on a draft that thinning dropped: no snapshot takes them."""
    return _current(corpus, grade).filter(current__draft__dropped__gt="").count()


def _current(corpus: Corpus, grade: str) -> QuerySet[Record]:
    return Record.objects.filter(corpus=corpus, grade=grade, clip__withdrawn_at=None, current__isnull=False)


def current_lines(corpus: Corpus, grade: str) -> Iterator[CurrentLine]:
    """The current record of every clip that was neither withdrawn nor thinned out, by clip name in code-point order.

    One statement, so one consistent view; read through a server-side cursor.
    """
    rows = (
        _current(corpus, grade)
        .exclude(current__draft__dropped__gt="")
        .order_by("clip__name")  # the column's collation is "C"
        .values_list(
            "current__line", "current_id", "clip__media", "clip__media_path", "clip__media_url", "clip__licence"
        )
    )
    for row in rows.iterator(chunk_size=2000):
        line = CurrentLine(*row)
        yield line._replace(licence="restricted" if "restricted" in (line.licence, corpus.licence) else "open")


def media_line(row: CurrentLine, body: dict[str, Any]) -> dict[str, Any]:
    """`{clip, sha256, path, url}`. Where a restricted clip's media lies is nobody's business outside."""
    path = url = None
    if row.licence == "open":
        if body["media_sha256"] and row.media in ("stored", "reference"):
            path = f"media/{body['media_sha256']}{PurePosixPath(row.media_path).suffix.lower()}"
        url = row.media_url or None
    return {"clip": body["clip"], "sha256": body["media_sha256"], "path": path, "url": url}


def _revisions(ids: Sequence[int]) -> QuerySet[RecordRevision]:
    return (
        RecordRevision.objects.filter(pk__in=ids)
        .select_related("annotation", "review", "record__clip")
        .order_by("record__clip__name")
    )


def provenance_lines(corpus: Corpus, revision_ids: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Per record: its revision, who annotated and reviewed (pseudonymous), and where each sentence came from."""
    for revision in _revisions(revision_ids):
        yield {
            "clip": revision.record.clip.name,
            "grade": revision.record.grade,
            "revision": revision.number,
            "revision_sha256": revision.sha256,
            "source": revision.source,
            "source_detail": revision.source_detail or None,
            "annotator": pseudonym(corpus, revision.annotation.user_id) if revision.annotation else None,
            "reviewer": pseudonym(corpus, revision.review.reviewer_id) if revision.review else None,
            "accepted_at": revision.created_at.isoformat(timespec="seconds"),
            "provenance": revision.provenance,
        }


def annotation_lines(corpus: Corpus, revision_ids: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Per record: every annotator's latest own version, and soft labels (the share who named each label)."""
    clips = list(_revisions(revision_ids).values_list("record__clip_id", "record__clip__name"))
    for start in range(0, len(clips), CLIPS_AT_A_TIME):
        yield from _lines_of_clips(corpus, clips[start : start + CLIPS_AT_A_TIME])


def _lines_of_clips(corpus: Corpus, clips: Sequence[tuple[int, str]]) -> Iterator[dict[str, Any]]:
    annotations: dict[int, list[Annotation]] = {}
    latest = (
        # Not what was said of a gold clip: it may answer an error that was planted.
        Annotation.objects.filter(clip_id__in=[pk for pk, _name in clips], claim__slot__kind="annotate")
        .order_by("claim_id", "-revision")
        .distinct("claim_id")
        .select_related("claim__slot")
        .prefetch_related("checks")
    )
    for annotation in sorted(latest, key=lambda a: a.pk):
        annotations.setdefault(annotation.clip_id, []).append(annotation)
    for pk, name in clips:
        own = annotations.get(pk, [])
        yield {
            "clip": name,
            "annotations": [_annotation(corpus, annotation) for annotation in own],
            "soft_labels": {
                "zh": _shares([a.ov_zh for a in own]),
                "en": _shares([a.ov_en for a in own]),
                "label": _shares([[a.label] for a in own if a.label]),
            },
        }


def _shares(lists: Sequence[Sequence[str]]) -> dict[str, float]:
    counts = Counter(label for labels in lists for label in set(labels))
    return {label: round(count / len(lists), 3) for label, count in sorted(counts.items())}


def _span(check: Check) -> list[float] | None:
    if check.span_start is None or check.span_end is None:
        return None
    return [round(check.span_start, 3), round(check.span_end, 3)]


def _annotation(corpus: Corpus, annotation: Annotation) -> dict[str, Any]:
    return {
        "annotator": pseudonym(corpus, annotation.user_id),
        "revision": annotation.revision,
        "clues": [
            {
                "modality": check.modality,
                "aspect": check.aspect,
                "language": check.language,
                "text": check.text,
                "span": _span(check),
                "verdict": check.verdict,
                "reason": check.reason or None,
                "active_s": check.active_seconds,
                "played": check.played,
            }
            for check in annotation.checks.all()
        ],
        "description": {"zh": annotation.description_zh or None, "en": annotation.description_en or None},
        "ov_labels": {"zh": annotation.ov_zh, "en": annotation.ov_en},
        "label": annotation.label or None,
        "ov_scores": annotation.ov_scores or None,
        "display": annotation.display,
        "conflict": annotation.conflict,
        "translation": annotation.translation or None,
        "arm": annotation.claim.arm,
        "mode": annotation.claim.slot.mode or None,
        "work": _work(annotation),
    }


def _work(annotation: Annotation) -> dict[str, Any] | None:
    """How it was made: active seconds, the share of the clip played, neighbouring clips seen; null: not told."""
    context = annotation.work.get("context") or None
    if annotation.active_seconds is None and annotation.played_share is None and context is None:
        return None
    return {"active_s": annotation.active_seconds, "played_share": annotation.played_share, "context": context}


def visible_to(user: Any) -> QuerySet[Snapshot]:
    """Snapshots of corpora on which `user` may read snapshots."""
    snapshots = Snapshot.objects.select_related("corpus", "created_by")
    return snapshots.filter(corpus__in=corpora_where(user, "snapshot.view"))


def withdrawn_clips(snapshot: Snapshot) -> list[str]:
    """Names of clips in the snapshot that were withdrawn since."""
    return list(
        SnapshotEntry.objects.filter(snapshot=snapshot, revision__record__clip__withdrawn_at__isnull=False)
        .order_by("clip_name")
        .values_list("clip_name", flat=True)
    )


def lines_of(snapshot: Snapshot) -> Iterator[tuple[str, dict[str, Any]]]:
    """(line, body) of every record that was not withdrawn, in the snapshot's order."""
    rows = (
        SnapshotEntry.objects.filter(snapshot=snapshot, revision__record__clip__withdrawn_at=None)
        .order_by("clip_name")
        .values_list("revision__line", flat=True)
    )
    for line in rows.iterator(chunk_size=2000):
        yield line, json.loads(line)


def difference(a: Snapshot, b: Snapshot) -> dict[str, Any]:
    """What `b` has that `a` had not, by joining the hashes of their revisions."""
    ours = dict(SnapshotEntry.objects.filter(snapshot=a).values_list("clip_name", F("revision__sha256")))
    theirs = dict(SnapshotEntry.objects.filter(snapshot=b).values_list("clip_name", F("revision__sha256")))
    return {
        "from": a.pk,
        "to": b.pk,
        "added": sorted(theirs.keys() - ours.keys()),
        "removed": sorted(ours.keys() - theirs.keys()),
        "changed": sorted(name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name]),
        "unchanged": sum(ours[name] == theirs[name] for name in ours.keys() & theirs.keys()),
    }


def find_snapshot(user: Any, reference: str) -> Snapshot | None:
    """By id, `corpus/name`, or at least 12 hex digits of the digest. `user` None: the command line sees all."""
    snapshots = Snapshot.objects.select_related("corpus") if user is None else visible_to(user)
    if "/" in reference:
        corpus, _slash, name = reference.partition("/")
        return snapshots.filter(corpus__slug=corpus, name=name).first()
    if len(reference) >= 12 and all(c in "0123456789abcdef" for c in reference):
        found = snapshots.filter(digest__startswith=reference).first()
        if found:
            return found
    return snapshots.filter(pk=int(reference)).first() if reference.isdigit() and len(reference) < 18 else None
