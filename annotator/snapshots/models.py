"""Snapshots: immutable, content-addressed sets of records with splits."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from annotator.checking.models import RecordRevision
from annotator.clips.models import Corpus


class Snapshot(models.Model):
    """A frozen set of records. Rows are refused UPDATE, DELETE and TRUNCATE by trigger."""

    export_class = "public"

    corpus = models.ForeignKey(Corpus, on_delete=models.PROTECT, related_name="snapshots")
    name = models.CharField(max_length=80)
    grade = models.CharField(max_length=10, choices=[("coarse", "coarse"), ("fine", "fine")])
    digest = models.CharField(max_length=64, db_index=True)
    manifest = models.JSONField()
    manifest_sha256 = models.CharField(max_length=64)
    path = models.CharField(max_length=500, help_text="Folder below the snapshot root.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.DO_NOTHING, db_constraint=False
    )
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["corpus", "name"], name="snapshot_name_once"),
            models.CheckConstraint(condition=Q(digest__length=64), name="snapshot_digest_whole"),
        ]

    def __str__(self) -> str:
        return f"{self.corpus}/{self.name}"


class SnapshotEntry(models.Model):
    """A record revision in a snapshot, and the split that it fell into."""

    export_class = "public"

    snapshot = models.ForeignKey(Snapshot, on_delete=models.PROTECT, related_name="entries")
    revision = models.ForeignKey(RecordRevision, on_delete=models.PROTECT, related_name="entries")
    clip_name = models.CharField(max_length=200, db_collation="C")
    split = models.CharField(max_length=40)

    class Meta:
        ordering = ["snapshot", "clip_name"]
        constraints = [models.UniqueConstraint(fields=["snapshot", "clip_name"], name="entry_once")]

    def __str__(self) -> str:
        return f"{self.clip_name} ({self.split})"


class SnapshotFile(models.Model):
    """A file of a snapshot's folder, with its size and hash."""

    export_class = "public"

    snapshot = models.ForeignKey(Snapshot, on_delete=models.PROTECT, related_name="files")
    path = models.CharField(max_length=200)
    sha256 = models.CharField(max_length=64)
    bytes = models.BigIntegerField()

    class Meta:
        ordering = ["snapshot", "path"]
        constraints = [models.UniqueConstraint(fields=["snapshot", "path"], name="snapshot_file_once")]

    def __str__(self) -> str:
        return self.path
