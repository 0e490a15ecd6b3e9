"""Which runs a person may see, and a checkpoint's lineage."""

from pathlib import Path
from typing import Any

from django.db.models import QuerySet

from annotator.clips.access import corpora_where

from . import folders
from .models import TrainingRun


def visible_to(user: Any) -> QuerySet[TrainingRun]:
    """Runs on snapshots of corpora whose experiments `user` may see; runs on unknown snapshots: admins only."""
    runs = TrainingRun.objects.select_related("snapshot__corpus", "started_by")
    if user.is_superuser:
        scopes = getattr(user, "token_scopes", None)
        return runs if not scopes or "training.view" in scopes else runs.none()
    return runs.filter(snapshot__corpus__in=corpora_where(user, "training.view"))


def lineage(run: TrainingRun) -> dict[str, Any]:
    """From a checkpoint back to the snapshot and the runs that it was initialised from."""
    body = folders.read_run(Path(run.folder)) or {}
    snapshot = run.snapshot
    return {
        "id": run.pk,
        "run": run.name,
        "config": run.config,
        "snapshot": {
            "digest": run.snapshot_digest or None,
            "id": snapshot.pk if snapshot else None,
            "name": str(snapshot) if snapshot else None,
            "records": snapshot.manifest["counts"]["records"] if snapshot else None,
        },
        "lineage": [
            {key: entry.get(key) for key in ("name", "digest", "corpus", "grade", "split", "stage", "clips")}
            for entry in body.get("lineage", [])
            if isinstance(entry, dict)
        ],
    }
