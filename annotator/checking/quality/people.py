"""How each annotator works: private figures for those who coach, never a reason to refuse anything by themselves."""

from typing import Any

from annotator.clips.models import Corpus

from ..answers import CAUGHT
from ..gate_figures import wilson
from .said import SAID, rounded, rows

# Silent reading of texts aloud-able at a glance: 228 English words and 255 Chinese characters a minute
# (Trauzettel-Klosinski and Dietz 2012, IReST); with 5.8 characters, the space included, to an English word.
ENGLISH_PER_S, CHINESE_PER_S = 228 * 5.8 / 60, 255 / 60
STAMP = 0.25  # of the product from which somebody is pointed out
FEW = 20  # annotations with offered clues below which nothing is said of rubber-stamping
FEW_PLANTED = 5
LOW_CATCH = 0.5

COLUMNS = (
    *("annotator", "annotations", "gold", "kept", "corrected", "rejected", "added", "untouched_share"),
    *("played_share", "active_median_s", "active_hours", "returned", "catch", "caught", "planted", "catch_low"),
    *("catch_high", "stamp", "unplayed", "speed", "flags"),
)

_PEOPLE = f"""
    WITH {SAID}, one AS (
      SELECT said.id, said.user_id, said.kind, said.active_seconds, said.played_share, said.duration,
        count("check".clue_id) AS offered,
        count(*) FILTER (WHERE "check".verdict = 'kept') AS kept,
        count(*) FILTER (WHERE "check".verdict = 'corrected') AS corrected,
        count(*) FILTER (WHERE "check".verdict = 'rejected') AS rejected,
        count(*) FILTER (WHERE "check".verdict = 'added') AS added,
        sum(length("check".text) / CASE "check".language WHEN 'zh' THEN %(zh)s ELSE %(en)s END)
          FILTER (WHERE "check".clue_id IS NOT NULL) AS reading
      FROM said LEFT JOIN checking_check "check" ON "check".annotation_id = said.id
      GROUP BY said.id, said.user_id, said.kind, said.active_seconds, said.played_share, said.duration
    ), each AS (
      SELECT *, offered > 0 AND kept = offered AND added = 0 AS untouched,
        CASE WHEN COALESCE(duration, 0) + COALESCE(reading, 0) > 0 THEN
          1 - least(1, active_seconds / (COALESCE(duration, 0) + COALESCE(reading, 0))) END AS hurry
      FROM one
    ), returned AS (
      SELECT annotation.user_id, count(*) AS n FROM checking_review review
        JOIN checking_annotation annotation ON annotation.id = review.annotation_id
        JOIN checking_claim lease ON lease.id = review.claim_id
      WHERE lease.corpus_id = %(corpus)s AND review.decision = 'return'
        AND review.created_at >= %(since)s AND review.created_at < %(until)s
      GROUP BY 1
    ), planted AS (
      SELECT said.user_id, count(*) AS n, count(*) FILTER (WHERE "check".verdict = ANY(%(caught)s)) AS caught
      FROM said JOIN checking_plantederror error ON error.id = said.planted_id
        JOIN checking_check "check" ON "check".annotation_id = said.id AND "check".clue_id = error.clue_id
      GROUP BY 1
    )
    SELECT each.user_id, person.username AS annotator, count(*) AS annotations,
      count(*) FILTER (WHERE each.kind = 'gold') AS gold, sum(each.kept)::int AS kept,
      sum(each.corrected)::int AS corrected, sum(each.rejected)::int AS rejected, sum(each.added)::int AS added,
      count(*) FILTER (WHERE each.offered > 0) AS judged, count(*) FILTER (WHERE each.untouched) AS untouched,
      avg(each.played_share) AS played_share, avg(each.played_share) FILTER (WHERE each.untouched) AS played_untouched,
      avg(each.hurry) FILTER (WHERE each.untouched) AS speed,
      percentile_cont(0.5) WITHIN GROUP (ORDER BY each.active_seconds) AS active_median_s,
      sum(each.active_seconds) / 3600 AS active_hours, COALESCE(max(returned.n), 0) AS returned,
      COALESCE(max(planted.n), 0) AS planted, COALESCE(max(planted.caught), 0) AS caught
    FROM each JOIN accounts_user person ON person.id = each.user_id
      LEFT JOIN returned ON returned.user_id = each.user_id LEFT JOIN planted ON planted.user_id = each.user_id
    GROUP BY each.user_id, person.username ORDER BY annotations DESC, person.username
"""  # noqa: S608 - no word of anybody else's is in it


def figures(corpus: Corpus, days: int) -> list[dict[str, Any]]:
    """A row an annotator who submitted in the period, keys as in COLUMNS beside `user_id`. One query.

    `catch`: of the planted errors, the share not kept, with Wilson's interval. The rubber stamp is a product of three,
    each 0 to 1: `untouched_share` (of the annotations with offered clues, those in which every clue was kept and none
    added) x `unplayed` (1 - the mean share of the clip played in those) x `speed` (their mean of
    1 - min(1, active seconds / (clip's length + the time to read its clues)). None where the page told no time or
    playing. `flags` are codes: `stamp` from STAMP on and FEW annotations, `catch` where fewer than LOW_CATCH of
    FEW_PLANTED errors were caught.
    """
    values = {"zh": CHINESE_PER_S, "en": ENGLISH_PER_S, "caught": list(CAUGHT)}
    return [rounded(_row(row)) for row in rows(_PEOPLE, corpus, days, **values)]


def _row(row: dict[str, Any]) -> dict[str, Any]:
    judged, untouched = row.pop("judged"), row.pop("untouched")
    played = row.pop("played_untouched")
    share = untouched / judged if judged else None
    unplayed = None if played is None else 1 - played
    stamp = None
    if share is not None:
        known = unplayed is not None and row["speed"] is not None
        stamp = share * unplayed * row["speed"] if known else 0.0 if share == 0 else None
    low, high = wilson(row["caught"], row["planted"]) or (None, None)
    catch = row["caught"] / row["planted"] if row["planted"] else None
    flags = []
    if stamp is not None and stamp >= STAMP and judged >= FEW:
        flags.append("stamp")
    if catch is not None and row["planted"] >= FEW_PLANTED and catch < LOW_CATCH:
        flags.append("catch")
    return {
        **row,
        "untouched_share": share,
        "unplayed": unplayed,
        "stamp": stamp,
        "catch": catch,
        "catch_low": low,
        "catch_high": high,
        "flags": flags,
    }
