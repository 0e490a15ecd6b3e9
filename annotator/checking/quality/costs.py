"""What an accepted record costs: people's active time, the money it stands for, and the pre-labels."""

from typing import Any

from annotator.clips.models import Corpus

from ..models import CheckingRules
from .said import rounded, rows

COLUMNS = (*("prelabeller", "records", "told", "minutes", "people_money", "prelabel_money", "money", "currency"),)

# Accepted: the clip got its fine record from people in the period. Its time is that of every annotation that it took.
_ACCEPTED = """
    accepted AS (
      SELECT record.clip_id FROM checking_record record
        JOIN clips_clip clip ON clip.id = record.clip_id AND clip.withdrawn_at IS NULL
      WHERE record.corpus_id = %(corpus)s AND record.grade = 'fine'
        AND record.created_at >= %(since)s AND record.created_at < %(until)s
        AND EXISTS (SELECT 1 FROM checking_recordrevision revision
          WHERE revision.record_id = record.id AND revision.annotation_id IS NOT NULL)
    ), last AS (
      SELECT said.id, said.clip_id, said.active_seconds FROM accepted
        JOIN checking_annotation said ON said.clip_id = accepted.clip_id
        JOIN checking_claim lease ON lease.id = said.claim_id AND lease.state = 'submitted'
        JOIN checking_slot slot ON slot.id = lease.slot_id AND slot.kind = 'annotate'
      WHERE NOT EXISTS (SELECT 1 FROM checking_annotation later
        WHERE later.claim_id = said.claim_id AND later.revision > said.revision)
    ), took AS (
      SELECT clip_id, sum(active_seconds) AS seconds, bool_and(active_seconds IS NOT NULL) AS told FROM last GROUP BY 1
    )
"""
_ALL = f"""
    WITH {_ACCEPTED}, paid AS (
      SELECT sum(job.cost) AS cost FROM prelabels_job job JOIN accepted ON accepted.clip_id = job.clip_id
    )
    SELECT '' AS prelabeller, count(*) AS records, count(*) FILTER (WHERE told) AS told,
      avg(seconds) FILTER (WHERE told) AS seconds, COALESCE((SELECT cost FROM paid), 0) / NULLIF(count(*), 0) AS paid
    FROM accepted LEFT JOIN took USING (clip_id)
"""  # noqa: S608 - no word of anybody else's is in it
_EACH = f"""
    WITH {_ACCEPTED}, used AS (
      SELECT DISTINCT last.clip_id, clue.prelabeller_id, clue.job_id FROM last
        JOIN checking_check "check" ON "check".annotation_id = last.id
        JOIN prelabels_clue clue ON clue.id = "check".clue_id
    ), clips AS (
      SELECT used.clip_id, used.prelabeller_id, COALESCE(sum(job.cost), 0) AS paid
      FROM used LEFT JOIN prelabels_job job ON job.id = used.job_id GROUP BY 1, 2
    )
    SELECT COALESCE(drafted.name, '-') AS prelabeller, count(*) AS records, count(*) FILTER (WHERE told) AS told,
      avg(seconds) FILTER (WHERE told) AS seconds, avg(COALESCE(clips.paid, 0)) AS paid
    FROM accepted LEFT JOIN took USING (clip_id) LEFT JOIN clips USING (clip_id)
      LEFT JOIN prelabels_prelabeller drafted ON drafted.id = clips.prelabeller_id
    GROUP BY drafted.name ORDER BY drafted.name NULLS FIRST
"""  # noqa: S608


def figures(corpus: Corpus, days: int) -> dict[str, Any]:
    """`{"rate", "currency", "all": row, "prelabellers": [row]}`, keys of a row as in COLUMNS, each per accepted record.

    `minutes`: active time of all annotations that the record's clip took, over the `told` records whose pages all told
    it; `people_money` = minutes/60 x the corpus' hourly rate; `prelabel_money` = what the jobs were charged: for all,
    every job on the clip, for a pre-labeller its own that led to clues that people judged. A clip counts for each
    pre-labeller used on it; "-" are records without any. Reviewers' time is not measured. Money is None without a
    rate. Three queries.
    """
    rules = CheckingRules.objects.filter(corpus_id=corpus.pk).only("hourly_rate", "currency").first()
    rate = float(rules.hourly_rate) if rules and rules.hourly_rate is not None else None
    currency = rules.currency if rules else "USD"
    every = _row(rows(_ALL, corpus, days)[0], rate, currency)
    each = [_row(row, rate, currency) for row in rows(_EACH, corpus, days)]
    return rounded({"rate": rate, "currency": currency, "all": every, "prelabellers": each})


def _row(row: dict[str, Any], rate: float | None, currency: str) -> dict[str, Any]:
    minutes = None if row["seconds"] is None else row["seconds"] / 60
    people = None if rate is None or minutes is None else minutes / 60 * rate
    paid = float(row["paid"]) if row["paid"] is not None else None
    return {
        "prelabeller": row["prelabeller"],
        "records": row["records"],
        "told": row["told"],
        "minutes": minutes,
        "people_money": people,
        "prelabel_money": paid,
        "money": None if people is None or paid is None else people + paid,
        "currency": currency,
    }
