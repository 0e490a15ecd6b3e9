"""The ordinary submission in two round trips: what it is checked against, then everything that it writes.

Between the two the body is checked and the record composed, without a lock. The write takes the locks (idempotency key,
clip, claim and slot, in this order) and does nothing unless everything is still as it was read. Whatever is not
ordinary (a lapsed lease, a replay, a gold clip, a rule to be asked) is left to `submissions`, which goes by steps.
"""

from collections.abc import Mapping
from typing import Any

import structlog
from django.db import connection
from psycopg.types.json import Jsonb

from annotator.clips.models import Clip, Corpus
from annotator.prelabels.models import Clue, PreLabeller

from . import bodies, canonical, extras, idempotency, queue, records
from .quality import activity

HELD = ("live", "returned")


def submit(
    user: Any, claim_id: int, body: Any, *, key: str | None, facts: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    """`{"annotation", "record", "state"}`, or None where nothing was written and the long way is to be gone. `facts`:
    what `checking_submission` said of the claim a moment ago; without them it is asked.

    Raises Invalid for a body that cannot be accepted.
    """
    if not 0 < claim_id < 2**63 or (key and not idempotency.usable(key)):
        return None
    if facts is None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT checking_submission(%s, %s)", [claim_id, user.pk])
            facts = cursor.fetchone()[0]
    if facts is None or not _ordinary(user, facts):
        return None
    clip = queue.row(Clip, facts["clip"])
    clip.corpus = queue.row(Corpus, facts["corpus"])
    offered = [_clue(item) for item in facts["clues"]]
    clean = bodies.final(body, offered, duration=clip.duration)
    work = activity.clean_work(body.get("work"), facts["claim"]["seconds"])
    values = _values(facts, clip, clean, work)
    values |= _what_follows(facts, clip, clean, offered)
    values |= {"name": user.username, "request": structlog.contextvars.get_contextvars().get("request_id", "")}
    if key:
        values |= {"key": key, "route": f"submit {claim_id}", "sha256": idempotency.body_hash(body)}
    with connection.cursor() as cursor:
        arguments: list[Any] = [claim_id, user.pk, Jsonb(values)]
        cursor.execute("SELECT checking_submit(%s, %s, %s)", arguments)
        answer = cursor.fetchone()[0]
    return None if answer is None else dict(sorted(answer.items()))


def _ordinary(user: Any, facts: Mapping[str, Any]) -> bool:
    claim = facts["claim"]
    return (
        claim["state"] in HELD
        and claim["kind"] == "annotate"
        and facts["clip"]["withdrawn_at"] is None
        and queue.may_with(user, set(facts["roles"] or ()), "claim.annotate")
    )


def _clue(item: Mapping[str, Any]) -> Clue:
    clue: Clue = queue.row(Clue, item["clue"])
    clue.prelabeller = PreLabeller.from_db("default", ["id", "name"], [clue.prelabeller_id, item["prelabeller"]])
    return clue


def _values(facts: Mapping[str, Any], clip: Clip, clean: Mapping[str, Any], work: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "clip": clip.pk,
        "clip_updated": facts["clip"]["updated_at"],
        "corpus": clip.corpus.slug,
        "offered": facts["claim"]["offered"],
        "annotation": annotation_columns(clean, work, clip.duration),
        "checks": [{**row, "place": row["position"]} for row in check_columns(clean, work)],
        "body": clean,
    }


def _what_follows(
    facts: Mapping[str, Any], clip: Clip, clean: Mapping[str, Any], offered: list[Clue]
) -> dict[str, Any]:
    """What is written where this submission completes the clip: a review slot, the fine record, or (`ask`) nothing
    here, since it was not expected or a rule decides."""
    if clip.corpus.review == "required":
        return {"then": "ask" if facts["auto_accept"] else "review"}
    if facts["left"]:
        return {"then": "ask"}
    proposals = list(facts["summaries"] or ())
    for row in facts["coarse"] or ():
        proposals.append(records.drafted(row["number"], row["line"], row["detail"], row["source"], row["described"]))
    content = records.checked_content(clean, offered)
    line, provenance = records.compose(clip, facts["subtitles"] or {}, "fine", content, proposals)
    record = {"line": line, "sha256": canonical.sha256(line), "provenance": provenance}
    return {"then": "record", "record": record}


def annotation_columns(body: Mapping[str, Any], work: Mapping[str, Any], duration: float | None) -> dict[str, Any]:
    """The columns of an Annotation, from a clean body and clean `work`."""
    return {
        "description_zh": body["description"]["zh"],
        "description_en": body["description"]["en"],
        "ov_zh": body["ov_labels"]["zh"],
        "ov_en": body["ov_labels"]["en"],
        "label": body["label"],
        **{key: body[key] for key in extras.KEYS},
        "work": work,
        "active_seconds": work.get("active_s"),
        "played_share": activity.played_share(work, duration),
    }


def check_columns(body: Mapping[str, Any], work: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The columns of each Check, in the order of the body."""
    told = work.get("clues") or {}
    return [
        {
            "clue_id": item["id"],
            "position": position,
            "span_start": item["span"][0] if item["span"] else None,
            "span_end": item["span"][1] if item["span"] else None,
            **{name: item[name] for name in ("verdict", "modality", "aspect", "language", "text", "reason")},
            "active_seconds": told.get(str(item["id"]), {}).get("active_s"),
            "played": told.get(str(item["id"]), {}).get("played"),
        }
        for position, item in enumerate(body["clues"])
    ]
