"""From a person's clips to a loss curve, as people would do it: upload, pre-label, check, review, freeze, train."""

import csv
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.support.workbench import Workbench, eventually

from .conftest import Lab, Person

MINUTES = 60_000
# What a person would say of a clip of each emotion: zh, en, OV labels zh, OV labels en.
TOLD = {
    "happy": (
        "嘴角上扬，语调轻快，她说“太开心了”，因此她很高兴。",
        "The lip corners rise and she says so herself: she is happy.",
        "高兴、激动",
        "happy, excited",
    ),
    "angry": (
        "眉头紧皱，上眼睑抬起，话里是责备，因此他很生气。",
        "The brows are drawn together and the words blame: he is angry.",
        "生气、不满",
        "angry, reproachful",
    ),
    "sad": (
        "他说没事，眉毛内侧却上扬，语调平直，因此他在掩饰难过。",
        "He says that he is fine, yet the inner brows rise and the voice is flat: he hides sadness.",
        "难过、压抑",
        "sad, suppressed",
    ),
    "": (
        "表情和语调都突然变化，因此此人感到惊讶。",
        "Face and voice change all of a sudden: the person is surprised.",
        "惊讶",
        "surprised",
    ),
}


def until(page: Page, expression: str, seconds: float = 30) -> None:
    """Poll from here: the policy of the pages forbids the eval that Playwright's own waiting uses."""
    assert eventually(lambda: page.evaluate(expression), seconds), expression


def told(clips: Path, name: str) -> tuple[str, str, str, str]:
    with (clips / "labels.csv").open(encoding="utf-8", newline="") as file:
        label = {row["name"]: row["label"] for row in csv.DictReader(file)}.get(name, "")
    return TOLD.get(label, TOLD[""])


def describe(page: Page, clips: Path) -> str:
    """Say what there is to say about the clip on the page; its name."""
    name = page.inner_text("[data-ref=clipName]")
    zh, en, labels_zh, labels_en = told(clips, name)
    page.fill("#description-zh", zh)
    page.fill("#description-en", en)
    page.fill("#ov-zh", labels_zh)
    page.press("#ov-zh", "Enter")
    page.fill("#ov-en", labels_en)
    page.press("#ov-en", "Enter")
    return name


def upload(mei: Person, clips: Path, corpus: str) -> None:
    page = mei.goto(f"/corpora/{corpus}/upload/")
    media = [
        *clips.glob("*.mp4"),
        *clips.glob("*.avi"),
        *clips.glob("*.mkv"),
        *clips.glob("*.mov"),
        *clips.glob("*.webm"),
    ]
    broken = clips.parent / "broken.mp4"  # not among the clips: other files' tests take all of those
    broken.write_text("这不是视频 this is no video", encoding="utf-8")
    page.set_input_files("#upload-media", [*media, broken])
    page.set_input_files("#upload-subtitles", clips / "subtitles.csv")
    page.set_input_files("#upload-au", sorted((clips / "au").glob("*.csv")))
    mei.shot("02-upload")
    page.click("form[data-upload] button[type=submit]")
    page.wait_for_url("**/uploads/*/", timeout=2 * MINUTES)
    expect(page.locator(".badge", has_text="new clip")).to_have_count(4, timeout=3 * MINUTES)
    expect(page.locator("tr", has_text="broken.mp4")).to_contain_text("failed")
    mei.shot("03-upload-report")
    page.goto(f"{mei.base}/corpora/{corpus}/clips/")
    expect(page.locator("main")).to_contain_text("第一段_微笑")
    page.wait_for_load_state("networkidle")
    mei.shot("04-clips")


def prelabel(mei: Person, corpus: str) -> None:
    page = mei.goto(f"/corpora/{corpus}/runs/")
    page.check("input[name=pipeline][value=measured]")
    page.click("text=Start the run")
    page.wait_for_url("**/runs/*/")
    expect(page.locator("main .badge--ok", has_text="done").first).to_be_visible(timeout=3 * MINUTES)
    mei.shot("05-run")


