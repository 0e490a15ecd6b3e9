"""The evidence gate at work: a drafted clue is held against its clip's measurements before a person sees it.

Clues are judged in the transaction that stores them. What could not be (an older version of the gate, evidence that
came or changed later: triggers take the verdict back) is judged by `judge_pending`, in chunks, from the sweeper, the
page's button or `manage.py gate`. A clue's `gate_version` says which gate judged it, "" that none has.

Reading what a clue claims and opening a track is most of the work; it is done before the transaction (`read_ahead`),
and remembered.
"""

import json
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext as _
from kombu.exceptions import OperationalError as BrokerError

from annotator.celery import app
from annotator.clips import people
from annotator.clips.access import require
from annotator.clips.models import Clip, Corpus, Subtitle
from annotator.core import audit
from annotator.core.errors import Conflict, Gone
from models_ml import gate, voice
from models_ml.face import AuTrack, AuTrackError
from models_ml.gate.judge import read as read_claims
from models_ml.steps.measured import PROSODY_VERSION

from . import tracks
from .baseline import CLIPS_OF_A_SPEAKER
from .gate_words import ORDER
from .models import Clue, ProsodyMeasures

CHUNK = 100  # pending clues whose clips are judged at a time, with the other clues of these clips
MARKED = 5000  # clues whose verdicts are taken back in one transaction
JUDGE = "annotator.prelabels.tasks.judge_clues"
Verdict = dict[str, Any]
_VERDICTS = """
    SELECT verdict ->> 'verdict', count(*)
    FROM prelabels_clue clue JOIN clips_clip clip ON clip.id = clue.clip_id
      CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(clue.gate) WHEN 'array' THEN clue.gate END) verdict
    WHERE clip.corpus_id = %s AND clip.withdrawn_at IS NULL AND clue.superseded_at IS NULL
    GROUP BY 1
"""
_WRITE = """UPDATE prelabels_clue clue SET gate = judged.gate::jsonb, gate_version = judged.version
    FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS judged(id, gate, version) WHERE clue.id = judged.id"""
# A speaker's first clips by their index: a corpus may hold a hundred thousand.
_SPOKEN = """
    SELECT who.corpus, who.speaker, near.id, near.measures::text
    FROM unnest(%(corpora)s::bigint[], %(speakers)s::text[]) AS who(corpus, speaker)
      CROSS JOIN LATERAL (
        SELECT clip.id, clip.name, prosody.measures
        FROM clips_clip clip JOIN prelabels_prosodymeasures prosody
          ON prosody.clip_id = clip.id AND prosody.version = %(version)s
        WHERE clip.corpus_id = who.corpus AND clip.speaker = who.speaker AND clip.speaker <> ''
          AND clip.withdrawn_at IS NULL
        ORDER BY clip.name LIMIT %(clips)s
      ) near
    ORDER BY who.corpus, who.speaker, near.name
"""
logger = structlog.get_logger(__name__)


class Facts:
    """What one clip's clues are held against. The AU track is a file, opened when a clue first speaks of a face."""

    def __init__(
        self,
        clip: Clip,
        subtitle: Mapping[str, str],
        measures: dict[str, Any] | None,
        person: dict[str, Any] | None = None,
    ) -> None:
        self.clip = clip
        self.person = person
        self.subtitle: dict[str, str | None] = {"zh": subtitle.get("zh"), "en": subtitle.get("en")}
        self.measures = measures
        self._track: AuTrack | None = None
        self._opened = False

    def track(self) -> AuTrack | None:
        """The person's action units; None where there are none and where they cannot be read."""
        if not self._opened:
            self._opened = True
            try:
                self._track = tracks.au_track(self.clip, self.person)
            except (AuTrackError, OSError, ValueError, Gone) as error:
                logger.warning("the gate cannot read an action-unit track", clip=self.clip.name, error=str(error))
        return self._track


