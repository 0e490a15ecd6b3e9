"""A reviewer before annotators who differ: side by side, taken whole or in parts, returned and answered, on a desk and
on a phone, in both languages."""

import json
import re
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

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
    heads = page.locator(".compare-row--whole td")
    expect(heads).to_have_count(3)
    assert heads.nth(0).bounding_box()["y"] == heads.nth(1).bounding_box()["y"]
    expect(page.locator("[data-ref=noMedia]")).to_be_visible()
    labels = page.locator(".compare-row--ov_labels td:not(.compare-result)")
    lone = labels.locator(".tag--lone").evaluate_all("tags => tags.map((tag) => tag.firstChild.data)")
    assert sorted(lone) == ["content", "dissatisfied", "不满"]  # 平静 and calm are of one group
    html = page.content()
    assert not re.search(r"\beva\b|>li<", html)
    jo.shot("40-review-two")
    page.keyboard.press("v")
    expect(heads.nth(1)).to_have_class("is-taken")
    chosen = page.locator("[data-row='description:en'] td").nth(1).inner_text()
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
    return manage("add_member", "later", "kem", "--role", "reviewer", "--create")["password"]


def test_a_reviewer_thinks_twice_and_edits_what_a_later_run_has_replaced(
    workbench: Workbench, kim: str, person: Callable[..., Person]
) -> None:
    page = person("kem", kim).goto("/corpora/later/review/")
    expect(page.locator(".compare-row--clue")).to_have_count(1)
    expect(page.locator(".compare-row--clue td").first.locator("ins")).to_contain_text("in surprise")
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
    token = workbench.manage("issue_token", "kem")["token"]
    (record,) = call(workbench, token, "GET", "/corpora/later/records/?grade=fine")["results"]
    assert record["record"]["description"]["en"] == "She is surprised by the news."
    assert record["record"]["clues"][0]["text"] == "The brows rise in surprise."


# -- several people on one corpus at once

CLUES = [
    {"modality": "visual", "aspect": "expression", "language": "en", "text": "The lip corners rise.", "source": "a"},
    {"modality": "audio", "aspect": "tone", "language": "zh", "text": "语气平缓。", "source": "b"},
]


def crowd(workbench: Workbench, clips: Path, slug: str, names: list[str]) -> dict[str, str]:
    """A corpus of two clips that want two annotations each; the passwords of its people (the last one reviews)."""
    workbench.manage("create_corpus", slug, "--name", slug, "--licence", "open", "--overlap", "2")
    manifest = clips.parent / f"{slug}.jsonl"
    rows = [{"name": f"{slug}-{n}", "subtitle_zh": "我没事。", "clues": CLUES} for n in (1, 2)]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    workbench.manage("ingest", slug, "--manifest", str(manifest))
    roles = [*["annotator"] * (len(names) - 1), "reviewer"]
    return {
        name: workbench.manage("add_member", slug, name, "--role", role, "--create")["password"]
        for name, role in zip(names, roles, strict=True)
    }


def annotate(page: Page, verdicts: str, description: str, label: str, *, last: bool = False) -> None:
    """By keyboard: a verdict a clue (k keeps, r rejects as overstated), a description, a label; then hand in."""
    expect(page.locator(".clue").first).to_be_visible()
    for verdict in verdicts:
        page.keyboard.press({"k": "1", "r": "3"}[verdict])
        if verdict == "r":
            page.keyboard.press("3")  # says more than the evidence
    page.keyboard.press("e")
    page.keyboard.type(description)
    page.keyboard.press("Escape")
    page.keyboard.press("l")
    page.keyboard.type(f"{label},")
    page.keyboard.press("Escape")
    name = page.locator("[data-ref=clipName]").inner_text()
    page.keyboard.press("Control+Enter")
    if last:
        expect(page.locator("[data-ref=empty]")).to_be_visible()
    else:
        expect(page.locator("[data-ref=clipName]")).not_to_have_text(name)


def row(page: Page, name: str) -> Locator:
    return page.locator(f"[data-row='{name}'] td")


