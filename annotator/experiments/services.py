"""Every write that a person asks for: launch, cancel and resume training, promote a checkpoint to a pre-labeller."""

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from annotator.core import audit
from annotator.core.errors import Conflict, Invalid, NotConfigured
from annotator.prelabels.checkpoints import FOLDER
from annotator.prelabels.models import PreLabeller
from annotator.snapshots.models import Snapshot
from annotator.snapshots.queries import withdrawn_clips
from models_ml.steps import STEPS
from training.config import load_config
from training.errors import UsageError

from . import configs, presence, queries
from .commands import as_settings, folder_of_checkpoint
from .models import Checkpoint, TrainingRun

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
COPIED = ("trainable.safetensors", "state.json", "lineage.json", "card.json", "README.md", "tokenizer")


def require_training() -> None:
    """Raise NotConfigured, naming what to install, where torch or transformers is missing here and no trainer of
    another host is there to do it."""
    missing = presence.missing()
    if missing and not presence.there():
        raise NotConfigured(
            _("Training needs %s, which this host lacks: pip install -r requirements/ml.txt.") % ", ".join(missing)
        )


def check(
    snapshot: Snapshot, config: str, overrides: Mapping[str, Any] | None = None, init: Checkpoint | None = None
) -> None:
    """What would keep a `fit` of this config on this snapshot from beginning. Raises Invalid, whose `errors` name the
    field, and Conflict for withdrawn clips and for weights that are gone."""
    fitting = configs.fitting(snapshot.grade)
    if config not in configs.every():
        told = _("There is no config “%(c)s”; choose from %(k)s.") % {"c": config, "k": ", ".join(fitting)}
        raise Invalid(told, errors={"config": told})
    try:
        found = load_config(config, as_settings(dict(overrides or {})))
    except UsageError as error:
        raise Invalid(str(error), errors={"overrides": str(error)}) from error
    if snapshot.grade != found.grade:  # said here rather than by a run that fails at once
        told = _("Stage 1 trains on coarse records; choose a coarse snapshot, or a config of stage 2.")
        if found.grade == "fine":
            told = _("This config is stage 2, which trains on fine records; choose a fine snapshot, or a “-stage1”.")
        raise Invalid(told, errors={"config": told})
    if withdrawn := withdrawn_clips(snapshot):
        raise Conflict(_("Clips of this snapshot were withdrawn: %s. Freeze a new one.") % ", ".join(withdrawn[:5]))
    if init is not None:
        _check_weights(init)


def _check_weights(checkpoint: Checkpoint) -> None:
    if withdrawn := queries.withdrawn_of(checkpoint):
        raise Conflict(
            _("The checkpoint was trained on clips that were withdrawn since: %s. Train on a new snapshot.")
            % ", ".join(withdrawn[:5])
        )
    if checkpoint.removed_at is not None or not folder_of_checkpoint(checkpoint).is_dir():
        raise Conflict(_("The weights of this checkpoint are no longer there."), code="checkpoint-removed")


def launch(
    user: Any,
    snapshot: Snapshot,
    config: str,
    name: str,
    overrides: dict[str, Any] | None = None,
    init: Checkpoint | None = None,
    *,
    text_only: bool = False,
) -> TrainingRun:
    """Queue a `training fit` on the snapshot; the trainer process beside the workers runs it.

    Raises NotConfigured without torch, Invalid for a wrong name, config or override, Conflict for a used name and as
    `check` does.
    """
    require_training()
    check(snapshot, config, overrides, init)
    if not _NAME.fullmatch(name):
        told = _("A run's name has at most 80 letters, digits, “.”, “_” and “-”; got “%s”.") % name
        raise Invalid(told, errors={"name": told})
    folder = Path(settings.RUNS_ROOT).resolve() / name  # as `discover` names it, wherever a link leads
    used = _("A run named “%s” exists already; runs are never overwritten.") % name
    with transaction.atomic():
        run, created = TrainingRun.objects.get_or_create(
            folder=str(folder),
            defaults={
                "snapshot": snapshot,
                "snapshot_digest": snapshot.digest,
                "name": name,
                "config": config,
                "overrides": overrides or {},
                "init": init,
                "text_only": text_only,
                "launched": True,
                "started_by": user,
            },
        )
        if not created or folder.exists():
            raise Conflict(used, errors={"name": used})
        audit.record(
            user, "training.start", corpus=snapshot.corpus.slug, target=name, config=config,
            **({"init": str(init)} if init else {}),
        )  # fmt: skip
    return run


def cancel(user: Any, run: TrainingRun) -> TrainingRun:
    """Ask the trainer to stop it; a queued run is cancelled at once. Raises Conflict for one that has ended, and for
    one that was started by hand."""
    with transaction.atomic():
        run = TrainingRun.objects.select_for_update(of=("self",)).get(pk=run.pk)
        if not run.launched:
            raise Conflict(_("This run was not launched here: stop its process where it was started."))
        if run.state == "queued":
            run.state, run.reason, run.finished_at = "cancelled", "cancelled before it started", Now()
            run.reason = "cancelled by a person" if run.attempts else run.reason
        elif run.state == "running":
            run.cancel_requested = True
        else:
            raise Conflict(_("This run has ended already."))
        run.save(update_fields=["state", "reason", "cancel_requested", "finished_at"])
        slug = run.snapshot.corpus.slug if run.snapshot else ""
        audit.record(user, "training.cancel", corpus=slug, target=run.name)
    run.refresh_from_db()
    return run


