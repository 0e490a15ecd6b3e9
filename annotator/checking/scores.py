"""Which clips a person's look is worth most: the active-learning score of open slots (docs/rules.md).

score = the mean of those parts of a clip that are known, each from 0 to 1, rounded to 4 decimals; 0 where none is:
- disagreement between pre-labellers: 1 minus the similarity of what two of them say in one modality and aspect, over
  all such pairs. What a clue says: the claims that the gate reads in it, and its emotion words grouped by the lexicon.
  Similarity: the mean of accuracy and recall of the set-level metric (arXiv 2407.07653, equations 1 to 3).
- contradiction: the share of contradicted ones among the claims that the gate could measure.
- uncertainty: 1 minus the confidence that a model gave with its clue (`confidence`, 0 to 1, or exp of `logprob`, the
  mean log probability of its tokens, in the clue's provenance).
It depends on the clues alone: the same clues give the same score.
"""

import itertools
import math
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.db import connection, transaction
from kombu.exceptions import OperationalError as BrokerError

from annotator.celery import app
from annotator.clips.models import Clip, Corpus
from annotator.prelabels.models import Clue

from . import queue
from .models import CheckingRules, Slot

TASK = "annotator.checking.tasks.score"
CHUNK = 1_000  # clips scored in one transaction
COLUMNS = ("clip_id", "prelabeller_id", "modality", "aspect", "text", "codes", "gate", "provenance")
logger = structlog.get_logger(__name__)


@dataclass
class Parts:
    """What a clip's score is made of; None is not known."""

    disagreement: float | None = None
    contradiction: float | None = None
    uncertainty: float | None = None
    clues: int = field(default=0, compare=False)

    @property
    def score(self) -> float:
        known = [part for part in (self.disagreement, self.contradiction, self.uncertainty) if part is not None]
        return round(sum(known) / len(known), 4) if known else 0.0


def said(text: str, modality: str, verdicts: Sequence[Any] | None) -> frozenset[str]:
    """What a clue says, as a set: its claims (by the gate's verdicts, else read anew) and its emotion words."""
    from models_ml.gate.judge import read
    from models_ml.metrics.lexicon import group_of, lexicon_labels

    if verdicts:
        claims = [(each["claim"], each["negated"], each["who"]) for each in verdicts]
    else:
        claims = [(claim.claim, claim.negated, claim.who) for claim in read(text, modality)]
    words = {f"{'no ' if negated else ''}{claim} {who}" for claim, negated, who in claims if claim != "quote"}
    known = group_of()
    return frozenset(words | {f"emotion {known.get(label, label)}" for label in lexicon_labels(text)})


def similarity(one: frozenset[str], other: frozenset[str]) -> float | None:
    """Mean of accuracy and recall of one set against the other, 0 to 1; None where neither says anything."""
    if not one and not other:
        return None
    if not one or not other:
        return 0.0
    both = len(one & other)
    return (both / len(one) + both / len(other)) / 2


def parts_of(clues: Iterable[dict[str, Any]]) -> Parts:
    """The parts of one clip's score from its current clues (rows of COLUMNS)."""
    groups: dict[tuple[str, str], list[tuple[int, frozenset[str]]]] = defaultdict(list)
    measured, contradicted, doubts, n = 0, 0, [], 0
    for clue in clues:
        n += 1
        verdicts = None if clue["codes"] else clue["gate"]
        groups[clue["modality"], clue["aspect"]].append(
            (clue["prelabeller_id"], said(clue["text"], clue["modality"], verdicts))
        )
        for verdict in clue["gate"] or ():
            measured += verdict["verdict"] in ("supported", "contradicted")
            contradicted += verdict["verdict"] == "contradicted"
        if (sure := confidence(clue["provenance"] or {})) is not None:
            doubts.append(1 - sure)
    alike = [
        found
        for group in groups.values()
        for (one, says), (other, says_too) in itertools.combinations(group, 2)
        if one != other and (found := similarity(says, says_too)) is not None
    ]
    return Parts(
        disagreement=1 - sum(alike) / len(alike) if alike else None,
        contradiction=contradicted / measured if measured else None,
        uncertainty=sum(doubts) / len(doubts) if doubts else None,
        clues=n,
    )


