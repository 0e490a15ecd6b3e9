"""The words with which a corpus names emotions: OV labels of its fine records, with the lexicon's synonyms.

Counted are curated records only, and only of clips that no annotator works at or waits for, gold clips included: what
somebody chose for a clip shows to nobody who may still annotate it.
"""

import hashlib
import json
import time
from dataclasses import dataclass
from typing import Any

from django.db import connection

from annotator.clips.models import Corpus
from models_ml.metrics.lexicon import group_of, groups

LATEST = 20_000  # records that are counted, the latest first: reading each of a large corpus would take seconds
FRESH_S = 60.0  # a count is used so long
WORDS = 2_000  # per language, the most used: what a page can search while somebody types


@dataclass(frozen=True)
class Vocabulary:
    """`words` as `/vocabulary/` answers, `etag` of its content."""

    words: dict[str, Any]
    etag: str
    counted_at: float


_counted: dict[int, Vocabulary] = {}

_SQL = """
WITH latest AS (
  SELECT revision.line FROM checking_record record
  JOIN checking_recordrevision revision ON revision.id = record.current_id
  JOIN clips_clip clip ON clip.id = record.clip_id AND clip.withdrawn_at IS NULL
  WHERE record.corpus_id = %s AND record.grade = 'fine' AND NOT EXISTS (
    SELECT 1 FROM checking_slot slot
    WHERE slot.clip_id = record.clip_id AND slot.kind IN ('annotate', 'gold') AND slot.state IN ('open', 'claimed'))
  AND NOT EXISTS (
    SELECT 1 FROM checking_golditem gold WHERE gold.clip_id = record.clip_id AND gold.active
      AND gold.purpose <> 'example')
  ORDER BY record.id DESC LIMIT %s
), parsed AS (
  SELECT (line::jsonb)->'ov_labels' AS labels FROM latest
)
SELECT language, lower(word), count(*), (SELECT count(*) FROM latest) FROM parsed
CROSS JOIN (VALUES ('zh'), ('en')) AS spoken (language)
CROSS JOIN jsonb_array_elements_text(labels->language) AS word
GROUP BY 1, 2 ORDER BY 3 DESC, lower(word) COLLATE "C"
"""


def of_corpus(corpus: Corpus) -> Vocabulary:
    """`{"records", "groups": [{"name", "zh": [{"word", "count"}], "en": […]}]}`, the most used group first; words of
    one group are synonyms (`models_ml.metrics.lexicon`), and a word that it does not know is a group of its own without
    a name. At most a minute old."""
    known = _counted.get(corpus.pk)
    if known is None or time.monotonic() - known.counted_at > FRESH_S:
        words = _grouped(_count(corpus.pk))
        packed = json.dumps(words, ensure_ascii=False, sort_keys=True)
        etag = f'"{hashlib.sha256(packed.encode()).hexdigest()[:24]}"'
        known = _counted[corpus.pk] = Vocabulary(words, etag, time.monotonic())
    return known


def _count(corpus_id: int) -> list[tuple[str, str, int, int]]:
    with connection.cursor() as cursor:
        cursor.execute(_SQL, [corpus_id, LATEST])
        return list(cursor.fetchall())


def _grouped(rows: list[tuple[str, str, int, int]]) -> dict[str, Any]:
    used: dict[str, dict[str, int]] = {"zh": {}, "en": {}}
    for language, word, count, _records in rows:
        if len(used[language]) < WORDS:
            used[language][word] = count
    found: list[dict[str, Any]] = []
    for name, words in groups().items():
        # The lexicon's own order is from the plainest word on: it decides between words that are used alike.
        listed = {language: _ordered(words[language], used[language]) for language in ("zh", "en")}
        found.append({"name": name, **listed})
    known = group_of()
    for language, other in (("zh", "en"), ("en", "zh")):
        for word, count in used[language].items():
            if word not in known:
                found.append({"name": "", language: [{"word": word, "count": count}], other: []})
    found.sort(key=lambda group: -sum(item["count"] for side in ("zh", "en") for item in group[side]))
    return {"records": rows[0][3] if rows else 0, "groups": found}


def _ordered(words: list[str], used: dict[str, int]) -> list[dict[str, Any]]:
    return [{"word": word, "count": used.get(word, 0)} for word in sorted(words, key=lambda word: -used.get(word, 0))]