def resume(user: Any, run: TrainingRun) -> TrainingRun:
    """Queue a run again that was cancelled or failed; it goes on from its last checkpoint.

    Raises Conflict for one that goes on, is done or was started by hand, and where clips were withdrawn since.
    """
    require_training()
    with transaction.atomic():
        run = TrainingRun.objects.select_for_update(of=("self",)).select_related("snapshot__corpus").get(pk=run.pk)
        if not run.launched or run.snapshot is None:
            raise Conflict(_("This run was not launched here: resume it where it was started, with “--resume”."))
        if run.state not in ("failed", "cancelled"):
            raise Conflict(_("Only a run that failed or was cancelled can be resumed."), code="not-resumable")
        if withdrawn := withdrawn_clips(run.snapshot):
            raise Conflict(_("Clips of this snapshot were withdrawn: %s. Freeze a new one.") % ", ".join(withdrawn[:5]))
        run.state, run.reason, run.losses, run.cancel_requested, run.finished_at = "queued", "", 0, False, None
        run.save(update_fields=["state", "reason", "losses", "cancel_requested", "finished_at"])
        audit.record(user, "training.resume", corpus=run.snapshot.corpus.slug, target=run.name)
    return run


def promote(user: Any, checkpoint: Checkpoint, name: str = "") -> PreLabeller:
    """Make a checkpoint a pre-labeller that runs can choose; a second time the same one.

    Its weights are copied beside the runs, so that they outlive the run's own pruning. Raises Conflict where the
    weights are gone, a clip that they were trained on was withdrawn, or the name is used; Invalid where they name
    labels only, and for a wrong name.
    """
    if checkpoint.prelabeller is not None:
        return checkpoint.prelabeller
    run = checkpoint.training_run
    name = name.strip() or proposed_name(checkpoint)
    if not re.fullmatch(r"[^\W_][\w.:-]{0,119}", name) or name.replace("-", "_") in STEPS:
        told = _("A pre-labeller's name has letters, digits, “.”, “:”, “_” and “-”, at most 120; got “%s”.") % name[:80]
        raise Invalid(told, errors={"name": told})
    _check_weights(checkpoint)
    facts = queries.trained_config(checkpoint)
    if facts["target"] == "ov_labels":
        raise Invalid(_("This checkpoint was trained to name labels; only one trained on descriptions can draft them."))
    taken = _("A pre-labeller named “%s” exists already; choose another name.") % name
    if PreLabeller.objects.filter(name=name).exists():
        raise Conflict(taken, errors={"name": taken})
    folder = _copy(checkpoint)
    parameters = {
        "checkpoint": checkpoint.pk,
        "sha256": checkpoint.sha256,
        "run": run.name,
        "step": checkpoint.step,
        "stage": facts["stage"],
        "language": facts["language"],
    }
    try:
        with transaction.atomic():
            row = Checkpoint.objects.select_for_update(of=("self",)).get(pk=checkpoint.pk)
            if row.prelabeller is not None:
                return row.prelabeller
            prelabeller = PreLabeller.objects.create(
                name=name, kind="checkpoint", modality="clip", language=facts["language"], model=folder,
                trust="inside", parameters=parameters,
            )  # fmt: skip
            row.prelabeller = checkpoint.prelabeller = prelabeller
            row.save(update_fields=["prelabeller"])
            slug = run.snapshot.corpus.slug if run.snapshot else ""
            audit.record(
                user, "checkpoint.promote", corpus=slug, target=name, checkpoint=checkpoint.pk, sha256=checkpoint.sha256
            )
    except IntegrityError as error:
        raise Conflict(taken, errors={"name": taken}) from error
    return prelabeller


def proposed_name(checkpoint: Checkpoint) -> str:
    """What the pre-labeller is called where nobody says otherwise."""
    return f"{re.sub(r'[^A-Za-z0-9.]+', '-', checkpoint.training_run.name).strip('-.') or 'run'}-step{checkpoint.step}"


def _copy(checkpoint: Checkpoint) -> str:
    """The folder below `.promoted` that holds the checkpoint's weights: whole, or not there at all."""
    source = folder_of_checkpoint(checkpoint)
    root = Path(settings.RUNS_ROOT) / FOLDER
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = f"{proposed_name(checkpoint)[:90]}-{checkpoint.sha256[:12]}"
    if (root / name).is_dir():
        return name
    staging = root / f".staging-{name}-{os.getpid()}"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir(mode=0o700)
        for part in COPIED:
            if (source / part).is_dir():
                shutil.copytree(source / part, staging / part)
            elif (source / part).is_file():
                shutil.copy2(source / part, staging / part)
        with (staging / "trainable.safetensors").open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != checkpoint.sha256:
                raise FileNotFoundError("the run has written other weights there")
        os.rename(staging, root / name)
    except OSError as error:
        shutil.rmtree(staging, ignore_errors=True)
        if (root / name).is_dir():  # somebody else was first
            return name
        raise Conflict(_("The weights of this checkpoint are no longer there."), code="checkpoint-removed") from error
    return name