def facts_for(clip_ids: Iterable[int], claimed: Mapping[int, set[str]] | None = None) -> dict[int, Facts]:
    """The facts of several clips by clip id, in a fixed number of queries however many there are.

    `claimed`: what is claimed in each clip; only what these claims are held against is read. All of it without.
    """
    clips = list(Clip.objects.filter(pk__in=set(clip_ids)).select_related("au_track", "corpus"))

    def those_with(codes: Collection[str]) -> list[Clip]:
        return [clip for clip in clips if claimed is None or not claimed[clip.pk].isdisjoint(codes)]

    subtitles: dict[int, dict[str, str]] = {clip.pk: {} for clip in clips}
    said = Subtitle.objects.filter(clip__in=those_with(["quote"]))
    for clip_id, language, text in said.values_list("clip_id", "language", "text"):
        subtitles[clip_id][language] = text
    measures = _measures(those_with(gate.VOICE_CODES))
    persons = people.for_clips(clip for clip in those_with(gate.FACE_UNITS) if getattr(clip, "au_track", None))
    return {clip.pk: Facts(clip, subtitles[clip.pk], measures.get(clip.pk), persons.get(clip.pk)) for clip in clips}


def _measures(clips: Sequence[Clip]) -> dict[int, dict[str, Any]]:
    """Each clip's measures against its speaker's baseline: those that its measured clue states, else those stored."""
    found: dict[int, dict[str, Any]] = {}
    stored = ProsodyMeasures.objects.filter(clip__in=clips, version=PROSODY_VERSION)
    raw = dict(stored.values_list("clip_id", "measures"))
    stated = Clue.objects.filter(clip__in=clips, superseded_at=None, codes__kind="prosody").order_by("id")
    for clip_id, codes in stated.values_list("clip_id", "codes"):
        if measures := (codes or {}).get("measures"):
            found[clip_id] = measures
    rest = [clip for clip in clips if clip.pk in raw and clip.pk not in found]
    usual = _spoken_by([clip for clip in rest if clip.speaker])
    for clip in rest:
        others = usual.get((clip.corpus_id, clip.speaker), {}) if clip.speaker else {}
        of_others = [measures for pk, measures in others.items() if pk != clip.pk][:CLIPS_OF_A_SPEAKER]
        found[clip.pk] = raw[clip.pk] | voice.against(raw[clip.pk], voice.baseline(of_others))
    return found


def _spoken_by(clips: Sequence[Clip]) -> dict[tuple[int, str], dict[int, dict[str, Any]]]:
    """(corpus, speaker) -> clip id -> stored measures, of the speaker's first clips by name (see `baseline`)."""
    if not clips:
        return {}
    wanted = sorted({(clip.corpus_id, clip.speaker) for clip in clips})
    found: dict[tuple[int, str], dict[int, dict[str, Any]]] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            _SPOKEN,
            {
                "corpora": [corpus for corpus, _speaker in wanted],
                "speakers": [speaker for _corpus, speaker in wanted],
                "version": PROSODY_VERSION,
                "clips": CLIPS_OF_A_SPEAKER + 1,
            },
        )
        for corpus, speaker, pk, measures in cursor.fetchall():
            found.setdefault((corpus, speaker), {})[pk] = json.loads(measures)
    return found


def verdicts(facts: Facts, clue: Clue) -> list[Verdict]:
    """The gate's verdicts on one clue; [] for a measured one, which would only be judged against itself."""
    if clue.codes or facts.clip.withdrawn_at:
        return []
    speaks = _speaks_of(gate.FACE_UNITS, clue.text, clue.modality)
    return gate.judge(
        clue.text,
        clue.language,
        modality=clue.modality,
        au=facts.track() if speaks else None,
        measures=facts.measures,
        subtitle=facts.subtitle,
        span=clue.span,
    )


def judge_clue(clue: Clue) -> list[Verdict]:
    """The verdicts on one stored clue as its clip's evidence is now; nothing is written."""
    return verdicts(facts_for([clue.clip_id])[clue.clip_id], clue)


def read_ahead(items: Iterable[Mapping[str, Any]], clip: Clip, person: dict[str, Any] | None) -> None:
    """Have what a model said of a clip read for its claims before it is stored, and the face that it speaks of."""
    for item in items:
        _read_ahead(item["text"], item["modality"], Facts(clip, {}, None, person))


def _read_ahead(text: str, modality: str, facts: Facts) -> None:
    if _speaks_of(gate.FACE_UNITS, text, modality):
        facts.track()


def _speaks_of(codes: Collection[str], text: str, modality: str) -> bool:
    """Whether a text claims anything of these codes."""
    return not _claimed(text, modality).isdisjoint(codes)


