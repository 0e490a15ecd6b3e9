"""A corpus with one of everything, and a browser for every role: what tests over all addresses start from."""

from datetime import timedelta
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction
from django.http.cookie import SimpleCookie
from django.test import Client
from django.utils import timezone

from annotator.accounts.models import User
from annotator.accounts.services import issue_token
from annotator.checking import services as checking
from annotator.checking.models import (
    AutoDecision,
    CheckingRules,
    Comment,
    QualityReport,
    Slot,
    Standing,
    SummaryRequest,
    TermsAcceptance,
)
from annotator.clips import media
from annotator.clips.models import Clip, Flag, Upload
from annotator.core.models import AuditEntry
from annotator.experiments.models import Checkpoint, Estimate, Evaluation, TrainingRun
from annotator.prelabels.models import Pipeline
from annotator.snapshots.services import freeze_snapshot
from tests.support import factories as make

ROLES = ("anonymous", "stranger", "viewer", "annotator", "reviewer", "manager", "admin")


class World:
    """`ask(role, method, template, …)` sends one request and forgets what it changed."""

    def __init__(self) -> None:
        corpus = make.create_corpus("lab", name="情感实验室", guideline="# 指南")
        self.people: dict[str, User | None] = {"anonymous": None, "stranger": make.create_user("陌生人")}
        for role in ("viewer", "annotator", "reviewer", "manager"):
            self.people[role] = make.create_member(corpus, role, make.create_user(f"成员-{role}"))
        self.people["admin"] = make.create_user("管理员", is_superuser=True, is_staff=True)
        clip, annotated, third, decided = (make.create_clip(corpus, f"片段{n}") for n in "一二三四")
        type(clip).objects.filter(pk=clip.pk).update(has_video=True, derived="ready")
        path = default_storage.save("derived/one.mp4", ContentFile(b"0123456789"))
        clip.derivatives.create(kind="proxy", path=path, sha256="a" * 64, bytes=10)
        for number, x in ((1, 0.1), (2, 0.7)):
            place = {"zh": "画面左侧", "en": "on the left"} if number == 1 else {"zh": "画面右侧", "en": "on the right"}
            spans = {"span_start": 0.0, "span_end": 1.0, "presence": 1.0, "area": 0.04}
            boxes = [[0.0, x, 0.2, 0.2, 0.2]]
            clip.people.create(number=number, source="detector", place=place, boxes=boxes, **spans)
        clue = make.create_clue(clip, "眉头紧锁。", language="zh")
        flag = Flag.objects.create(clip=clip, user=self.people["viewer"], reason="other")
        annotation, done = make.create_annotation(annotated), make.create_annotation(decided)
        claim = checking.claim_clip(self.people["annotator"], clip)
        review = checking.claim_clip(self.people["reviewer"], annotated, kind="review")
        judge = make.create_member(corpus, "reviewer")
        turn = checking.claim_clip(judge, decided, kind="review")
        decision = checking.decide(judge, turn.pk, decision="accept", annotation_id=done.pk)
        record = make.create_record(third, "fine")
        run = make.create_run(corpus, state="queued")
        job = run.jobs.create(clip=third, step="x", position=0, state="failed", reason="坏了", error_code="x")
        snapshot, second = freeze_snapshot(None, corpus, "v1"), freeze_snapshot(None, corpus, "v2")
        training = TrainingRun.objects.create(
            snapshot=snapshot, name="t", config="tiny", folder="/nowhere/t", launched=True
        )
        stopped = TrainingRun.objects.create(
            snapshot=snapshot, name="s", config="tiny", folder="/nowhere/s", launched=True, state="cancelled"
        )
        now = timezone.now()
        checkpoint = Checkpoint.objects.create(
            training_run=training, name="step-00000001", step=1, sha256="c" * 64, file_stamp="1 1", made_at=now
        )
        estimate = Estimate.objects.create(
            key="d" * 64, config="tiny", clips=1, state="failed", reason="?", asked_at=now
        )
        Evaluation.objects.create(training_run=training, split="test", report={"avg": 0.5}, report_sha256="b" * 64)
        upload = Upload.objects.create(corpus=corpus, user=self.people["manager"])
        staged = default_storage.save("uploads/one", ContentFile(b"x"))
        file = upload.files.create(name="一.mp4", bytes=1, state="failed", staged=staged)
        token, self.token = issue_token(None, self.people["viewer"])
        self.clip, self.corpus = clip, corpus
        self.values: dict[str, Any] = {
            "clip": clip.pk, "claim": claim.pk, "review": review.pk, "record": record.pk, "run": run.pk,
            "snapshot": snapshot.pk, "second": second.pk, "training": training.pk, "upload": upload.pk,
            "stopped": stopped.pk, "checkpoint": checkpoint.pk, "estimate": estimate.pk,
            "file": file.pk, "job": job.pk, "annotation": annotation.pk, "user": self.people["viewer"].pk,
            "corpus": corpus.pk, "flag": flag.pk, "clue": clue.pk, "apitoken": token.pk,
            "prelabeller": clue.prelabeller_id, "pipeline": Pipeline.objects.get().pk, "decision": decision["review"],
            "decided": decision["record"],
            "slot": Slot.objects.first().pk, "comment": self._comment(clip),
            "gold": make.create_gold(corpus, "training", clues=("She smiles.",)).pk,
            "auto": AutoDecision.objects.create(
                clip=annotated, annotation=annotation, accepted=False, threshold=0.9, agreement=0.5).pk,
            "summary_request": SummaryRequest.objects.create(claim=claim, evidence={}).pk,
            **self._beside(),
        }  # fmt: skip
        self.clients = {role: self._client(user) for role, user in self.people.items()}

    def _comment(self, clip: Clip) -> int:
        return Comment.objects.create(clip=clip, user=self.people["annotator"], role="annotator", text="谁在说话？").pk

    def _beside(self) -> dict[str, int]:
        """What would change how people work on the corpus, on another one."""
        corpus, user = make.create_corpus("beside"), self.people["viewer"]
        now = timezone.now()
        return {
            "rules": CheckingRules.objects.create(corpus=corpus).pk,
            "standing": Standing.objects.create(corpus=corpus, user=user).pk,
            "terms": TermsAcceptance.objects.create(corpus=corpus, user=user, version="1", terms="不得外传。").pk,
            "report": QualityReport.objects.create(corpus=corpus, kind="quality", days=0, requested_at=now).pk,
        }

    @staticmethod
    def _client(user: User | None) -> Client:
        client = Client(raise_request_exception=False)
        if user:
            client.force_login(user)
        return client

    def url(self, template: str, role: str) -> str:
        """The address for a role: media are signed, and tokens issued, for whoever asks."""
        user, values = self.people[role] or self.people["viewer"], dict(self.values)
        if "{media}" in template:
            expires = timezone.now() + timedelta(minutes=5)
            values["media"] = media.signed_urls(self.clip, user, expires=expires)["video"]
        if "{token}" in template:
            values["token"] = issue_token(None, user)[0].pk
        for key, value in values.items():
            template = template.replace(f"{{{key}}}", str(value))
        return template

    def ask(self, role: str, method: str, template: str, data: Any = None, **more: Any) -> Any:
        """One request; `data` goes as JSON to the API and as a form to pages. Whatever it changed is undone."""
        client = self.clients[role]
        cookies = SimpleCookie(client.cookies.output(header=""))
        try:
            with transaction.atomic():
                before = AuditEntry.objects.order_by("-id").values_list("id", flat=True).first() or 0
                address = self.url(template, role)
                if "raw" in more:
                    answer = client.generic(method, address, more.pop("raw"), **more)
                elif template.startswith("/api/") and method not in ("GET", "HEAD"):
                    body = {} if data is None else data
                    answer = getattr(client, method.lower())(address, body, content_type="application/json", **more)
                else:
                    answer = getattr(client, method.lower())(address, data, **more)
                if answer.streaming:
                    answer.text_sent = b"".join(answer.streaming_content)
                else:
                    answer.text_sent = answer.content
                answer.audited = list(AuditEntry.objects.filter(id__gt=before).values_list("action", flat=True))
                transaction.set_rollback(True)
        finally:
            client.cookies = cookies
        return answer
