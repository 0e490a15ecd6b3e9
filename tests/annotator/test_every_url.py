"""Every address of the resolver x every role x every method: one table, one expected status a cell.

An address that is not in the table fails the last test, so whoever adds a view says here who may use it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.urls import URLPattern, get_resolver, resolve
from django.utils import translation

from tests.annotator.everything import ROLES, World

pytestmark = pytest.mark.django_db

BODY = {"clues": [], "description": {"zh": "他生气了。", "en": ""}, "ov_labels": {"zh": ["生气"], "en": []}}
TRANSLATE = {"from": "zh", "to": "en", "text": "他生气了。"}
LAUNCH = {"snapshot": "{snapshot}", "config": "tiny", "name": "run-1"}
FREEZE = {"name": "v3", "grade": "fine", "split": "", "group_by": "none", "seed": "0"}
PIPELINE = {"name": "ours", "declaration": "- merge"}
PASS = {"person": "成员-annotator", "decision": "pass"}
A = "/api/v1"

# method, address, what is sent, expected status of: anonymous stranger viewer annotator reviewer manager admin
TABLE: list[tuple[str, str, Any, str]] = [
    # pages
    ("GET", "/", None, "302 200 200 200 200 200 200"),
    ("GET", "/accounts/sign-in/", None, "200 302 302 302 302 302 302"),
    ("POST", "/accounts/sign-in/", {"username": "nobody", "password": "x"}, "422 302 302 302 302 302 302"),
    ("POST", "/accounts/sign-out/", None, "302 302 302 302 302 302 302"),
    ("POST", "/accounts/language/", {"language": "zh-hans"}, "302 302 302 302 302 302 302"),
    ("GET", "/accounts/profile/", None, "302 200 200 200 200 200 200"),
    ("POST", "/accounts/profile/", {"days": "3"}, "302 200 200 200 200 200 200"),
    ("GET", "/accounts/password/", None, "302 200 200 200 200 200 200"),
    ("POST", "/accounts/password/", {"old_password": "x"}, "302 422 422 422 422 422 422"),
    ("POST", "/accounts/profile/tokens/{token}/revoke/", None, "302 302 302 302 302 302 302"),
    ("POST", "/accounts/profile/tokens/{apitoken}/revoke/", None, "302 404 302 404 404 404 404"),
    ("GET", "/corpora/lab/", None, "302 404 200 200 200 200 200"),
    ("GET", "/corpora/none/", None, "302 404 404 404 404 404 404"),
    ("POST", "/corpora/lab/members/add/", {"username": "陌生人"}, "302 404 403 403 403 302 302"),
    ("POST", "/corpora/lab/members/remove/", {"membership": "0"}, "302 404 403 403 403 404 404"),
    ("GET", "/corpora/lab/clips/", None, "302 404 200 403 200 200 200"),
    ("GET", "/clips/{clip}/", None, "302 404 200 403 200 200 200"),
    ("POST", "/clips/{clip}/flag/", {"reason": "other"}, "302 404 403 302 302 302 302"),
    ("POST", "/corpora/lab/person-rule/", {"rule": "none"}, "302 404 403 403 403 302 302"),
    ("GET", "/clips/{clip}/person/", None, "302 404 200 200 200 200 200"),  # the annotator holds it
    ("POST", "/clips/{clip}/person/", {"number": "1"}, "302 404 403 302 302 302 302"),
    ("POST", "/clips/{clip}/withdraw/", {"reason": "撤回同意"}, "302 404 403 403 403 302 302"),
    ("GET", "/corpora/lab/upload/", None, "302 404 403 403 403 200 200"),
    ("POST", "/corpora/lab/upload/", None, "302 404 403 403 403 302 302"),
    ("GET", "/uploads/{upload}/", None, "302 404 403 403 403 200 200"),
    ("POST", "/uploads/{upload}/files/", None, "302 404 403 403 403 422 422"),
    ("POST", "/uploads/files/{file}/retry/", None, "302 404 403 403 403 302 302"),
    ("GET", "{media}", None, "401 403 200 403 200 200 200"),
    ("GET", "/corpora/lab/runs/", None, "302 404 200 403 200 200 200"),
    ("POST", "/corpora/lab/runs/", {"pipeline": "measured"}, "302 404 403 403 403 302 302"),
    ("GET", "/corpora/lab/models/", None, "302 404 403 403 403 200 200"),
    ("GET", "/runs/{run}/", None, "302 404 200 403 200 200 200"),
    ("GET", "/runs/{run}/progress/", None, "302 404 200 403 200 200 200"),
    ("POST", "/runs/{run}/cancel/", None, "302 404 403 403 403 302 302"),
    ("POST", "/runs/{run}/retry/", None, "302 404 403 403 403 302 302"),
    ("POST", "/runs/{run}/pause/", None, "302 404 403 403 403 302 302"),
    ("POST", "/runs/{run}/resume/", None, "302 404 403 403 403 409 409"),
    ("GET", "/pipelines/", None, "302 403 200 403 200 200 200"),
    ("POST", "/pipelines/", PIPELINE, "302 403 403 403 403 302 302"),
    ("GET", "/corpora/lab/check/", None, "302 404 403 200 403 403 200"),
    ("GET", "/corpora/lab/review/", None, "302 404 403 403 200 403 200"),
    ("GET", "/corpora/lab/quality/", None, "302 404 403 403 200 200 200"),
    ("GET", "/corpora/lab/quality/prelabellers.csv", None, "302 404 403 403 200 200 200"),
    ("GET", "/corpora/lab/quality/people.csv", None, "302 404 403 403 404 404 404"),
    ("GET", "/corpora/lab/dashboard/", None, "302 404 403 403 403 200 200"),
    ("GET", "/corpora/lab/dashboard/people.csv", None, "302 404 403 403 403 200 200"),
    ("GET", "/corpora/lab/my-week/", None, "302 404 403 200 403 403 200"),
    ("GET", "/corpora/lab/my-week/days.csv", None, "302 404 403 200 403 403 200"),
    ("GET", "/corpora/lab/gate/", None, "302 404 403 403 200 200 200"),
    ("GET", "/corpora/lab/gate/progress/", None, "302 404 403 403 200 200 200"),
    ("GET", "/corpora/lab/gate/table.csv", None, "302 404 403 403 200 200 200"),
    ("GET", "/corpora/lab/gate/table.json", None, "302 404 403 403 200 200 200"),
    ("POST", "/corpora/lab/gate/judge/", None, "302 404 403 403 403 302 302"),
    ("GET", "/corpora/lab/rules/", None, "302 404 403 403 403 200 200"),
    ("POST", "/corpora/lab/rules/", {}, "302 404 403 403 403 422 422"),
    ("GET", "/corpora/lab/terms/", None, "302 404 200 200 200 200 200"),
    ("POST", "/corpora/lab/terms/", {"version": "x"}, "302 404 409 409 409 409 409"),
    ("GET", "/corpora/lab/training/{claim}/", None, "302 404 404 404 404 404 404"),  # no training clip
    ("GET", "/corpora/lab/standing/", None, "302 404 403 200 403 403 200"),
    ("POST", "/corpora/lab/standing/", {"languages": "1"}, "302 404 403 302 403 403 302"),
    ("GET", "/corpora/lab/standings/", None, "302 404 403 403 403 200 200"),
    (
        "POST",
        "/corpora/lab/standings/",
        {"person": "成员-annotator", "decision": "pass"},
        "302 404 403 403 403 302 302",
    ),
    ("GET", "/corpora/lab/claims/", None, "302 404 403 403 403 200 200"),
    ("POST", "/corpora/lab/claims/", {"claim": "0"}, "302 404 403 403 403 404 404"),
    ("GET", "/corpora/lab/gold/", None, "302 404 403 403 200 200 200"),
    ("POST", "/corpora/lab/gold/", {"record": "0"}, "302 404 403 403 404 404 404"),
    ("POST", "/corpora/lab/gold/plant/", None, "302 404 403 403 302 302 302"),
    ("GET", "/corpora/lab/gold/{gold}/", None, "302 404 403 403 200 200 200"),
    ("POST", "/corpora/lab/gold/{gold}/", {"act": "retire"}, "302 404 403 403 302 302 302"),
    ("POST", "/clips/{clip}/plan/", {"priority": "1"}, "302 404 403 403 403 302 302"),
    ("GET", "/corpora/lab/records/", None, "302 404 200 403 200 200 200"),
    ("GET", "/records/{record}/", None, "302 404 200 403 200 200 200"),
    ("POST", "/records/{decided}/adjudicate/", None, "302 404 403 403 302 302 302"),
    ("GET", "/corpora/lab/auto-decisions/", None, "302 404 403 403 200 200 200"),
    ("GET", "/corpora/lab/snapshots/", None, "302 404 200 403 200 200 200"),
    ("POST", "/corpora/lab/snapshots/", FREEZE, "302 404 403 403 403 302 302"),
    ("GET", "/snapshots/{snapshot}/", None, "302 404 200 404 200 200 200"),
    ("GET", "/experiments/", None, "302 200 200 200 200 200 200"),
    ("GET", "/experiments/new/", None, "302 403 403 403 403 200 200"),
    ("POST", "/experiments/new/", LAUNCH, "302 403 403 403 403 302 302"),
    ("GET", "/experiments/estimates/{estimate}/", None, "302 404 404 404 404 286 286"),
    ("GET", "/experiments/results/", None, "302 200 200 200 200 200 200"),
    ("GET", "/experiments/results/table.csv", None, "302 200 200 200 200 200 200"),
    ("GET", "/experiments/results/table.md", None, "302 200 200 200 200 200 200"),
    ("GET", "/experiments/checkpoints/{checkpoint}/", None, "302 404 200 404 200 200 200"),
    ("POST", "/experiments/checkpoints/{checkpoint}/promote/", None, "302 404 403 404 403 409 409"),  # no weights
    ("GET", "/experiments/{training}/", None, "302 404 200 404 200 200 200"),
    ("GET", "/experiments/{training}/curve.json", None, "302 404 200 404 200 200 200"),
    ("POST", "/experiments/{training}/cancel/", None, "302 404 403 404 403 302 302"),
    ("POST", "/experiments/{stopped}/resume/", None, "302 404 403 404 403 302 302"),
    # REST
    ("GET", f"{A}/corpora/", None, "401 200 200 200 200 200 200"),
    ("POST", f"{A}/corpora/", {"slug": "new"}, "401 403 403 403 403 403 201"),
    ("GET", f"{A}/corpora/lab/", None, "401 404 200 200 200 200 200"),
    ("GET", f"{A}/corpora/lab/progress/", None, "401 404 200 200 200 200 200"),
    ("GET", f"{A}/corpora/lab/clips/", None, "401 404 200 403 200 200 200"),
    ("POST", f"{A}/corpora/lab/clips/", {}, "401 404 403 403 403 415 415"),
    ("POST", f"{A}/corpora/lab/clips/bulk/", {"name": "片段五"}, "401 404 403 403 403 200 200"),
    ("GET", f"{A}/clips/{{clip}}/", None, "401 404 200 403 200 200 200"),
    ("GET", f"{A}/clips/{{clip}}/person/", None, "401 404 200 200 200 200 200"),
    ("PUT", f"{A}/clips/{{clip}}/person/", {"number": 1}, "401 404 403 200 200 200 200"),
    ("POST", f"{A}/clips/{{clip}}/flags/", {"reason": "other"}, "401 404 403 201 201 201 201"),
    ("GET", f"{A}/corpora/lab/runs/", None, "401 404 200 403 200 200 200"),
    ("POST", f"{A}/corpora/lab/runs/", {}, "401 404 403 403 403 201 201"),
    ("GET", f"{A}/runs/{{run}}/", None, "401 404 200 403 200 200 200"),
    ("GET", f"{A}/runs/{{run}}/jobs/", None, "401 404 200 403 200 200 200"),
    ("POST", f"{A}/runs/{{run}}/cancel/", None, "401 404 403 403 403 200 200"),
    ("POST", f"{A}/runs/{{run}}/retry/", None, "401 404 403 403 403 200 200"),
    ("POST", f"{A}/runs/{{run}}/pause/", None, "401 404 403 403 403 200 200"),
    ("POST", f"{A}/runs/{{run}}/resume/", {}, "401 404 403 403 403 409 409"),
    ("POST", f"{A}/corpora/lab/runs/estimate/", {}, "401 404 403 403 403 200 200"),
    ("GET", f"{A}/pipelines/", None, "401 403 200 403 200 200 200"),
    ("POST", f"{A}/pipelines/", PIPELINE, "401 403 403 403 403 201 201"),
    ("GET", f"{A}/pipelines/emer/", None, "401 403 200 403 200 200 200"),
    ("POST", f"{A}/corpora/lab/claims/", {}, "401 404 403 200 403 403 201"),
    ("POST", f"{A}/corpora/lab/claims/", {"kind": "review"}, "401 404 403 403 200 403 204"),
    ("GET", f"{A}/claims/{{claim}}/", None, "401 404 403 200 403 200 200"),
    ("DELETE", f"{A}/claims/{{claim}}/", None, "401 404 403 204 403 204 204"),
    ("POST", f"{A}/claims/{{claim}}/renew/", None, "401 404 403 200 403 403 403"),
    ("GET", f"{A}/claims/{{claim}}/context/", None, "401 404 403 200 403 403 403"),
    ("POST", f"{A}/claims/{{claim}}/skip/", {"reason": "看不清"}, "401 404 403 200 403 403 403"),
    ("PUT", f"{A}/claims/{{claim}}/draft/", BODY, "401 404 403 428 403 403 403"),
    ("POST", f"{A}/claims/{{claim}}/submit/", BODY, "401 404 403 422 403 403 403"),
    ("POST", f"{A}/claims/{{review}}/submit/", BODY, "401 404 403 403 409 403 403"),
    ("POST", f"{A}/claims/{{claim}}/decide/", {"decision": "accept"}, "401 404 403 409 403 403 403"),
    ("POST", f"{A}/claims/{{review}}/decide/", {"decision": "return", "reason": "缺"}, "401 404 403 403 201 403 403"),
    ("POST", f"{A}/claims/{{claim}}/summarise/", BODY, "401 404 403 409 403 403 403"),
    ("POST", f"{A}/claims/{{claim}}/summaries/", BODY, "401 404 403 409 403 403 403"),
    ("POST", f"{A}/claims/{{claim}}/translate/", TRANSLATE, "401 404 403 409 403 403 403"),
    ("GET", f"{A}/corpora/lab/vocabulary/", None, "401 404 200 200 200 200 200"),
    ("GET", f"{A}/claims/{{claim}}/drafts/", None, "401 404 403 200 403 200 200"),
    ("GET", f"{A}/claims/{{claim}}/drafts/1/", None, "401 404 403 404 403 404 404"),
    ("GET", f"{A}/clips/{{clip}}/comments/", None, "401 404 403 200 200 200 200"),
    ("POST", f"{A}/clips/{{clip}}/comments/", {"text": "谁在说话？"}, "401 404 403 201 201 201 201"),
    ("POST", f"{A}/comments/{{comment}}/resolve/", None, "401 404 403 200 200 200 200"),
    ("GET", f"{A}/me/preferences/", None, "401 200 200 200 200 200 200"),
    ("PUT", f"{A}/me/preferences/", {"keys": {}, "settings": {}}, "401 200 200 200 200 200 200"),
    ("GET", f"{A}/corpora/lab/examples/", None, "401 404 200 200 200 200 200"),
    ("GET", f"{A}/corpora/lab/quality/", None, "401 404 403 403 200 200 200"),
    ("GET", f"{A}/corpora/lab/dashboard/", None, "401 404 403 403 403 200 200"),
    ("GET", f"{A}/corpora/lab/my-week/", None, "401 404 403 200 403 403 200"),
    ("GET", f"{A}/corpora/lab/gate/", None, "401 404 403 403 200 200 200"),
    ("GET", f"{A}/corpora/lab/rules/", None, "401 404 403 403 403 200 200"),
    ("PUT", f"{A}/corpora/lab/rules/", {"gold_share": 0.1}, "401 404 403 403 403 200 200"),
    ("PATCH", f"{A}/corpora/lab/rules/", {"gold_share": 7}, "401 404 403 403 403 422 422"),
    ("GET", f"{A}/corpora/lab/terms/", None, "401 404 200 200 200 200 200"),
    ("POST", f"{A}/corpora/lab/terms/", {"version": "x"}, "401 404 409 409 409 409 409"),
    ("GET", f"{A}/corpora/lab/standing/", None, "401 404 403 200 403 403 200"),
    ("PATCH", f"{A}/corpora/lab/standing/", {"languages": 1}, "401 404 403 200 403 403 200"),
    ("GET", f"{A}/corpora/lab/standings/", None, "401 404 403 403 403 200 200"),
    ("PATCH", f"{A}/corpora/lab/standings/成员-annotator/", {"decision": "pass"}, "401 404 403 403 403 200 200"),
    ("GET", f"{A}/corpora/lab/held/", None, "401 404 403 403 403 200 200"),
    ("GET", f"{A}/corpora/lab/gold/", None, "401 404 403 403 200 200 200"),
    ("POST", f"{A}/corpora/lab/gold/", {}, "401 404 403 403 422 422 422"),
    ("GET", f"{A}/gold/{{gold}}/", None, "401 404 403 403 200 200 200"),
    ("DELETE", f"{A}/gold/{{gold}}/", None, "401 404 403 403 204 204 204"),
    ("GET", f"{A}/gold/{{gold}}/planted/", None, "401 404 403 403 200 200 200"),
    ("POST", f"{A}/gold/{{gold}}/planted/", {}, "401 404 403 403 201 201 201"),
    ("GET", f"{A}/claims/{{claim}}/feedback/", None, "401 404 404 404 404 404 404"),  # no training clip
    ("GET", f"{A}/clips/{{clip}}/plan/", None, "401 404 403 403 403 200 200"),
    ("PATCH", f"{A}/clips/{{clip}}/plan/", {"priority": 1}, "401 404 403 403 403 200 200"),
    ("GET", f"{A}/corpora/lab/records/", None, "401 404 200 403 200 200 200"),
    ("GET", f"{A}/records/{{record}}/", None, "401 404 200 403 200 200 200"),
    ("POST", f"{A}/clips/{{clip}}/review/", None, "401 404 403 403 409 409 409"),
    ("GET", f"{A}/corpora/lab/auto-decisions/", None, "401 404 403 403 200 200 200"),
    ("GET", f"{A}/records/{{record}}/provenance/", None, "401 404 200 403 200 200 200"),
    ("POST", f"{A}/corpora/lab/snapshots/", {"name": "v3"}, "401 404 403 403 403 201 201"),
    ("GET", f"{A}/snapshots/", None, "401 200 200 200 200 200 200"),
    ("GET", f"{A}/snapshots/{{snapshot}}/", None, "401 404 200 404 200 200 200"),
    ("GET", f"{A}/snapshots/{{snapshot}}/files/records.jsonl", None, "401 404 200 404 200 200 200"),
    ("GET", f"{A}/snapshots/{{snapshot}}/files/../../x", None, "401 404 404 404 404 404 404"),
    ("GET", f"{A}/snapshots/{{snapshot}}/exports/csv/", None, "401 404 403 404 403 200 200"),
    ("GET", f"{A}/snapshots/{{snapshot}}/exports/folder/", None, "401 404 403 404 403 200 200"),
    ("GET", f"{A}/snapshots/{{snapshot}}/diff/{{second}}/", None, "401 404 200 404 200 200 200"),
    ("GET", f"{A}/training-runs/", None, "401 200 200 200 200 200 200"),
    ("POST", f"{A}/training-runs/", LAUNCH, "401 404 403 404 403 201 201"),
    ("GET", f"{A}/training-runs/{{training}}/", None, "401 404 200 404 200 200 200"),
    ("GET", f"{A}/evaluations/", None, "401 200 200 200 200 200 200"),
    ("POST", f"{A}/training-runs/{{training}}/cancel/", None, "401 404 403 404 403 200 200"),
    ("POST", f"{A}/training-runs/{{stopped}}/resume/", None, "401 404 403 404 403 200 200"),
    ("GET", f"{A}/checkpoints/{{checkpoint}}/", None, "401 404 200 404 200 200 200"),
    ("POST", f"{A}/checkpoints/{{checkpoint}}/promote/", None, "401 404 403 404 403 409 409"),
    ("GET", f"{A}/checkpoints/{{checkpoint}}/lineage/", None, "401 404 200 404 200 200 200"),
    # beside both
    ("GET", "/api/schema/", None, "200 200 200 200 200 200 200"),
    ("GET", "/api/docs/", None, "200 200 200 200 200 200 200"),
    ("GET", "/livez", None, "200 200 200 200 200 200 200"),
    ("GET", "/readyz", None, "200 200 200 200 200 200 200"),
    ("GET", "/metrics", None, "403 403 403 403 403 403 200"),
]

# Pages of the admin that belong to no model; everybody but an admin is sent to sign in.
ADMIN = [
    ("GET", "/admin/", 200),
    ("GET", "/admin/password_change/", 200),
    ("GET", "/admin/password_change/done/", 200),
    ("GET", "/admin/autocomplete/?app_label=clips&model_name=membership&field_name=user&term=a", 200),
    ("GET", "/admin/r/1/{corpus}/", 404),
    ("GET", "/admin/accounts/user/{user}/password/", 200),
    ("GET", "/admin/clips/", 200),
    ("GET", "/admin/jsi18n/", 200),
    ("GET", "/admin/nothing/", 404),
]
# Model -> (object, add, delete) as an admin is answered; lists, objects and histories are 200 for all of them.
MODELS = {
    "accounts/user": ("user", 200, 403),
    "accounts/apitoken": ("apitoken", 403, 403),
    "clips/corpus": ("corpus", 200, 403),
    "clips/clip": ("clip", 403, 403),
    "clips/flag": ("flag", 403, 403),
    "clips/upload": ("upload", 403, 403),
    "prelabels/prelabeller": ("prelabeller", 200, 200),
    "prelabels/pipeline": ("pipeline", 403, 403),
    "prelabels/run": ("run", 403, 403),
    "prelabels/job": ("job", 403, 403),
    "prelabels/clue": ("clue", 403, 403),
    "checking/slot": ("slot", 403, 403),
    "checking/claim": ("claim", 403, 403),
    "checking/annotation": ("annotation", 403, 403),
    "checking/review": ("decision", 403, 403),
    "checking/record": ("record", 403, 403),
    "checking/golditem": ("gold", 403, 403),
    "checking/comment": ("comment", 403, 403),
    "checking/checkingrules": ("rules", 403, 403),
    "checking/termsacceptance": ("terms", 403, 403),
    "checking/standing": ("standing", 403, 403),
    "checking/autodecision": ("auto", 403, 403),
    "checking/qualityreport": ("report", 403, 403),
    "checking/summaryrequest": ("summary_request", 403, 403),
    "snapshots/snapshot": ("snapshot", 403, 403),
}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def admin_rows() -> Iterator[tuple[str, str, Any, str]]:
    everybody = "302 " * (len(ROLES) - 1)
    rows = list(ADMIN)
    for model, (name, add, delete) in MODELS.items():
        rows += [
            ("GET", f"/admin/{model}/", 200),
            ("GET", f"/admin/{model}/add/", add),
            ("GET", f"/admin/{model}/{{{name}}}/", 302),
            ("GET", f"/admin/{model}/{{{name}}}/change/", 200),
            ("GET", f"/admin/{model}/{{{name}}}/delete/", delete),
            ("GET", f"/admin/{model}/{{{name}}}/history/", 200),
        ]
    for method, address, status in rows:
        yield method, address, None, f"{everybody}{status}"
    yield "GET", "/admin/login/", None, "200 200 200 200 200 200 302"
    yield "POST", "/admin/login/", {"username": "nobody", "password": "x"}, "200 200 200 200 200 200 200"
    yield "POST", "/admin/logout/", None, "302 302 302 302 302 302 302"


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


def filled(data: Any, values: dict[str, Any]) -> Any:
    if not isinstance(data, dict):
        return data
    return {key: text.format(**values) if isinstance(text, str) else text for key, text in data.items()}


@pytest.mark.parametrize("role", ROLES)
def test_every_cell_of_the_table(world: World, role: str) -> None:
    column, wrong = ROLES.index(role), []
    for method, address, data, statuses in [*TABLE, *admin_rows()]:
        answer = world.ask(role, method, address, filled(data, world.values))
        expected = int(statuses.split()[column])
        if answer.status_code != expected:
            wrong.append(f"{method} {address}: {answer.status_code}, expected {expected}: {answer.text_sent[:200]!r}")
        if answer.status_code in (401, 403, 404) and address.startswith(A):
            assert answer["Content-Type"] == "application/problem+json", address
        if answer.status_code >= 400 and role == "stranger":
            assert "片段" not in answer.text_sent.decode()
    assert not wrong, "\n".join(wrong)


def routes(patterns: Any, before: str = "") -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLPattern):
            yield before + str(pattern.pattern).removeprefix("^")
        else:
            yield from routes(pattern.url_patterns, before + str(pattern.pattern))


def test_no_address_is_missing_and_every_other_method_is_refused(world: World) -> None:
    answers: dict[str, tuple[str, set[str]]] = {}
    for method, address, _data, _statuses in [*TABLE, *admin_rows()]:
        if address == "/admin/nothing/":
            continue
        route = resolve(world.url(address, "viewer").partition("?")[0]).route
        answers.setdefault(route, (address, set()))[1].add(method)
    missing = [route for route in routes(get_resolver().url_patterns) if route not in answers]
    assert missing == ["admin/(?P<url>.*)$"]  # the admin's own 404
    for route, (address, methods) in answers.items():
        if route.startswith("admin/"):
            continue
        for method in METHODS:
            if method not in methods:
                # A person who is signed in is led away from the sign-in page, whatever the method.
                answer = world.ask("anonymous" if "sign-in" in address else "admin", method, address)
                assert answer.status_code == 405, (method, address)
                assert method not in answer["Allow"]
        if "GET" in methods:
            given, head = (world.ask("admin", method, address).status_code for method in ("GET", "HEAD"))
            assert head == given, ("HEAD", address)


QUERIES = (
    "q=%00&search=%00&cursor=%00",
    "q=%FF%FE&search=%ED%A0%80&filter=%C3%28&grade=%FF&page=%FF&with=%C2%B2&after=%FF&before=%FF",
    "cursor=cD1hYmM%3D&page_size=-1&with=99999999999999999999&before=99999999999999999999&page=99999999999999999999",
    "cursor=bz05OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk%3D&state=%27&step=%27%22&format=xml&next=//evil.example",
    f"with={'9' * 5000}&before={'9' * 5000}&page={'9' * 5000}&page_size={'9' * 5000}&snapshot={'9' * 30}",
    "q=(((&filter[]=x&after=zzz&search=%25_%5C&" + "q=" + "情" * 100_000,
)
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
BODIES = (
    (b"", JSON),
    (b"{", JSON),
    (b"[" * 50_000, JSON),
    (b"\xff\xfe{}", JSON),
    (b'{"name": "\\ud800", "slug": "\\u0000", "reason": "\\u0000", "seed": 1e999, "kind": [], "clips": {}}', JSON),
    (b'{"split": {"train": "inf", "../x": "nan"}, "name": "v9", "seed": "x", "clues": 5, "decision": {}}', JSON),
    (b'{"snapshot": "1", "name": "r", "overrides": {"\\u0000": "\\ud800"}, "body": {"\\u0000": 1}}', JSON),
    ('{"clues": "情感", "description": [], "ov_labels": "生气", "ahead": "是"}'.encode(), JSON),
    ('{"名": "情感"}'.encode("gb18030"), JSON),
    (b"<xml/>", "text/xml"),
    (b"x", "nonsense"),
    (
        b'--b\r\nContent-Disposition: form-data; name="media"; filename="\r\n"\r\n\r\nx',
        "multipart/form-data; boundary=b",
    ),
    (b"x", "multipart/form-data"),
    (b"username=%00&membership=%FF&resolve=%C2%B2&reason=%00&note=%00&days=9e9&snapshot=%00&name=%00&scopes=%00", FORM),
    (
        b"membership=abc&resolve=" + b"9" * 5000 + b"&days=" + b"9" * 5000 + b"&seed=" + b"9" * 5000 + b"&split=a=inf",
        FORM,
    ),
    (b"language=%00&next=%0d%0aX:%201&clips=%00&pipeline=%00&group_by=%00&username=" + b"%E6%83%85" * 500, FORM),
)


def unharmed(answer: Any, *what: Any) -> None:
    assert answer.status_code < 500, (*what, answer.text_sent[:300])


def test_garbage_in_the_query_breaks_no_page(world: World) -> None:
    for method, address, data, _statuses in TABLE:
        if method == "GET":
            for query in QUERIES:
                unharmed(world.ask("admin", method, f"{address}?{query}", data), address, query[:80])
    for model in MODELS:
        for query in (*QUERIES[:3], "o=9.9&p=abc&e=1&id__in=%00", "all=&_popup=x&q=%27"):
            unharmed(world.ask("admin", "GET", f"/admin/{model}/?{query}"), model, query)


def test_garbage_in_the_body_breaks_no_call(world: World) -> None:
    for role in ("admin", "annotator", "reviewer"):
        for method, address, _data, _statuses in TABLE:
            if method == "GET" or (role != "admin" and "/claims/" not in address):
                continue
            for body, kind in BODIES:
                answer = world.ask(role, method, address, raw=body, content_type=kind)
                unharmed(answer, role, method, address, body[:60], kind)


NUMBERS = ["0", str(2**63 - 1), str(2**63), "9" * 40, "9" * 5000, "-1", "1.5", "%00", "１", "abc"]


def test_ids_that_nothing_has_are_not_found(world: World) -> None:
    known = {key for key in world.values if key not in ("second", "user")}
    for number in NUMBERS:
        for method, address, data, _statuses in TABLE:
            names = [key for key in known if f"{{{key}}}" in address]
            if names:
                address = address.replace(f"{{{names[0]}}}", number)
                answer = world.ask("admin", method, address, filled(data, world.values))
                assert answer.status_code in (400, 404), (method, address[:80], answer.status_code)
                if address.startswith(A):
                    assert answer["Content-Type"] == "application/problem+json"
        for model in MODELS:
            unharmed(world.ask("admin", "GET", f"/admin/{model}/{number}/change/"), model)


HEADERS: list[dict[str, str]] = [
    {"X-HTTP-Method-Override": "DELETE", "X-Method-Override": "DELETE"},
    {"Accept": "text/html;q=x, */*;q=2, 情感"},
    {"Accept": "application/pdf"},
    {"Accept-Language": "zz-" + "x" * 4000},
    {"Range": "bytes=" + "9" * 5000 + "-"},
    {"If-None-Match": '"' + "x" * 9000, "If-Range": "\xff"},
    {"Authorization": "Bearer \x00.\xff"},
    {"Authorization": "Bearer"},
    {"Authorization": "Basic \xff"},
    {"HX-Request": "true", "HX-Current-URL": "javascript:\xff"},
    {"Cookie": "sessionid=\xff; csrftoken=<script>; django_language=../../etc"},
    {"X-Forwarded-For": "情感, ,,", "X-Request-ID": "a\nb"},
]


def test_hostile_headers_break_no_page(world: World) -> None:
    for headers in HEADERS:
        for method, address, data, _statuses in TABLE:
            if method == "GET":
                answer = world.ask("admin", method, address, data, headers=headers)
                unharmed(answer, address, headers)
                assert answer.status_code != 204, address


def test_a_hostile_host_is_refused_everywhere_under_the_policy(world: World, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["workbench.example.org"]
    for host in ("evil.example", "workbench.example.org.evil.example", "a b", "<script>"):
        for address in ("/", "/accounts/sign-in/", f"{A}/corpora/", "/admin/login/", "/api/docs/"):
            answer = world.ask("anonymous", "GET", address, headers={"Host": host})
            assert answer.status_code == 400, (host, address)
            assert "Content-Security-Policy" in answer
            assert host not in answer.text_sent.decode()
    answer = world.ask("anonymous", "GET", "/accounts/sign-in/", headers={"Host": "workbench.example.org"})
    assert answer.status_code == 200
