"""Files that people add in the browser: staged in storage, then ingested by a worker exactly once each.

The row of a file is the truth about it; a message only says that there is something to do. A worker holds the
row's lock while it works, so a killed worker lets go of it by dying, and the sweeper sends the file again.
"""

import contextlib
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import UploadedFile as Incoming
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from annotator.core import audit
from annotator.core.errors import Conflict, Invalid, WorkbenchError
from models_ml.media import MediaError

from . import examine, ingest, storage
from .access import require
from .models import Corpus, Upload, UploadedFile
from .names import clean_name, shown, storable
from .reports import Report
from .store import Item, Outcome, store
from .tables import SUBTITLE_COLUMNS, present, read_by_name

MAX_TABLE_BYTES = 16 * 2**20
MAX_AU_FILES = 2000
MAX_ATTEMPTS = 3  # a file that ends its worker this often is given up
LOST_AFTER = timedelta(minutes=2)  # a queued file whose message did not arrive by then is sent again
KEEP_FAILED = timedelta(days=7)  # staged bytes of a failed file, for a retry
FINISHED = ("created", "updated", "unchanged", "duplicate", "failed")
logger = structlog.get_logger(__name__)


def create_upload(
    user: Any, corpus: Corpus, *, subtitles: Incoming | None = None, au: Iterable[Incoming] = ()
) -> Upload:
    """Begin an upload: subtitles CSV (`name`, `chinese` and/or `english`) and OpenFace CSVs `<clip>.csv` go
    first, so that each clip finds its own. Bad rows are in `report`; raises Forbidden, Invalid.
    """
    require(user, corpus, "clip.ingest")
    report = Report()
    words: dict[str, dict[str, str]] = {}
    if subtitles is not None:
        _check_size(subtitles, MAX_TABLE_BYTES)
        with tempfile.TemporaryDirectory(prefix="table-", dir=storage.scratch_root()) as folder:
            words = read_by_name(_spool(subtitles, Path(folder) / "subtitles.csv"), SUBTITLE_COLUMNS, report)
    tracks: dict[str, str] = {}
    for index, file in enumerate(au):
        if index >= MAX_AU_FILES:
            raise Invalid(_("At most %(n)d AU tracks in one upload.") % {"n": MAX_AU_FILES})
        try:
            _check_size(file, MAX_TABLE_BYTES)
            tracks[clean_name(_stem(file))] = _stage(file)
        except Invalid as error:
            report.fail(error.message, name=file.name)
    with transaction.atomic():
        upload = Upload.objects.create(
            corpus=corpus, user=user, report=report.as_dict(), tables={"subtitles": words, "au": tracks}
        )
        audit.record(user, "upload.create", corpus=corpus.slug, target=f"upload {upload.pk}")
    return upload


def add_file(user: Any, upload: Upload, file: Incoming) -> UploadedFile:
    """Stage one media file and queue it; a file that cannot become a clip is kept as `failed` with its reason.

    Raises Forbidden, Conflict when the upload has a file of that name.
    """
    require(user, upload.corpus, "clip.ingest")
    name = shown(Path(file.name or "").name)[:300]
    reason = ""
    staged = ""
    try:
        if Path(name).suffix.lower() not in storage.MEDIA_SUFFIXES:
            raise Invalid(_("not a media file: %(kinds)s are taken") % {"kinds": " ".join(storage.MEDIA_SUFFIXES)})
        clean_name(_stem(file))
        _check_size(file, settings.UPLOAD_MAX_BYTES)
        staged = _stage(file)
    except Invalid as error:
        reason = error.message
    except OSError as error:  # no space left
        reason = error.strerror or str(error)
    try:
        with transaction.atomic():
            row = UploadedFile.objects.create(
                upload=upload,
                name=name,
                staged=staged,
                bytes=file.size or 0,
                state="failed" if reason else "queued",
                reason=reason,
            )
            if staged:
                _send([row.pk])
    except IntegrityError as error:
        if staged:
            default_storage.delete(staged)
        raise Conflict(_("This upload has a file “%(name)s” already.") % {"name": name}) from error
    return row


def add_files(user: Any, upload: Upload, files: Iterable[Incoming]) -> None:
    """Stage all the files of one form; one whose name another has is named in the upload's report, the rest goes on.

    Raises Forbidden.
    """
    report = Report(failed=list(upload.report.get("failed", [])))
    for file in files:
        try:
            add_file(user, upload, file)
        except Conflict as error:
            report.fail(error.message, name=Path(file.name or "").name)
    if report.failed != upload.report.get("failed"):
        upload.report = {**upload.report, "failed": report.failed}
        upload.save(update_fields=["report"])


