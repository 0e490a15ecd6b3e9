"""Launching training, watching it by lease and heartbeat, and finding runs that were started by hand."""

import contextlib
import importlib.util
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from annotator.clips.media import original_path
from annotator.clips.models import Clip
from annotator.core import audit
from annotator.core.errors import Conflict, Invalid, NotConfigured
from annotator.snapshots.models import Snapshot
from annotator.snapshots.queries import withdrawn_clips
from training.config import load_config
from training.errors import UsageError

from . import folders
from .models import Evaluation, TrainingRun

CONFIGS = ("tiny", "tiny-stage1", "overfit", "small", "small-stage1", "affectgpt-2024-stage1", "affectgpt-2024-stage2")
LEASE = timedelta(seconds=60)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_STATES = {"running": "running", "finished": "done", "failed": "failed", "stopped": "cancelled"}


def require_training() -> None:
    """Raise NotConfigured, naming what to install, where torch or transformers is missing."""
    missing = [name for name in ("torch", "transformers", "safetensors") if importlib.util.find_spec(name) is None]
    if missing:
        raise NotConfigured(
            _("Training needs %s, which this host lacks: pip install -r requirements/ml.txt.") % ", ".join(missing)
        )


def launch(
    user: Any, snapshot: Snapshot, config: str, name: str, overrides: dict[str, Any] | None = None
) -> TrainingRun:
    """Queue a `training fit` on the snapshot; the trainer process beside the workers runs it.

    Raises NotConfigured without torch, Invalid for a wrong name or config, Conflict for a used name.
    """
    require_training()
    if config not in CONFIGS:
        raise Invalid(_("There is no config “%(c)s”; choose from %(k)s.") % {"c": config, "k": ", ".join(CONFIGS)})
    if not _NAME.fullmatch(name):
        raise Invalid(_("A run's name has at most 80 letters, digits, “.”, “_” and “-”; got “%s”.") % name)
    wanted = "coarse" if config.endswith("-stage1") else "fine"  # said here rather than by a run that fails at once
    if snapshot.grade != wanted and "stage" not in (overrides or {}):
        told = _("Stage 1 trains on coarse records; choose a coarse snapshot, or a config without “-stage1”.")
        if wanted == "fine":
            told = _(
                "This config is stage 2, which trains on fine records; choose a fine snapshot or a “-stage1” config."
            )
        raise Invalid(told)
    if withdrawn := withdrawn_clips(snapshot):
        raise Conflict(_("Clips of this snapshot were withdrawn: %s. Freeze a new one.") % ", ".join(withdrawn[:5]))
    try:
        load_config(config, as_settings(overrides or {}))
    except UsageError as error:
        raise Invalid(str(error)) from error
    folder = Path(settings.RUNS_ROOT).resolve() / name  # as `discover` names it, wherever a link leads
    with transaction.atomic():
        run, created = TrainingRun.objects.get_or_create(
            folder=str(folder),
            defaults={
                "snapshot": snapshot,
                "snapshot_digest": snapshot.digest,
                "name": name,
                "config": config,
                "overrides": overrides or {},
                "started_by": user,
            },
        )
        if not created or folder.exists():
            raise Conflict(_("A run named “%s” exists already; runs are never overwritten.") % name)
        audit.record(user, "training.start", corpus=snapshot.corpus.slug, target=name, config=config)
    return run


def as_settings(overrides: dict[str, Any]) -> list[str]:
    """Overrides as the words after `--set`: text as it is, other JSON values as YAML reads them, too."""
    return [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in overrides.items()]


def cancel(user: Any, run: TrainingRun) -> TrainingRun:
    """Ask the trainer to stop it; a queued run is cancelled at once."""
    with transaction.atomic():
        run = TrainingRun.objects.select_for_update().get(pk=run.pk)
        if run.state == "queued":
            run.state, run.reason = "cancelled", "cancelled before it started"
        elif run.state == "running":
            run.cancel_requested = True
        else:
            raise Conflict(_("This run has ended already."))
        run.save(update_fields=["state", "reason", "cancel_requested"])
        slug = run.snapshot.corpus.slug if run.snapshot else ""
        audit.record(user, "training.cancel", corpus=slug, target=run.name)
    return run


def claim_run() -> TrainingRun | None:
    """The oldest queued run, taken by lease on the database's clock; None when there is none."""
    with transaction.atomic():
        run = (
            TrainingRun.objects.select_for_update(skip_locked=True, of=("self",))
            .filter(state="queued", snapshot__isnull=False)
            .order_by("id")
            .first()
        )
        if run is None:
            return None
        TrainingRun.objects.filter(pk=run.pk).update(state="running", lease_end=Now() + LEASE, started_at=Now())
    run.refresh_from_db()
    return run


