"""Annotators at work through REST: granian on loopback, all middleware, PostgreSQL, tokens.

The same steps at a small and at the full number of clips, so that a hand-out or list that slows down with the corpus
shows as a ratio above 1.
"""

import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from . import queue, workload
from .client import Client, Refused, list_page_at
from .figures import latency, pace, ratio
from .world import World

ANNOTATORS = 8
PAIRS = 150
PAGES = 30
CHUNK = 10_000
JUDGED = 45_000  # clues with verdicts: those of 15,000 clips


class Hold(NamedTuple):
    """A clip in an annotator's hands: from the answer to the claim to the answer to the submission."""

    clip: int
    annotator: int
    start: float
    end: float
    saved: bool


def measure(
    world: World, clips: int, small: int, seconds: float, row: int = 30_000, peer: Path | None = None
) -> dict[str, Any]:
    """Import, claim, draft, submit, lists and eight annotators at once, at a small and at the full number of clips; at
    the full one then what `queue` describes. `row`: submissions in a row; `peer`: what another product reached at the
    same workload on this machine, as its own script wrote it."""
    from tests.support import scripted_server

    world.collect_static()
    with scripted_server.running(world.folder / "annotation.jsonl") as model:
        os.environ |= {"LLM_BASE_URL": model.base_url, "LLM_MODEL": "stall", "LLM_TRUST": "inside"}
        world.start_web()
        try:
            at_small = run(world, "small", small, seconds=0)
            at_full = run(world, "full", clips, seconds=seconds, row=row)
            last = queue.last_clips(world)
        finally:
            world.stop("web")
            for name in ("LLM_BASE_URL", "LLM_MODEL", "LLM_TRUST"):
                del os.environ[name]
    grown = {
        f"{step}_median": ratio(at_full[step]["median_ms"], at_small[step]["median_ms"])
        for step in ("claim", "draft", "submit", "list_deep")
    }
    alone, together, half = at_full["claim"], at_full["eight"], at_full["half_done"]["eight"]
    return {
        "small": at_small,
        "full": at_full,
        "last_clips": last,
        "full_over_small": grown,
        "deep_over_first_page": ratio(at_full["list_deep"]["median_ms"], at_full["list_first"]["median_ms"]),
        "claim_p95_eight_over_alone": ratio(together["claim"]["p95_ms"], alone["p95_ms"]),
        "half_done_over_fresh_per_s": ratio(half["submitted_per_s"], together["submitted_per_s"]),
        "load_at_end": round(os.getloadavg()[0], 2),
        "peer": json.loads(peer.read_text("utf-8")) if peer else None,
    }


