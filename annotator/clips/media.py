"""A clip's files: local paths for steps, signed URLs for players.

A URL is signed for one user, and for an annotator for one claim: it lives as long as the lease, however often that is
renewed, and stays the same meanwhile, so that what was fetched ahead is used. The signature alone opens nothing:
whoever asks must be signed in as that user, and still be allowed to see the clip. It carries the mode of the work
(sound alone, muted picture, text alone), and opens nothing of the rest.
"""

import tempfile
from collections.abc import Callable, Collection
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from django.core import signing
from django.db import connection
from django.urls import get_script_prefix, reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from annotator.core.errors import Forbidden, Gone, NotFound
from models_ml.face import peak, read_openface

from . import storage
from .access import may
from .models import AuTrack, Clip, DerivedMedia

# kind in a URL -> kind of the derived file
KINDS = {
    "video": "proxy",
    "muted": "muted",
    "audio": "audio",
    "poster": "poster",
    "peaks": "peaks",
    "wav": "wav",
}
CONTENT_TYPES = {
    "video": "video/mp4",
    "muted": "video/mp4",
    "audio": "audio/mp4",
    "poster": "image/jpeg",
    "peaks": "application/json",
    "wav": "audio/wav",
}
# What each mode of work may fetch: everything, the muted picture, the sound alone, nothing (the text alone).
ALLOWED = {
    "": (*KINDS, "tracks"),
    "visual": ("muted", "poster", "tracks"),
    "audio": ("audio", "peaks", "tracks"),
    "text": (),
}
SHOWN = ("video", "audio", "poster", "peaks", "tracks")
SALT = "annotator.clips.media"

# (claim id, user id) -> whether that person's claim is still live. The room of claims appends its check.
lease_checks: list[Callable[[int, int], bool]] = []


def signed_urls(
    clip: Clip,
    user: Any,
    *,
    claim_id: int | None = None,
    expires: datetime,
    mode: str = "",
    made: Collection[str] | None = None,
) -> dict[str, str | None]:
    """`{"video", "audio", "poster", "peaks", "tracks", "expires"}`: paths on this host that `user` may fetch until
    `expires` (with a claim: as long as it is live); None for what the clip lacks or `mode` does not show. In the mode
    "visual" the video is the muted file. Where there are many clips, take them from `queries.clips`, prefetch
    `derivatives`, or say what was `made`.

    A withdrawn clip has none.
    """
    if made is None:
        made = getattr(clip, "made", None)
    if made is None:
        made = {row.kind for row in clip.derivatives.all()}
    made = () if clip.withdrawn_at else made
    value = {"c": clip.pk, "u": user.pk, "k": claim_id, "m": mode}
    if claim_id is None:
        value["x"] = int(expires.timestamp())
    token = signing.Signer(salt=SALT).sign_object(value)
    beginning = f"{_root(get_script_prefix())}{token}/"
    urls: dict[str, str | None] = {}
    for key in SHOWN:
        kind = "muted" if key == "video" and mode == "visual" else key
        there = clip.withdrawn_at is None if kind == "tracks" else KINDS[kind] in made
        urls[key] = beginning + kind if there and kind in ALLOWED[mode] else None
    return {**urls, "expires": expires.isoformat()}


@cache
def _root(prefix: str) -> str:
    """Where media are, on a host that serves the workbench below `prefix`."""
    return reverse("clips:media", args=["token", "video"]).removesuffix("token/video")


def open_signed(token: str, kind: str, user: Any) -> tuple[Clip, DerivedMedia | None, str]:
    """The clip, derived file and mode that a signed URL stands for, if `user` may have them now; the file is None for
    `tracks`, which are put together.

    Raises NotFound (no such URL or file), Forbidden (expired, somebody else's, not of this mode, right or lease gone),
    Gone.
    """
    try:
        value = signing.Signer(salt=SALT).unsign_object(token)
    except (signing.BadSignature, ValueError) as error:
        raise NotFound(_("There is no such object, or you may not see it.")) from error
    if value["u"] != user.pk:
        raise Forbidden(_("This address was made for somebody else."))
    claim_id, mode = value["k"], value["m"]
    if claim_id is None and value["x"] < timezone.now().timestamp():
        raise Forbidden(_("This address has expired; load the page again."), code="expired")
    clip = Clip.objects.select_related("corpus", "au_track").filter(pk=value["c"]).first()
    if clip is None or kind not in ALLOWED[""]:
        raise NotFound(_("There is no such object, or you may not see it."))
    if kind not in ALLOWED[mode]:
        raise Forbidden(_("This work is done without that: only what its mode shows is given out."), code="other-mode")
    # A lease outlives the role that it was given by; the right to look does not.
    works = may(user, clip.corpus, "claim.annotate") or may(user, clip.corpus, "claim.review")
    live = claim_id is not None and works and any(check(claim_id, user.pk) for check in lease_checks)
    if not live and not may(user, clip.corpus, "clip.view"):
        lost = claim_id is None  # by a role; there never was a claim
        gone = _("There is no such object, or you may not see it.") if lost else _("Your claim on this clip has ended.")
        raise Forbidden(gone)
    if clip.withdrawn_at:
        raise Gone(_("This clip was withdrawn."))
    if kind == "tracks":
        return clip, None, mode
    made = clip.derivatives.filter(kind=KINDS[kind]).first()
    if made is None:
        raise NotFound(_("This clip has no such media."))
    return clip, made, mode


