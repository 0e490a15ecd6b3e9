"""A database that is away is told as such, and is no error of who asked."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test import AsyncClient, Client

from annotator.accounts.services import create_person, issue_token

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def token() -> dict[str, str]:
    person, _password = create_person(None, "asks")
    return {"Authorization": f"Bearer {issue_token(None, person)[1]}"}


@pytest.fixture
def signed_in() -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(create_person(None, "browses")[0])
    return client


@pytest.fixture
def away(token: dict[str, str], signed_in: Client) -> Iterator[None]:
    """No server listens where the settings say."""
    told = dict(connection.settings_dict)
    connection.close()
    connection.settings_dict["HOST"] = "/nowhere"
    yield
    connection.settings_dict.update(told)


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_a_call_is_told_to_ask_again(token: dict[str, str], away: None, language: str) -> None:
    client = Client(raise_request_exception=False)
    answer = client.post("/api/v1/corpora/any/claims/", headers={**token, "Accept-Language": language})
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "database-away"
    assert answer.json()["detail"].isascii() == (language == "en")
    assert "nowhere" not in answer.content.decode()


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_a_page_says_so_without_asking_who_is_signed_in(signed_in: Client, away: None, language: str) -> None:
    answer = signed_in.get("/", headers={"Accept-Language": language})
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    told = {"en": "The database does not answer", "zh-hans": "数据库没有响应"}[language]
    assert f"<h1>{told}</h1>" in answer.content.decode()
    assert "Content-Security-Policy" in answer


def test_a_stream_is_told_so_too(signed_in: Client, away: None, settings: Any) -> None:
    settings.ROOT_URLCONF = "annotator.stream_urls"
    reader = AsyncClient(raise_request_exception=False)  # as its own process serves it
    reader.cookies = signed_in.cookies
    answer = async_to_sync(reader.get)("/stream/summaries/1/")
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert answer.json()["code"] == "database-away"
    assert async_to_sync(reader.get)("/stream/elsewhere").json()["code"] == "not-found"


def test_a_connection_that_the_server_ends_is_one_that_is_away(token: dict[str, str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    try:
        answer = Client(raise_request_exception=False).get("/api/v1/corpora/", headers=token)
    finally:
        connection.close()
    assert (answer.status_code, answer.json()["code"]) == (503, "database-away")


def test_a_statement_that_takes_too_long_stays_an_error(signed_in: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = '200ms'")
    try:
        with psycopg.connect(**connection.get_connection_params()) as other:
            other.execute("LOCK TABLE clips_membership")
            assert signed_in.get("/").status_code == 500
    finally:
        connection.close()


def test_what_is_wrong_in_a_query_stays_an_error(signed_in: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE clips_corpus RENAME TO clips_corpus_gone")
    try:
        assert signed_in.get("/").status_code == 500
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE clips_corpus_gone RENAME TO clips_corpus")