def confidence(provenance: dict[str, Any]) -> float | None:
    """How sure a model said it was of a clue, 0 to 1; None where it did not."""
    sure, logprob = provenance.get("confidence"), provenance.get("logprob")
    if isinstance(sure, int | float) and not isinstance(sure, bool) and 0 <= sure <= 1:
        return float(sure)
    if isinstance(logprob, int | float) and not isinstance(logprob, bool) and logprob <= 0:
        return math.exp(logprob)
    return None


def score_chunk(corpus: Corpus, after: int = 0, size: int = CHUNK) -> tuple[int | None, int]:
    """Score the next clips behind `after` that have work left: (last clip's id, None at the end; slots changed)."""
    rows = Slot.objects.filter(corpus=corpus, kind="annotate", state__in=["open", "claimed"], clip_id__gt=after)
    ids = list(rows.order_by("clip_id").values_list("clip_id", flat=True).distinct()[:size])
    if not ids:
        return None, 0
    clues: dict[int, list[dict[str, Any]]] = {pk: [] for pk in ids}
    current = Clue.objects.filter(clip_id__in=ids, superseded_at=None).order_by("clip_id", "id")
    for clue in current.values(*COLUMNS):
        clues[clue["clip_id"]].append(clue)
    values = [parts_of(clues[pk]).score for pk in ids]
    with transaction.atomic():
        changed = _write(ids, values)
        if changed:
            queue.forget_places(corpus.pk)
    return (ids[-1] if len(ids) == size else None), changed


def _write(ids: list[int], values: list[float]) -> int:
    """Rows are locked by their ids in order, so that two who score at once wait and never deadlock."""
    table = Slot._meta.db_table
    sql = f"""
        WITH scored AS (SELECT * FROM unnest(%s::bigint[], %s::float8[]) AS s(clip_id, score)),
        held AS (
          SELECT slot.id, scored.score FROM {table} slot JOIN scored ON scored.clip_id = slot.clip_id
          WHERE slot.kind = 'annotate' AND slot.state IN ('open', 'claimed', 'closed') AND slot.score <> scored.score
          ORDER BY slot.id FOR NO KEY UPDATE OF slot
        )
        UPDATE {table} slot SET score = held.score FROM held WHERE held.id = slot.id
    """  # noqa: S608 - table names only
    with connection.cursor() as cursor:
        cursor.execute(sql, [ids, values])
        return cursor.rowcount


def score_corpus(corpus: Corpus, *, seconds: float | None = None, after: int = 0) -> tuple[int | None, int]:
    """Score chunk by chunk until the end, or until the time is over: (where to go on, slots changed)."""
    until = time.monotonic() + seconds if seconds is not None else None
    changed, place = 0, after
    while True:
        last, n = score_chunk(corpus, place)
        changed += n
        if last is None:
            return None, changed
        place = last
        if until is not None and time.monotonic() > until:
            return place, changed


def clear(corpus: Corpus) -> int:
    """Back to the order of age; returns how many slots had a score."""
    return Slot.objects.filter(corpus=corpus).exclude(score=0).update(score=0)


def is_on(corpus_id: int) -> bool:
    """Whether the corpus hands out by score."""
    return CheckingRules.objects.filter(corpus_id=corpus_id, order="active").exists()


def send(corpus_id: int, after: int = 0) -> None:
    """Ask a worker to score a corpus; where the broker is down, the scheduler's turn after a run does."""
    try:
        app.send_task(TASK, args=[corpus_id, after], queue="celery", retry=False)
    except (OSError, BrokerError) as error:
        logger.warning("broker does not answer; scores follow with the scheduler's turn", error=str(error))


def parts_for(clip: Clip) -> Parts:
    """The parts of one clip's score as its clues are now."""
    return parts_of(Clue.objects.filter(clip=clip, superseded_at=None).order_by("id").values(*COLUMNS))
