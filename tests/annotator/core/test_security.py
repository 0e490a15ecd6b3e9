"""What an attacker tries first: scripts in pages, guessed passwords, other people's tokens and media, headers, logs."""

import hashlib
import io
import json
import logging
import re
from collections.abc import Iterator
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.core import signing
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone, translation

from annotator.accounts.models import ApiToken, SignInAttempts
from annotator.accounts.services import issue_token
from annotator.clips import media
from annotator.clips.models import Membership
from annotator.clips.services import withdraw_clip
from annotator.core.errors import Invalid
from annotator.core.logs import formatter
from annotator.core.models import AuditEntry
from annotator.snapshots.services import freeze_snapshot
from tests.annotator.everything import World
from tests.annotator.test_every_url import TABLE, A, admin_rows, filled
from tests.support import factories as make

pytestmark = pytest.mark.django_db
PASSWORD = "a-long-test-password"
SIGN_IN = "/accounts/sign-in/"


@pytest.fixture(autouse=True)
def _language() -> Iterator[None]:
    """A request's language stays with the thread; the next test starts without one."""
    yield
    translation.deactivate()


@pytest.fixture
def world(db: None, settings: Any, tmp_path: Path) -> World:
    settings.MEDIA_ROOT, settings.VAR = tmp_path / "media", tmp_path / "var"
    settings.SNAPSHOT_ROOT, settings.RUNS_ROOT = tmp_path / "snapshots", tmp_path / "runs"
    return World()


# ---- content security policy -------------------------------------------------------------------------