def test_two_annotators_and_a_reviewer_work_on_one_corpus_at_once(
    workbench: Workbench, clips: Path, person: Callable[..., Person]
) -> None:
    slug = "crowd"
    passwords = crowd(workbench, clips, slug, ["una", "tom", "ray"])
    una, tom, ray = (person(name, passwords[name]) for name in ("una", "tom", "ray"))
    waiting = ray.goto(f"/corpora/{slug}/review/")
    expect(waiting.locator("[data-ref=empty]")).to_be_visible()
    first, second = una.goto(f"/corpora/{slug}/check/"), tom.goto(f"/corpora/{slug}/check/")
    annotate(first, "kk", "She smiles and is calm.", "calm")
    annotate(second, "kr", "She smiles to hide it.", "bitter")
    # The reviewer comes while the annotators go on with the second clip.
    waiting.click("[data-ref=again]")
    expect(waiting.locator("[data-ref=clipName]")).to_have_text(f"{slug}-1")
    expect(waiting.locator("[data-ref=differences]")).to_contain_text("3")
    # Merge by keyboard: the voice's verdict from the second, the labels of both, the rest from the first.
    for _step in range(2):
        waiting.keyboard.press("j")
    waiting.keyboard.press("Shift+Digit2")
    expect(waiting.locator(".compare-row.is-active td.is-taken")).to_have_count(1)
    waiting.keyboard.press("Shift+a")
    expect(row(waiting, "ov_labels").last.locator(".tag")).to_have_count(2)
    expect(waiting.locator("[data-ref=resultState]")).to_have_text("Record: put together from A1, A2")
    waiting.keyboard.press("Control+z")
    expect(row(waiting, "ov_labels").last.locator(".tag")).to_have_count(1)
    waiting.keyboard.press("Control+Shift+z")
    expect(row(waiting, "ov_labels").last.locator(".tag")).to_have_count(2)
    waiting.reload()  # nothing of the half-made decision is lost
    expect(row(waiting, "ov_labels").last.locator(".tag")).to_have_count(2)
    waiting.fill("#review-note", "The voice is not calm.")
    ray.shot("41-review-merge")
    waiting.keyboard.press("Escape")
    waiting.keyboard.press("Control+Enter")
    expect(waiting.locator("[data-ref=empty]")).to_be_visible()
    annotate(first, "kk", "He is glad.", "glad", last=True)
    annotate(second, "kk", "He is glad indeed.", "glad", last=True)
    # Return one of them: a reason of the list and one's own words.
    waiting.click("[data-ref=again]")
    expect(waiting.locator("[data-ref=clipName]")).to_have_text(f"{slug}-2")
    waiting.keyboard.press("r")
    waiting.locator("[data-ref=returnTo] input").nth(1).check()
    waiting.locator("[name=return-why]").nth(1).check()
    waiting.fill("#return-reason", "Listen to the end.")
    ray.shot("42-review-return")
    waiting.locator("dialog[open] button[value=return]").click()
    expect(waiting.locator("[data-ref=empty]")).to_be_visible()
    # Its author sees why, changes a clue and answers.
    second.click("[data-ref=again]")
    expect(second.locator("[data-banner=returned]")).to_contain_text("Listen to the end.")
    expect(second.get_by_text("Listen to the end.")).to_have_count(1)  # said once
    second.fill("#reply", "I did; the voice falls.")
    second.locator(".clue").nth(1).locator("[data-ref=correct]").click()
    second.keyboard.press("End")
    second.keyboard.type("结尾降低。")
    second.keyboard.press("Control+Enter")
    expect(second.locator("[data-ref=empty]")).to_be_visible()
    # The second look: the answer, and what was changed since.
    waiting.click("[data-ref=again]")
    expect(waiting.locator("[data-ref=turns]")).to_contain_text("Listen to the end.")
    expect(waiting.locator(".compare-row--whole .reply")).to_have_text("I did; the voice falls.")
    expect(waiting.locator(".before")).to_have_count(1)
    waiting.locator(".before summary").click()
    ray.shot("43-review-answered")
    waiting.locator(".compare-row--whole .take").nth(1).click()
    waiting.click("[data-ref=accept]")
    expect(waiting.locator("[data-ref=empty]")).to_be_visible()
    token = workbench.manage("issue_token", "ray")["token"]
    one, two = call(workbench, token, "GET", f"/corpora/{slug}/records/?grade=fine")["results"]
    assert [clue["verdict"] for clue in one["record"]["clues"]] == ["kept", "rejected"]
    assert one["record"]["ov_labels"]["en"] == ["calm", "bitter"]
    assert one["record"]["description"]["en"] == "She smiles and is calm."
    assert [clue["text"] for clue in two["record"]["clues"]] == ["The lip corners rise.", "语气平缓。结尾降低。"]
    # And once more: nothing is overwritten.
    page = ray.goto(f"/records/{two['id']}/")
    expect(page.locator("main")).to_contain_text("I did; the voice falls.")
    ray.shot("44-record-history", full=True)
    page.get_by_role("button", name="Adjudicate again").click()
    expect(page.locator("[data-ref=standing]")).to_contain_text("revision 2")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-ref=empty]")).to_be_visible()
    assert call(workbench, token, "GET", f"/records/{two['id']}/")["revision"] == 2
    assert workbench.manage("check_invariants")["ok"]