def heartbeat(run: TrainingRun) -> bool:
    """Renew the lease; False when the run was taken away or is to be cancelled."""
    kept = TrainingRun.objects.filter(pk=run.pk, state="running").update(lease_end=Now() + LEASE)
    return bool(kept) and not TrainingRun.objects.filter(pk=run.pk, cancel_requested=True).exists()


def finish(run: TrainingRun, state: str, reason: str = "", result: dict[str, Any] | None = None) -> None:
    """End a running run once; a second end changes nothing."""
    TrainingRun.objects.filter(pk=run.pk, state="running").update(
        state=state, reason=reason[:1000], result=result, lease_end=None, finished_at=Now()
    )


def expire() -> int:
    """Fail runs whose trainer died; `fit --resume` on the folder goes on from the last checkpoint."""
    return TrainingRun.objects.filter(state="running", lease_end__isnull=False, lease_end__lt=Now()).update(
        state="failed",
        reason="The trainer process ended without a word; resume with `python -m training fit --resume`.",
        lease_end=None,
        finished_at=Now(),
    )


def link_media(run: TrainingRun) -> Path:
    """A folder of links `<sha256>.<ext>` to the snapshot's stored media: what `--media` wants."""
    folder = Path(settings.RUNS_ROOT) / ".media" / str(run.pk)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    clips = Clip.objects.filter(
        records__revisions__entries__snapshot=run.snapshot, media__in=["stored", "reference"], withdrawn_at=None
    ).select_related("corpus")
    for clip in clips:
        link = folder / f"{clip.media_sha256}{Path(clip.media_path).suffix.lower()}"
        with contextlib.suppress(FileNotFoundError, FileExistsError):  # `fit` counts and names what is missing
            link.symlink_to(original_path(clip))
    return folder


def discover() -> int:
    """Bring the rows up to date with the run folders on this host; returns how many folders were read.

    Three queries when nothing changed, however many folders there are: pages call this.
    """
    found = {str(folder): body for folder in folders.known_folders() if (body := folders.read_run(folder)) is not None}
    known = TrainingRun.objects.in_bulk(list(found), field_name="folder")
    taken = set(
        Evaluation.objects.filter(training_run__in=known.values()).values_list("training_run_id", "report_sha256")
    )
    for name, body in found.items():
        run = known.get(name) or _new_run(Path(name), body)
        _bring_up_to_date(run, body)
        for sha256, report in folders.read_evaluations(Path(name)):
            if (run.pk, sha256) not in taken:
                defaults = {"split": str(report["split"])[:40], "report": report}
                Evaluation.objects.get_or_create(training_run=run, report_sha256=sha256, defaults=defaults)
    return len(found)


def _new_run(folder: Path, body: dict[str, Any]) -> TrainingRun:
    """The row of a folder seen for the first time; two that see it at once get the same row."""
    digest = str((body.get("snapshot") or {}).get("digest") or "")
    run, _created = TrainingRun.objects.get_or_create(
        folder=str(folder),
        defaults={
            "name": folder.name,
            "config": str(body.get("config_name") or "")[:120],
            "snapshot_digest": digest,
            "snapshot": Snapshot.objects.filter(digest=digest).first() if digest else None,
            "state": _state(folder, body)[0],
        },
    )
    return run


def _state(folder: Path, body: dict[str, Any]) -> tuple[str, str]:
    """(state, reason) of a folder; `running` without a living process is a run that was killed."""
    state = _STATES.get(str(body.get("state")), "failed")
    if state == "running" and not folders.is_alive(folder):
        return "failed", "The process ended without a word; resume with `python -m training fit --resume`."
    return state, str(body.get("reason") or "")[:1000]


def _bring_up_to_date(run: TrainingRun, body: dict[str, Any]) -> None:
    """A run that the trainer leases is the trainer's to judge; others are what their folder says."""
    if run.lease_end is not None:
        return
    state, reason = _state(Path(run.folder), body)
    facts = {
        "state": state,
        "reason": reason if run.state != state or not run.reason else run.reason,
        "result": body.get("result"),
        "started_at": _time(body.get("started")),
        "finished_at": _time(body.get("finished")),
    }
    if any(getattr(run, key) != value for key, value in facts.items()):
        TrainingRun.objects.filter(pk=run.pk, lease_end__isnull=True).update(**facts)


def _time(value: Any) -> Any:
    try:
        return parse_datetime(value) if isinstance(value, str) else None
    except ValueError:
        return None
