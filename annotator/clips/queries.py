"""Reads about corpora, clips and uploads."""

import unicodedata
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Count, Exists, IntegerField, OuterRef, Prefetch, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, JSONObject
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from . import hooks
from .models import (
    AuTrack,
    Clip,
    Corpus,
    DerivedMedia,
    Flag,
    Membership,
    SeenPerson,
    Subtitle,
    TargetPerson,
    Upload,
    UploadedFile,
)

FILTERS = {
    "": _("all clips"),
    "no-media": _("without media"),
    "no-audio": _("without audio"),
    "no-subtitle": _("without subtitle"),
    "au": _("with AU track"),
    "people": _("several people, nobody chosen"),
    "flagged": _("flagged"),
    "withdrawn": _("withdrawn"),
}


def corpora(user: Any) -> QuerySet[Corpus, Any]:
    """Corpora that `user` may see, each with `n_clips` and the user's own memberships in `mine`."""
    clips = Clip.objects.present().filter(corpus=OuterRef("pk")).order_by().values("corpus")
    counted = clips.annotate(n=Count("pk")).values("n")
    mine = Membership.objects.filter(user_id=user.pk or 0)
    seen: QuerySet[Corpus, Any] = Corpus.objects.visible_to(user)
    return seen.annotate(n_clips=Coalesce(Subquery(counted, output_field=IntegerField()), 0)).prefetch_related(
        Prefetch("memberships", queryset=mine, to_attr="mine")
    )


def clips(corpus: Corpus, *, search: str = "", which: str = "") -> QuerySet[Clip]:
    """Clips of a corpus whose name contains `search`, narrowed by a key of FILTERS; withdrawn ones only by
    their own filter. With everything that a list shows."""
    found = corpus.clips.filter(withdrawn_at__isnull=which != "withdrawn")
    if search:
        found = found.filter(name__icontains=search)
    subtitle = Exists(Subtitle.objects.filter(clip=OuterRef("pk")))
    narrowed = {
        "no-media": Q(derived__in=["none", "failed"]),
        "no-audio": Q(has_audio=False),
        "no-subtitle": ~subtitle,
        "au": Exists(AuTrack.objects.filter(clip=OuterRef("pk"))),
        "people": Exists(SeenPerson.objects.filter(clip=OuterRef("pk"), number__gt=1))
        & Exists(Corpus.objects.filter(pk=corpus.pk, person_rule="none"))
        & ~Exists(TargetPerson.objects.filter(clip=OuterRef("pk"), rule="")),
        "flagged": Exists(Flag.objects.filter(clip=OuterRef("pk"), resolved_at=None)),
    }
    if which in narrowed:
        found = found.filter(narrowed[which])
    # The corpus is known to each clip of `corpus.clips` already. Texts and files come in the same query: to fetch them
    # beside it makes a query set for every clip, which took a quarter of a page's time.
    said = Subtitle.objects.filter(clip=OuterRef("pk")).values(row=JSONObject(language="language", text="text"))
    files = DerivedMedia.objects.filter(clip=OuterRef("pk")).values("kind")
    return found.select_related("au_track").annotate(spoken=ArraySubquery(said), made=ArraySubquery(files))


def page_of(found: QuerySet[Clip], *, after: str = "", before: str = "", size: int = 24) -> dict[str, Any]:
    """One page by name: `{"clips", "next", "previous"}`, the latter two are names to go on from or None.

    Keyset paging: as quick on the last page as on the first, and nothing shifts while clips are added.
    """
    if before:
        rows = list(found.filter(name__lt=before).order_by("-name")[: size + 1])
        more, rows = len(rows) > size, rows[:size][::-1]
        earlier, later = more, True
    else:
        start = found.filter(name__gt=after) if after else found
        rows = list(start.order_by("name")[: size + 1])
        more, rows = len(rows) > size, rows[:size]
        earlier, later = bool(after), more
    return {
        "clips": rows,
        "next": rows[-1].name if rows and later else None,
        "previous": rows[0].name if rows and earlier else None,
    }


def texts(clip: Clip) -> dict[str, str | None]:
    """`{"zh", "en"}`; None for a missing subtitle. Where there are many clips, take them from `clips`, or prefetch
    `subtitles`."""
    spoken = getattr(clip, "spoken", None)
    if spoken is None:
        spoken = [{"language": subtitle.language, "text": subtitle.text} for subtitle in clip.subtitles.all()]
    found = {row["language"]: row["text"] for row in spoken}
    return {"zh": found.get("zh"), "en": found.get("en")}


def progress(corpus: Corpus, user: Any) -> dict[str, Any]:
    """Counts of the corpus: clips here, the rest from the rooms above."""
    present = Q(withdrawn_at=None)
    counts = corpus.clips.aggregate(
        total=Count("pk", filter=present),
        ready=Count("pk", filter=present & Q(derived="ready")),
        without_media=Count("pk", filter=present & Q(media="missing")),
        without_audio=Count("pk", filter=present & Q(derived="ready", has_audio=False)),
        withdrawn=Count("pk", filter=~present),
    )
    return {"slug": corpus.slug, "clips": counts, **counted_above([corpus], user)[corpus.pk]}


def counted_above(corpora: Sequence[Corpus], user: Any) -> dict[int, dict[str, Any]]:
    """What the rooms above count on each of the corpora for this person, by corpus id."""
    result: dict[int, dict[str, Any]] = {corpus.pk: {} for corpus in corpora}
    for hook in hooks.progress:
        for key, counts in hook(corpora, user).items():
            result[key] |= counts
    return result


def upload_state(upload: Upload) -> dict[str, Any]:
    """The files of an upload and whether any is still to be worked on."""
    files = list(upload.files.select_related("clip"))
    states = [file.state for file in files]
    names = {unicodedata.normalize("NFC", PurePath(file.name).stem) for file in files}
    return {
        "upload": upload,
        "files": files,
        "total": len(files),
        "finished": sum(state not in ("queued", "running") for state in states),
        "failed": states.count("failed"),
        "open": any(state in ("queued", "running") for state in states),
        "waiting": _waiting(files),
        "unmatched": sorted(set(upload.tables.get("subtitles", {})) - names),
    }


def _waiting(files: list[UploadedFile]) -> bool:
    """Whether files are queued and no worker has taken any for a while."""
    queued = [file for file in files if file.state == "queued"]
    if not queued or any(file.state == "running" for file in files):
        return False
    last = max((file.started_at for file in files if file.started_at), default=files[0].upload.created_at)
    return timezone.now() - last > timedelta(seconds=20)


def page_expiry() -> datetime:
    """When media addresses on a page end: the end of the next hour, the same for a while, so that browsers
    know an address again."""
    now = timezone.now()
    return now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=2)