def _claimed(text: str, modality: str) -> set[str]:
    """The codes of what a text claims; where the gate fails on it, `verdicts` will say so."""
    try:
        return {claim.claim for claim in read_claims(text, modality)}
    except Exception:  # noqa: BLE001 - said where the clue is judged
        return set()


def judge_new(clues: Sequence[Clue]) -> None:
    """Give clues that are about to be stored their verdicts; nothing is written. Six queries at most.

    A clue that the gate fails on stays without a verdict, its job goes on.
    """
    wordy = [clue for clue in clues if not clue.codes]
    claimed: dict[int, set[str]] = {}
    for clue in wordy:
        claimed.setdefault(clue.clip_id, set()).update(_claimed(clue.text, clue.modality))
    facts = facts_for(claimed, claimed) if claimed else {}
    for clue in clues:
        clue.gate_version = gate.VERSION
        try:
            clue.gate = verdicts(facts[clue.clip_id], clue) if clue.clip_id in facts else []
        except Exception:  # a bug in the gate must cost nobody a clue; the next version judges it again
            logger.exception("the evidence gate failed on a clue", clue=clue.pk, clip=clue.clip_id)
            clue.gate = None


def judge_stored(clues: Iterable[Clue]) -> int:
    """Judge clues that were just stored without verdicts, and write these; how many were judged.

    Call it in the transaction that stores them. A measured prosody among them is new evidence: the other current
    clues of its clip are judged again.
    """
    stored = list(clues)
    new = [clue for clue in stored if clue.gate_version != gate.VERSION]
    heard = {clue.clip_id for clue in stored if (clue.codes or {}).get("kind") == "prosody"}
    if heard:
        others = Clue.objects.filter(clip__in=heard, superseded_at=None, codes__isnull=True)
        new += list(others.exclude(pk__in=[clue.pk for clue in new]))
    if new:
        _judge(new)
    return len(new)


def _judge(clues: Sequence[Clue]) -> None:
    judge_new(clues)
    rows = [
        (clue.pk, None if clue.gate is None else json.dumps(clue.gate, ensure_ascii=False), clue.gate_version)
        for clue in clues
    ]
    with connection.cursor() as cursor:
        cursor.execute(_WRITE, [list(column) for column in zip(*rows, strict=True)])


def pending(corpus: Corpus | None = None) -> QuerySet[Clue]:
    """Current clues that no gate has judged yet, or whose evidence has changed since."""
    rows = Clue.objects.filter(superseded_at=None, gate_version="")
    return rows if corpus is None else rows.filter(clip__corpus=corpus)


def judge_pending(corpus: Corpus | None = None, *, seconds: float = 20.0) -> tuple[int, bool]:
    """Judge what is pending, chunk by chunk: how many, and whether something may be left when the time is over.

    Each chunk is a transaction of its own, so nothing is lost when it is killed; two at once share the work.
    """
    judged, until = 0, time.monotonic() + seconds
    while True:
        ahead = _next(corpus)
        with transaction.atomic():
            # Locked while the evidence is read: a trigger that takes a verdict back comes before or after, not between.
            free = pending(corpus).select_for_update(skip_locked=True, of=("self",), no_key=True).order_by("id")
            # Where others are at all of these, what is free behind them.
            clues = list(free.filter(pk__in=ahead)) or list(free[:CHUNK])
            if clues:
                _judge(clues)
        judged += len(clues)
        if not clues:
            return judged, False
        if time.monotonic() > until:
            return judged, True


def _next(corpus: Corpus | None) -> list[int]:
    """The pending clues of the next clips, and what judging them takes read without a lock: texts and tracks."""
    heads = set(pending(corpus).order_by("id").values_list("clip_id", flat=True)[:CHUNK])
    clues = list(pending(corpus).filter(clip__in=heads).order_by("id")[: 4 * CHUNK]) if heads else []
    wordy = [clue for clue in clues if not clue.codes]
    clips = Clip.objects.present().filter(pk__in={clue.clip_id for clue in wordy}).select_related("au_track", "corpus")
    found = {clip.pk: clip for clip in clips}
    persons = people.for_clips(found.values())
    facts = {pk: Facts(clip, {}, None, persons.get(pk)) for pk, clip in found.items()}
    for clue in wordy:
        if clue.clip_id in facts:
            _read_ahead(clue.text, clue.modality, facts[clue.clip_id])
    return [clue.pk for clue in clues]


