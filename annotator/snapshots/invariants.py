"""Frozen is frozen, and no leak: what can be proved of snapshots from their files and rows."""

import hashlib
import json
from collections.abc import Iterator

from annotator.core import invariants
from annotator.core.invariants import Finding

from . import layout, services
from .models import Snapshot, SnapshotEntry


def register() -> None:
    invariants.register("frozen", "a snapshot's files have the bytes that were frozen", changed_files)
    invariants.register("frozen", "a snapshot's digest follows from its files", wrong_digests)
    invariants.register("no leak", "what was kept together stands in one split", leaks)
    invariants.register_sql(
        "frozen",
        "a snapshot has as many entries as its manifest says",
        f"""SELECT 'snapshot ' || s.id, count(e.id) || ' entries, manifest ' || (s.manifest -> 'counts' ->> 'records')
            FROM {Snapshot._meta.db_table} s LEFT JOIN {SnapshotEntry._meta.db_table} e ON e.snapshot_id = s.id
            GROUP BY s.id HAVING count(e.id) <> (s.manifest -> 'counts' ->> 'records')::int""",  # noqa: S608 - our tables
    )


def _sha256(path: str | bytes) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def changed_files() -> Iterator[Finding]:
    for snapshot in Snapshot.objects.prefetch_related("files").iterator(chunk_size=100):
        folder = services.folder_of(snapshot)
        for file in snapshot.files.all():
            try:
                found = _sha256(str(folder / file.path))
            except OSError as error:
                yield f"snapshot {snapshot.pk}", f"{file.path}: {error.strerror}"
                continue
            if found != file.sha256:
                yield f"snapshot {snapshot.pk}", f"{file.path} has sha256 {found}, frozen was {file.sha256}"


def wrong_digests() -> Iterator[Finding]:
    for snapshot in Snapshot.objects.prefetch_related("files").iterator(chunk_size=100):
        files = [{"path": f.path, "sha256": f.sha256} for f in snapshot.files.all()]
        digest = layout.digest_of(layout.sums(files))
        if digest != snapshot.digest:
            yield f"snapshot {snapshot.pk}", f"digest {snapshot.digest}, its files give {digest}"


def leaks() -> Iterator[Finding]:
    """Reads the frozen lines: a source or speaker that the snapshot was grouped by and that stands in two splits."""
    for snapshot in Snapshot.objects.iterator(chunk_size=100):
        keys = snapshot.manifest["query"]["group_by"]
        side: dict[tuple[str, str], str] = {}
        entries = SnapshotEntry.objects.filter(snapshot=snapshot).exclude(split="")
        for line, split in entries.values_list("revision__line", "split").iterator(chunk_size=2000):
            body = json.loads(line)
            for key in keys:
                if body[key] and side.setdefault((key, body[key]), split) != split:
                    yield f"snapshot {snapshot.pk}", f"{key} “{body[key]}” stands in two splits"
