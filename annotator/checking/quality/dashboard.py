"""How far a corpus is and how its queue is: progress, throughput, when it will be done, what waits and for how long."""

from datetime import date, timedelta
from typing import Any

from django.db import connection
from django.db.models import Count
from django.utils import timezone

from annotator.clips.models import Corpus, Flag

from ..models import Claim, Record, Slot
from .said import rows, since

BASIS = 7  # days whose mean throughput the estimate goes on with
LONGEST = 366  # days that a chart shows at most

_DAYS = """
    WITH done AS (
      SELECT 'annotations' AS what, said.submitted_at AS at FROM checking_annotation said
        JOIN checking_claim lease ON lease.id = said.claim_id
        JOIN checking_slot slot ON slot.id = lease.slot_id AND slot.kind = 'annotate'
      WHERE lease.corpus_id = %(corpus)s AND said.submitted_at >= %(since)s AND said.revision = 1
      UNION ALL SELECT 'reviews', review.created_at FROM checking_review review
        JOIN checking_claim lease ON lease.id = review.claim_id
      WHERE lease.corpus_id = %(corpus)s AND review.created_at >= %(since)s
      UNION ALL SELECT 'records', record.created_at FROM checking_record record
      WHERE record.corpus_id = %(corpus)s AND record.grade = 'fine' AND record.created_at >= %(since)s
    )
    SELECT (at AT TIME ZONE %(zone)s)::date AS date, what, count(*) AS n FROM done GROUP BY 1, 2
"""
_QUEUE = """
    SELECT
      (SELECT count(*) FROM checking_claim WHERE corpus_id = %(corpus)s AND state = 'live') AS live,
      (SELECT count(*) FROM checking_claim WHERE corpus_id = %(corpus)s AND state = 'live'
        AND lease_end < statement_timestamp()) AS overdue,
      (SELECT min(created_at) FROM checking_claim WHERE corpus_id = %(corpus)s AND state = 'live') AS oldest_live,
      (SELECT count(*) FROM checking_claim WHERE corpus_id = %(corpus)s AND state = 'returned') AS returned,
      (SELECT min(updated_at) FROM checking_claim WHERE corpus_id = %(corpus)s AND state = 'returned')
        AS oldest_returned,
      (SELECT min(said.submitted_at) FROM checking_slot slot
        JOIN checking_annotation said ON said.clip_id = slot.clip_id
        WHERE slot.corpus_id = %(corpus)s AND slot.kind = 'review' AND slot.state = 'open') AS oldest_review
"""


def figures(corpus: Corpus, days: int) -> dict[str, Any]:
    """`{progress, throughput, eta, queue}`: counts of slots by kind and state and of records; per day annotations
    (first versions), reviews and fine records; what is left at the mean of the last BASIS days; what waits."""
    slots: dict[str, dict[str, int]] = {}
    for kind, state, n in (
        Slot.objects.filter(corpus=corpus).values_list("kind", "state").annotate(n=Count("id")).order_by()
    ):
        slots.setdefault(kind, {})[state] = n
    fine = Record.objects.filter(corpus=corpus, grade="fine", clip__withdrawn_at=None).count()
    daily = throughput(corpus, days)
    annotate, review = slots.get("annotate", {}), slots.get("review", {})
    todo = {
        "annotations": annotate.get("open", 0) + annotate.get("claimed", 0),
        "reviews": review.get("open", 0) + review.get("claimed", 0),
    }
    recent = daily[-BASIS:] if len(daily) >= BASIS else throughput(corpus, BASIS)
    return {
        "progress": {"slots": slots, "fine": fine, "clips": corpus.clips.filter(withdrawn_at=None).count()},
        "throughput": daily,
        "eta": {what: _eta(left, sum(day[what] for day in recent)) for what, left in todo.items()},
        "queue": _queue(corpus, days),
    }


def throughput(corpus: Corpus, days: int) -> list[dict[str, Any]]:
    """`[{date, annotations, reviews, records}]`, a row a day up to today, days without anything included."""
    found: dict[date, dict[str, int]] = {}
    for row in rows(_DAYS, corpus, days):
        found.setdefault(row["date"], {})[row["what"]] = row["n"]
    today = timezone.localdate()
    first = min(found, default=today) if days == 0 else since(days).date()
    count = min((today - first).days + 1, LONGEST)
    empty = {"annotations": 0, "reviews": 0, "records": 0}
    dates = [today - timedelta(days=back) for back in range(count - 1, -1, -1)]
    return [{"date": day.isoformat(), **empty, **found.get(day, {})} for day in dates]


def _eta(left: int, done: int) -> dict[str, Any]:
    """`{left, per_day, days, date, basis_days}`; days and date are None where nothing was done lately."""
    per_day = done / BASIS
    days = 0 if left == 0 else -(-left * BASIS // done) if done else None  # rounded up
    if days is not None and days > 36_500:
        days = None  # a century says nothing
    when = None if days is None else (timezone.localdate() + timedelta(days=days)).isoformat()
    return {"left": left, "per_day": round(per_day, 2), "days": days, "date": when, "basis_days": BASIS}


def _queue(corpus: Corpus, days: int) -> dict[str, Any]:
    """What is held, overdue, returned, waiting for review; in the period expired, skipped (with reasons), flags."""
    with connection.cursor() as cursor:
        cursor.execute(_QUEUE, {"corpus": corpus.pk})
        names = [column.name for column in cursor.description or ()]
        found = dict(zip(names, cursor.fetchone() or (), strict=True))
    ended = Claim.objects.filter(corpus=corpus, state__in=["expired", "skipped", "lost"], updated_at__gte=since(days))
    by_state = dict(ended.values_list("state").annotate(n=Count("id")).order_by())
    reasons = (
        ended.filter(state="skipped").values_list("skip_reason").annotate(n=Count("id")).order_by("-n", "skip_reason")
    )
    flags = Flag.objects.filter(clip__corpus=corpus, clip__withdrawn_at=None, resolved_at=None)
    return {
        **{key: value.isoformat() if hasattr(value, "isoformat") else value for key, value in found.items()},
        **{state: by_state.get(state, 0) for state in ("expired", "skipped", "lost")},
        "skip_reasons": [{"reason": reason, "n": n} for reason, n in reasons[:10]],
        "flags": dict(flags.values_list("reason").annotate(n=Count("id")).order_by()),
    }
