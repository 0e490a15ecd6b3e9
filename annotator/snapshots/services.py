"""Freezing: staging folder, fsync, rename, then commit. Start-up removes what a crash left between.

The staging folder stands until the commit and names the folder that its content was renamed to, so that
`remove_orphans` removes what a freeze of ours left and never a folder that this database does not know.
"""

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from annotator.clips.models import Corpus
from annotator.core import audit
from annotator.core.errors import Conflict, Invalid, NotFound

from . import layout, queries, splits
from .models import Snapshot, SnapshotEntry, SnapshotFile

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_LOCK = 0x656D6572  # one freeze at a time per database; also held while orphans are removed
_BATCH = 2000
_CONTENT, _TARGET = "content", "target"  # in a staging folder: what becomes the snapshot, and as which path


def snapshot_root() -> Path:
    root = Path(settings.SNAPSHOT_ROOT)
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return root


def folder_of(snapshot: Snapshot) -> Path:
    return snapshot_root() / snapshot.path


def require_files(snapshot: Snapshot) -> None:
    """Raise NotFound, naming the file, when a file of the snapshot is not on the disk."""
    folder = folder_of(snapshot)
    for path in snapshot.files.values_list("path", flat=True):
        if not (folder / path).is_file():
            raise file_lost(path)


def file_lost(path: str) -> NotFound:
    told = _("The file “%s” of this snapshot is lost on the server; restore it from the backup.") % path
    return NotFound(told, code="file-lost")


def parse_group_by(text: str) -> list[str]:
    """`source,speaker`, or `none`. Raises Invalid for another key."""
    keys = [key.strip() for key in text.split(",") if key.strip() and key.strip() != "none"]
    for key in keys:
        if key not in splits.GROUP_KEYS:
            raise Invalid(_("Cannot group by “%s”; choose from source, speaker, none.") % key)
    return keys


def freeze_snapshot(
    user: Any,
    corpus: Corpus,
    name: str,
    *,
    grade: str = "fine",
    sizes: dict[str, float] | None = None,
    group_by: Sequence[str] = splits.GROUP_KEYS,
    seed: int = 0,
) -> Snapshot:
    """Freeze the current records of `grade` as an immutable, content-addressed folder and its rows.

    Takes the freeze lock for its transaction. Raises Invalid (no records, impossible splits, bad name)
    and Conflict (the name is used).
    """
    if not _NAME.fullmatch(name):
        raise Invalid(_("A snapshot's name has at most 80 letters, digits, “.”, “_” and “-”; got “%s”.") % name)
    if grade not in ("coarse", "fine"):
        raise Invalid(_("The grade is “coarse” or “fine”; got “%s”.") % grade)
    if sizes:
        splits.check_sizes(sizes)
    holder = snapshot_root() / f".staging-{uuid.uuid4().hex}"
    staging = holder / _CONTENT
    try:
        with transaction.atomic():
            _take_lock()
            if Snapshot.objects.filter(corpus=corpus, name=name).exists():
                raise Conflict(_("The corpus already has a snapshot named “%s”; frozen is frozen.") % name)
            holder.mkdir(mode=0o700)
            staging.mkdir(mode=0o700)
            entries, files = _write_files(staging, corpus, grade, sizes, group_by, seed)
            sums = layout.sums(files)
            digest = layout.digest_of(sums)
            files.append(layout.write_file(staging, "SHA256SUMS", sums))
            query = {"grade": grade, "split": sizes, "group_by": list(group_by), "seed": seed}
            left_out = queries.left_out(corpus, grade)
            manifest = _manifest(user, corpus, name, grade, query, entries, digest, left_out)
            card = layout.dataset_card(
                manifest, licence=corpus.licence, synthetic=corpus.synthetic, title=f"{corpus.name}: {name}"
            )
            files.append(layout.write_file(staging, "README.md", card))
            manifest["files"] = sorted(files, key=lambda f: f["path"])
            data = json.dumps(manifest, ensure_ascii=False, indent=1, sort_keys=True).encode() + b"\n"
            written = layout.write_file(staging, "manifest.json", data)
            path = f"{corpus.slug}/{name}-{digest[:12]}"
            final = snapshot_root() / path
            final.parent.mkdir(mode=0o700, exist_ok=True)
            if final.exists():  # an orphan of a crashed freeze: its rows never came to be
                shutil.rmtree(final)
            _seal(staging)
            layout.write_file(holder, _TARGET, path.encode())
            layout.fsync_folder(holder)
            os.rename(staging, final)
            layout.fsync_folder(final.parent)
            snapshot = Snapshot.objects.create(
                corpus=corpus,
                name=name,
                grade=grade,
                digest=digest,
                manifest=manifest,
                manifest_sha256=hashlib.sha256(data).hexdigest(),
                path=path,
                created_by=user,
                created_at=manifest["created_at"],
            )
            SnapshotEntry.objects.bulk_create(
                [
                    SnapshotEntry(snapshot=snapshot, revision_id=revision, clip_name=clip, split=split)
                    for clip, revision, split in entries
                ],
                batch_size=_BATCH,
            )
            SnapshotFile.objects.bulk_create(
                [
                    SnapshotFile(snapshot=snapshot, path=f["path"], sha256=f["sha256"], bytes=f["bytes"])
                    for f in [*files, written]
                ]
            )
            audit.record(user, "snapshot.freeze", corpus=corpus.slug, target=name, digest=digest, **query)
    except BaseException:
        # Once renamed, both stay: whether the commit arrived is for remove_orphans to find out.
        if staging.exists():
            shutil.rmtree(holder, ignore_errors=True)
        raise
    shutil.rmtree(holder, ignore_errors=True)
    return snapshot


