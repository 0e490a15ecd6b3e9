"""What a config would take, as `python -m training estimate` says: asked once for a question, answered by a worker.

The command counts the model's parameters and FLOPs, for which it loads torch: seconds of work that no page waits for.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

import training
from annotator.celery import app
from annotator.core.errors import Invalid, NotConfigured
from annotator.prelabels.dispatch import broker, broker_errors

from .commands import as_settings
from .models import Estimate

LIMIT_SECONDS = 240  # of the command
PATIENCE = timedelta(minutes=6)  # a worker that has not answered by then was killed, or there is none
TASK = "annotator.experiments.tasks.estimate"
MEMORY = ("weights", "gradients", "optimizer", "activations", "features", "total")
GPU = re.compile(r"[\w][\w .,+()/-]{0,79}")


@cache
def _code() -> str:
    """Changes with training/, whose arithmetic the answer is."""
    digest = hashlib.sha256()
    root = Path(training.__file__).parent
    for path in sorted([*root.rglob("*.py"), *root.rglob("*.yaml")]):
        found = path.stat()
        digest.update(f"{path.relative_to(root)} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def ask(config: str, overrides: Mapping[str, Any], clips: int, gpu: str = "") -> Estimate:
    """The estimate for this question: the known answer, or one that a worker has been asked for.

    A failed one is asked again, and one that nobody has answered in PATIENCE. The config and its overrides must have
    been checked. Raises Invalid for a GPU's name that is none.
    """
    if gpu and not GPU.fullmatch(gpu):
        told = _("A GPU's name has letters, digits and blanks, like “NVIDIA H100”.")
        raise Invalid(told, errors={"gpu": told})
    question = [config, as_settings(dict(overrides)), clips, gpu, _code()]
    key = hashlib.sha256(json.dumps(question, ensure_ascii=False).encode()).hexdigest()
    now = timezone.now()
    with transaction.atomic():
        facts = {"config": config, "overrides": dict(overrides), "clips": clips, "gpu": gpu, "asked_at": now}
        row, made = Estimate.objects.select_for_update().get_or_create(key=key, defaults=facts)
        again = row.state == "failed" or (row.state == "queued" and row.asked_at < now - PATIENCE)
        if again:
            row.state, row.reason, row.asked_at = "queued", "", now
            row.save(update_fields=["state", "reason", "asked_at"])
        if made or again:
            transaction.on_commit(lambda: _send(row.pk), robust=True)
    return row


def _send(pk: int) -> None:
    """Ask a worker. A broker that is down is said on the page."""
    try:
        with broker() as link:
            app.send_task(TASK, args=[pk], queue="celery", producer=link.Producer(), retry=False)
    except broker_errors() as error:
        told = f"no worker can be asked: {error}"
        Estimate.objects.filter(pk=pk, state="queued").update(state="failed", reason=told[:1000])


def overdue(row: Estimate) -> bool:
    """Whether nobody will answer it any more."""
    return row.state == "queued" and row.asked_at < timezone.now() - PATIENCE


def answer(pk: int) -> str:
    """By a worker: run the command and write what it says; the state written."""
    row = Estimate.objects.filter(pk=pk, state="queued").first()
    if row is None:
        return ""
    try:
        found, reason = run_command(row.config, row.overrides, row.clips, row.gpu), ""
    except NotConfigured as error:
        found, reason = None, error.message
    state = "done" if found is not None else "failed"
    Estimate.objects.filter(pk=pk, state="queued").update(state=state, answer=found, reason=reason[:1000])
    return state


def run_command(config: str, overrides: Mapping[str, Any], clips: int, gpu: str = "") -> dict[str, Any]:
    """The object that `training estimate` prints last. Raises NotConfigured with the last line of what went wrong."""
    words = [sys.executable, "-m", "training", "estimate", "--config", config, "--clips", str(clips)]
    for setting in as_settings(dict(overrides)):
        words += ["--set", setting]
    words += ["--gpu", gpu] if gpu else []
    secrets = ("DATABASE_URL", "BROKER_URL", "REDIS_URL", "SECRET_KEY")
    environment = {name: value for name, value in os.environ.items() if name not in secrets}
    try:
        done = subprocess.run(
            words, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, errors="replace",
            timeout=LIMIT_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise NotConfigured(f"the estimate took longer than {LIMIT_SECONDS} s") from error
    lines = done.stdout.strip().splitlines()
    try:
        found = json.loads(lines[-1]) if lines and done.returncode == 0 else None
    except ValueError:
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("memory"), dict):
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise NotConfigured(said[-1][:500] if said else f"training estimate ended with {done.returncode}")
    return found
