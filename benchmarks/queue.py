"""Where such queues die: half of the corpus done, somebody far ahead of the others, thousands of submissions in a row,
hundreds of people for the last ten clips, thirty summaries being read along.

What would take people months is written in SQL: slots, claims, annotations, checks, drafts and places, as the queue
itself leaves them (not the records). Nothing is vacuumed by hand: what months leave to autovacuum, it is given the time
for.
"""

import http.client
import threading
import time
from typing import Any

from . import workload
from .client import Client, Refused
from .figures import latency, percentile, ratio
from .world import World

STREAMS = 30
EDGE = 2_000  # submissions at either end of a long row whose p95 are compared
PAIRS = 100
KEPT = 2 * PAIRS + STREAMS + 20  # clips that a long row leaves to what is measured after it
FEWEST = 100  # submissions that make a row

# The first clips by half of the annotators' number, in turn; `number`: which of the clip's slots.
DONE = """
WITH chosen AS (
  SELECT slot.id, slot.clip_id, (%(people)s::bigint[])[(row_number() OVER (ORDER BY slot.id) - 1) %% %(n)s + 1] AS who
  FROM checking_slot slot
  WHERE slot.corpus_id = %(corpus)s AND slot.kind = 'annotate' AND slot.number = %(number)s AND slot.state = 'open'
    AND NOT EXISTS (SELECT 1 FROM checking_claim known
                    WHERE known.clip_id = slot.clip_id AND known.user_id = ANY(%(people)s::bigint[]))
  ORDER BY slot.id LIMIT %(clips)s
), freed AS (
  UPDATE checking_slot SET state = 'done' WHERE id IN (SELECT id FROM chosen)
), claims AS (
  INSERT INTO checking_claim (slot_id, clip_id, corpus_id, user_id, state, lease_end, offered, return_reason,
    skip_reason, created_at, updated_at)
  SELECT id, clip_id, %(corpus)s, who, 'submitted', now(), checking_offer(clip_id), '', '', now(), now() FROM chosen
  RETURNING id, clip_id, user_id
), annotations AS (
  INSERT INTO checking_annotation (claim_id, clip_id, user_id, revision, description_zh, description_en, ov_zh, ov_en,
    label, reply, submitted_at)
  SELECT id, clip_id, user_id, 1, '', repeat('word ', 40), '[]', '["calm", "sad"]', '', '', now() FROM claims
  RETURNING id, clip_id
), drafts AS (
  INSERT INTO checking_draft (claim_id, version, body, saved_at)
  SELECT id, 1, jsonb_build_object('description', jsonb_build_object('zh', '', 'en', repeat('word ', 40))), now()
  FROM claims
), checks AS (
  INSERT INTO checking_check (annotation_id, clue_id, "position", verdict, modality, aspect, language, text, reason)
  SELECT annotations.id, clue.id, row_number() OVER (PARTITION BY annotations.id ORDER BY clue.id) - 1, 'kept',
    clue.modality, clue.aspect, clue.language, clue.text, ''
  FROM annotations JOIN prelabels_clue clue ON clue.clip_id = annotations.clip_id
)
SELECT count(*) FROM claims
"""
# As checking_claim_next leaves it after the last of these claims.
PLACES = """
INSERT INTO checking_queueplace (user_id, corpus_id, kind, priority, score, slot_id)
SELECT claim.user_id, claim.corpus_id, 'annotate', 0, 0, max(claim.slot_id) FROM checking_claim claim
WHERE claim.corpus_id = %(corpus)s AND claim.user_id = ANY(%(people)s::bigint[]) GROUP BY 1, 2
ON CONFLICT (user_id, corpus_id, kind) DO UPDATE SET slot_id = excluded.slot_id
"""


