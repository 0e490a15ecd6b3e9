"""Probes, request ids, policies and problem documents hold for every page."""

import json

import pytest
from django.test import Client

from annotator.core.models import AuditEntry
from annotator.prelabels.models import PreLabeller
from tests.support.factories import create_user

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


def test_nothing_leaves_the_admin_without_an_entry_in_the_audit_trail(client: Client) -> None:
    client.force_login(create_user(is_superuser=True, is_staff=True))
    made = [PreLabeller.objects.create(name=f"model-{n}") for n in range(2)]
    chosen = {"action": "delete_selected", "_selected_action": [row.pk for row in made], "post": "yes"}
    client.post("/admin/prelabels/prelabeller/", chosen)
    assert PreLabeller.objects.filter(pk__in=chosen["_selected_action"]).count() == 2  # one by one only
    assert client.post(f"/admin/prelabels/prelabeller/{made[0].pk}/delete/", {"post": "yes"}).status_code == 302
    assert AuditEntry.objects.filter(action="admin.delete", target="prelabeller model-0").exists()
