"""People and tokens: created by service and command, shown once, narrowed by scope, revoked for good."""

import hashlib
import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from annotator.accounts.models import ApiToken, User
from annotator.accounts.services import create_person, issue_token, revoke_token
from annotator.clips.models import Membership
from annotator.core.errors import Conflict, Invalid
from annotator.core.models import AuditEntry
from tests.support.factories import create_corpus, create_member, create_user

pytestmark = pytest.mark.django_db


def command(*arguments: str) -> dict:
    out = StringIO()
    call_command(*arguments, "--json", stdout=out)
    return json.loads(out.getvalue().splitlines()[-1])


def refused(*arguments: str) -> str:
    with pytest.raises(CommandError) as error:
        call_command(*arguments)
    assert error.value.returncode == 2
    return str(error.value)


def call(client: Client, text: str, path: str = "/api/v1/corpora/"):
    return client.get(path, headers={"Authorization": f"Bearer {text}"})


def test_a_person_gets_a_random_password_that_works(client: Client) -> None:
    person, password = create_person(None, "安娜")
    assert client.login(username="安娜", password=password)
    assert password not in json.dumps(list(AuditEntry.objects.values("detail", "target")))
    assert not person.is_superuser
    with pytest.raises(Conflict):
        create_person(None, "安娜")
    with pytest.raises(Invalid):
        create_person(None, "no spaces")
    with pytest.raises(Invalid):
        create_person(None, "weak", password="password")


def test_members_are_added_created_and_removed() -> None:
    create_corpus("lab")
    made = command("add_member", "lab", "anna", "--role", "annotator", "--create")
    assert (made["user"], made["role"], made["created"], len(made["password"]) >= 12) == (
        "anna",
        "annotator",
        True,
        True,
    )
    again = command("add_member", "lab", "anna", "--role", "reviewer", "--create")
    assert (again["created"], again["password"]) == (False, None)
    assert command("add_member", "lab", "anna", "--role", "annotator", "--remove")["removed"] is True
    assert command("add_member", "lab", "anna", "--role", "annotator", "--remove")["removed"] is False
    assert set(Membership.objects.values_list("role", flat=True)) == {"reviewer"}
    assert "nobody" in refused("add_member", "lab", "nobody", "--role", "viewer")
    assert "nowhere" in refused("add_member", "nowhere", "ben", "--role", "viewer", "--create")
    assert not User.objects.filter(username="ben").exists()


def test_a_token_is_shown_once_and_stored_as_a_hash(client: Client) -> None:
    create_member(create_corpus("lab"), "viewer", create_user("anna"))
    made = command("issue_token", "anna", "--days", "2")
    assert (made["user"], made["scopes"], made["token"].split(".")[0]) == ("anna", [], made["prefix"])
    token = ApiToken.objects.get()
    secret = made["token"].split(".")[1]
    assert token.secret_sha256 == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in str(list(AuditEntry.objects.values()))
    assert 1 < (token.expires_at - timezone.now()).total_seconds() / 86400 <= 2
    assert [c["slug"] for c in call(client, made["token"]).json()["results"]] == ["lab"]
    assert call(client, made["token"] + "x").status_code == 401
    ApiToken.objects.update(expires_at=timezone.now())
    assert call(client, made["token"]).status_code == 401


def test_scopes_narrow_and_unknown_ones_are_refused(client: Client) -> None:
    create_member(create_corpus("lab"), ("viewer", "annotator"), create_user("anna"))
    made = command("issue_token", "anna", "--scope", "corpus.view", "--scope", "claim.annotate")
    assert (made["scopes"], made["expires"]) == (["corpus.view", "claim.annotate"], None)
    assert command("issue_token", "anna", "--scope", "corpus.view", "claim.annotate")["scopes"] == made["scopes"]
    assert call(client, made["token"], "/api/v1/corpora/lab/").status_code == 200
    assert call(client, made["token"], "/api/v1/corpora/lab/clips/").status_code == 403
    assert "fly" in refused("issue_token", "anna", "--scope", "fly")
    refused("issue_token", "nobody")
    refused("issue_token", "anna", "--days", "0")


def test_a_revoked_token_and_a_deactivated_owner_are_refused(client: Client) -> None:
    user = create_user()
    token, text = issue_token(None, user)
    assert call(client, text).status_code == 200
    revoke_token(None, token)
    revoke_token(None, token)
    assert call(client, text).status_code == 401
    assert AuditEntry.objects.filter(action="token.revoke").count() == 1
    _token, other = issue_token(None, user)
    User.objects.update(is_active=False)
    assert call(client, other).status_code == 401
    with pytest.raises(Invalid):
        issue_token(None, User.objects.get())


def test_a_page_made_for_somebody_else_is_refused(client: Client) -> None:
    """Another tab may have signed somebody else in; who it is now is said, and a token is nobody's page."""
    anna, ben = create_user("anna"), create_user("ben")
    client.force_login(ben)
    told = client.get("/api/v1/corpora/", headers={"X-For-User": str(anna.pk)})
    assert (told.status_code, told.json()["code"]) == (401, "other-person")
    assert "ben" in told.json()["detail"]
    for meant in ("", str(ben.pk)):
        assert client.get("/api/v1/corpora/", headers={"X-For-User": meant}).status_code == 200
    assert client.get("/api/v1/corpora/").status_code == 200


def test_the_admin_lists_tokens_without_secrets_and_revokes(client: Client) -> None:
    client.force_login(create_user(is_superuser=True, is_staff=True))
    token, _text = issue_token(None, create_user("anna"))
    url = reverse("admin:accounts_apitoken_changelist")
    assert token.secret_sha256 not in client.get(url).content.decode()
    assert (
        token.secret_sha256
        not in client.get(reverse("admin:accounts_apitoken_change", args=[token.pk])).content.decode()
    )
    client.post(url, {"action": "revoke", "_selected_action": [token.pk]})
    token.refresh_from_db()
    assert token.revoked_at
    assert client.get(reverse("admin:accounts_user_changelist")).status_code == 200


def test_create_corpus_refuses_what_it_cannot_be(tmp_path) -> None:
    guide = tmp_path / "g.md"
    guide.write_text("# 指南", "utf-8")
    assert command("create_corpus", "a-b", "--guideline", str(guide))["slug"] == "a-b"
    for wrong in (["a-b"], ["a b"], ["../x"], ["x", "--overlap", "0"], ["y", "--guideline", str(tmp_path / "no")]):
        refused("create_corpus", *wrong)