def check_first(anna: Person, corpus: str, clips: Path) -> str:
    """By keyboard, with a correction, an added clue, a summary that is undone, and a reload in between; its name."""
    page = anna.goto(f"/corpora/{corpus}/check/")
    expect(page.locator(".clue.is-active")).to_be_visible()
    expect(page.locator("[data-ref=wave] div").first).to_be_attached()
    until(page, "document.querySelector('video').readyState >= 2")
    anna.shot("06-check")
    page.keyboard.press("Space")
    until(page, "document.querySelector('video').currentTime > 0.2")
    page.keyboard.press("Space")
    clues = page.locator(".clue")
    assert clues.count() >= 2
    page.keyboard.press("1")
    expect(clues.nth(0)).to_have_attribute("data-verdict", "kept")
    page.keyboard.press("2")
    page.keyboard.type(" It rises at the end.")
    page.keyboard.press("Escape")
    page.keyboard.press("[")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("]")
    expect(clues.nth(1)).to_have_attribute("data-verdict", "corrected")
    expect(clues.nth(1).locator("[data-ref=spanPlay]")).to_be_visible()
    page.click("[data-add=text]")
    page.keyboard.type("话语的内容与表情一致。")
    page.fill("#description-zh", "我的描述")
    page.click("[data-ref=summarise]")
    expect(page.locator("[data-ref=proposalStatus]")).to_have_text("laid out by the template")
    expect(page.locator("[data-ref=proposalNote]")).to_contain_text("LLM_BASE_URL")
    anna.shot("07-check-summary", full=True)
    page.click("[data-ref=proposalAccept]")
    expect(page.locator("#description-zh")).not_to_have_value("我的描述")
    page.click("[data-ref=historyUndo]")
    expect(page.locator("#description-zh")).to_have_value("我的描述")
    first = describe(page, clips)
    expect(page.locator("[data-ref=saved]")).to_contain_text("Saved at")
    page.reload()
    expect(page.locator(".clue.is-active")).to_be_visible()
    expect(page.locator("#description-zh")).to_have_value(told(clips, first)[0])
    expect(page.locator("[data-ref=ovEn] .chip")).to_have_count(len(told(clips, first)[3].split(", ")))
    expect(page.locator(".clue[data-verdict=added] textarea")).to_have_value("话语的内容与表情一致。")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-ref=clipName]")).not_to_have_text(first)
    return first


def check_others(anna: Person, clips: Path) -> None:
    """Until nothing is left; the first try forgets a verdict and the description and is told so."""
    page = anna.page
    expect(page.locator(".clue.is-active")).to_be_visible()
    page.fill("#description-zh", "")  # what was drafted
    page.fill("#description-en", "")
    page.click("[data-ref=submit]")
    assert page.locator(".field-error:visible").count() >= 3
    anna.shot("08-check-errors")
    for turn in range(3):
        expect(page.locator(".clue.is-active")).to_be_visible()
        for keep in page.locator(".clue [data-ref=keep]:visible").all():
            keep.click()
        if turn == 1:
            page.locator(".clue [data-ref=reject]").first.click()
            page.locator(".clue.is-active .reason").first.click()
        name = describe(page, clips)
        page.click("[data-ref=submit]")
        if turn < 2:
            expect(page.locator("[data-ref=clipName]")).not_to_have_text(name)
    expect(page.locator("[data-ref=empty]")).to_be_visible()
    anna.shot("09-check-empty")


def review(rui: Person, corpus: str) -> None:
    """The first one is returned with a reason, the others accepted, one of them edited."""
    page = rui.goto(f"/corpora/{corpus}/review/")
    expect(page.locator(".compare-row--whole td")).to_have_count(2)  # the annotation, the record
    until(page, "document.querySelector('video').readyState >= 2")
    rui.shot("10-review")
    page.keyboard.press("r")
    page.click("dialog[open] button[value=return]")
    expect(page.locator("dialog[open]")).to_be_visible()  # a return needs its reason
    page.fill("#return-reason", "Name the evidence for “excited”. 请写出依据。")
    rui.shot("11-return")
    first = page.inner_text("[data-ref=clipName]")
    page.click("dialog[open] button[value=return]")
    expect(page.locator("[data-ref=clipName]")).not_to_have_text(first)
    for turn in range(3):
        expect(page.locator(".compare-row--whole td")).to_have_count(2)  # the annotation, the record
        name = page.inner_text("[data-ref=clipName]")
        if turn == 0:
            page.click("[data-ref=showEdit]")
            page.fill("#description-zh", "审核者补充的中文描述。")
            expect(page.locator("[data-ref=reset]")).to_be_visible()
        page.keyboard.press("Escape")
        page.click("[data-ref=accept]")
        if turn == 0:
            page.click("[data-ref=staleConfirm]")
        if turn < 2:
            expect(page.locator("[data-ref=clipName]")).not_to_have_text(name)
    expect(page.locator("[data-ref=empty]")).to_be_visible()


