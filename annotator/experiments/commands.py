"""The command lines of a run: what the trainer calls, and what a page prints for a cluster."""

import contextlib
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings

from annotator.clips.media import original_path
from annotator.clips.models import Clip
from annotator.snapshots.models import Snapshot
from annotator.snapshots.services import folder_of

from .models import Checkpoint, TrainingRun


def as_settings(overrides: dict[str, Any]) -> list[str]:
    """Overrides as the words after `--set`: text as it is, other JSON values as YAML reads them, too."""
    return [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in overrides.items()]


def folder_of_checkpoint(checkpoint: Checkpoint) -> Path:
    return Path(checkpoint.training_run.folder) / "checkpoints" / checkpoint.name


def fit_command(run: TrainingRun, media: Path, *, resume: bool = False) -> list[str]:
    """What the trainer starts; `resume` where the folder holds what an earlier attempt did."""
    assert run.snapshot is not None  # noqa: S101 - claim_run takes runs with a snapshot only
    words = [*(settings.TRAINING_LAUNCH or (sys.executable, "-m")), "training", "fit", "--config", run.config]
    words += ["--snapshot", str(folder_of(run.snapshot)), "--media", str(media), "--out", run.folder]
    words += _options(run.init, run.text_only, run.overrides)
    return [*words, "--no-register", *(["--resume"] if resume else [])]


def _options(init: Checkpoint | None, text_only: bool, overrides: dict[str, Any]) -> list[str]:
    words = ["--init", str(folder_of_checkpoint(init))] if init else []
    words += ["--missing-media", "text-only"] if text_only else []
    for setting in as_settings(overrides):
        words += ["--set", setting]
    return words


def for_cluster(
    address: str,
    snapshot: Snapshot,
    config: str,
    name: str,
    overrides: dict[str, Any],
    init: Checkpoint | None = None,
    text_only: bool = False,
) -> dict[str, str]:
    """`{"fetch", "one", "many"}`: shell lines that bring the snapshot there and train on it, in one process or by
    accelerate on many GPUs. `address` is this workbench's, such as https://host."""
    here = f"{snapshot.corpus.slug}-{snapshot.name}"
    url = f"{address}/api/v1/snapshots/{snapshot.pk}/"
    fit = ["fit", "--config", config, "--snapshot", here, "--media", "DIR", "--out", name]
    fit += _options(init, text_only, overrides)
    return {
        "fetch": _lines(["python", "-m", "training", "fetch", url, "--out", here]),
        "one": _lines(["python", "-m", "training", *fit]),
        "many": _lines(["accelerate", "launch", "-m", "training", *fit]),
    }


def _lines(words: Sequence[str]) -> str:
    """A command for a shell, an option a line."""
    lines = [[]]  # type: list[list[str]]
    for word in words:
        if word.startswith("--"):
            lines.append([])
        lines[-1].append(shlex.quote(word))
    return " \\\n  ".join(" ".join(line) for line in lines)


def media_folder(run: TrainingRun) -> Path:
    return Path(settings.RUNS_ROOT) / ".media" / str(run.pk)


def link_media(run: TrainingRun) -> Path:
    """A folder of links `<sha256>.<ext>` to the snapshot's stored media: what `--media` wants."""
    folder = media_folder(run)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    clips = Clip.objects.filter(
        records__revisions__entries__snapshot=run.snapshot, media__in=["stored", "reference"], withdrawn_at=None
    ).select_related("corpus")
    for clip in clips:
        link = folder / f"{clip.media_sha256}{Path(clip.media_path).suffix.lower()}"
        with contextlib.suppress(FileNotFoundError, FileExistsError):  # `fit` counts and names what is missing
            link.symlink_to(original_path(clip))
    return folder
