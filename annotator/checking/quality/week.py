"""What an annotator sees of their own work on a corpus. Gold clips stay unnamed: nobody learns which ones they are."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.utils import timezone

from annotator.clips.models import Corpus

from ..answers import label_scores
from ..models import Claim
from .said import rounded, rows, since

DAYS = (7, 28)
COMPARED = 200  # of the latest annotations, whose clips have a fine record

_DAYS = """
    SELECT (said.submitted_at AT TIME ZONE %(zone)s)::date AS date, count(*) AS clips,
      sum(said.active_seconds) / 60 AS minutes
    FROM checking_annotation said JOIN checking_claim lease ON lease.id = said.claim_id
    WHERE said.user_id = %(user)s AND lease.corpus_id = %(corpus)s AND said.submitted_at >= %(since)s
      AND NOT EXISTS (SELECT 1 FROM checking_annotation later
        WHERE later.claim_id = said.claim_id AND later.revision > said.revision)
    GROUP BY 1
"""
_RECORDS = """
    SELECT said.ov_zh, said.ov_en, revision.line::jsonb -> 'ov_labels' AS accepted
    FROM checking_annotation said
      JOIN checking_claim lease ON lease.id = said.claim_id AND lease.state = 'submitted'
      JOIN checking_slot slot ON slot.id = lease.slot_id AND slot.kind = 'annotate' AND slot.mode = ''
      JOIN clips_clip clip ON clip.id = said.clip_id AND clip.withdrawn_at IS NULL
      JOIN checking_record record ON record.clip_id = said.clip_id AND record.grade = 'fine'
      JOIN checking_recordrevision revision ON revision.id = record.current_id
    WHERE said.user_id = %(user)s AND lease.corpus_id = %(corpus)s AND said.submitted_at >= %(since)s
      AND NOT EXISTS (SELECT 1 FROM checking_annotation later
        WHERE later.claim_id = said.claim_id AND later.revision > said.revision)
    ORDER BY said.id DESC LIMIT %(compared)s
"""


def days_of(value: Any) -> int:
    """The days asked for, one of DAYS."""
    return int(str(value)) if str(value) in {str(days) for days in DAYS} else DAYS[0]


def figures(user: Any, corpus: Corpus, days: int) -> dict[str, Any]:
    """`{days, totals, agreement, returned}` of this person on this corpus.

    `days`: `[{date, clips, minutes}]`, a row a day up to today (minutes None where the page told no time) ·
    `agreement`: the set-level metric of their OV labels against the accepted records of their clips,
    `{n, accuracy, recall, avg, ci95}` · `returned`: `[{claim, clip, reason, since}]`, what waits for them. Three
    queries.
    """
    found = {row["date"]: row for row in rows(_DAYS, corpus, days, user=user.pk)}
    today = timezone.localdate()
    daily = []
    for back in range(days - 1, -1, -1):
        day = today - timedelta(days=back)
        row = found.get(day, {"clips": 0, "minutes": None})
        daily.append({"date": day.isoformat(), "clips": row["clips"], "minutes": row["minutes"]})
    told = [day["minutes"] for day in daily if day["minutes"] is not None]
    waiting = Claim.objects.filter(user_id=user.pk, corpus=corpus, state="returned").select_related("clip")
    return rounded(
        {
            "since": since(days).date().isoformat(),
            "days": daily,
            "totals": {
                "clips": sum(day["clips"] for day in daily),
                "minutes": sum(told) if told else None,
                "active_days": sum(1 for day in daily if day["clips"]),
            },
            "agreement": _agreement(rows(_RECORDS, corpus, days, user=user.pk, compared=COMPARED)),
            "returned": [
                {
                    "claim": claim.pk,
                    "clip": claim.clip.name,
                    "reason": claim.return_reason,
                    "since": claim.updated_at.isoformat(),
                }
                for claim in waiting.order_by("updated_at")[:50]
            ],
        }
    )


def _agreement(answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    from models_ml.metrics.agreement import interval

    scores = []
    for row in answers:
        accepted = json.loads(row["accepted"])
        said = {key: json.loads(row[f"ov_{key}"]) for key in ("zh", "en")}
        if (found := label_scores(accepted, said)) is not None:
            scores.append(found)
    mean = {
        key: sum(one[key] for one in scores) / len(scores) if scores else None for key in ("accuracy", "recall", "avg")
    }
    return {"n": len(scores), **mean, "ci95": interval([one["avg"] for one in scores])}
