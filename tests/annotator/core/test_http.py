"""Probes, request ids, policies and problem documents hold for every page."""

import json

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db


def test_the_probes_answer_without_a_session() -> None:
    client = Client()
    assert client.get("/livez").json() == {"ok": True}
    ready = client.get("/readyz")
    assert ready.json()["database"] == "ok"


def test_every_answer_carries_a_request_id_and_a_hostile_one_is_replaced() -> None:
    client = Client()
    assert client.get("/livez", headers={"X-Request-ID": "abc-12345678"})["X-Request-ID"] == "abc-12345678"
    assert "\n" not in client.get("/livez", headers={"X-Request-ID": "<script>"})["X-Request-ID"]


def test_the_content_security_policy_allows_no_inline_script() -> None:
    policy = Client().get("/accounts/sign-in/")["Content-Security-Policy"]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert "unsafe-inline" not in policy
    assert "unsafe-eval" not in policy
    assert directives["object-src"] == "'none'"
    assert directives["frame-ancestors"] == "'none'"


def test_an_unknown_address_of_the_api_is_a_problem_document_for_clients() -> None:
    answer = Client().get("/api/v1/clips/1/")
    assert answer.status_code == 401
    assert answer["Content-Type"] == "application/problem+json"
    assert json.loads(answer.content)["status"] == 401


def test_the_openapi_schema_is_whole_and_without_warnings() -> None:
    from django.core.management import call_command

    call_command("spectacular", "--validate", "--fail-on-warn", "--file", "/dev/null")


def test_a_forged_session_cookie_is_nobodys() -> None:
    forged = {"Cookie": 'sessionid="aaaaaaaaaaaa\\000bbbbbbbbbbbb"'}
    assert Client().get("/", headers=forged).status_code == 302
    assert Client().get("/api/v1/corpora/", headers=forged).status_code == 401
    assert Client().get("/nothing-here/", headers=forged).status_code == 404