def done_by(slug: str, names: list[str], clips: int, number: int = 1) -> int:
    """Let these people have annotated the next `clips` clips, in turn; returns how many there were."""
    from django.db import connection

    from annotator.accounts.models import User
    from annotator.clips.models import Corpus

    ids = dict(User.objects.filter(username__in=names).values_list("username", "id"))
    people = [ids[name] for name in names]
    values = {"people": people, "n": len(people), "number": number, "clips": clips}
    values["corpus"] = Corpus.objects.get(slug=slug).pk
    with connection.cursor() as cursor:
        cursor.execute(DONE, values)
        found = int(cursor.fetchone()[0])
        cursor.execute(PLACES, values)
        _wait_for_autovacuum(cursor)
    return found


def _wait_for_autovacuum(cursor: Any, seconds: float = 150) -> None:
    """Until the server's own autovacuum has come by the slots after what was written just now."""
    cursor.execute("SELECT statement_timestamp()")
    (written,) = cursor.fetchone()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        cursor.execute("SELECT last_autovacuum FROM pg_stat_user_tables WHERE relname = 'checking_slot'")
        (last,) = cursor.fetchone()
        if last is not None and last > written:
            return
        time.sleep(0.5)
    raise Refused(f"autovacuum did not come within {seconds:.0f} s")


def pairs(annotator: Client, slug: str, n: int = PAIRS) -> dict[str, Any]:
    """One annotator claims and submits, again and again."""
    claim_s, submit_s = [], []
    for _pair in range(n):
        t0 = time.perf_counter()
        claim = annotator("POST", f"/corpora/{slug}/claims/", {}, expect=(201,)).json()
        t1 = time.perf_counter()
        body = workload.body(claim)
        t2 = time.perf_counter()
        annotator("POST", f"/claims/{claim['id']}/submit/", body, expect=(201,))
        claim_s.append(t1 - t0)
        submit_s.append(time.perf_counter() - t2)
    return {"claim": latency(claim_s), "submit": latency(submit_s)}


def far_ahead(world: World, slug: str, clips: int) -> dict[str, Any]:
    """Three annotations wanted, and somebody who did `clips` clips of which nobody else did the others."""
    from annotator.clips.models import Corpus

    client, name = _person(world, slug, f"{slug}-ahead")
    corpus = Corpus.objects.get(slug=slug)
    corpus.overlap = 3
    corpus.save()
    done = done_by(slug, [name], clips, number=2)
    try:
        return {"overlap": 3, "done": done, **pairs(client, slug)}
    finally:
        client.close()


