"""Which runs a person may see, what stands on their pages, and where a checkpoint comes from."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Q, QuerySet

from annotator.clips.access import corpora_where
from annotator.clips.models import Clip
from annotator.prelabels.checkpoints import FOLDER
from annotator.snapshots.models import Snapshot, SnapshotEntry
from annotator.snapshots.queries import visible_to as visible_snapshots

from . import folders
from .commands import folder_of_checkpoint
from .models import Checkpoint, Evaluation, TrainingRun

STAGE_KEYS = ("name", "digest", "corpus", "grade", "split", "stage", "clips")


def visible_to(user: Any) -> QuerySet[TrainingRun]:
    """Runs on snapshots of corpora whose experiments `user` may see; runs on unknown snapshots: admins only."""
    runs = TrainingRun.objects.select_related("snapshot__corpus", "started_by", "init__training_run")
    if user.is_superuser:
        scopes = getattr(user, "token_scopes", None)
        return runs if not scopes or "training.view" in scopes else runs.none()
    return runs.filter(snapshot__corpus__in=corpora_where(user, "training.view"))


def checkpoints_visible_to(user: Any) -> QuerySet[Checkpoint]:
    """Checkpoints of the runs that `user` may see."""
    rows = Checkpoint.objects.select_related("training_run__snapshot__corpus", "prelabeller")
    return rows.filter(training_run__in=visible_to(user).order_by().values("pk"))


def avg_on_test(runs: list[TrainingRun]) -> dict[int, float]:
    """Each run's newest Avg on the split `test`."""
    newest = Evaluation.objects.filter(training_run__in=runs, split="test")
    newest = newest.order_by("training_run_id", "-id").distinct("training_run_id")
    return {pk: avg for pk, avg in newest.values_list("training_run_id", "report__avg") if isinstance(avg, int | float)}


def startable(user: Any, action: str = "training.start") -> QuerySet[Snapshot]:
    """The snapshots that `user` may train on."""
    return visible_snapshots(user).filter(corpus__in=corpora_where(user, action))


def init_choices(user: Any) -> QuerySet[Checkpoint]:
    """The checkpoints that are still there, newest first: what a run may start from."""
    return checkpoints_visible_to(user).filter(removed_at=None).order_by("-training_run_id", "-step")


def trained_on(snapshot: Snapshot) -> int:
    """How many clips a run on this snapshot has: its split `train`, or all where it has none."""
    splits = snapshot.manifest.get("splits") or {}
    return int(splits.get("train") or sum(splits.values()) or snapshot.manifest["counts"]["records"])


def log_path(run: TrainingRun) -> Path:
    return Path(settings.VAR) / "logs" / f"training-{run.pk}.log"


def progress(run: TrainingRun) -> dict[str, Any]:
    """How far a run is, from its folder: `{"step", "steps", "epoch", "loss", "lr", "samples_per_second",
    "eta_seconds", "seconds", "data_seconds", "share"}`; what is not known yet is None."""
    folder = Path(run.folder)
    body, last = folders.read_run(folder) or {}, folders.last_metrics(folder)
    known = {key: last.get(key) for key in ("step", "epoch", "loss", "lr", "samples_per_second", "eta_seconds")}
    known |= {key: last.get(key) for key in ("seconds", "data_seconds", "grad_norm", "mfu")}
    steps = (run.result or {}).get("steps") or body.get("steps")
    share = round(100 * last["step"] / steps) if steps and last.get("step") else None
    return {**known, "steps": steps, "share": share, "parameters": body.get("trainable_parameters")}


def trained_config(checkpoint: Checkpoint) -> dict[str, Any]:
    """`{"language", "target", "stage"}` by the checkpoint's own state.json."""
    state: Any = {}
    for folder in _folders_of(checkpoint):
        try:
            state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
            break
        except (OSError, ValueError):
            continue
    config = state.get("config") if isinstance(state, dict) else None
    data = config.get("data") if isinstance(config, dict) else None
    data = data if isinstance(data, dict) else {}
    return {
        "language": data.get("language") if data.get("language") in ("zh", "en") else "en",
        "target": data.get("target") or "description",
        "stage": config.get("stage") if isinstance(config, dict) else None,
    }


def _folders_of(checkpoint: Checkpoint) -> list[Path]:
    """Where its files may be: the run's own, then the copy that its pre-labeller stands on."""
    found = [folder_of_checkpoint(checkpoint)] if checkpoint.removed_at is None else []
    if checkpoint.prelabeller is not None:
        found.append(Path(settings.RUNS_ROOT) / FOLDER / checkpoint.prelabeller.model)
    return found


def card(checkpoint: Checkpoint) -> str:
    """The model card that training wrote beside the weights (Markdown); "" where there is none."""
    for folder in _folders_of(checkpoint):
        try:
            return (folder / "README.md").read_text(encoding="utf-8", errors="replace")[:200_000]
        except OSError:
            continue
    return ""


def stages_of(run: TrainingRun) -> list[dict[str, Any]]:
    """The stages of a run's lineage, oldest first, with counts in place of clips."""
    body = folders.read_run(Path(run.folder)) or {}
    return [
        {key: entry.get(key) for key in STAGE_KEYS} for entry in body.get("lineage") or [] if isinstance(entry, dict)
    ]