def test_a_review_on_a_phone_in_chinese(workbench: Workbench, clips: Path, person: Callable[..., Person]) -> None:
    slug = "pocket"
    passwords = crowd(workbench, clips, slug, ["ida", "max", "zoe"])
    for name, zh in (("ida", "她在微笑。"), ("max", "她在苦笑。")):
        token = workbench.manage("issue_token", name)["token"]
        for _clip in (1, 2):
            claim = call(workbench, token, "POST", f"/corpora/{slug}/claims/", {})
            clues = [{"id": clue["id"], "verdict": "kept"} for clue in claim["clues"]]
            body = {"clues": clues, "description": {"zh": zh, "en": ""}, "ov_labels": {"zh": ["平静"], "en": []}}
            call(workbench, token, "POST", f"/claims/{claim['id']}/submit/", body)
    zoe = person("zoe", passwords["zoe"], width=390, height=844, has_touch=True, color_scheme="dark")
    page = zoe.goto("/")
    page.get_by_role("button", name="中文").click()
    page = zoe.goto(f"/corpora/{slug}/review/")
    tabs = page.locator(".compare-tabs button")
    expect(tabs).to_have_count(3)
    expect(row(page, "description:zh").nth(0)).to_be_visible()
    expect(row(page, "description:zh").nth(1)).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    # A swipe shows the next annotator, a tap takes their description.
    page.evaluate(
        """() => {
          const table = document.querySelector(".compare");
          const touch = (x) => new Touch({identifier: 1, target: table, clientX: x, clientY: 300});
          table.dispatchEvent(new TouchEvent("touchstart", {bubbles: true, touches: [touch(300)]}));
          table.dispatchEvent(new TouchEvent("touchend", {bubbles: true, changedTouches: [touch(60)]}));
        }"""
    )
    expect(tabs.nth(1)).to_have_attribute("aria-pressed", "true")
    taken = row(page, "description:zh").nth(1)
    expect(taken.locator("ins")).to_contain_text("苦")
    zoe.shot("45-review-phone-zh")
    taken.locator(".take").tap()
    tabs.nth(2).tap()
    expect(row(page, "description:zh").nth(2)).to_contain_text("她在苦笑。")
    zoe.shot("46-review-phone-record", full=True)
    page.locator("[data-ref=accept]").tap()
    expect(page.locator("[data-ref=clipName]")).to_have_text(f"{slug}-2")
    page.locator("[data-ref=giveBack]").tap()
    page.locator("[name=return-why]").first.check()
    zoe.shot("47-review-phone-return")
    page.locator("dialog[open] button[value=return]").tap()
    expect(page.locator("[data-ref=empty]")).to_be_visible()
    token = workbench.manage("issue_token", "zoe")["token"]
    (record,) = call(workbench, token, "GET", f"/corpora/{slug}/records/?grade=fine")["results"]
    assert record["record"]["description"]["zh"] == "她在苦笑。"