def run(world: World, slug: str, clips: int, seconds: float, row: int = 0) -> dict[str, Any]:
    """The steps on a new corpus of `clips` clips with three clues each."""
    manager, annotators = people(world, slug)
    result: dict[str, Any] = {"clips": clips, **load(manager, slug, clips)}
    result |= alone(annotators[0], slug)
    result |= lists(manager, slug, clips)
    if seconds:
        result["at_once"] = at_once(annotators, slug)
        result["eight"] = together(annotators, slug, seconds)
        result["half_done"] = half_done(annotators, slug, clips, seconds)
        result["in_a_row"] = queue.in_a_row(annotators, slug, row)
        result["streams"] = queue.with_streams(world, slug, annotators[0])
        result["far_ahead"] = queue.far_ahead(world, slug, clips * 50_000 // 115_595)
    for client in (manager, *annotators):
        client.close()
    return result


def half_done(annotators: list[Client], slug: str, clips: int, seconds: float) -> dict[str, Any]:
    """Half of the corpus is done by the same eight; then they go on."""
    names = [f"{slug}-{i}" for i in range(ANNOTATORS)]
    done = queue.done_by(slug, names, clips // 2)
    return {"done": done, **queue.pairs(annotators[0], slug), "eight": together(annotators, slug, seconds)}


def people(world: World, slug: str) -> tuple[Client, list[Client]]:
    """A corpus without review, its manager and eight annotators, each with a token."""
    from annotator.accounts.services import create_person, issue_token
    from annotator.clips.services import add_member, create_corpus

    corpus = create_corpus(None, slug, licence="open", review="none")
    clients = []
    for name, role in [(f"{slug}-manager", "manager")] + [(f"{slug}-{i}", "annotator") for i in range(ANNOTATORS)]:
        person, _password = create_person(None, name)
        add_member(None, corpus, person, role)
        clients.append(Client(world.port, issue_token(None, person)[1]))
    return clients[0], clients[1:]


def load(manager: Client, slug: str, clips: int) -> dict[str, Any]:
    """All clips with their clues by the bulk call, at most 10,000 a request."""
    began = time.perf_counter()
    for start in range(0, clips, CHUNK):
        lines = "".join(workload.line(i) for i in range(start, min(clips, start + CHUNK)))
        report = manager("POST", f"/corpora/{slug}/clips/bulk/", lines.encode()).json()
        if report["failed"]:
            raise Refused(f"bulk: {report['failed'][:3]}")
    took = time.perf_counter() - began
    held = manager("GET", f"/corpora/{slug}/progress/").json()["clips"]["total"]
    if held != clips:
        raise Refused(f"bulk: {held} of {clips} clips are there")
    return {"import_s": round(took, 1), "import_clips_per_s": round(clips / took), **judged(slug)}


def judged(slug: str) -> dict[str, Any]:
    """The evidence gate's verdicts on the clues that will be handed out first, as a worker gives them."""
    from annotator.clips.models import Corpus
    from annotator.prelabels.gating import judge_pending

    began, found, left = time.perf_counter(), 0, True
    while left and found < JUDGED:
        some, left = judge_pending(Corpus.objects.get(slug=slug), seconds=2)
        found += some
    return {"judged_clues": found, "judged_per_s": round(found / (time.perf_counter() - began))}


def alone(annotator: Client, slug: str) -> dict[str, Any]:
    """One annotator: claim, save a draft, submit; again and again."""
    claim_s, draft_s, submit_s = [], [], []
    for _pair in range(PAIRS):
        t0 = time.perf_counter()
        answer = annotator("POST", f"/corpora/{slug}/claims/", {}, expect=(201,))
        t1 = time.perf_counter()
        claim = answer.json()
        body = workload.body(claim)
        t2 = time.perf_counter()
        annotator("PUT", f"/claims/{claim['id']}/draft/", body, headers={"If-Match": answer.headers["etag"]})
        t3 = time.perf_counter()
        annotator("POST", f"/claims/{claim['id']}/submit/", body, expect=(201,))
        t4 = time.perf_counter()
        claim_s.append(t1 - t0)
        draft_s.append(t3 - t2)
        submit_s.append(t4 - t3)
    return {"pace_ms": pace(), "claim": latency(claim_s), "draft": latency(draft_s), "submit": latency(submit_s)}


def lists(manager: Client, slug: str, clips: int) -> dict[str, Any]:
    """A page of 50 clips at the start and half way down; and the browser's page of clips, half way down."""
    found: dict[str, Any] = {"page_deep": page_of_clips(manager.port, f"{slug}-manager", slug, clips // 2)}
    for name, depth in (("list_first", 0), ("list_deep", clips // 2)):
        url = list_page_at(manager, slug, depth)
        took = []
        for _page in range(PAGES):
            began = time.perf_counter()
            rows = manager("GET", url).json()["results"]
            took.append(time.perf_counter() - began)
            if len(rows) != 50:
                raise Refused(f"{url}: {len(rows)} rows")
        found[name] = {"first_row": rows[0]["name"], **latency(took)}
    return found


def page_of_clips(port: int, name: str, slug: str, depth: int) -> dict[str, Any]:
    """The HTML page of clips that begins `depth` clips in, for somebody who is signed in."""
    import http.client

    from django.conf import settings
    from django.test import Client as Browser

    from annotator.accounts.models import User

    browser = Browser()
    browser.force_login(User.objects.get(username=name))
    cookie = f"{settings.SESSION_COOKIE_NAME}={browser.cookies[settings.SESSION_COOKIE_NAME].value}"
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    after, took = workload.clip(depth - 1)["name"], []
    for _page in range(PAGES):
        began = time.perf_counter()
        link.request("GET", f"/corpora/{slug}/clips/?after={after}", headers={"Cookie": cookie})
        answer = link.getresponse()
        text = answer.read().decode()
        took.append(time.perf_counter() - began)
        if answer.status != 200 or workload.clip(depth)["name"] not in text:
            raise Refused(f"clips after {after}: {answer.status}")
    link.close()
    return latency(took)


def at_once(annotators: list[Client], slug: str, rounds: int = 5) -> list[int]:
    """Eight ask at the same instant and nobody submits until all have an answer: distinct clips, per round."""
    distinct = []
    for _round in range(rounds):
        barrier = threading.Barrier(len(annotators))
        held: dict[int, dict[str, Any]] = {}

        def ask(number: int, barrier: threading.Barrier = barrier, held: dict[int, dict[str, Any]] = held) -> None:
            barrier.wait()
            held[number] = annotators[number]("POST", f"/corpora/{slug}/claims/", {}, expect=(201,)).json()

        queue.in_threads(ask, len(annotators))
        distinct.append(len({claim["clip"]["id"] for claim in held.values()}))
        for number, claim in held.items():
            annotators[number]("POST", f"/claims/{claim['id']}/submit/", workload.body(claim), expect=(201,))
    return distinct


def together(annotators: list[Client], slug: str, seconds: float) -> dict[str, Any]:
    """Eight annotators claim and submit without a pause; how much they save, and whether two ever held one clip."""
    holds: list[Hold] = []
    claim_s: list[float] = []
    submit_s: list[float] = []
    errors: list[str] = []
    began = time.perf_counter()

    def work(number: int) -> None:
        while time.perf_counter() - began < seconds:
            saved = False
            t0 = t1 = time.perf_counter()
            clip = -1
            try:
                claim = annotators[number]("POST", f"/corpora/{slug}/claims/", {}, expect=(201,)).json()
                t1, clip = time.perf_counter(), claim["clip"]["id"]
                claim_s.append(t1 - t0)
                annotators[number]("POST", f"/claims/{claim['id']}/submit/", workload.body(claim), expect=(201,))
                submit_s.append(time.perf_counter() - t1)
                saved = True
            except (Refused, OSError) as error:
                errors.append(str(error)[:200])
            holds.append(Hold(clip, number, t1, time.perf_counter(), saved))

    queue.in_threads(work, len(annotators))
    took = time.perf_counter() - began
    held = [hold for hold in holds if hold.clip >= 0]
    saved = [hold for hold in held if hold.saved]
    return {
        "annotators": len(annotators),
        "seconds": round(took, 1),
        "submitted_per_s": round(len(saved) / took, 1),
        "pace_ms": pace(),
        "handed_out": len(held),
        "distinct_clips": len({hold.clip for hold in held}),
        "double_hand_outs": len(set(double_held(held))),
        "errors": len(errors),
        "error_examples": errors[:3],
        "claim": latency(claim_s),
        "submit": latency(submit_s),
    }


def double_held(holds: list[Hold]) -> Iterator[int]:
    """Clips that two annotators held at the same time, or one after the other (one annotation each was asked for)."""
    by_clip: dict[int, set[int]] = defaultdict(set)
    for hold in holds:
        by_clip[hold.clip].add(hold.annotator)
    return (clip for clip, annotators in by_clip.items() if len(annotators) > 1)
