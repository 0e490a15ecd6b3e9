"""What a call of the API by token is spared, and what it is not."""

import logging

import psycopg
import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.test import Client

from annotator.core.database import PooledConnection

pytestmark = pytest.mark.django_db


def test_a_call_without_a_cookie_has_all_headers_and_is_refused_as_before() -> None:
    answer = Client().get("/api/v1/corpora/")
    assert answer.status_code == 401
    assert answer.json()["code"] == "not-authenticated"
    page = Client().get("/accounts/sign-in/")
    plain = "default-src 'self'"
    assert plain in answer["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]
    assert plain in page["Content-Security-Policy"]
    for name in ("X-Request-ID", "X-Frame-Options", "X-Content-Type-Options", "Referrer-Policy", "Content-Language"):
        assert answer[name], name
    assert "Accept-Language" in answer["Vary"]


def test_the_language_asked_for_is_spoken_by_the_api() -> None:
    answer = Client().get("/api/v1/corpora/", headers={"Accept-Language": "zh-hans"})
    assert answer["Content-Language"] == "zh-hans"


def test_a_format_that_is_not_spoken_is_refused_and_json_by_name_is_not() -> None:
    from annotator.accounts.services import create_person, issue_token

    person, _password = create_person(None, "asks")
    token = {"Authorization": f"Bearer {issue_token(None, person)[1]}"}
    ask = Client()
    assert ask.get("/api/v1/corpora/", headers={**token, "Accept": "application/xml"}).status_code == 406
    for accept in ("*/*", "application/json", "application/json, */*;q=0.1"):
        answer = ask.get("/api/v1/corpora/", headers={**token, "Accept": accept})
        assert answer.status_code == 200
        assert answer["Content-Type"].startswith("application/json")
    assert ask.get("/api/v1/corpora/?format=xml", headers=token).status_code == 404


def test_a_signed_in_browser_still_needs_its_csrf_token_for_the_api() -> None:
    from annotator.accounts.services import create_person

    person, _password = create_person(None, "browses")
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(person)
    assert browser.get("/api/v1/corpora/").status_code == 200
    refused = browser.post("/api/v1/corpora/none/claims/", {}, content_type="application/json")
    assert refused.status_code == 403
    assert "CSRF" in refused.json()["detail"]
    assert Client().get("/").wsgi_request.user == AnonymousUser()


@pytest.fixture
def kept() -> PooledConnection:
    values = connection.get_connection_params()
    known = {key: value for key, value in values.items() if key in ("host", "port", "user", "password", "dbname")}
    return PooledConnection.connect(**known, autocommit=True)


def test_a_kept_connection_that_ended_is_found_out(kept: PooledConnection) -> None:
    kept.execute("")
    assert kept.execute("SELECT 1").fetchone() == (1,)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [kept.info.backend_pid])
        assert cursor.fetchone()[0]
    with pytest.raises(psycopg.OperationalError):
        kept.execute("")
    assert kept.closed


def test_the_pool_writes_no_line_for_a_request() -> None:
    assert logging.getLogger("psycopg.pool").getEffectiveLevel() >= logging.WARNING


def test_no_index_of_the_queue_tables_is_the_beginning_of_another() -> None:
    tables = ["slot", "claim", "draft", "annotation", "check", "record", "recordrevision"]
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT less.indexrelid::regclass::text, more.indexrelid::regclass::text
            FROM pg_index less JOIN pg_index more
              ON more.indrelid = less.indrelid AND more.indexrelid <> less.indexrelid
            WHERE less.indrelid = ANY(%s::regclass[]) AND NOT less.indisunique AND less.indpred IS NULL
              AND less.indexprs IS NULL AND more.indpred IS NULL
              AND (more.indkey::text || ' ') LIKE (less.indkey::text || ' %%')""",
            [[f"checking_{table}" for table in tables]],
        )
        assert cursor.fetchall() == []