def withdrawn_by_stage(stages: Iterable[dict[str, Any]]) -> dict[tuple[str, str], list[str]]:
    """(digest, split) -> the clips of that snapshot's split that were withdrawn since. One query for all stages."""
    wanted = Q(pk__in=[])
    for stage in stages:
        digest, split = str(stage.get("digest") or ""), str(stage.get("split") or "")
        if digest:
            wanted |= Q(snapshot__digest=digest, split=split)
    found: dict[tuple[str, str], list[str]] = {}
    rows = SnapshotEntry.objects.filter(wanted, revision__record__clip__withdrawn_at__isnull=False)
    for digest, split, name in rows.order_by("clip_name").values_list("snapshot__digest", "split", "clip_name"):
        found.setdefault((digest, split), []).append(name)
    return found


def withdrawn_of(checkpoint: Checkpoint) -> list[str]:
    """Clips that the checkpoint was trained on and that were withdrawn since: in snapshots of this workbench by their
    rows, in others (fetched from elsewhere) by the media's hash in the checkpoint's own lineage."""
    names = {name for found in withdrawn_by_stage(checkpoint.lineage).values() for name in found}
    digests = {str(stage.get("digest") or "") for stage in checkpoint.lineage}
    unknown = digests - set(Snapshot.objects.filter(digest__in=digests).values_list("digest", flat=True))
    if unknown:
        names |= _withdrawn_elsewhere(checkpoint, unknown)
    return sorted(names)


def _withdrawn_elsewhere(checkpoint: Checkpoint, digests: set[str]) -> set[str]:
    gone = dict(
        Clip.objects.filter(withdrawn_at__isnull=False, media_sha256__isnull=False).values_list("media_sha256", "name")
    )
    if not gone:
        return set()
    for folder in _folders_of(checkpoint):
        try:
            stages = json.loads((folder / "lineage.json").read_text(encoding="utf-8"))
            seen = {row.get("sha256") for stage in stages if stage.get("digest") in digests for row in stage["clips"]}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        return {name for sha256, name in gone.items() if sha256 in seen}
    return set()


def lineage(checkpoint: Checkpoint, user: Any = None) -> dict[str, Any]:
    """From a checkpoint back to the snapshots and records that it was trained on, stage by stage, oldest first.

    A snapshot that `user` may not see is known by its digest alone, and its withdrawn clips by their number.
    """
    digests = [str(stage.get("digest") or "") for stage in checkpoint.lineage]
    snapshots = Snapshot.objects.filter(digest__in=digests).select_related("corpus")
    if user is not None:
        snapshots = visible_snapshots(user).filter(digest__in=digests)
    known: dict[str, Snapshot] = {}
    for snapshot in snapshots.order_by("-id"):
        known[snapshot.digest] = snapshot
    withdrawn = withdrawn_by_stage(checkpoint.lineage)
    stages = [_stage(stage, known, withdrawn) for stage in checkpoint.lineage]
    named = sorted({name for stage in stages for name in stage["withdrawn"]})
    run = checkpoint.training_run
    return {
        "id": checkpoint.pk,
        "run": run.name,
        "run_id": run.pk,
        "step": checkpoint.step,
        "sha256": checkpoint.sha256,
        "config": run.config,
        "kept": checkpoint.removed_at is None,
        "prelabeller": checkpoint.prelabeller.name if checkpoint.prelabeller else None,
        "withdrawn": named,
        "withdrawn_elsewhere": len(withdrawn_of(checkpoint)) - len(named),
        "stages": stages,
    }


def _stage(
    stage: dict[str, Any], known: dict[str, Snapshot], withdrawn: dict[tuple[str, str], list[str]]
) -> dict[str, Any]:
    digest, split = str(stage.get("digest") or ""), str(stage.get("split") or "")
    snapshot = known.get(digest)
    return {
        **{key: stage.get(key) for key in STAGE_KEYS},
        "snapshot": {"id": snapshot.pk, "name": str(snapshot), "digest": digest} if snapshot else None,
        "records": f"/api/v1/snapshots/{snapshot.pk}/files/records.jsonl" if snapshot else None,
        "withdrawn": withdrawn.get((digest, split), []) if snapshot else [],
    }


def records_of(stage: dict[str, Any], limit: int) -> list[dict[str, Any]]:
    """The first records of a stage whose snapshot is known: `{"clip", "record", "revision", "withdrawn"}`."""
    if not stage["snapshot"]:
        return []
    rows = (
        SnapshotEntry.objects.filter(snapshot=stage["snapshot"]["id"], split=stage["split"])
        .order_by("clip_name")
        .values("clip_name", "revision__record_id", "revision__number", "revision__record__clip__withdrawn_at")[:limit]
    )
    return [
        {
            "clip": row["clip_name"],
            "record": row["revision__record_id"],
            "revision": row["revision__number"],
            "withdrawn": row["revision__record__clip__withdrawn_at"] is not None,
        }
        for row in rows
    ]


def evaluations_visible_to(user: Any) -> QuerySet[Evaluation]:
    runs = visible_to(user).order_by().values("pk")
    return Evaluation.objects.filter(training_run__in=runs).select_related("training_run__snapshot__corpus")


def facts(run: TrainingRun) -> dict[str, Any]:
    """What a run's folder says of how it was made: `{"git", "torch", "transformers", "cuda", "seed", "samples",
    "media", "resumed"}`; what an older folder lacks is None."""
    body = folders.read_run(Path(run.folder)) or {}
    environment, snapshot = _mapping(body.get("environment")), _mapping(body.get("snapshot"))
    resumed = body.get("resumed")
    return {
        **{key: environment.get(key) for key in ("torch", "transformers", "cuda")},
        "git": str(body.get("git") or "")[:12],
        "seed": body.get("seed"),
        "samples": snapshot.get("samples"),
        "split": snapshot.get("split"),
        "media": _mapping(body.get("media")),
        "resumed": len(resumed) if isinstance(resumed, list) else 0,
    }


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
