"""A new annotator's way to the work: the terms, training with feedback, the test; in English and in Chinese."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.workbench import Workbench

from .conftest import Person
from .test_review import call

TERMS = "Only for research.\n仅供研究，不得转发。"
WORDS = {
    "en": {
        "accept": "I have read and accept them",
        "title": "Your answer and the gold answer",
        "test": "On to the test",
        "right": "right",
        "stage": "at work",
    },
    "zh": {
        "accept": "我已阅读并接受",
        "title": "你的答案与金标答案",
        "test": "进入测试",
        "right": "正确",
        "stage": "工作中",
    },
}


@pytest.fixture(scope="module")
def school(workbench: Workbench, clips: Path) -> dict[str, str]:
    """A corpus with terms, a training and a test clip (an error planted in each) and one clip to work on.

    The passwords of its annotators and of its manager.
    """
    manage = workbench.manage
    manage("create_corpus", "school", "--name", "School 学校", "--licence", "open", "--review", "none")
    manifest = clips.parent / "school.jsonl"
    clue = {"modality": "visual", "aspect": "expression", "language": "en", "text": "She smiles.", "source": "a"}
    names = ("练习_1", "考试_1", "work_1")
    rows = [{"name": name, "subtitle_zh": "我没事。", "clues": [clue]} for name in names]
    write = lambda some: manifest.write_text(  # noqa: E731
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in some), encoding="utf-8"
    )
    write(rows[:2])
    manage("ingest", "school", "--manifest", str(manifest))
    manage("add_member", "school", "teacher", "--role", "annotator", "--create")
    token = manage("issue_token", "teacher")["token"]
    for _row in rows[:2]:
        claim = call(workbench, token, "POST", "/corpora/school/claims/", {})
        body = {
            "clues": [{"id": each["id"], "verdict": "kept"} for each in claim["clues"]],
            "description": {"zh": "她笑了，很开心。", "en": "She smiles: she is happy."},
            "ov_labels": {"zh": ["开心"], "en": ["happy"]},
        }
        call(workbench, token, "POST", f"/claims/{claim['id']}/submit/", body)
    for name, purpose in (("练习_1", "training"), ("考试_1", "test")):
        chosen = clips.parent / f"{purpose}.txt"
        chosen.write_text(name + "\n", encoding="utf-8")
        assert manage("gold", "school", str(chosen), "--purpose", purpose)["marked"] == [name]
    assert len(manage("plant", "school")["planted"]) == 2
    write([rows[2], {**rows[2], "name": "work_2"}])
    manage("ingest", "school", "--manifest", str(manifest))
    terms = clips.parent / "terms.txt"
    terms.write_text(TERMS, encoding="utf-8")
    rules = ("training_items=1", "test_items=1", "pass_mark=0.5", "planted_share=1")
    manage("rules", "school", "--set", f"terms=@{terms}", *rules)
    roles = {"nina": "annotator", "xiaomei": "annotator", "head": "manager"}
    return {
        name: manage("add_member", "school", name, "--role", role, "--create")["password"]
        for name, role in roles.items()
    }


def answer(page: Page, verdict: str) -> None:
    """Judge the one clue by its key, describe, and hand in."""
    expect(page.locator("[data-ref=task]")).to_be_visible()
    page.keyboard.press(verdict)
    if verdict == "3":
        page.keyboard.press("1")  # the first reason of the list
    page.fill("#description-en", "She frowns; she is not happy.")
    page.keyboard.press("Control+Enter")


@pytest.mark.parametrize(("name", "language"), [("nina", "en"), ("xiaomei", "zh")])
def test_terms_then_training_with_feedback_then_the_test_then_the_work(
    workbench: Workbench, school: dict[str, str], person: Callable[..., Person], name: str, language: str
) -> None:
    words = WORDS[language]
    someone = person(name, school[name])
    someone.expect_trouble("403")  # no clip before the terms are accepted
    page = someone.page
    if language == "zh":
        page.get_by_role("button", name="中文").click()
        expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
    someone.goto("/corpora/school/check/")
    expect(page.locator("[data-ref=failed]")).to_be_visible()
    page.click("[data-ref=terms]")
    expect(page.locator(".terms-text")).to_contain_text("仅供研究")
    someone.shot(f"70-terms-{language}")
    page.get_by_role("button", name=words["accept"]).click()
    page.wait_for_url("**/corpora/school/check/")
    expect(page.locator("[data-ref=clipName]")).to_have_text("练习_1")
    expect(page.locator(".clue")).to_contain_text("She frowns.")  # the planted error
    answer(page, "3")
    page.wait_for_url("**/corpora/school/training/*/")
    expect(page.locator("h1")).to_have_text(words["title"])
    expect(page.locator(".answers .badge--ok").last).to_contain_text(words["right"])
    expect(page.locator(".answers")).to_contain_text("She smiles.")
    someone.shot(f"71-training-{language}", full=True)
    page.get_by_role("link", name=words["test"]).press("Enter")
    expect(page.locator("[data-ref=clipName]")).to_have_text("考试_1")
    answer(page, "3")
    expect(page.locator("[data-ref=clipName]")).to_contain_text("work_")
    someone.goto("/corpora/school/standing/")
    expect(page.locator(".stats")).to_contain_text(words["stage"])
    someone.shot(f"72-standing-{language}")


def test_a_manager_sees_who_stands_where_and_who_holds_what(
    workbench: Workbench, school: dict[str, str], person: Callable[..., Person]
) -> None:
    head = person("head", school["head"], width=390, height=844, color_scheme="dark")
    head.expect_trouble("422")  # a share of 150 % is refused
    page = head.goto("/corpora/school/rules/")
    expect(page.locator("#id_terms")).to_have_value(TERMS)
    page.fill("#id_gold_share", "150")
    page.click(".rules-save button")
    expect(page.locator(".errorlist")).to_be_visible()
    head.shot("73-rules-phone", full=True)
    page.fill("#id_gold_share", "5")
    page.click(".rules-save button")
    expect(page.locator(".notice--success, .notice--ok")).to_be_visible()
    expect(page.locator("#id_gold_share")).to_have_value("5")
    head.goto("/corpora/school/standings/")
    expect(page.locator("tr", has_text="nina")).to_be_visible()
    head.shot("74-standings-phone")
    head.goto("/corpora/school/claims/")
    expect(page.locator("body")).to_contain_text("work_")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    head.shot("75-claims-phone")