def _take_lock() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def _write_files(
    staging: Path,
    corpus: Corpus,
    grade: str,
    sizes: dict[str, float] | None,
    group_by: Sequence[str],
    seed: int,
) -> tuple[list[tuple[str, int, str]], list[dict[str, Any]]]:
    """Stream the current records to disk; returns [(clip, revision id, split)] and the files written."""
    records = layout.HashedFile(staging, "records.jsonl")
    media = layout.HashedFile(staging, "media.jsonl")
    revisions: list[tuple[str, int]] = []
    items: list[splits.Item] = []
    for row in queries.current_lines(corpus, grade):
        records.write(row.line.encode() + b"\n")
        body = json.loads(row.line)
        groups = {key: body[key] or "" for key in splits.GROUP_KEYS}
        items.append(splits.Item(body["clip"], body["label"] or "", groups))
        revisions.append((body["clip"], row.revision_id))
        media.write(layout.json_line(queries.media_line(row, body)))
    files = [records.close(), media.close()]
    if not revisions:
        raise Invalid(
            _("The corpus “%(slug)s” has no records of grade “%(grade)s” to freeze.")
            % {"slug": corpus.slug, "grade": grade}
        )
    assigned = (
        splits.assign(items, sizes, group_by=group_by, seed=seed) if sizes else {"all": [item.name for item in items]}
    )
    split_of: dict[str, str] = {}
    for split, names in assigned.items():
        files.append(layout.write_file(staging, f"splits/{split}.txt", "".join(f"{n}\n" for n in names).encode()))
        split_of.update(dict.fromkeys(names, split))
    entries = [(clip, revision, split_of.get(clip, "")) for clip, revision in revisions]
    for name, lines in (
        ("provenance.jsonl", queries.provenance_lines),
        ("annotations.jsonl", queries.annotation_lines),
    ):
        file = layout.HashedFile(staging, name)
        for start in range(0, len(revisions), _BATCH):
            for line in lines(corpus, [r for _clip, r in revisions[start : start + _BATCH]]):
                file.write(layout.json_line(line))
        files.append(file.close())
    return entries, files


def _manifest(
    user: Any,
    corpus: Corpus,
    name: str,
    grade: str,
    query: dict[str, Any],
    entries: list[tuple[str, int, str]],
    digest: str,
    left_out: int,
) -> dict[str, Any]:
    in_split: dict[str, int] = dict.fromkeys(query["split"] or {"all": 1}, 0)
    for _clip, _revision, split in entries:
        if split:
            in_split[split] += 1
    return {
        "schema": layout.SCHEMA,
        "name": name,
        "corpus": corpus.slug,
        "grade": grade,
        "created_at": timezone.now().isoformat(timespec="seconds"),
        "created_by": getattr(user, "username", None),
        "query": query,
        "counts": {
            "records": len(entries),
            "in_no_split": len(entries) - sum(in_split.values()),
            "left_out": left_out,  # thinned out of their run
        },
        "splits": in_split,
        "digest": digest,
        "synthetic": corpus.synthetic,
    }


def _seal(folder: Path) -> None:
    """Read-only files; every folder flushed to the disk."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            layout.fsync_folder(path)
        else:
            path.chmod(0o400)
    layout.fsync_folder(folder)


def remove_orphans() -> list[str]:
    """Remove staging folders, and the snapshot folder that each names unless its row came to be. Start-up calls it."""
    removed = []
    with transaction.atomic():
        _take_lock()  # no freeze is under way while we look
        root = snapshot_root()
        for holder in sorted(root.glob(".staging-*")):
            target = holder / _TARGET
            path = target.read_text() if target.is_file() else ""
            if path and (root / path).is_dir() and not Snapshot.objects.filter(path=path).exists():
                shutil.rmtree(root / path)
                removed.append(path)
            shutil.rmtree(holder, ignore_errors=True)  # a freeze that just committed removes its own
            removed.append(holder.name)
    return removed
