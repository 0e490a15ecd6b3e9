"""/metrics counts what stands in which state, for a scraper with the token and for nobody else."""

import pytest
from django.test import Client

from annotator.accounts.services import issue_token
from tests.support.factories import create_clip, create_user

pytestmark = pytest.mark.django_db


def test_the_counts_are_prometheus_text(monkeypatch) -> None:
    create_clip()
    monkeypatch.setenv("METRICS_TOKEN", "a-scraper's-token")
    answer = Client().get("/metrics", headers={"Authorization": "Bearer a-scraper's-token"})
    assert answer.status_code == 200
    assert 'workbench_slots{state="open"} 1' in answer.content.decode().splitlines()


@pytest.mark.parametrize("given", ["", "Bearer ", "Bearer wrong"])
def test_nobody_else_reads_them(monkeypatch, given: str) -> None:
    assert Client().get("/metrics", headers={"Authorization": given}).status_code == 403
    monkeypatch.setenv("METRICS_TOKEN", "right")
    assert Client().get("/metrics", headers={"Authorization": given}).status_code == 403


def test_an_admin_may_look() -> None:
    client = Client()
    client.force_login(create_user(is_superuser=True))
    assert client.get("/metrics").status_code == 200


def test_an_admins_api_token_reads_them_unless_it_was_narrowed() -> None:
    admin, person = create_user(is_superuser=True), create_user()
    expected = [(admin, [], 200), (admin, ["corpus.view"], 403), (person, [], 403)]
    for owner, scopes, status in expected:
        _, text = issue_token(None, owner, scopes=scopes)
        assert Client().get("/metrics", headers={"Authorization": f"Bearer {text}"}).status_code == status


def test_a_workbench_of_one_machine_answers_that_machine_alone(settings) -> None:
    settings.METRICS_ON_LOOPBACK = True
    assert Client().get("/metrics").status_code == 200
    assert Client(REMOTE_ADDR="192.168.1.7").get("/metrics").status_code == 403
