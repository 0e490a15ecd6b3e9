"""`manage.py bootstrap`: what a first start needs. Safe to repeat and to kill; a finished one takes no time.

Every start also removes what a freeze that was killed left in the snapshots' folder.

An admin with a random password in `<var>/admin-password` (0600), and the synthetic demo corpus with three people
(`<var>/demo-passwords`, 0600) and a pre-labelling run. No password is printed or logged here. What somebody
deleted after the first start does not come back.
"""

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from annotator.accounts.models import User
from annotator.accounts.services import create_person, random_password
from annotator.clips import services as clips
from annotator.clips.ingest import ingest_folder
from annotator.clips.manifest import ingest_manifest
from annotator.clips.models import Corpus
from annotator.core import audit
from annotator.core.commands import JsonCommand
from annotator.core.models import AuditEntry
from annotator.prelabels.models import Run
from annotator.prelabels.services import create_run
from annotator.snapshots.services import remove_orphans

ADMIN = "admin"
SLUG = "demo"
DONE = "bootstrap"  # the audit entry that says that the first start was finished
PEOPLE = {"anna": "annotator", "ben": "annotator", "rui": "reviewer"}
GUIDELINE = """Every clip shows a drawn face and a synthetic voice; no real person is shown or heard.

1. Play the clip, then read its subtitle.
2. Keep a clue when you see or hear what it says, correct it when it is nearly right, reject it when it is wrong.
3. Describe in your own words what the person feels and by which clues you know, then name the emotions.

所有片段都是绘制的人脸和合成的语音，没有真人出现或说话。

1. 播放片段，然后阅读字幕。
2. 线索所说的确实看到或听到就保留，基本正确就修改，错误就拒绝。
3. 用自己的话描述此人的感受以及依据哪些线索，再写出情绪词。
"""


class Command(JsonCommand):
    help = "First start: the admin and the demo corpus. Safe to repeat."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--clips", type=int, default=12, metavar="N", help="clips of the demo corpus (default 12)")
        parser.add_argument("--no-demo", action="store_true", help="the admin only")

    def run(self, *, no_demo: bool, **options: Any) -> dict[str, Any]:
        remove_orphans()
        result: dict[str, Any] = {"admin": make_admin(), "demo": None, "run": None}
        if no_demo or AuditEntry.objects.filter(action=DONE).exists():
            return result
        if options["clips"] < 1:
            raise CommandError("--clips: at least one.", returncode=2)
        corpus, report = make_demo(options["clips"])
        run = Run.objects.filter(corpus=corpus).first() or create_run(None, corpus, "measured")
        audit.record(None, DONE, corpus=corpus.slug, target=corpus.slug)
        return {**result, "demo": corpus.slug, "run": run.pk, "failed": report["failed"]}


def make_admin() -> bool:
    """Create the admin unless there is one; whether that was done. The password is in its file first, so that
    a start that was killed leaves no admin whose password nobody knows."""
    if User.objects.filter(is_superuser=True).exists():
        return False
    kept = keep_secrets(Path(settings.VAR) / "admin-password", [ADMIN])
    create_person(None, ADMIN, password=kept[ADMIN], admin=True)
    return True


def make_demo(n: int) -> tuple[Corpus, dict[str, Any]]:
    """The demo corpus, its people and its clips, as far as they are not there; (corpus, ingest's report)."""
    from models_ml.synthetic import make_corpus

    corpus = Corpus.objects.filter(slug=SLUG).first() or clips.create_corpus(
        None, SLUG, name="Demo (synthetic)", licence="open", guideline=GUIDELINE, synthetic=True
    )
    kept = keep_secrets(Path(settings.VAR) / "demo-passwords", list(PEOPLE))
    for name, role in PEOPLE.items():
        person = User.objects.filter(username=name).first() or create_person(None, name, password=kept[name])[0]
        clips.add_member(None, corpus, person, role)
    folder = Path(settings.VAR) / "demo"
    manifest = folder / "manifest.jsonl"  # written last
    if not manifest.exists() or len(manifest.read_text(encoding="utf-8").splitlines()) < n:
        make_corpus(folder, n=n, seed=0)
    report = ingest_folder(
        corpus, folder, subtitles=folder / "subtitles.csv", labels=folder / "labels.csv", au=folder / "au"
    ).as_dict()
    report["failed"] += ingest_manifest(corpus, manifest).failed  # who speaks, and from what it was cut
    return corpus, report


def keep_secrets(path: Path, names: list[str]) -> dict[str, str]:
    """A password per name, kept in a private file: the bare password for one name, else `name password` lines.
    What the file has already is taken from there."""
    if not path.exists():
        secrets = {name: random_password() for name in names}
        lines = list(secrets.values()) if len(names) == 1 else [f"{name} {secret}" for name, secret in secrets.items()]
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write("\n".join(lines) + "\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    kept = path.read_text(encoding="utf-8").split()
    found = {names[0]: kept[0]} if len(names) == 1 and kept else dict(zip(kept[::2], kept[1::2], strict=False))
    if missing := [name for name in names if name not in found]:
        raise CommandError(f"{path} has no password for {', '.join(missing)}: remove the file and start again.")
    return found
