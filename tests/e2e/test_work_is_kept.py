"""What an annotator has typed survives a lost network, a lost session, another tab and a closed one."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.support.workbench import Workbench

from .conftest import Person


@pytest.fixture(scope="module")
def ben(workbench: Workbench, clips: Path) -> str:
    """A corpus with clips that are pre-labelled, and the password of its annotator."""
    workbench.manage("create_corpus", "kept", "--name", "Kept", "--licence", "open")
    password = workbench.manage("add_member", "kept", "ben", "--role", "annotator", "--create")["password"]
    subtitles, au = str(clips / "subtitles.csv"), str(clips / "au")
    workbench.manage("ingest", "kept", str(clips), "--subtitles", subtitles, "--au", au, ok=(0, 1))
    workbench.manage("prelabel", "kept", "--pipeline", "measured", "--wait")
    return password


def open_check(someone: Person) -> Page:
    page = someone.goto("/corpora/kept/check/")
    expect(page.locator(".clue.is-active")).to_be_visible()
    return page


def saved(page: Page) -> None:
    expect(page.locator("[data-ref=saved]")).to_contain_text("Saved at")


def write(page: Page, text: str) -> None:
    page.fill("#description-en", text)


def test_without_a_network_it_waits_and_says_so(ben: str, person: Callable[..., Person]) -> None:
    someone = person("ben", ben)
    someone.expect_trouble("ERR_INTERNET_DISCONNECTED")
    page = open_check(someone)
    write(page, "before")
    saved(page)
    page.context.set_offline(True)
    write(page, "typed without a network")
    expect(page.locator("[data-banner=offline]")).to_be_visible()
    expect(page.locator("[data-ref=saved]")).to_contain_text("Not saved yet")
    someone.shot("20-offline")
    page.context.set_offline(False)
    expect(page.locator("[data-banner=offline]")).to_have_count(0)
    saved(page)
    page.reload()
    expect(page.locator("#description-en")).to_have_value("typed without a network")


def test_a_tab_closed_without_a_network_loses_nothing(ben: str, person: Callable[..., Person]) -> None:
    someone = person("ben", ben)
    someone.expect_trouble("ERR_INTERNET_DISCONNECTED")
    page = open_check(someone)
    page.context.set_offline(True)
    write(page, "typed and then closed")
    expect(page.locator("[data-banner=offline]")).to_be_visible()
    context = page.context
    someone.page = context.new_page()
    page.close()
    context.set_offline(False)
    page = open_check(someone)
    expect(page.locator("#description-en")).to_have_value("typed and then closed")
    saved(page)
    assert page.evaluate("Object.keys(localStorage).length") == 0


def test_a_save_whose_answer_was_lost_is_no_conflict(ben: str, person: Callable[..., Person]) -> None:
    someone = person("ben", ben)
    someone.expect_trouble("ERR_CONNECTION_RESET")
    someone.expect_trouble("412 (Precondition Failed)")
    page = open_check(someone)

    def swallow(route: Route) -> None:
        route.fetch()  # the server takes it; the browser never hears of it
        route.abort("connectionreset")

    page.route("**/draft/", swallow, times=1)
    write(page, "the answer was lost")
    expect(page.locator("[data-banner=offline]")).to_be_visible()
    write(page, "the answer was lost, and I went on")
    saved(page)
    expect(page.locator("[data-banner]")).to_have_count(0)
    page.reload()
    expect(page.locator("#description-en")).to_have_value("the answer was lost, and I went on")


def test_two_tabs_never_overwrite_each_other_silently(ben: str, person: Callable[..., Person]) -> None:
    someone = person("ben", ben)
    someone.expect_trouble("412 (Precondition Failed)")
    first = open_check(someone)
    second = first.context.new_page()
    second.goto(first.url)
    expect(second.locator(".clue.is-active")).to_be_visible()
    write(first, "from the first tab")
    saved(first)
    write(second, "from the second tab")
    expect(second.locator("[data-banner=conflict]")).to_be_visible()
    second.click("text=Load the other version")
    expect(second.locator("#description-en")).to_have_value("from the first tab")
    write(second, "the second tab goes on")
    saved(second)
    write(first, "the first tab insists")
    expect(first.locator("[data-banner=conflict]")).to_be_visible()
    someone.shot("21-conflict")
    first.click("text=Keep what is here")
    saved(first)
    first.reload()
    expect(first.locator("#description-en")).to_have_value("the first tab insists")


def test_a_lost_session_is_told_and_the_work_arrives_after_signing_in(ben: str, person: Callable[..., Person]) -> None:
    someone = person("ben", ben)
    someone.expect_trouble("403 (Forbidden)")
    someone.expect_trouble("401 (Unauthorized)")
    page = open_check(someone)
    page.context.clear_cookies(name="sessionid")
    write(page, "typed after the session was lost")
    expect(page.locator("[data-banner=signed-out]")).to_be_visible()
    other = page.context.new_page()
    other.goto(someone.base + "/accounts/sign-in/")
    other.fill("#id_username", "ben")
    other.fill("#id_password", ben)
    other.press("#id_password", "Enter")
    other.wait_for_url(someone.base + "/")
    other.close()
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    saved(page)
    expect(page.locator("[data-banner=signed-out]")).to_have_count(0)


def test_keys_are_letters_while_one_types_and_composes(ben: str, person: Callable[..., Person]) -> None:
    page = open_check(person("ben", ben))
    page.click("#description-en")
    page.keyboard.type("123 jk ? s a")
    expect(page.locator(".clue[data-verdict=open]")).to_have_count(page.locator(".clue").count())
    assert page.input_value("#description-en").endswith("123 jk ? s a")
    assert page.locator("dialog[open]").count() == 0
    page.click("#ov-zh")
    chips = page.locator("[data-ref=ovZh] .chip")
    before = chips.count()
    page.evaluate(
        """() => {
          const field = document.querySelector("#ov-zh");
          field.dispatchEvent(new CompositionEvent("compositionstart"));
          field.value = "gaoxing";
          field.dispatchEvent(new InputEvent("input", { isComposing: true }));
          const choosing = { key: "Enter", keyCode: 229, isComposing: true, bubbles: true };
          field.dispatchEvent(new KeyboardEvent("keydown", choosing));
        }"""
    )
    expect(chips).to_have_count(before)  # Enter chose a candidate, it did not end the word
    page.fill("#ov-zh", "高兴，激动；高兴")
    page.press("#ov-zh", "Enter")
    expect(chips).to_have_count(before + 2)
    page.press("#ov-zh", "Backspace")
    expect(chips).to_have_count(before + 1)


def test_on_a_telephone_in_chinese_and_in_the_dark(ben: str, person: Callable[..., Person]) -> None:
    someone = person("ben", ben, width=390, height=844, color_scheme="dark", has_touch=True)
    page = someone.goto("/")
    page.click("button[value=zh-hans]")
    expect(page.locator("h1")).to_have_text("我的语料库")
    someone.shot("30-home-390-zh")
    for path in ("/", "/corpora/kept/", "/corpora/kept/check/", "/accounts/profile/"):
        someone.goto(path)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
    open_check(someone)
    someone.shot("31-check-390-zh")
    page.tap(".clue [data-ref=keep] >> nth=0")
    expect(page.locator(".clue").first).to_have_attribute("data-verdict", "kept")
    someone.shot("32-check-390-zh-kept")
    name = page.inner_text("[data-ref=clipName]")
    page.tap("[data-ref=skip]")
    page.fill("#skip-reason", "我认识此人")
    page.tap("dialog[open] button[value=skip]")
    expect(page.locator("[data-ref=clipName]")).not_to_have_text(name)
    wide = person("ben", ben)
    open_check(wide)
    wide.shot("33-check-1440-zh")
    expect(wide.page.locator("[data-ref=submit]")).to_contain_text("提交")


@pytest.fixture(scope="module")
def cleo(workbench: Workbench, clips: Path) -> str:
    """A corpus of four clips without media, each with one clue, and the password of its annotator."""
    workbench.manage("create_corpus", "taken", "--name", "Taken", "--licence", "open")
    clue = {"modality": "visual", "aspect": "expression", "language": "en", "text": "A frown.", "source": "a"}
    manifest = clips.parent / "taken.jsonl"
    rows = (json.dumps({"name": f"clip-{n}", "clues": [clue]}) + "\n" for n in range(4))
    manifest.write_text("".join(rows), encoding="utf-8")
    workbench.manage("ingest", "taken", "--manifest", str(manifest))
    return workbench.manage("add_member", "taken", "cleo", "--role", "annotator", "--create")["password"]


def open_taken(someone: Person) -> Page:
    page = someone.goto("/corpora/taken/check/")
    expect(page.locator(".clue.is-active")).to_be_visible()
    return page


def test_a_wrong_aspect_alone_is_corrected(cleo: str, person: Callable[..., Person]) -> None:
    page = open_taken(person("cleo", cleo))
    name = page.inner_text("[data-ref=clipName]")
    page.keyboard.press("2")
    write(page, "Annoyed.")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".clue .field-error")).to_contain_text("Nothing was changed here")
    page.select_option(".clue [data-ref=aspect]", "gesture")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-ref=clipName]")).not_to_have_text(name)


def test_what_was_typed_just_before_a_skip_is_in_the_draft_that_is_kept(
    workbench: Workbench, cleo: str, person: Callable[..., Person]
) -> None:
    page = open_taken(person("cleo", cleo))
    name = page.inner_text("[data-ref=clipName]")
    page.clock.install()
    page.clock.pause_at("2030-01-01")  # no timer saves it: the skip has to
    write(page, "the last words")
    page.click("[data-ref=skip]")
    page.fill("#skip-reason", "not-in-the-list")
    page.get_by_role("dialog").get_by_role("button", name="Skip").click()
    expect(page.locator("[data-ref=clipName]")).not_to_have_text(name)
    script = (
        "from annotator.checking.models import Draft; "
        f"print(Draft.objects.filter(claim__clip__name={name!r}, claim__corpus__slug='taken').last().body)"
    )
    assert "'en': 'the last words'" in workbench.shell(script)


def test_a_clip_withdrawn_meanwhile_is_told_and_the_next_is_a_key_away(
    workbench: Workbench, cleo: str, person: Callable[..., Person]
) -> None:
    someone = person("cleo", cleo)
    someone.expect_trouble("410 (Gone)")
    page = open_taken(someone)
    name = page.inner_text("[data-ref=clipName]")
    workbench.manage("withdraw", "taken", name, "--reason", "the speaker asked for it")
    write(page, "typed too late")
    told = page.locator("[data-banner=lease]")
    expect(told).to_contain_text("was withdrawn")
    assert "submitting takes it back" not in told.inner_text()
    told.get_by_role("button", name="Next clip").click()
    expect(page.locator("[data-ref=clipName]")).not_to_have_text(name)
    expect(page.locator("[data-banner]")).to_have_count(0)


def test_whose_role_was_taken_away_is_not_told_to_sign_in(
    workbench: Workbench, cleo: str, person: Callable[..., Person]
) -> None:
    someone = person("cleo", cleo)
    someone.expect_trouble("403 (Forbidden)")
    page = open_taken(someone)
    workbench.manage("add_member", "taken", "cleo", "--role", "viewer")
    workbench.shell(
        "from annotator.clips.models import Membership; "
        "Membership.objects.filter(user__username='cleo', role='annotator').delete()"
    )
    write(page, "typed without a right to")
    expect(page.locator("[data-banner=lease]")).to_contain_text("does not allow this")
    expect(page.locator("[data-banner=signed-out]")).to_have_count(0)
