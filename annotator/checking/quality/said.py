"""What people said of a corpus' clips in a period: the one table that every figure of quality is counted from."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.utils import timezone

from annotator.clips.models import Corpus

PERIODS = (7, 30, 90, 0)  # days; 0 is everything
DEFAULT = 30

# The last version that each annotator submitted, of clips that were not withdrawn. `kind` is annotate or gold.
SAID = """
    said AS (
      SELECT said.id, said.claim_id, said.clip_id, said.user_id, said.label, said.ov_zh, said.ov_en,
        said.active_seconds, said.played_share, said.submitted_at, lease.arm, lease.planted_id, slot.kind, slot.mode,
        clip.duration
      FROM checking_annotation said
        JOIN checking_claim lease ON lease.id = said.claim_id AND lease.state = 'submitted'
        JOIN checking_slot slot ON slot.id = lease.slot_id AND slot.kind IN ('annotate', 'gold')
        JOIN clips_clip clip ON clip.id = said.clip_id AND clip.withdrawn_at IS NULL
      WHERE lease.corpus_id = %(corpus)s AND said.submitted_at >= %(since)s AND said.submitted_at < %(until)s
        AND NOT EXISTS (SELECT 1 FROM checking_annotation later
          WHERE later.claim_id = said.claim_id AND later.revision > said.revision)
    )
"""


def period(value: Any) -> int:
    """The days that somebody asked for, one of PERIODS; DEFAULT where they asked for anything else."""
    text = str(value)
    return int(text) if text in {str(days) for days in PERIODS} else DEFAULT


def since(days: int, now: datetime | None = None) -> datetime:
    """The first moment of the period: midnight here, `days` - 1 days ago, so that today is one of them."""
    if days == 0:
        return datetime(2000, 1, 1, tzinfo=timezone.get_current_timezone())
    today = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=days - 1)


def until() -> datetime:
    """The end of every period: an hour from now, since clocks of a database and a web server differ."""
    return timezone.now() + timedelta(hours=1)


def rows(sql: str, corpus: Corpus, days: int, **more: Any) -> list[dict[str, Any]]:
    """The rows of a statement over SAID (write `WITH {SAID}` at its head) as dictionaries."""
    values: dict[str, Any] = {
        "corpus": corpus.pk,
        "since": since(days),
        "until": until(),
        "zone": timezone.get_current_timezone_name(),
    }
    with connection.cursor() as cursor:
        cursor.execute(sql, {**values, **more})
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def one_language(answers: Sequence[dict[str, Any]]) -> list[list[str]]:
    """The OV labels of several answers to one clip in one language: English where all who answered have it, else
    Chinese, else both together (the lexicon knows that 生气 is angry). JSON text or lists."""
    import json

    read = [
        {key: json.loads(value) if isinstance(value := answer[key], str) else value for key in ("ov_en", "ov_zh")}
        for answer in answers
    ]
    told = [answer for answer in read if answer["ov_en"] or answer["ov_zh"]]
    for key in ("ov_en", "ov_zh"):
        if told and all(answer[key] for answer in told):
            return [list(answer[key]) for answer in read]
    return [[*answer["ov_en"], *answer["ov_zh"]] for answer in read]


def rounded(value: Any) -> Any:
    """Floats with 4 decimals, whatever holds them: what a report keeps and a table shows."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return value
