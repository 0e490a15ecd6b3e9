"""Summaries by server-sent events: a real ASGI process, a real model server, PostgreSQL between them."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client

from annotator.accounts.models import User
from annotator.checking import services
from annotator.checking.models import Claim, Summary, SummaryRequest
from annotator.clips.models import Corpus
from tests.support import factories as make
from tests.support import scripted_server
from tests.support.ports import free_port
from tests.support.workbench import eventually

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).resolve().parents[2]
WEB = 8123  # no web server is there; pages of this port may read


@pytest.fixture
def llm(tmp_path: Path) -> Iterator[scripted_server.Running]:
    with scripted_server.running(tmp_path / "calls.jsonl") as running:
        yield running


class Streams:
    """The process of the streams, over the test's own database."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.port = free_port()
        database = connection.settings_dict
        url = f"postgresql://{database['USER']}:{database['PASSWORD']}@/{database['NAME']}?host={database['HOST']}"
        if database["PORT"]:
            url += f"&port={database['PORT']}"
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "annotator.settings.test",
            "DATABASE_URL": url,
            "WEB_PORT": str(WEB),
            **environment,
        }
        self.log = folder / "streams.log"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "granian", "--interface", "asginl", "--host", "127.0.0.1", "--no-ws"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port), "--workers", "1", "annotator.asgi:application"],
                cwd=ROOT, env=self.environment, stdout=log, stderr=log,
            )  # fmt: skip
        assert eventually(self.answers, 40), self.log.read_text()[-3000:]

    def answers(self) -> bool:
        try:
            return self.ask("/stream/livez")[0] == 200
        except OSError:
            return False

    def ask(self, path: str, **headers: str) -> tuple[int, Any, Any]:
        with_answer = self.open(path, **headers)
        return with_answer.status, with_answer.headers, with_answer.read()

    def open(self, path: str, **headers: str) -> http.client.HTTPResponse:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        link.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        return link.getresponse()

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()


@pytest.fixture
def streams(tmp_path: Path, llm: scripted_server.Running) -> Iterator[Any]:
    running: list[Streams] = []

    def start(model: str = "scripted", trust: str = "inside") -> Streams:
        running.append(Streams(tmp_path, LLM_BASE_URL=llm.base_url, LLM_MODEL=model, LLM_TRUST=trust))
        return running[-1]

    yield start
    for each in running:
        each.stop()


@pytest.fixture
def claim() -> Claim:
    clip = make.create_clip(make.create_corpus())
    make.create_clue(clip, "The person frowns and glares.")
    make.create_clue(clip, "他皱眉，眉头紧锁。", language="zh")
    return services.claim_clip(make.create_member(clip.corpus), clip)


def cookie(user: User) -> str:
    client = Client()
    client.force_login(user)
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"


def begin(claim: Claim, monkeypatch: pytest.MonkeyPatch, llm: Any, model: str = "scripted") -> str:
    for name, value in (("BASE_URL", llm.base_url), ("MODEL", model), ("TRUST", "inside")):
        monkeypatch.setenv(f"LLM_{name}", value)
    client = Client()
    client.force_login(claim.user)
    body = make.make_body(claim.clip.clues.all(), description={"zh": "", "en": ""})
    answer = client.post(f"/api/v1/claims/{claim.pk}/summaries/", body, content_type="application/json")
    assert answer.status_code == 201, answer.content
    return f"/stream/summaries/{answer.json()['id']}/"


def events(response: Any, until: str = "result failed") -> Iterator[tuple[int, str, dict[str, Any]]]:
    """(id, name, data) as they come, up to the first that is one of `until`."""
    event: dict[str, str] = {}
    for raw in response:
        line = raw.decode().rstrip("\n")
        if line.startswith(":") or line.startswith("retry"):
            continue
        if line:
            key, _, value = line.partition(": ")
            event[key] = value
        elif event:
            yield int(event["id"]), event["event"], json.loads(event["data"])
            if event["event"] in until.split():
                return
            event = {}


