"""A reviewer before two annotators who differ: both side by side, one is chosen, what is alone is marked."""

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.support.workbench import Workbench

from .conftest import Person

SAID = {
    "eva": ("她在微笑，语气平静。", "She smiles and speaks calmly.", ["平静"], ["calm", "content"]),
    "li": (
        "她的微笑很短，话里有不满。",
        "Her smile is short and the words complain.",
        ["不满"],
        ["calm", "dissatisfied"],
    ),
}


def call(bench: Workbench, token: str, method: str, path: str, body: Any = None) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{bench.port}/api/v1{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read() or b"null")


@pytest.fixture(scope="module")
def judge(workbench: Workbench, clips: Path) -> str:
    """A corpus whose one clip two people have annotated by REST; the password of its reviewer."""
    manage = workbench.manage
    manage("create_corpus", "pair", "--name", "Pair", "--licence", "open", "--overlap", "2")
    manifest = clips.parent / "pair.jsonl"
    clues = [
        {
            "modality": "visual",
            "aspect": "expression",
            "language": "en",
            "text": "The lip corners rise.",
            "source": "a",
        },
        {"modality": "audio", "aspect": "tone", "language": "zh", "text": "语气平缓。", "source": "b"},
    ]
    manifest.write_text(
        json.dumps({"name": "一段对话", "subtitle_zh": "我没事。", "clues": clues}) + "\n", encoding="utf-8"
    )
    manage("ingest", "pair", "--manifest", str(manifest))
    for name, (zh, en, ov_zh, ov_en) in SAID.items():
        manage("add_member", "pair", name, "--role", "annotator", "--create")
        token = manage("issue_token", name)["token"]
        claim = call(workbench, token, "POST", "/corpora/pair/claims/", {})
        body = {
            "clues": [{"id": clue["id"], "verdict": "kept"} for clue in claim["clues"]],
            "description": {"zh": zh, "en": en},
            "ov_labels": {"zh": ov_zh, "en": ov_en},
        }
        if name == "li":
            body["clues"][1].update(verdict="rejected", reason="the voice is not calm")
        call(workbench, token, "POST", f"/claims/{claim['id']}/submit/", body)
    return manage("add_member", "pair", "jo", "--role", "reviewer", "--create")["password"]


def test_annotations_stand_side_by_side_and_one_is_accepted(
    workbench: Workbench, judge: str, person: Callable[..., Person]
) -> None:
    jo = person("jo", judge)
    page = jo.goto("/corpora/pair/review/")
    versions = page.locator(".version")
    expect(versions).to_have_count(2)
    assert versions.nth(0).bounding_box()["y"] == versions.nth(1).bounding_box()["y"]
    expect(page.locator("[data-ref=noMedia]")).to_be_visible()
    assert sorted(page.locator(".tag--lone").all_inner_texts()) == ["content", "dissatisfied", "不满", "平静"]
    html = page.content()
    assert "eva" not in html
    assert ">li<" not in html
    jo.shot("40-review-two")
    page.keyboard.press("v")
    expect(versions.nth(1)).to_have_class("version is-chosen")
    chosen = versions.nth(1).inner_text()
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-ref=empty]")).to_be_visible()
    token = workbench.manage("issue_token", "jo")["token"]
    (record,) = call(workbench, token, "GET", "/corpora/pair/records/?grade=fine")["results"]
    assert record["record"]["description"]["en"] in chosen


@pytest.fixture
def kim(workbench: Workbench, clips: Path) -> str:
    """A clip that was annotated, and whose pre-label was then replaced; the password of its reviewer."""
    manage = workbench.manage
    manage("create_corpus", "later", "--name", "Later", "--licence", "open")
    manifest, table = clips.parent / "later.jsonl", clips.parent / "later.csv"
    manifest.write_text(json.dumps({"name": "一段"}) + "\n", encoding="utf-8")
    manage("ingest", "later", "--manifest", str(manifest))
    imported = ("import_prelabels", "later", str(table), "--prelabeller", "lab", "--modality", "visual")
    table.write_text("name,text\n一段,The brows rise.\n", encoding="utf-8")
    manage(*imported, "--language", "en")
    manage("add_member", "later", "ann", "--role", "annotator", "--create")
    token = manage("issue_token", "ann")["token"]
    claim = call(workbench, token, "POST", "/corpora/later/claims/", {})
    clue = {"id": claim["clues"][0]["id"], "verdict": "corrected", "text": "The brows rise in surprise."}
    body = {"clues": [clue], "description": {"en": "She is surprised."}}
    call(workbench, token, "POST", f"/claims/{claim['id']}/submit/", body)
    table.write_text("name,text\n一段,The brows are still.\n", encoding="utf-8")
    manage(*imported, "--language", "en")
    return manage("add_member", "later", "kim", "--role", "reviewer", "--create")["password"]


def test_a_reviewer_thinks_twice_and_edits_what_a_later_run_has_replaced(
    workbench: Workbench, kim: str, person: Callable[..., Person]
) -> None:
    page = person("kim", kim).goto("/corpora/later/review/")
    expect(page.locator(".version-clues del")).to_have_text("The brows rise.")
    page.keyboard.press("r")
    page.fill("#return-reason", "Say what surprises her.")
    page.click("dialog[open] button[value='']")
    page.keyboard.press("r")
    expect(page.locator("#return-reason")).to_have_value("Say what surprises her.")
    page.click("dialog[open] button[value='']")
    page.keyboard.press("e")
    expect(page.locator(".clue")).to_have_count(1)
    page.fill("#description-en", "She is surprised by the news.")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-ref=empty]")).to_be_visible()
    token = workbench.manage("issue_token", "kim")["token"]
    (record,) = call(workbench, token, "GET", "/corpora/later/records/?grade=fine")["results"]
    assert record["record"]["description"]["en"] == "She is surprised by the news."
    assert record["record"]["clues"][0]["text"] == "The brows rise in surprise."
