"""What becomes of each pre-labeller's clues: kept, corrected, rejected, how much was changed, and why not."""

import json
import re
from typing import Any

from annotator.clips.models import Corpus

from ..gate_figures import wilson
from .said import SAID, rounded, rows

DID = ("kept", "corrected", "rejected")
EDITS = 200  # of the latest corrections of one pre-labeller, modality and aspect, the distances are measured
COLUMNS = (
    *("prelabeller", "modality", "aspect", "judged", *DID, "unseen"),
    *(f"{did}_share" for did in DID),
    *("kept_low", "kept_high", "edits", "characters", "characters_share", "words", "words_share", "reasons"),
)

_COUNTS = f"""
    WITH {SAID}
    SELECT drafted.name AS prelabeller, clue.modality, clue.aspect, "check".verdict,
      CASE WHEN "check".verdict = 'rejected' THEN split_part("check".reason, ':', 1) ELSE '' END AS reason,
      count(*) AS n,
      count(*) FILTER (WHERE "check".verdict = 'kept' AND NOT "check".played AND "check".active_seconds = 0) AS unseen
    FROM said JOIN checking_check "check" ON "check".annotation_id = said.id
      JOIN prelabels_clue clue ON clue.id = "check".clue_id
      JOIN prelabels_prelabeller drafted ON drafted.id = clue.prelabeller_id
    WHERE said.kind = 'annotate' GROUP BY 1, 2, 3, 4, 5
"""  # noqa: S608
_EDITS = f"""
    WITH {SAID}, edited AS (
      SELECT drafted.name AS prelabeller, clue.modality, clue.aspect, "check".text AS said, clue.text, clue.texts,
        clue.language, "check".language AS wrote,
        row_number() OVER (PARTITION BY drafted.id, clue.modality, clue.aspect ORDER BY "check".id DESC) AS place
      FROM said JOIN checking_check "check" ON "check".annotation_id = said.id AND "check".verdict = 'corrected'
        JOIN prelabels_clue clue ON clue.id = "check".clue_id
        JOIN prelabels_prelabeller drafted ON drafted.id = clue.prelabeller_id
      WHERE said.kind = 'annotate'
    )
    SELECT * FROM edited WHERE place <= %(edits)s
"""  # noqa: S608
_WORDS = re.compile(r"[㐀-鿿豈-﫿]|[^\W㐀-鿿豈-﫿]+|[^\w\s]")


def words_of(text: str) -> list[str]:
    """A text's words: of Latin script as they are spelt, each Chinese character, each sign of punctuation."""
    return _WORDS.findall(text)


def distance(before: str, after: str) -> dict[str, float]:
    """Levenshtein's distance between two texts in characters and in words, and as shares of the longer one."""
    from rapidfuzz.distance import Levenshtein

    ours, theirs = words_of(before), words_of(after)
    return {
        "characters": Levenshtein.distance(before, after),
        "characters_share": Levenshtein.normalized_distance(before, after),
        "words": Levenshtein.distance(ours, theirs),
        "words_share": Levenshtein.normalized_distance(ours, theirs),
    }


def figures(corpus: Corpus, days: int) -> list[dict[str, Any]]:
    """A row a pre-labeller, modality and aspect, keys as in COLUMNS; the interval of kept is Wilson's. Two queries.

    `unseen`: kept though neither played nor looked at, where the page told; distances are means over at most EDITS of
    the latest corrections in a language that the clue was rendered in. `reasons`: of rejections, by code.
    """
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in rows(_COUNTS, corpus, days):
        key = (row["prelabeller"], row["modality"], row["aspect"])
        one = found.setdefault(key, {**dict.fromkeys(DID, 0), "unseen": 0, "reasons": {}})
        one[row["verdict"]] += row["n"]
        one["unseen"] += row["unseen"]
        if row["reason"]:
            one["reasons"][row["reason"]] = one["reasons"].get(row["reason"], 0) + row["n"]
    edits: dict[tuple[str, str, str], list[dict[str, float]]] = {}
    for row in rows(_EDITS, corpus, days, edits=EDITS):
        texts = (json.loads(row["texts"]) if isinstance(row["texts"], str) else row["texts"]) or {}
        before = {**texts, row["language"]: row["text"]}.get(row["wrote"])
        if before is not None and before != row["said"]:
            key = (row["prelabeller"], row["modality"], row["aspect"])
            edits.setdefault(key, []).append(distance(before, row["said"]))
    return [
        rounded({"prelabeller": key[0], "modality": key[1], "aspect": key[2], **_row(one, edits.get(key, []))})
        for key, one in sorted(found.items())
    ]


def _row(one: dict[str, Any], edits: list[dict[str, float]]) -> dict[str, Any]:
    judged = sum(one[did] for did in DID)
    low, high = wilson(one["kept"], judged) or (None, None)
    measures = ("characters", "characters_share", "words", "words_share")
    return {
        "judged": judged,
        **one,
        **{f"{did}_share": one[did] / judged if judged else None for did in DID},
        "kept_low": low,
        "kept_high": high,
        "edits": len(edits),
        **{name: sum(edit[name] for edit in edits) / len(edits) if edits else None for name in measures},
    }
