"""Plain functions that make what a test needs: people, corpora, clips, clues, runs, annotations, records.

Each takes only what the test cares about and makes up the rest. Clips have no media unless told. What the workbench
itself would write (slots, annotations, records) is written by its own services, so that a test never starts from a
state that could not have come about.
"""

import hashlib
import itertools
from typing import Any

from django.utils import timezone

from annotator.accounts.models import User
from annotator.clips.models import Clip, Corpus, Membership, Subtitle
from annotator.clips.signals import clips_changed
from annotator.prelabels.models import Clue, DescriptionDraft, Job, Pipeline, PreLabeller, Run
from annotator.prelabels.signals import draft_written

_count = itertools.count(1)


def create_user(username: str | None = None, **fields: Any) -> User:
    """A person who can sign in with the password "a-long-test-password"."""
    user = User(username=username or f"person-{next(_count)}", **fields)
    user.set_password("a-long-test-password")
    user.save()
    return user


def create_corpus(slug: str | None = None, **fields: Any) -> Corpus:
    """An open corpus, one annotation per clip, review required."""
    name = slug or f"corpus-{next(_count)}"
    return Corpus.objects.create(**{"slug": name, "name": name, "licence": "open", **fields})


def create_member(corpus: Corpus, role: str | tuple[str, ...] = "annotator", user: User | None = None) -> User:
    """A person with one role or several on the corpus."""
    user = user or create_user()
    for each in (role,) if isinstance(role, str) else role:
        Membership.objects.create(corpus=corpus, user=user, role=each)
    return user


def create_clip(
    corpus: Corpus | None = None,
    name: str | None = None,
    *,
    zh: str = "你怎么现在才来？",
    en: str = "Why do you come only now?",
    **fields: Any,
) -> Clip:
    """A clip without media, with subtitles, and with its slots open."""
    corpus = corpus or create_corpus()
    clip = Clip.objects.create(corpus=corpus, name=name or f"clip_{next(_count):06}", **{"duration": 3.5, **fields})
    for language, text in (("zh", zh), ("en", en)):
        if text:
            Subtitle.objects.create(clip=clip, language=language, text=text)
    clips_changed.send(sender=Clip, corpus=corpus, clip_ids=[clip.pk])
    return clip


def create_prelabeller(name: str = "scripted", **fields: Any) -> PreLabeller:
    """The pre-labeller of that name, made when it is missing."""
    return PreLabeller.objects.get_or_create(name=name, defaults={"kind": "import", **fields})[0]


def create_clue(
    clip: Clip,
    text: str = "The brows are drawn together.",
    *,
    modality: str = "visual",
    aspect: str = "expression",
    language: str = "en",
    prelabeller: str = "scripted",
    span: tuple[float, float] | None = None,
    **fields: Any,
) -> Clue:
    """A current clue; a clip has one per (pre-labeller, modality, aspect, language)."""
    start, end = span or (None, None)
    return Clue.objects.create(
        clip=clip,
        prelabeller=create_prelabeller(prelabeller),
        modality=modality,
        aspect=aspect,
        language=language,
        text=text,
        span_start=start,
        span_end=end,
        **{"content_sha256": hashlib.sha256(text.encode()).hexdigest(), **fields},
    )


def create_run(corpus: Corpus, *, pipeline: str = "measured", state: str = "done", **fields: Any) -> Run:
    """A run without jobs, at its end where its state says so."""
    version, _made = Pipeline.objects.get_or_create(
        name=pipeline,
        version=1,
        defaults={"definition": {"steps": []}, "sha256": hashlib.sha256(pipeline.encode()).hexdigest()},
    )
    now = timezone.now()
    times = {"planned_at": now, "finished_at": None if state in ("queued", "running", "paused") else now}
    return Run.objects.create(corpus=corpus, pipeline=version, state=state, **{**times, **fields})


def create_draft(
    clip: Clip,
    *,
    zh: str = "在视频中，人物皱眉；",
    en: str = "In the video: the brows are drawn together.",
    ov_zh: tuple[str, ...] = (),
    ov_en: tuple[str, ...] = (),
    run: Run | None = None,
    announce: bool = True,
    **fields: Any,
) -> DescriptionDraft:
    """A description drafted by a finished job; `announce` tells the rooms above, as the job itself does."""
    run = run or create_run(clip.corpus)
    job = Job.objects.create(run=run, clip=clip, step="coarse_template", position=9, state="done", attempts=1)
    draft = DescriptionDraft.objects.create(
        clip=clip,
        job=job,
        prelabeller=create_prelabeller("coarse-template", kind="template"),
        description_zh=zh,
        description_en=en,
        ov_zh=list(ov_zh),
        ov_en=list(ov_en),
        **fields,
    )
    if announce:
        draft_written.send(sender=DescriptionDraft, draft=draft)
    return draft


def make_body(clues: Any = (), **fields: Any) -> dict[str, Any]:
    """A body of draft and submit that keeps every clue (`Clue` rows or the clues of a claim)."""
    checks = []
    for clue in clues:
        if isinstance(clue, Clue):
            clue = {
                "id": clue.pk,
                **{key: getattr(clue, key) for key in ("modality", "aspect", "language", "text", "span")},
            }
        checks.append(
            {
                **{key: clue[key] for key in ("id", "modality", "aspect", "language", "text", "span")},
                "verdict": "kept",
            }
        )
    return {
        "clues": checks,
        "description": {"zh": "他皱着眉，声音很高，他很生气。", "en": "He frowns and raises his voice: he is angry."},
        "ov_labels": {"zh": ["生气"], "en": ["angry"]},
        **fields,
    }


def create_annotation(clip: Clip, user: User | None = None, body: dict[str, Any] | None = None) -> Any:
    """A submitted annotation of the clip: the person (an annotator made for it) takes a slot and submits."""
    from annotator.checking import services
    from annotator.checking.models import Annotation, Claim

    user = user or create_member(clip.corpus, "annotator")
    claim = Claim.objects.filter(user=user, clip=clip).first() or services.claim_clip(user, clip)
    offered = Clue.objects.filter(pk__in=claim.offered)
    answer = services.submit(user, claim.pk, make_body(offered) if body is None else body)
    return Annotation.objects.get(pk=answer["annotation"])


def create_record(clip: Clip, grade: str = "fine", **content: Any) -> Any:
    """A record as an import would write it; `content` as in `make_body`."""
    from annotator.checking import records

    body = make_body(**content)
    return records.write(clip, grade, body, source="import", source_detail="test").record


def create_gold(corpus: Corpus, purpose: str = "check", *, clues: tuple[str, ...] = (), **fields: Any) -> Any:
    """A gold clip: a record of a new clip, whose `clues` (English, visual, one pre-labeller each) the answer keeps."""
    from annotator.checking import gold, records

    clip = create_clip(corpus)
    rows = [create_clue(clip, text, prelabeller=f"gold-{number}") for number, text in enumerate(clues)]
    content = records.checked_content(make_body(rows, **fields))
    record = records.write(clip, "fine", content, source="import", source_detail="test").record
    record.refresh_from_db()
    return gold.mark(None, record, purpose)