def retry_file(user: Any, row: UploadedFile) -> UploadedFile:
    """Queue a failed file once more. Raises Forbidden, Conflict when it did not fail or its bytes are gone."""
    require(user, row.upload.corpus, "clip.ingest")
    with transaction.atomic():
        locked = UploadedFile.objects.select_for_update().get(pk=row.pk)
        if locked.state != "failed":
            raise Conflict(_("Only a failed file can be tried again."))
        if not locked.staged or not storage.exists(locked.staged):
            raise Conflict(_("The bytes of this file are not kept; upload it again."))
        locked.state, locked.reason, locked.attempts = "queued", "", 0
        locked.save(update_fields=["state", "reason", "attempts"])
        audit.record(
            user, "upload.retry", corpus=row.upload.corpus.slug, target=f"upload {row.upload_id}", file=row.name
        )
        _send([locked.pk])
    return locked


def ingest_file(file_id: int) -> str | None:
    """Do the work of one staged file; its new state, or None when somebody else has it or it is done.

    Safe to repeat and to kill: the lock on the row is held while the work is done, the clip and the row's new
    state are committed together.
    """
    with transaction.atomic():
        waiting = UploadedFile.objects.select_for_update(skip_locked=True).filter(state__in=("queued", "running"))
        row = waiting.filter(pk=file_id).first()
        if row is None:
            return None
        row.state, row.started_at, row.attempts = "running", timezone.now(), row.attempts + 1
        row.save(update_fields=["state", "started_at", "attempts"])
    staged = ""
    with transaction.atomic():
        row = (
            UploadedFile.objects.select_for_update(skip_locked=True, of=("self",))
            .select_related("upload__corpus", "upload__user")
            .filter(pk=file_id, state="running")
            .first()
        )
        if row is None:
            return None
        report = Report()
        if row.attempts > MAX_ATTEMPTS:
            outcome = Outcome("failed", reason=_("its worker was stopped %(n)d times") % {"n": MAX_ATTEMPTS})
        else:
            outcome = _outcome(row, report)
        row.state, row.clip_id, row.warnings = outcome.state, outcome.clip_id, report.warnings
        row.reason = shown(outcome.of or outcome.reason)
        if outcome.state != "failed":
            staged, row.staged = row.staged, ""
        row.save(update_fields=["state", "clip", "warnings", "reason", "staged"])
    if staged:
        default_storage.delete(staged)
    return outcome.state


def ingest_now(user: Any, corpus: Corpus, fields: dict[str, Any], report: Report) -> Outcome:
    """One clip by REST, done before the answer: `fields` hold `media` (a file), and may hold `name`,
    `subtitle_zh`, `subtitle_en`, `source`, `speaker`, `label`, `licence`, `au` (a file).

    Raises Forbidden, Invalid naming the field.
    """
    require(user, corpus, "clip.ingest")
    file = fields["media"]
    item = Item(name="", from_file=True, **{k: fields.get(k, "") for k in ("source", "speaker", "label", "licence")})
    with _field("name"):
        item.name = clean_name(fields.get("name") or _stem(file))
    for field in ("subtitle_zh", "subtitle_en", "source", "speaker", "label"):
        if not storable(fields.get(field, "")):
            raise Invalid(_("Text must not have a NUL character."), errors={field: [_("has a NUL character")]})
    texts = {language: fields.get(f"subtitle_{language}", "") for language in ("zh", "en")}
    item.subtitles = {language: text for language, text in texts.items() if present(text)}
    with tempfile.TemporaryDirectory(prefix="upload-", dir=storage.scratch_root()) as name:
        folder = Path(name)
        with _field("media", file.name or ""):
            _check_size(file, settings.UPLOAD_MAX_BYTES)
            prepare(corpus, item, _local(file, folder), suffix=Path(file.name or "").suffix)
        for remark in ingest.remarks(item):
            report.warn(item.name, remark)
        if (track := fields.get("au")) is not None:
            with _field("au"):
                _check_size(track, MAX_TABLE_BYTES)
                ingest.add_au(item, _spool(track, folder / "au.csv"), report)
        outcome = store(corpus, [item], report, actor=user)[item.name]
    if outcome.state == "failed":
        raise Invalid(outcome.reason, errors={"name": [outcome.reason]})
    return outcome


@contextlib.contextmanager
def _field(name: str, file: str = "") -> Iterator[None]:
    """What goes wrong inside is the fault of this field."""
    try:
        yield
    except (Invalid, MediaError) as error:
        text = as_named(error, file) if isinstance(error, MediaError) else error.message
        raise Invalid(text, errors={name: [text]}) from error


def sweep() -> dict[str, int]:
    """Send what nobody works on: files whose worker died, files whose message was lost; clear old leftovers."""
    now = timezone.now()
    with transaction.atomic():
        # `running` and not locked: its worker is gone. `queued` for long: its message is gone.
        lost = Q(state="queued") & (Q(dispatched_at=None) | Q(dispatched_at__lt=now - LOST_AFTER))
        dead = Q(state="running", started_at__lt=now - timedelta(seconds=5))
        dead &= Q(dispatched_at=None) | Q(dispatched_at__lt=F("started_at")) | Q(dispatched_at__lt=now - LOST_AFTER)
        rows = UploadedFile.objects.select_for_update(skip_locked=True).filter(lost | dead)
        ids = list(rows.values_list("pk", flat=True)[:500])
        if ids:
            _send(ids)
    return {"sent": len(ids), "cleared": _clear_failed() + _clear_scratch()}