def answer_the_return(anna: Person, rui: Person, corpus: str, clips: Path, name: str) -> None:
    page = anna.goto(f"/corpora/{corpus}/check/")
    expect(page.locator("[data-banner=returned]")).to_contain_text("请写出依据")
    expect(page.locator("#description-zh")).to_have_value(told(clips, name)[0])
    until(page, "document.querySelector('video').readyState >= 2")
    anna.shot("12-returned")
    page.fill("#description-en", told(clips, name)[1] + " The voice rises at the end.")
    page.click("[data-ref=submit]")
    page.click("[data-ref=staleConfirm]")  # the Chinese says it already
    expect(page.locator("[data-ref=empty]")).to_be_visible()
    page = rui.goto(f"/corpora/{corpus}/review/")
    expect(page.locator("[data-row='description:en']")).to_contain_text("The voice rises at the end.")
    page.click("[data-ref=accept]")
    expect(page.locator("[data-ref=empty]")).to_be_visible()


def fetch(mei: Person, path: str) -> bytes:
    """A file of the snapshot whose page is open."""
    link = mei.page.get_by_role("link", name=path, exact=True).get_attribute("href")
    answer = mei.page.request.get(f"{mei.base}{link}")
    assert answer.ok, answer.status
    return answer.body()


def freeze(mei: Person, corpus: str) -> None:
    """The frozen snapshot's page; checks the bytes that it serves against their hashes."""
    page = mei.goto(f"/corpora/{corpus}/records/")
    expect(page.locator("main")).to_contain_text("第一段_微笑")
    mei.shot("13-records")
    page.goto(f"{mei.base}/corpora/{corpus}/snapshots/")
    page.fill("[name=name]", "v1")
    page.select_option("[name=grade]", "fine")
    page.fill("[name=split]", "")
    page.click("main form button:has-text('Freeze')")
    page.wait_for_url("**/snapshots/*/")
    expect(page.locator("main")).to_contain_text("4 records, frozen for good")
    mei.shot("14-snapshot")
    records = fetch(mei, "records.jsonl")
    sums = fetch(mei, "SHA256SUMS").decode()
    assert f"{hashlib.sha256(records).hexdigest()}  records.jsonl" in sums.splitlines()
    assert hashlib.sha256(sums.encode()).hexdigest() in page.inner_text("main")
    lines = [json.loads(line) for line in records.decode().splitlines()]
    assert [line["grade"] for line in lines] == ["fine"] * 4
    assert lines[-1]["ov_labels"] == {"zh": ["高兴", "激动"], "en": ["happy", "excited"]}  # 第一段_微笑
    assert any(line["description"]["zh"] == "审核者补充的中文描述。" for line in lines)
    page.click("summary:has-text('Export')")
    with page.expect_download() as download:
        page.click(".menu-list a:has-text('emer-v2')")
    assert "happy" in Path(download.value.path()).read_text(encoding="utf-8")


def train(mei: Person) -> None:
    page = mei.page
    page.click("text=Train on it")
    page.wait_for_url("**/experiments/new/**")
    page.select_option("[name=config]", "tiny")
    page.fill("[name=name]", "tiny-e2e")
    page.click("main form button:has-text('Launch')")
    page.wait_for_url(re.compile(r"/experiments/\d+/$"))
    expect(page.locator("#run-state .badge--ok")).to_be_visible(timeout=4 * MINUTES)
    page.reload()
    expect(page.locator("[data-curve] canvas")).to_be_visible()
    page.wait_for_timeout(300)
    mei.shot("15-experiment")
    mei.goto("/experiments/")
    expect(page.locator("tr", has_text="tiny-e2e")).to_contain_text("done")


def test_from_clips_to_a_loss_curve(workbench: Workbench, lab: Lab, clips: Path, person: Callable[..., Person]) -> None:
    mei, anna, rui = (person(name, lab.passwords[name]) for name in ("mei", "anna", "rui"))
    mei.shot("01-home")
    upload(mei, clips, lab.slug)
    prelabel(mei, lab.slug)
    first = check_first(anna, lab.slug, clips)
    check_others(anna, clips)
    review(rui, lab.slug)
    answer_the_return(anna, rui, lab.slug, clips, first)
    freeze(mei, lab.slug)
    train(mei)
    assert workbench.manage("check_invariants")["ok"]
