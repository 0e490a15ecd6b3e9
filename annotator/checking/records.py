"""Writing records: content in, the next revision with its canonical line, hash and provenance out.

Every path to a record (review, submission, run, import) ends in `write`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Max

from annotator.clips.models import Clip
from annotator.prelabels.models import Clue, DescriptionDraft

from . import canonical, sentences
from .models import Annotation, Claim, Record, RecordRevision, Review


def prompt_name(provenance: Mapping[str, Any]) -> str | None:
    """`file@version` of the prompt that a provenance names; None where no prompt was used."""
    prompt = provenance.get("prompt")
    if isinstance(prompt, Mapping):
        return f"{prompt.get('file')}@{prompt.get('version')}"
    return prompt or None


def text_in(clue: Clue, language: str) -> str:
    """The clue's text in this language where it was rendered in it, else as it was written."""
    return (clue.texts or {}).get(language) or clue.text


def prelabel(clue: Clue, language: str) -> dict[str, Any]:
    """What a pre-labeller had drafted, as a record keeps it."""
    return {
        "text": text_in(clue, language),
        "prelabeller": clue.prelabeller.name,
        "prompt": prompt_name(clue.provenance),
    }


def checked_content(body: Mapping[str, Any], offered: Iterable[Clue] | None = None) -> dict[str, Any]:
    """A body's content for `write`: each check with what the pre-labeller had drafted (from `offered`, if known)."""
    if offered is None:
        ids = [item["id"] for item in body["clues"] if item.get("id")]
        offered = Clue.objects.filter(pk__in=ids).select_related("prelabeller")
    rows = {clue.pk: clue for clue in offered}
    items = []
    for item in body["clues"]:
        clue = rows.get(item["id"]) if item.get("id") else None
        items.append({**item, "prelabel": prelabel(clue, item["language"]) if clue else None, "origin": clue})
    return {**body, "clues": items}


def drafted_content(draft: DescriptionDraft, clues: Iterable[Clue]) -> dict[str, Any]:
    """A description draft's content for `write`: the clues as drafted, without a verdict."""
    items = [
        {
            "modality": clue.modality,
            "aspect": clue.aspect,
            "language": clue.language,
            "text": clue.text,
            "span": clue.span,
            "verdict": None,
            "prelabel": prelabel(clue, clue.language),
            "origin": clue,
        }
        for clue in clues
    ]
    return {
        "clues": items,
        "description": {"zh": draft.description_zh, "en": draft.description_en},
        "ov_labels": {"zh": draft.ov_zh, "en": draft.ov_en},
        "label": None,
    }


@transaction.atomic
def write(
    clip: Clip,
    grade: str,
    content: Mapping[str, Any],
    *,
    source: str,
    source_detail: str = "",
    annotation: Annotation | None = None,
    review: Review | None = None,
    draft: DescriptionDraft | None = None,
    described_by: Sequence[Mapping[str, Any]] = (),
    user: Any = None,
) -> RecordRevision:
    """Append a revision to the clip's record of this grade and make it the current one.

    `content` is a body (`clues, description, ov_labels, label`), its clues optionally with `prelabel`. `described_by`
    is what was proposed as a description, what is likeliest first: a sentence that still reads so has it as its source.
    Locks the record's row; two writers of one record come one after the other.
    """
    subtitle = {row.language: row.text for row in clip.subtitles.all()}
    line, provenance = compose(clip, subtitle, grade, content, described_by)
    # Created without a current revision first: whoever comes second waits for the unique constraint, then the lock.
    Record.objects.bulk_create([Record(corpus_id=clip.corpus_id, clip=clip, grade=grade)], ignore_conflicts=True)
    record = Record.objects.select_for_update().get(clip=clip, grade=grade)
    # Asked after the lock, in a statement of its own: a join would still show what was current before the wait.
    last = RecordRevision.objects.filter(record=record).aggregate(last=Max("number"))["last"] or 0
    revision = RecordRevision.objects.create(
        record=record,
        number=last + 1,
        line=line,
        sha256=canonical.sha256(line),
        source=source,
        source_detail=source_detail[:120],
        annotation=annotation,
        review=review,
        draft=draft,
        provenance=provenance,
        created_by=user,
    )
    record.current = revision
    record.save(update_fields=["current"])
    return revision


