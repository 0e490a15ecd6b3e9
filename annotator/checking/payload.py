"""A claim as its holder sees it: the Claim of docs/openapi.yaml, with what the checking page needs beside it.

What its slot's mode and its arm leave out is left out here, for every entrance. Nobody can tell a gold clip.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from annotator.prelabels.gate_words import with_sentences
from annotator.prelabels.models import Clue

from . import merging, queue, records, review_reading
from .models import Claim
from .reviews import current_annotations


def iso(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None


def clue_json(clue: Clue) -> dict[str, Any]:
    """A clue as it is offered."""
    return {
        **{key: getattr(clue, key) for key in ("modality", "aspect", "language", "text", "span")},
        "id": clue.pk,
        "source": {
            "prelabeller": clue.prelabeller.name,
            "model": clue.provenance.get("model") or clue.prelabeller.model or None,
            "prompt": records.prompt_name(clue.provenance),
        },
        "gate": with_sentences(clue.gate),
        "texts": clue.texts,
        "codes": clue.codes,
    }


def claim_payload(claim: Claim, user: Any) -> dict[str, Any]:
    """What `user` is shown of the claim; nothing of other annotators' work but, for a review, the annotations to be
    decided over. One query, for a review a few more."""
    from annotator.clips import media  # decoding libraries are not wanted at start-up

    facts = queue.facts_of(claim)
    clip, corpus, mode = facts["clip"], facts["corpus"], facts["slot"]["mode"]
    arm, rules = facts["claim"]["arm"], facts["rules"] or {}
    blind = arm == "blind" or bool(rules.get("blind_sources"))
    spoken = (facts["subtitles"] or {}) if mode in ("", "text") else {}
    draft = facts["draft"] or {"body": None, "version": 0}
    if claim.return_reason:
        draft["body"] = _with_work(claim, draft["body"])
    kind = facts["slot"]["kind"]
    payload: dict[str, Any] = {
        "id": claim.pk,
        "kind": "annotate" if kind == "gold" else kind,
        "mode": mode,
        "blind": blind and kind != "review",
        "state": claim.state,
        "corpus": corpus["slug"],
        "lease_end": iso(claim.lease_end),
        "clip": {
            **{key: clip[key] for key in ("id", "name", "duration")},
            "source": clip["source"] or None,
            "speaker": clip["speaker"] or None,
            "synthetic": clip["synthetic"] or corpus["synthetic"],
            "media": media.signed_urls(
                claim.clip, user, claim_id=claim.pk, expires=claim.lease_end, mode=mode, made=facts["derived"]
            ),
        },
        "subtitle": {"zh": spoken.get("zh"), "en": spoken.get("en")},
        "clues": [],
        "draft": draft["body"],
        "version": draft["version"],
        "returned": {"reason": claim.return_reason} if claim.return_reason else None,
        "exchange": review_reading.exchange(claim),
        "guideline": corpus["guideline"],
        "suggestion": None if mode or arm != "shown" else _suggestion(facts["coarse"]),
        "au": facts["au"] if mode in ("", "visual") else None,
        "people": facts["people"] if mode in ("", "visual") else 0,
    }
    if kind == "review":
        annotations = current_annotations(claim.clip_id)
        payload |= review_reading.for_review(claim, annotations)
        payload["clues"] = [clue_json(clue) for clue in merging.judged_clues(annotations)]
    elif arm != "none":
        planted = _planted(claim, facts["planted"])
        clues = [_offered(row, planted) for row in facts["clues"] if mode in ("", row["modality"])]
        payload["clues"] = [{**clue, "source": None} for clue in clues] if blind else clues
    return payload


def _with_work(claim: Claim, draft: dict[str, Any] | None) -> dict[str, Any] | None:
    """The draft of what was returned goes on from the work that was handed in: a last version tells all of it."""
    last = claim.annotations.order_by("-revision").first()
    done = (last.work if last else None) or {}
    told = (draft or {}).get("work") or {}
    if draft is None or not done or (told.get("active_s") or 0) >= (done.get("active_s") or 0):
        return draft
    return {**draft, "work": done}


def _planted(claim: Claim, planted: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """With what the gate says of the altered text."""
    if planted is None or claim.planted is None:
        return None
    from . import planting  # the gate is not wanted at start-up

    return {**planted, "gate": planting.judged(claim.planted)}


def _offered(row: Mapping[str, Any], planted: Mapping[str, Any] | None) -> dict[str, Any]:
    """A clue from the database's own JSON, as `clue_json`; where an error is planted in it, with that."""
    shown = {key: row[key] for key in ("id", "modality", "aspect", "language", "text", "span")}
    source = {"prelabeller": row["prelabeller"], "model": row["model"], "prompt": records.prompt_name(row)}
    shown |= {"source": source, "gate": with_sentences(row["gate"]), "texts": row["texts"], "codes": row["codes"]}
    if planted is not None and planted["clue"] == row["id"]:
        shown |= {key: planted[key] for key in ("language", "text", "texts")}
        shown |= {"gate": with_sentences(planted["gate"]), "codes": None}
    return shown


def _suggestion(coarse: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Description and OV labels of the coarse record: drafted, never checked."""
    if coarse is None:
        return None
    line = json.loads(coarse["line"])
    described = {key: line[key] for key in ("description", "ov_labels")}
    return {**described, "source": coarse["described"] or coarse["source"]}