def original_path(clip: Clip) -> Path:
    """A local file with the clip's original bytes.

    A file by reference is opened below MEDIA_IMPORT_ROOTS only, wherever its links lead. Raises Gone for a
    withdrawn clip, FileNotFoundError when there is no file (none known, moved, not allowed).
    """
    _refuse_withdrawn(clip)
    path: Path | None = None
    if clip.media == "stored":
        path = storage.local_path(clip.media_path)
    elif clip.media == "reference":
        path = storage.referenced_path(clip.media_path)
    if path is None:
        raise FileNotFoundError(2, "the clip's media is not there, or not below MEDIA_IMPORT_ROOTS", clip.name)
    return path


def derived_path(clip: Clip, kind: str) -> Path | None:
    """A local file of a derived kind (proxy, muted, audio, wav, poster, peaks); None where the clip has none.

    Raises Gone for a withdrawn clip, FileNotFoundError when the file was lost.
    """
    _refuse_withdrawn(clip)
    made = clip.derivatives.filter(kind=kind).first()
    return None if made is None else local_file(made)


def wav_path(clip: Clip) -> Path | None:
    """The clip's 16 kHz mono audio; None for a clip without audio. Raises as `derived_path`."""
    return derived_path(clip, "wav")


def au_path(clip: Clip) -> Path | None:
    """The clip's OpenFace CSV; None where it has none. Raises as `derived_path`."""
    _refuse_withdrawn(clip)
    track = getattr(clip, "au_track", None)
    if track is None:
        return None
    path = storage.local_path(track.path)
    if path is None:
        raise FileNotFoundError(2, "the clip's action-unit track is not there", track.path)
    return path


def store_au_track(clip: Clip, csv: str, producer: str) -> AuTrack:
    """Keep a produced OpenFace CSV as the clip's AU track, with the peak frame of its main face; call it in a
    transaction, with the clip locked.

    A track that the clip has already stays, whoever made it: the row of that one is returned. Raises AuTrackError for
    a text that is no such CSV, OSError.
    """
    if (old := AuTrack.objects.filter(clip=clip).first()) is not None:
        return old
    with connection.cursor() as cursor:  # purging withdrawn media must not see the file without its row
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [storage.MEDIA_LOCK])
    with tempfile.TemporaryDirectory(prefix="au-", dir=storage.scratch_root()) as folder:
        path = Path(folder) / f"{clip.pk}.csv"
        path.write_text(csv, encoding="utf-8")
        track = read_openface(path)
        stored = storage.put_au(path)
    found = peak(track) if track.valid().any() else {}
    return AuTrack.objects.create(clip=clip, path=stored.path, sha256=stored.sha256, producer=producer[:80], peak=found)


def open_derived(clip: Clip, kind: str) -> Any:
    """A derived file, opened for reading. Raises FileNotFoundError where the clip has none, Gone."""
    path = derived_path(clip, kind)
    if path is None:
        raise FileNotFoundError(2, f"the clip has no {kind}", clip.name)
    return path.open("rb")


def local_file(made: DerivedMedia) -> Path:
    """The local file of a derived row. Raises FileNotFoundError."""
    path = storage.local_path(made.path)
    if path is None:
        raise FileNotFoundError(2, f"the derived file ({made.kind}) is not there; ingest the clip again", made.path)
    return path


def _refuse_withdrawn(clip: Clip) -> None:
    if clip.withdrawn_at:
        raise Gone(_("This clip was withdrawn."))