def test_the_draft_comes_in_pieces_and_ends_with_the_stored_summary(
    claim: Claim, streams: Any, llm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = streams()
    path = begin(claim, monkeypatch, llm)
    response = served.open(path, Cookie=cookie(claim.user), Origin=f"http://127.0.0.1:{WEB}")
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/event-stream"
    assert response.headers["Access-Control-Allow-Origin"] == f"http://127.0.0.1:{WEB}"
    assert response.headers["Access-Control-Allow-Credentials"] == "true"
    came = list(events(response))
    assert [number for number, _name, _data in came] == list(range(1, len(came) + 1))
    written = {"zh": "", "en": ""}
    for _number, name, data in came[:-1]:
        assert name == "text"
        written[data["language"]] += data["text"]
    _number, name, result = came[-1]
    assert (name, result["source"]) == ("result", "llm")
    assert written == result["description"]
    assert len(came) > 4
    stored = Summary.objects.get()
    assert (stored.description, stored.ov_labels) == (result["description"], result["ov_labels"])
    assert stored.provenance["prompt"]["file"] == "merge.en.md"
    assert SummaryRequest.objects.get().state == "done"
    again = list(events(served.open(path, Cookie=cookie(claim.user), Last_Event_ID=str(len(came) - 2))))
    assert again == came[-2:]
    assert len(llm.calls()) == 1


def test_who_comes_back_goes_on_where_they_were(
    claim: Claim, streams: Any, llm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = streams("slow")
    path, session = begin(claim, monkeypatch, llm, "slow"), cookie(claim.user)
    first = served.open(path, Cookie=session)
    before = []
    for event in events(first):
        before.append(event)
        if len(before) == 3:
            break
    first.close()
    after = list(events(served.open(path, Cookie=session, Last_Event_ID="3")))
    assert [number for number, _name, _data in before + after] == list(range(1, len(before + after) + 1))
    assert after[-1][1] == "result"
    assert len(llm.calls()) == 1


def test_a_closed_browser_closes_the_call(
    claim: Claim, streams: Any, llm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = streams("stall")
    path = begin(claim, monkeypatch, llm, "stall")
    response = served.open(path, Cookie=cookie(claim.user))
    next(events(response))
    response.close()
    assert eventually(lambda: llm.calls()[-1].get("gone"), 40, every=0.5)
    row = SummaryRequest.objects.get()
    assert eventually(lambda: SummaryRequest.objects.get().state == "failed", 10)
    assert SummaryRequest.objects.get(pk=row.pk).code == "called_off"
    assert not Summary.objects.exists()


def test_a_killed_model_and_half_an_answer_are_failures_with_a_reason(
    claim: Claim, streams: Any, llm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = streams("slow")
    path, session = begin(claim, monkeypatch, llm, "slow"), cookie(claim.user)
    coming = events(served.open(path, Cookie=session))
    assert next(coming)[1] == "text"
    llm.process.kill()
    _number, name, told = list(coming)[-1]
    assert (name, told["code"]) == ("failed", "refused_connection")
    assert "broke off" in told["detail"]
    _number, name, again = list(events(served.open(path, Cookie=session)))[-1]
    assert (name, again) == ("failed", told)  # no second call
    assert not Summary.objects.exists()


def test_a_killed_stream_process_says_so_afterwards(
    claim: Claim, streams: Any, llm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = streams("slow")
    path, session = begin(claim, monkeypatch, llm, "slow"), cookie(claim.user)
    next(events(served.open(path, Cookie=session)))
    served.stop()
    served.start()
    _number, name, told = list(events(served.open(path, Cookie=session, Last_Event_ID="4")))[-1]
    assert (name, told["code"]) == ("failed", "interrupted")
    assert len([call for call in llm.calls() if "kind" in call]) == 1


def test_only_the_holder_reads_and_only_from_our_pages(
    claim: Claim, streams: Any, llm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = streams()
    path, session = begin(claim, monkeypatch, llm), cookie(claim.user)
    colleague, manager = (make.create_member(claim.corpus, role) for role in ("annotator", "manager"))
    assert served.ask(path)[0] == 401
    assert served.ask(path, Cookie=cookie(colleague))[0] == 404
    assert served.ask(path, Cookie=cookie(manager))[0] in (403, 404)
    assert served.ask(path, Cookie=cookie(make.create_user("stranger")))[0] == 404
    for origin in ("https://evil.example", "http://127.0.0.1:9", "null", "http://evil.example:8123"):
        status, headers, _body = served.ask(path, Cookie=session, Origin=origin)
        assert status == 403
        assert "Access-Control-Allow-Origin" not in headers
    assert served.ask("/stream/summaries/999999/", Cookie=session)[0] == 404
    assert served.ask("/stream/summaries/99999999999999999999/", Cookie=session)[0] == 404
    for elsewhere in ("/", "/accounts/sign-in/", "/api/v1/corpora/", "/admin/"):
        assert served.ask(elsewhere, Cookie=session)[0] == 404
    assert llm.calls() == []
    services.release(claim.user, claim.pk)
    assert served.ask(path, Cookie=session)[0] == 409


def test_a_restricted_clip_never_goes_outside_by_a_stream_either(
    claim: Claim, streams: Any, llm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = streams(trust="outside")
    path = begin(claim, monkeypatch, llm)
    Corpus.objects.update(licence="restricted")
    _number, name, told = list(events(served.open(path, Cookie=cookie(claim.user))))[-1]
    assert (name, told["code"]) == ("failed", "not-configured")
    assert "LLM_TRUST" in told["detail"]
    assert llm.calls() == []


def test_thirty_open_streams_hold_no_connection_to_the_database(
    streams: Any, llm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = streams("stall")
    corpus = make.create_corpus()
    readers = []
    for number in range(30):
        clip = make.create_clip(corpus, f"c{number}")
        make.create_clue(clip, "The person frowns and glares.")
        claim = services.claim_clip(make.create_member(corpus), clip)
        readers.append(served.open(begin(claim, monkeypatch, llm, "stall"), Cookie=cookie(claim.user)))
    for reader in readers:
        assert next(events(reader))[1] == "text"
    assert len(llm.calls()) == 30
    time.sleep(1)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
        assert cursor.fetchone()[0] <= 3
    started = time.monotonic()
    assert served.answers()
    assert time.monotonic() - started < 1
    for reader in readers:
        reader.close()