def _outcome(row: UploadedFile, report: Report) -> Outcome:
    """Examine and store the file of a locked row; every failure that is the file's own is an outcome."""
    corpus, tables = row.upload.corpus, row.upload.tables
    try:
        item = Item(name=clean_name(Path(row.name).stem), from_file=True)
        item.subtitles = tables.get("subtitles", {}).get(item.name, {})
        with tempfile.TemporaryDirectory(prefix="upload-", dir=storage.scratch_root()) as folder:
            path = _as_file(row.staged, Path(folder))
            prepare(corpus, item, path, suffix=Path(row.name).suffix)
            if track := tables.get("au", {}).get(item.name):
                ingest.add_au(item, _as_file(track, Path(folder), f"{item.name}.csv"), report)
            for remark in ingest.remarks(item):
                report.warn(item.name, remark)
            if tables.get("subtitles") and not item.subtitles:
                report.warn(item.name, _("no subtitle row"))
            return store(corpus, [item], report, actor=row.upload.user)[item.name]
    except MediaError as error:
        return Outcome("failed", reason=as_named(error, row.name))
    except WorkbenchError as error:
        return Outcome("failed", reason=error.message)
    except OSError as error:
        logger.warning("upload failed", file=row.pk, error=str(error))
        return Outcome("failed", reason=str(error.strerror or error))


def as_named(error: MediaError, name: str) -> str:
    """The error's words with the name that the person gave the file, not that of its staged copy."""
    return shown(MediaError(error.code, name, error.detail))


def prepare(corpus: Corpus, item: Item, path: Path, *, suffix: str) -> Item:
    """Fill `item` from its file unless the corpus has that media, or other media of that name, already.

    Raises MediaError, OSError.
    """
    item.sha256 = examine.fingerprint(path)
    if not ingest.settled(corpus, item):
        ingest.fill(item, path, "copy", ingest.known_derivatives([item.sha256]), suffix)
    return item


def _send(ids: list[int]) -> None:
    """Tell a worker on commit; a broker that does not answer is no loss, the sweeper sends again."""
    from .tasks import ingest_upload

    now = timezone.now()
    UploadedFile.objects.filter(pk__in=ids).update(dispatched_at=now)

    def deliver() -> None:
        for pk in ids:
            try:
                ingest_upload.apply_async((pk,), queue="uploads", retry=False)
            except (ingest_upload.OperationalError, OSError) as error:
                UploadedFile.objects.filter(pk__in=ids).update(dispatched_at=None)
                logger.warning("the broker does not answer; the sweeper sends the files later", error=str(error))
                return

    transaction.on_commit(deliver)


def _stem(file: Incoming) -> str:
    return Path(file.name or "").stem


def _check_size(file: Incoming, limit: int) -> None:
    if not file.size:
        raise Invalid(_("the file is empty (0 bytes)"))
    if file.size > limit:
        text = _("the file has %(mb)d MB, at most %(max)d are taken")
        raise Invalid(text % {"mb": file.size // 10**6, "max": limit // 10**6})


def _stage(file: Incoming) -> str:
    return default_storage.save(f"uploads/{timezone.now():%Y%m%d}/{uuid.uuid4().hex}", file)


def _spool(file: Incoming, target: Path) -> Path:
    with target.open("xb") as out:
        for chunk in file.chunks():
            out.write(chunk)
    return target


def _local(file: Incoming, folder: Path) -> Path:
    """The upload's own temporary file where it has one, so that a large clip is not copied once more."""
    if hasattr(file, "temporary_file_path"):
        return Path(file.temporary_file_path())
    return _spool(file, folder / uuid.uuid4().hex)


def _as_file(staged: str, folder: Path, name: str = "") -> Path:
    """A local file of a staged one; where storage is remote, or the file needs its own name, a copy."""
    try:
        path = Path(default_storage.path(staged))
        if not name:
            return path
    except NotImplementedError:
        name = name or uuid.uuid4().hex
    target = folder / name
    with default_storage.open(staged, "rb") as read, target.open("xb") as write:
        shutil.copyfileobj(read, write)
    return target


def _clear_failed() -> int:
    old = timezone.now() - KEEP_FAILED
    rows = UploadedFile.objects.filter(state="failed", upload__created_at__lt=old).exclude(staged="")[:200]
    for row in rows:
        default_storage.delete(row.staged)
        UploadedFile.objects.filter(pk=row.pk).update(staged="")
    return len(rows)


def _clear_scratch() -> int:
    """Folders that a killed process left; nothing lives in there for a day."""
    old = [p for p in storage.scratch_root().iterdir() if time.time() - p.lstat().st_mtime > 24 * 3600]
    for path in old:
        shutil.rmtree(path, ignore_errors=True)
    return len(old)