def compose(
    clip: Clip,
    subtitle: Mapping[str, str],
    grade: str,
    content: Mapping[str, Any],
    described_by: Sequence[Mapping[str, Any]],
) -> tuple[str, dict[str, Any]]:
    """The canonical line, and where each clue and sentence of it came from. Asks the database for nothing."""
    facts = {
        **{key: getattr(clip, key) for key in ("name", "media_sha256", "duration", "source", "speaker")},
        "licence": clip.effective_licence,
        "subtitle": subtitle,
    }
    record = canonical.build(
        facts,
        clues=content["clues"],
        description=content["description"],
        ov_labels=content["ov_labels"],
        label=content.get("label") or clip.label,
        grade=grade,
    )
    # In the line's own order, so that an index in the provenance is an index in the line.
    items = sorted(content["clues"], key=lambda item: canonical.clue_order(canonical.clue(item)))
    texts = [{**item, "texts": item["origin"].texts if item.get("origin") else None} for item in items]
    linked = {
        language: [
            {**link, "by": _author(_proposing([link["text"]], described_by))}
            for link in sentences.link(record["description"][language], language, texts, subtitle.get(language))
        ]
        for language in canonical.LANGUAGES
        if record["description"][language]
    }
    used = _proposing((link["text"] for links in linked.values() for link in links), described_by)
    provenance = {
        "media_sha256": clip.media_sha256,
        "clues": [_clue_source(item) for item in items],
        "sentences": linked,
        "description": dict(used) if used else None,
    }
    return canonical.dumps(record), provenance


def _clue_source(item: Mapping[str, Any]) -> dict[str, Any]:
    clue: Clue | None = item.get("origin")
    if clue is None:
        return {"clue": None, "verdict": item.get("verdict"), "source": None, "gate": None}
    return {
        "clue": clue.pk,
        "verdict": item.get("verdict"),
        "source": {**clue.provenance, "prelabeller": clue.prelabeller.name, "job": clue.job_id},
        "gate": {"version": clue.gate_version, "verdicts": clue.gate} if clue.gate is not None else None,
    }


def _proposing(texts: Iterable[str], proposals: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The first proposal in which one of the sentences still stands as it was proposed."""
    wanted = list(texts)
    for proposal in proposals:
        said = [text for text in (proposal.get("description") or {}).values() if text]
        if any(sentence in text for sentence in wanted for text in said):
            return proposal
    return None


def _author(proposal: Mapping[str, Any] | None) -> str:
    """Who wrote a sentence: what drafted it, where it still reads as drafted, else a person."""
    return "person" if proposal is None else str(proposal["source"])


def proposals(claim: Claim) -> list[dict[str, Any]]:
    """`described_by` of a fine record: the summaries its annotator asked for, then the clip's coarse drafts."""
    found = [
        {"source": summary.source, "description": summary.description, "provenance": summary.provenance}
        for summary in claim.summaries.order_by("-id")
    ]
    coarse = RecordRevision.objects.filter(record__clip_id=claim.clip_id, record__grade="coarse").order_by("-id")
    for row in coarse:
        found.append(drafted(row.number, row.line, row.source_detail, row.source, row.provenance.get("description")))
    return found


def drafted(number: int, line: str, detail: str, source: str, described: Mapping[str, Any] | None) -> dict[str, Any]:
    """A coarse revision as a proposal; `described` is what its provenance says of the description."""
    described = described or {}
    made = {"revision": number, "detail": detail, **(described.get("provenance") or {})}
    return {
        "source": described.get("source") or source,
        "description": json.loads(line)["description"],
        "provenance": made,
    }


def draft_source(draft: DescriptionDraft) -> dict[str, Any]:
    """`described_by` of a coarse record."""
    return {
        "source": "template" if draft.prelabeller.kind == "template" else "llm",
        "description": {"zh": draft.description_zh or None, "en": draft.description_en or None},
        "provenance": {**draft.provenance, "prelabeller": draft.prelabeller.name, "job": draft.job_id},
    }