def in_a_row(annotators: list[Client], slug: str, n: int) -> dict[str, Any]:
    """`n` submissions by all annotators at once (fewer where the corpus has fewer clips left), and how much slower the
    last of them are than the first. Raises Refused where too few are left to compare."""
    from annotator.checking.models import Slot

    n = min(n, Slot.objects.filter(corpus__slug=slug, kind="annotate", state="open").count() - KEPT)
    if n < FEWEST:
        raise Refused(f"{max(n, 0)} clips are left for a row of submissions: more clips are wanted, or fewer seconds")
    took: list[tuple[float, float, float]] = []
    began = time.perf_counter()

    def work(number: int) -> None:
        while len(took) < n:
            t0 = time.perf_counter()
            claim = annotators[number]("POST", f"/corpora/{slug}/claims/", {}, expect=(201,)).json()
            t1 = time.perf_counter()
            annotators[number]("POST", f"/claims/{claim['id']}/submit/", workload.body(claim), expect=(201,))
            took.append((t1, t1 - t0, time.perf_counter() - t1))

    in_threads(work, len(annotators))
    seconds = time.perf_counter() - began
    took.sort()
    edge = min(EDGE, len(took) // 4)
    first, last = took[:edge], took[-edge:]
    grown = {
        step: ratio(percentile([row[i] for row in last], 0.95), percentile([row[i] for row in first], 0.95))
        for i, step in ((1, "claim_p95"), (2, "submit_p95"))
    }
    return {
        "submitted": len(took),
        "per_s": round(len(took) / seconds, 1),
        "edge": edge,
        "first": {"claim": latency([r[1] for r in first]), "submit": latency([r[2] for r in first])},
        "last": {"claim": latency([r[1] for r in last]), "submit": latency([r[2] for r in last])},
        "last_over_first": grown,
    }


def last_clips(world: World, clips: int = 10, people: int = 200) -> dict[str, Any]:
    """`people` ask at the same instant for the last `clips` clips: how many hold one, and which."""
    from annotator.clips.services import create_corpus

    slug = "last"
    create_corpus(None, slug, licence="open", review="none")
    manager, _name = _person(world, slug, "last-manager", role="manager")
    rows = "".join(workload.line(i) for i in range(clips))
    manager("POST", f"/corpora/{slug}/clips/bulk/", rows.encode())
    clients = [_person(world, slug, f"last-{i}")[0] for i in range(people)]
    barrier = threading.Barrier(people)
    held: list[int] = []
    statuses: list[int] = []

    def ask(number: int) -> None:
        barrier.wait()
        answer = clients[number]("POST", f"/corpora/{slug}/claims/", {}, expect=(201, 204))
        statuses.append(answer.status)
        if answer.status == 201:
            held.append(answer.json()["clip"]["id"])

    began = time.perf_counter()
    in_threads(ask, people)
    seconds = time.perf_counter() - began
    for client in (manager, *clients):
        client.close()
    return {
        "clips": clips,
        "people": people,
        "holders": len(held),
        "distinct_clips": len(set(held)),
        "nothing_left": statuses.count(204),
        "seconds": round(seconds, 2),
    }


def with_streams(world: World, slug: str, annotator: Client) -> dict[str, Any]:
    """Next and submit while nobody, then while `STREAMS` people read a summary along that goes on being written.

    The web server was started with a model that begins to answer and then falls silent.
    """
    before = pairs(annotator, slug)
    port = world.start_streams()
    links = [_reading(world, slug, number, port) for number in range(STREAMS)]
    try:
        during = pairs(annotator, slug)
    finally:
        for link in links:
            link.close()
        world.stop("streams")
    return {
        "streams": len(links),
        "without": before,
        "with": during,
        "claim_p95_with_over_without": ratio(during["claim"]["p95_ms"], before["claim"]["p95_ms"]),
    }


def _reading(world: World, slug: str, number: int, port: int) -> http.client.HTTPResponse:
    """A person with a claim whose summary has begun; they read it along."""
    from django.conf import settings
    from django.test import Client as Browser

    from annotator.accounts.models import User

    client, name = _person(world, slug, f"{slug}-reader-{number}")
    claim = client("POST", f"/corpora/{slug}/claims/", {}, expect=(201,)).json()
    body = {**workload.body(claim), "description": {"zh": "", "en": ""}}
    summary = client("POST", f"/claims/{claim['id']}/summaries/", body, expect=(201,)).json()
    client.close()
    browser = Browser()
    browser.force_login(User.objects.get(username=name))
    cookie = f"{settings.SESSION_COOKIE_NAME}={browser.cookies[settings.SESSION_COOKIE_NAME].value}"
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    link.request("GET", f"/stream/summaries/{summary['id']}/", headers={"Cookie": cookie})
    answer = link.getresponse()
    if answer.status != 200:
        raise Refused(f"stream {number}: {answer.status}")
    answer.readline()  # it has begun
    return answer


def _person(world: World, slug: str, name: str, role: str = "annotator") -> tuple[Client, str]:
    from annotator.accounts.models import User
    from annotator.accounts.services import issue_token
    from annotator.clips.models import Corpus
    from annotator.clips.services import add_member

    person = User.objects.create_user(name)  # without a password: making one takes longer than all the rest
    add_member(None, Corpus.objects.get(slug=slug), person, role)
    return Client(world.port, issue_token(None, person)[1]), name


def in_threads(work: Any, count: int) -> None:
    """`work(0)` … `work(count - 1)` at the same time; an error in one is raised here."""
    failed: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - raised again below, in the caller's thread
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