class Inline(HTMLParser):
    """What the policy would refuse: inline script, style, event handlers, javascript: addresses, foreign hosts."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.found += [f"<{tag} {name}>" for name in given if name == "style" or name.startswith(("on", "hx-on"))]
        if tag == "style" or (tag == "script" and "src" not in given and given.get("type") != "application/json"):
            self.found.append(f"inline <{tag}>")
        for name in ("src", "href", "action", "formaction", "data"):
            value = (given.get(name) or "").strip().lower()
            foreign = value.startswith(("http:", "https:", "//")) and (tag != "a" or name != "href")
            if value.startswith("javascript:") or foreign:
                self.found.append(f"<{tag} {name}={value[:60]}>")


def inline(html: str) -> list[str]:
    parser = Inline()
    parser.feed(html)
    return parser.found


def directives(answer: Any) -> dict[str, str]:
    return dict(part.strip().split(" ", 1) for part in answer["Content-Security-Policy"].split(";"))


def test_every_page_carries_the_policy_and_nothing_that_it_refuses(world: World) -> None:
    seen = 0
    for method, address, data, _statuses in [*TABLE, *admin_rows()]:
        answer = world.ask("admin", method, address, filled(data, world.values))
        policy = directives(answer)
        assert policy["object-src"] == policy["frame-ancestors"] == "'none'", address
        assert "unsafe" not in policy["script-src"], address
        assert ("unsafe-inline" in policy["style-src"]) is (address == "/api/docs/"), address
        assert answer["X-Content-Type-Options"] == "nosniff"
        if answer.get("Content-Type", "").startswith("text/html") and address != "/api/docs/":
            assert inline(answer.text_sent.decode()) == [], address
            seen += 1
    assert seen > 100


def test_the_api_documentation_comes_from_this_host_alone(world: World) -> None:
    page = world.ask("anonymous", "GET", "/api/docs/").text_sent.decode()
    assert [item for item in inline(page) if "style" not in item] == []
    start = world.ask("anonymous", "GET", "/api/docs/?script=")
    assert start["Content-Type"].startswith("application/javascript")
    assert "http://" not in start.text_sent.decode().replace("http://testserver", "")
    assert "cdn" not in page.lower()


def test_hostile_texts_are_shown_as_texts(world: World) -> None:
    evil = '"><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}'
    corpus = make.create_corpus("evil", name=evil, guideline=evil)
    clip = make.create_clip(
        corpus, evil.replace("/", "∕"), zh=evil, en=evil, source=evil, speaker=evil, label=evil[:80]
    )
    make.create_clue(clip, evil)
    record = make.create_record(clip, "fine", description={"zh": evil, "en": evil}, ov_labels={"zh": [], "en": [evil]})
    pages = ["/", "/corpora/evil/", "/corpora/evil/clips/", f"/clips/{clip.pk}/", f"/records/{record.pk}/"]
    pages += ["/corpora/evil/records/", "/corpora/evil/upload/", "/corpora/evil/check/", "/corpora/evil/review/"]
    pages += [
        f"/corpora/evil/records/?q={evil}",
        f"/accounts/sign-in/?next={evil}",
        f"/admin/clips/clip/{clip.pk}/change/",
    ]
    for page in pages:
        answer = world.ask("admin", "GET", page)
        assert answer.status_code in (200, 302), page
        html = answer.text_sent.decode()
        assert inline(html) == [], page
        assert "<script>alert" not in html
        assert "<img src=x" not in html


@pytest.mark.parametrize("language", ["en", "zh-Hans"])
def test_error_pages_speak_the_readers_language_under_the_policy(
    world: World, settings: Any, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("secret detail of the inside")

    monkeypatch.setattr("annotator.clips.views._figures", broken)
    asked = {"Accept-Language": language}
    withdraw_clip(None, world.clip, "x")
    strict = Client(enforce_csrf_checks=True)
    pages = {
        400: world.ask("admin", "GET", "/?q=%00", headers=asked),
        403: world.ask("viewer", "GET", "/corpora/lab/check/", headers=asked),
        404: world.ask("stranger", "GET", "/corpora/lab/", headers=asked),
        405: world.ask("manager", "GET", "/clips/{clip}/withdraw/", headers=asked),
        410: world.ask("viewer", "GET", "/clips/{clip}/", headers=asked),
        422: world.ask("manager", "POST", "/uploads/{upload}/files/", headers=asked),
        500: world.ask("viewer", "GET", "/corpora/lab/", headers=asked),
        "404 by address": world.ask("viewer", "GET", "/no/such/page/", headers=asked),
        "403 by CSRF": strict.post(SIGN_IN, {"username": "x", "password": "y"}, headers=asked),
    }
    for name, answer in pages.items():
        html = answer.content.decode()
        assert answer.status_code == (name if isinstance(name, int) else int(name[:3]))
        assert "unsafe" not in answer["Content-Security-Policy"]
        assert inline(html) == []
        assert "secret detail" not in html
        assert "Traceback" not in html
        main = html[html.index("<main") : html.index("</main>")]
        words = set(re.findall(r"[A-Za-z]{3,}", re.sub(r"<[^>]+>", " ", main)))
        if language == "zh-Hans":
            assert '<html lang="zh-Hans">' in html, name
            assert words <= {"lab", "Cookie"}, (name, words)
        else:
            assert len(words) > 5, name


# ---- sign-in ------------------------------------------------------------------------------------------


def try_password(name: str, password: str, address: str = "203.0.113.7", path: str = SIGN_IN, **headers: str) -> Any:
    client = Client(REMOTE_ADDR=address)
    return client.post(path, {"username": name, "password": password}, headers=headers)


def test_guessing_a_password_ends_after_ten_attempts_from_an_address() -> None:
    make.create_user("安娜")
    for _ in range(10):
        assert try_password("安娜", "wrong").status_code == 422
    refused = try_password("安娜", PASSWORD)  # the right one is not looked at either
    assert (refused.status_code, refused["Retry-After"]) == (429, "900")
    assert "Wait 15 minutes" in refused.content.decode()
    assert "请等待 15 分钟" in try_password("安娜", "x", **{"Accept-Language": "zh-Hans"}).content.decode()
    admin = try_password("安娜", PASSWORD, path="/admin/login/?next=/admin/")
    assert "Wait 15 minutes" in admin.content.decode()
    assert try_password("安娜", PASSWORD, "198.51.100.1").status_code == 302  # the owner, from elsewhere
    assert try_password("ben", "x").status_code == 422  # another name from there
    SignInAttempts.objects.update(since=timezone.now() - timedelta(minutes=16))
    assert try_password("安娜", PASSWORD).status_code == 302
    assert not SignInAttempts.objects.filter(count__gt=0).exists()
    keys = " ".join(SignInAttempts.objects.values_list("key", flat=True))
    assert "安娜" not in keys


def test_a_right_password_starts_the_count_again() -> None:
    make.create_user("anna")
    for _ in range(3):
        for _ in range(9):
            try_password("anna", "wrong")
        assert try_password("anna", PASSWORD).status_code == 302


def test_people_who_know_their_password_do_not_use_up_the_address_they_share(settings: Any) -> None:
    settings.SIGN_IN_ATTEMPTS_OF_ADDRESS = 3
    for n in range(6):
        make.create_user(f"colleague-{n}")
        assert try_password(f"colleague-{n}", PASSWORD).status_code == 302


def test_one_address_cannot_try_a_password_on_everybody(settings: Any) -> None:
    settings.SIGN_IN_ATTEMPTS_OF_ADDRESS = 5
    answers = [try_password(f"person-{n}", "123456").status_code for n in range(7)]
    assert answers == [422] * 5 + [429] * 2
    assert try_password("x", "y", "2001:db8:1:2::1").status_code == 422
    for n in range(5):
        try_password(f"six-{n}", "y", f"2001:db8:1:2::{n + 2}")
    assert try_password("x", "y", "2001:db8:1:2::ffff").status_code == 429


def test_the_address_is_believed_from_our_own_proxies_only(settings: Any) -> None:
    settings.SIGN_IN_ATTEMPTS = 1
    for n in range(3):
        answer = try_password("anna", "x", **{"X-Forwarded-For": f"192.0.2.{n}"})
    assert answer.status_code == 429  # a made-up header moves nobody
    settings.TRUSTED_PROXIES = 1
    for n in range(3):
        answer = try_password("anna", "x", **{"X-Forwarded-For": f"10.9.8.7, 192.0.2.{n}"})
        assert answer.status_code == 422
    assert try_password("anna", "x", **{"X-Forwarded-For": "6.6.6.6, 192.0.2.1"}).status_code == 429


EVIL = [
    "https://evil.example/",
    "//evil.example",
    "/\\evil.example",
    "javascript:alert(1)",
    "http:evil",
    "\x01//e.x",
    "",
]


@pytest.mark.parametrize("target", EVIL)
def test_next_never_leaves_the_site(target: str) -> None:
    user = make.create_user()
    client = Client()
    answer = client.post(SIGN_IN, {"username": user.username, "password": PASSWORD, "next": target})
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert client.get(SIGN_IN, {"next": target})["Location"] == "/"
    assert client.post("/accounts/language/", {"language": "en", "next": target})["Location"] == "/"


def test_the_sign_in_page_as_its_own_next_is_no_circle() -> None:
    client = Client()
    client.force_login(make.create_user())
    for target in (SIGN_IN, SIGN_IN + "?next=/x"):
        assert client.get(SIGN_IN, {"next": target})["Location"] == "/"


def test_a_session_is_new_after_sign_in_and_over_after_sign_out() -> None:
    user = make.create_user()
    client = Client()
    client.get(SIGN_IN)
    client.cookies["sessionid"] = planted = "a" * 32
    client.post(SIGN_IN, {"username": user.username, "password": PASSWORD})
    session, csrf = client.cookies["sessionid"].value, client.cookies["csrftoken"].value
    assert session != planted
    cookie = client.cookies["sessionid"]
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
    assert client.get("/accounts/sign-out/").status_code == 405
    assert client.get("/").status_code == 200
    client.post("/accounts/sign-out/")
    thief = Client()
    thief.cookies["sessionid"], thief.cookies["csrftoken"] = session, csrf
    assert thief.get("/").status_code == 302


def test_forms_and_session_calls_need_the_csrf_token() -> None:
    user = make.create_member(make.create_corpus("lab"), "manager")
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    assert client.post("/accounts/profile/", {"days": "1"}).status_code == 403
    assert (
        client.post(f"{A}/corpora/lab/snapshots/", {"name": "v1"}, content_type="application/json").status_code == 403
    )
    _token, text = issue_token(None, user)
    bearer = {"Authorization": f"Bearer {text}"}
    answer = Client(enforce_csrf_checks=True).post(f"{A}/corpora/lab/runs/", {}, "application/json", headers=bearer)
    assert answer.status_code == 422  # a token needs none; the corpus has no clips


def test_a_password_is_changed_by_its_owner_and_ends_other_sessions() -> None:
    user = make.create_user("anna")
    here, there = Client(), Client()
    for client in (here, there):
        client.force_login(user)
    form = {
        "old_password": PASSWORD,
        "new_password1": "a-new-test-passphrase",
        "new_password2": "a-new-test-passphrase",
    }
    for wrong in ({"old_password": "x"}, {"new_password1": "12345678901", "new_password2": "12345678901"}):
        assert here.post("/accounts/password/", {**form, **wrong}).status_code == 422
    assert here.post("/accounts/password/", form)["Location"] == "/accounts/profile/"
    assert (here.get("/").status_code, there.get("/").status_code) == (200, 302)
    user.refresh_from_db()
    assert user.check_password("a-new-test-passphrase")
    assert "passphrase" not in str(list(AuditEntry.objects.values()))
    assert AuditEntry.objects.filter(action="person.password", target="anna").count() == 1


# ---- tokens -------------------------------------------------------------------------------------------


def test_a_token_is_shown_once_on_the_page_and_kept_as_a_hash() -> None:
    client = Client()
    client.force_login(make.create_user())
    page = client.post("/accounts/profile/", {"days": "5"})
    text = re.search(r'id="new-token">([^<]+)<', page.content.decode())[1]
    assert page["Cache-Control"] == "no-store"
    secret = text.partition(".")[2]
    assert secret not in client.get("/accounts/profile/").content.decode()
    assert ApiToken.objects.get().secret_sha256 == hashlib.sha256(secret.encode()).hexdigest()
    for days in ("0", "-1", "x", "1e3", "99999", "9" * 5000):
        assert client.post("/accounts/profile/", {"days": days}).status_code == 422, days
    assert ApiToken.objects.count() == 1


def test_a_scope_narrows_every_call_of_the_api(world: World) -> None:
    """A token for one action that no call needs may call nothing, whoever holds it."""
    for role in ("admin", "annotator", "reviewer", "manager"):
        _token, text = issue_token(None, world.people[role], scopes=["member.manage"])
        bearer = {"Authorization": f"Bearer {text}"}
        for method, address, data, _statuses in TABLE:
            if address.startswith(A) or address == "{media}":
                answer = world.ask("anonymous", method, address, filled(data, world.values), headers=bearer)
                assert answer.status_code in (403, 404), (role, method, address, answer.status_code)
                assert "片段" not in answer.text_sent.decode()
    _token, text = issue_token(None, world.people["admin"], scopes=["corpus.view", "training.view"])
    bearer = {"Authorization": f"Bearer {text}"}
    for address, status in (
        ("corpora/lab/", 200),
        ("training-runs/", 200),
        ("snapshots/", 403),
        ("corpora/lab/clips/", 403),
    ):
        assert world.ask("anonymous", "GET", f"{A}/{address}", headers=bearer).status_code == status


def test_pages_and_the_admin_are_not_opened_by_a_token(world: World) -> None:
    _token, text = issue_token(None, world.people["admin"])
    for address in ("/", "/accounts/profile/", "/admin/", "/corpora/lab/", "/experiments/"):
        assert world.ask("anonymous", "GET", address, headers={"Authorization": f"Bearer {text}"}).status_code == 302


def test_the_token_of_a_deactivated_person_opens_nothing(world: World) -> None:
    viewer = world.people["viewer"]
    viewer.is_active = False
    viewer.save()
    bearer = {"Authorization": f"Bearer {world.token}"}
    assert world.ask("anonymous", "GET", f"{A}/corpora/", headers=bearer).status_code == 401
    assert world.ask("anonymous", "GET", "{media}", headers=bearer).status_code == 401
    assert world.ask("viewer", "GET", "/").status_code == 302  # nor does the session they had


# ---- media --------------------------------------------------------------------------------------------


def test_a_signed_address_opens_only_what_it_says(world: World) -> None:
    viewer, manager = world.people["viewer"], world.people["manager"]
    soon = timezone.now() + timedelta(minutes=5)
    url = media.signed_urls(world.clip, viewer, expires=soon)["video"]
    good = world.ask("viewer", "GET", url)
    assert (good.status_code, good["Content-Type"], good["X-Content-Type-Options"]) == (200, "video/mp4", "nosniff")
    assert "sandbox" in good["Content-Security-Policy"] or "default-src 'self'" in good["Content-Security-Policy"]
    other_host = signing.dumps({"c": world.clip.pk, "u": viewer.pk, "k": None, "x": 9e9}, key="x" * 50, salt=media.SALT)
    late = media.signed_urls(world.clip, viewer, expires=timezone.now() - timedelta(seconds=2))["video"]
    head, _slash, kind = url.rpartition("/")
    for role, address, status in (
        ("manager", url, 403),
        ("admin", url, 403),
        ("anonymous", url, 401),
        ("viewer", late, 403),
        ("viewer", f"{head}/audio", 404),
        ("viewer", f"{head}/..%2f..%2fsecret-key", 404),
        ("viewer", f"{head}/../../secret-key", 404),
        ("viewer", f"{head[:-3]}abc/{kind}", 404),
        ("viewer", f"/media/{other_host}/video", 404),
        ("viewer", "/media/derived/one.mp4", 404),
        ("viewer", "/media/../../../etc/passwd", 404),
    ):
        assert world.ask(role, "GET", address).status_code == status, (role, address)
    mine = media.signed_urls(world.clip, manager, expires=soon)["video"]
    withdraw_clip(None, world.clip, "撤回同意")
    assert world.ask("manager", "GET", mine).status_code == 410


def test_a_lease_opens_no_media_once_the_role_is_gone(world: World) -> None:
    annotator, soon = world.people["annotator"], timezone.now() + timedelta(minutes=5)
    url = media.signed_urls(world.clip, annotator, claim_id=world.values["claim"], expires=soon)["video"]
    assert world.ask("annotator", "GET", url).status_code == 200
    Membership.objects.filter(user=annotator).delete()
    assert world.ask("annotator", "GET", url).status_code == 403


@pytest.mark.parametrize(
    "content", [b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", b"<html><script>1</script>"]
)
def test_a_document_called_a_video_is_never_served(world: World, content: bytes) -> None:
    client = world.clients["manager"]
    for name in ("x.mp4", "x.svg", "x.html", "x.mp4.html"):
        answer = client.post(f"{A}/corpora/lab/clips/", {"media": SimpleUploadedFile(name, content, "image/svg+xml")})
        assert answer.status_code == 422, name
        assert not world.corpus.clips.filter(name__startswith="x").exists()
    assert set(media.CONTENT_TYPES.values()) == {
        "video/mp4",
        "audio/mp4",
        "image/jpeg",
        "application/json",
        "audio/wav",
    }


# ---- headers, logs, the audit trail ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["v1\n", "v1\r\nX-Evil: 1", 'v"1', "../v1", "v1/..", "ｖ１", "", "a" * 81])
def test_a_snapshot_cannot_be_named_into_a_header_or_a_folder(world: World, name: str) -> None:
    with pytest.raises(Invalid):
        freeze_snapshot(None, world.corpus, name)


def test_downloads_are_attachments_with_plain_names(world: World) -> None:
    for kind in ("csv", "jsonl", "folder"):
        answer = world.ask("manager", "GET", f"{A}/snapshots/{{snapshot}}/exports/{kind}/")
        assert re.fullmatch(r'attachment; filename="[A-Za-z0-9._-]+"', answer["Content-Disposition"])
        assert answer.audited == ["snapshot.export"]
    upload = {"media": SimpleUploadedFile('a"\r\nX-Evil: 1.mp4', b"x")}
    answer = world.clients["manager"].post(f"/uploads/{world.values['upload']}/files/", upload)
    assert "X-Evil" not in answer
    assert "\n" not in answer.json()["name"]


def test_research_csv_keeps_formulas_and_quotes_as_they_are(world: World) -> None:
    """Byte-exact by design; what matters is that a cell never becomes two."""
    import csv

    evil = '=HYPERLINK("http://evil.example";"x"),\n"@SUM(1)'
    make.create_record(make.create_clip(world.corpus, "公式"), "fine", description={"zh": evil, "en": ""})
    snapshot = freeze_snapshot(None, world.corpus, "v3")
    answer = world.ask("manager", "GET", f"{A}/snapshots/{snapshot.pk}/exports/csv/")
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(answer.text_sent.decode(), newline=""))}
    assert rows["公式"]["description_zh"] == evil
    assert answer["X-Content-Type-Options"] == "nosniff"


def test_a_log_line_stays_one_line() -> None:
    record = logging.LogRecord(
        "django.security", logging.ERROR, "x", 1, "Invalid Host: %s", ("a\nERROR forged 情感",), None
    )
    line = formatter().format(record)
    assert "\n" not in line
    assert json.loads(line)["event"] == "Invalid Host: a\nERROR forged 情感"


# What changes nothing that outlives it, or keeps its own append-only rows (drafts), or is the session itself.
UNAUDITED = {"renew", "draft", "sign-in", "sign-out", "language", "login", "logout", "files", "summarise", "estimate"}


def test_every_change_leaves_an_entry_in_the_audit_trail(world: World) -> None:
    changes = 0
    for role in ("admin", "manager", "annotator", "reviewer"):
        for method, address, data, _statuses in TABLE:
            last = address.rstrip("/").rpartition("/")[2]
            if method == "GET" or last in UNAUDITED:
                continue
            answer = world.ask(role, method, address, filled(data, world.values))
            held_already = last == "claims" and answer.status_code in (200, 204)
            told_only = last == "add" and not Membership.objects.filter(user=world.people["stranger"]).exists()
            if answer.status_code < 400 and not held_already and not told_only:
                assert answer.audited, (role, method, address)
                changes += 1
    assert changes > 30


def test_what_is_typed_into_the_admin_is_in_the_audit_trail(world: World) -> None:
    row = {
        "username": "陌生人",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00",
        "is_superuser": "on",
        "is_active": "on",
    }
    answer = world.ask("admin", "POST", f"/admin/accounts/user/{world.people['stranger'].pk}/change/", row)
    assert (answer.status_code, answer.audited) == (302, ["admin.change"])