def _old(corpus: Corpus, again: bool) -> QuerySet[Clue]:
    """Current clues that were judged by an older gate (`again`: by any)."""
    rows = Clue.objects.filter(clip__corpus=corpus, clip__withdrawn_at=None, superseded_at=None)
    rows = rows.exclude(gate_version="")
    return rows if again else rows.exclude(gate_version=gate.VERSION)


@transaction.atomic
def mark(corpus: Corpus, *, again: bool = False, after: int = 0) -> int | None:
    """Take back the verdicts of older gates (`again`: of all), so that they are judged anew: some thousand of them,
    from the clue behind `after` on. The id of the last one; None where there are no more.

    Half a million at once would hold their clips' runs up for half a minute. What is locked is being judged now.
    """
    rows = _old(corpus, again).filter(pk__gt=after).select_for_update(skip_locked=True, of=("self",), no_key=True)
    ids = list(rows.order_by("pk").values_list("pk", flat=True)[:MARKED])
    Clue.objects.filter(pk__in=ids).update(gate_version="")
    return ids[-1] if len(ids) == MARKED else None


def mark_more(corpus: Corpus, *, again: bool, after: int | None, seconds: float = 20.0) -> int | None:
    """`mark`, again and again: where to go on when the time is over, None when all are marked."""
    until = time.monotonic() + seconds
    while after is not None and time.monotonic() < until:
        after = mark(corpus, again=again, after=after)
    return after


def request_judging(user: Any, corpus: Corpus, *, again: bool = False) -> int:
    """By the page's button: mark what is to be judged and send a worker; how many clues.

    A worker marks what is more than some thousand. Raises Forbidden or NotFound by role, Conflict where there is
    nothing to judge.
    """
    require(user, corpus, "run.start")
    with transaction.atomic():
        found = progress(corpus)
        clues = found["clues"] if again else found["left"]
        if not clues:
            raise Conflict(_("Every clue has been judged by this version of the gate."), code="nothing-to-judge")
        after = mark(corpus, again=again)
        audit.record(user, "gate.judge", corpus=corpus.slug, target=gate.VERSION, clues=clues, again=again)
        transaction.on_commit(lambda: send(corpus.pk, again=again, after=after), robust=True)
    return int(clues)


def send(corpus_id: int, *, again: bool = False, after: int | None = None) -> None:
    """Ask a worker to mark a corpus's clues behind `after` and to judge what is pending; where the broker is down, the
    scheduler's turn judges what is marked."""
    try:
        app.send_task(JUDGE, args=[corpus_id], kwargs={"again": again, "after": after}, queue="celery", retry=False)
    except (OSError, BrokerError) as error:
        logger.warning("broker does not answer; the scheduler's turn will judge", error=str(error))


def progress(corpus: Corpus) -> dict[str, Any]:
    """How far a corpus's current clues are judged, in one query: `{"clues", "judged" (by this version), "measured" (of
    these, not judged against themselves), "failed" (of these, the gate could not), "left" (all others), "waiting" (for
    a worker), "older" (judged by an older version), "percent", "version"}`.
    """
    this = Q(gate_version=gate.VERSION)
    counts = Clue.objects.filter(clip__corpus=corpus, clip__withdrawn_at=None, superseded_at=None).aggregate(
        clues=Count("id"),
        judged=Count("id", filter=this),
        measured=Count("id", filter=this & Q(codes__isnull=False)),
        failed=Count("id", filter=this & Q(gate__isnull=True)),
        waiting=Count("id", filter=Q(gate_version="")),
    )
    judged, left = counts["judged"], counts["clues"] - counts["judged"]
    percent = round(100 * judged / counts["clues"], 1) if counts["clues"] else 100.0
    more = {"left": left, "older": left - counts["waiting"], "percent": percent, "version": gate.VERSION}
    return {**counts, **more}


def counts_of(corpus: Corpus) -> dict[str, Any]:
    """`{"version", "clues", "left", "verdicts": {verdict: claims}}` of the corpus's current clues."""
    found = progress(corpus)
    with connection.cursor() as cursor:
        cursor.execute(_VERDICTS, [corpus.pk])
        counts = dict(cursor.fetchall())
    verdicts = {name: counts.get(name, 0) for name in ORDER}
    return {**{key: found[key] for key in ("version", "clues", "left")}, "verdicts": verdicts}
