"""The evidence gate compared with people: per kind of claim, what it said and what annotators did with the clue.

A clue that a person rejected, or corrected so that the words of the claim are gone, counts as removed; one that was
kept, or corrected around those words, as left. "Contradicted" is judged as a detector of what people remove.
"""

import math
from typing import Any

from django.db import connection

from annotator.clips.models import Corpus
from annotator.prelabels import gate_words
from annotator.prelabels.gate_words import ORDER

DONE = ("kept", "corrected", "rejected")
FEW = 20  # decisions below which a share says little; the interval says how little
COLUMNS = (
    *("claim", "claims", *ORDER, "decided"),
    *(f"{verdict}_{did}" for verdict in ORDER for did in ("removed", "left")),
    *("precision", "precision_low", "precision_high", "recall", "recall_low", "recall_high", "few"),
)
Z = 1.959963984540054  # of the normal distribution, for 95 %

# The last version that each annotator submitted, gold clips apart (the gate never judged a planted error); a
# correction into another language says nothing of the words.
_CHECKS = """
    decisions AS (
      SELECT DISTINCT ON (annotation.claim_id, "check".clue_id) "check".clue_id, "check".verdict AS did,
        lower("check".text) AS said, "check".language
      FROM checking_check "check"
        JOIN checking_annotation annotation ON annotation.id = "check".annotation_id
        JOIN checking_claim lease ON lease.id = annotation.claim_id AND lease.state = 'submitted'
        JOIN checking_slot slot ON slot.id = lease.slot_id AND slot.kind = 'annotate'
        JOIN clips_clip clip ON clip.id = annotation.clip_id
      WHERE clip.corpus_id = %(corpus)s AND clip.withdrawn_at IS NULL AND "check".clue_id IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM checking_annotation later
          WHERE later.claim_id = annotation.claim_id AND later.revision > annotation.revision)
      ORDER BY annotation.claim_id, "check".clue_id
    )
"""
_ITEMS = "jsonb_array_elements(CASE jsonb_typeof(clue.gate) WHEN 'array' THEN clue.gate END)"
_BY_CLAIM = f"""
    WITH {_CHECKS},
    held AS (
      SELECT item ->> 'claim' AS claim, item ->> 'verdict' AS verdict, decisions.did,
        CASE decisions.did WHEN 'kept' THEN false WHEN 'rejected' THEN true
          ELSE CASE WHEN decisions.language = clue.language
                    THEN strpos(decisions.said, lower(item ->> 'text')) = 0 END
        END AS removed
      FROM decisions JOIN prelabels_clue clue ON clue.id = decisions.clue_id CROSS JOIN LATERAL {_ITEMS} item
    )
    SELECT item ->> 'claim' AS claim, item ->> 'verdict' AS verdict, 'claims' AS what, count(*)
      FROM prelabels_clue clue JOIN clips_clip clip ON clip.id = clue.clip_id CROSS JOIN LATERAL {_ITEMS} item
      WHERE clip.corpus_id = %(corpus)s AND clip.withdrawn_at IS NULL AND clue.superseded_at IS NULL GROUP BY 1, 2
    UNION ALL SELECT claim, verdict, did, count(*) FROM held GROUP BY 1, 2, 3
    UNION ALL SELECT claim, verdict, CASE WHEN removed THEN 'removed' ELSE 'left' END, count(*)
      FROM held WHERE removed IS NOT NULL GROUP BY 1, 2, 3
"""  # noqa: S608 - no word of anybody else's is in it
_BY_CLUE = f"""
    WITH {_CHECKS}
    SELECT clue.gate @> '[{{"verdict": "contradicted"}}]' AS alarm, decisions.did, count(*)
      FROM decisions JOIN prelabels_clue clue ON clue.id = decisions.clue_id
      WHERE jsonb_typeof(clue.gate) = 'array' AND clue.gate <> '[]' GROUP BY 1, 2
"""  # noqa: S608


def comparison(corpus: Corpus) -> dict[str, Any]:
    """What GET /corpora/{slug}/gate/ answers, by three queries however many clues there are.

    `gating.progress`, and `rows`: one a kind of claim, keys as in COLUMNS, with what people did by verdict under
    `people` · `all`: the same over all kinds · `whole_clues`: where one alarm is enough and any correction counts.
    """
    from annotator.prelabels import gating

    with connection.cursor() as cursor:
        cursor.execute(_BY_CLAIM, {"corpus": corpus.pk})
        counted = cursor.fetchall()
        cursor.execute(_BY_CLUE, {"corpus": corpus.pk})
        by_clue = {(alarm, did): n for alarm, did, n in cursor.fetchall()}
    counts: dict[str, dict[tuple[str, str], int]] = {}
    total: dict[tuple[str, str], int] = {}
    for claim, verdict, what, n in counted:
        counts.setdefault(claim, {})[verdict, what] = n
        total[verdict, what] = total.get((verdict, what), 0) + n
    order = [*gate_words.claims(), *sorted(set(counts) - set(gate_words.claims()))]
    return {
        "corpus": corpus.slug,
        **gating.progress(corpus),
        "rows": [_row(claim, counts[claim]) for claim in order if claim in counts],
        "all": _row("", total),
        "whole_clues": _whole(by_clue),
    }


def _row(claim: str, found: dict[tuple[str, str], int]) -> dict[str, Any]:
    row: dict[str, Any] = {"claim": claim, "claims": sum(n for (_v, what), n in found.items() if what == "claims")}
    row |= {verdict: found.get((verdict, "claims"), 0) for verdict in ORDER}
    people = {verdict: {did: found.get((verdict, did), 0) for did in DONE} for verdict in ORDER}
    row["decided"] = sum(n for did in people.values() for n in did.values())
    for verdict in ORDER:
        for did in ("removed", "left"):
            row[f"{verdict}_{did}"] = found.get((verdict, did), 0)
    removed = sum(row[f"{verdict}_removed"] for verdict in ORDER)
    hits, alarms = row["contradicted_removed"], row["contradicted_removed"] + row["contradicted_left"]
    return row | _detector(hits, alarms, removed) | {"people": people}


def _whole(found: dict[tuple[bool, str], int]) -> dict[str, Any]:
    people = {
        name: {did: found.get((alarm, did), 0) for did in DONE} for name, alarm in (("alarm", True), ("quiet", False))
    }
    changed = {name: did["corrected"] + did["rejected"] for name, did in people.items()}
    alarms = sum(people["alarm"].values())
    return {"people": people, "decided": alarms + sum(people["quiet"].values())} | _detector(
        changed["alarm"], alarms, sum(changed.values())
    )


def _detector(hits: int, alarms: int, removed: int) -> dict[str, Any]:
    """Precision hits/alarms and recall hits/removed with Wilson's intervals; None where there is nothing to divide."""
    found: dict[str, Any] = {}
    for name, n in (("precision", alarms), ("recall", removed)):
        low, high = wilson(hits, n) or (None, None)
        found |= {name: round(hits / n, 4) if n else None, f"{name}_low": low, f"{name}_high": high}
    return found | {"few": min(alarms, removed) < FEW}


def wilson(hits: int, n: int) -> tuple[float, float] | None:
    """The 95 % score interval of a share (Wilson 1927, J. Am. Stat. Assoc. 22:209); None for n = 0."""
    if n == 0:
        return None
    share = hits / n
    middle = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    return round(max(0.0, middle - half), 4), round(min(1.0, middle + half), 4)
