"""Nothing typed is lost and nothing is handed in twice when the server is killed while somebody works."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support.workbench import Workbench, eventually

from .conftest import Person

AWAY = ("ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE", "ERR_SOCKET_NOT_CONNECTED")


@pytest.fixture(scope="module")
def dora(workbench: Workbench, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A corpus of twelve clips without media, each with one clue, and the password of its annotator."""
    workbench.manage("create_corpus", "crash", "--name", "Crash", "--licence", "open")
    clue = {"modality": "visual", "aspect": "expression", "language": "en", "text": "A frown.", "source": "a"}
    manifest: Path = tmp_path_factory.mktemp("crash") / "clips.jsonl"
    rows = (json.dumps({"name": f"crash-{n}", "clues": [clue]}) + "\n" for n in range(12))
    manifest.write_text("".join(rows), encoding="utf-8")
    workbench.manage("ingest", "crash", "--manifest", str(manifest))
    return str(workbench.manage("add_member", "crash", "dora", "--role", "annotator", "--create")["password"])


@pytest.fixture
def someone(dora: str, person: Callable[..., Person]) -> Person:
    someone = person("dora", dora)
    for trouble in AWAY:
        someone.expect_trouble(trouble)
    return someone


def open_check(someone: Person) -> Page:
    page = someone.goto("/corpora/crash/check/")
    expect(page.locator(".clue.is-active")).to_be_visible()
    return page


def ask(workbench: Workbench, expression: str) -> Any:
    """A JSON value of the database."""
    script = (
        "import json; from annotator.checking.models import *; "
        f"print(json.dumps({expression}, ensure_ascii=False, default=str))"
    )
    return json.loads(workbench.shell(script).splitlines()[-1])


def last_draft(workbench: Workbench, clip: str) -> str:
    rows = f"Draft.objects.filter(claim__clip__name={clip!r}, claim__user__username='dora').order_by('version')"
    return str(ask(workbench, f"(lambda d: d.body['description']['en'] if d else '')({rows}.last())"))


def annotations(workbench: Workbench, clip: str) -> int:
    return int(ask(workbench, f"Annotation.objects.filter(clip__name={clip!r}, user__username='dora').count()"))


def back(workbench: Workbench) -> None:
    assert eventually(workbench.ready, 60), "the web server did not come back"


def test_a_server_killed_while_one_types_has_all_but_the_last_second(workbench: Workbench, someone: Person) -> None:
    page = open_check(someone)
    clip = page.inner_text("[data-ref=clipName]")
    page.fill("#description-en", "")
    page.click("#description-en")
    typed: list[float] = []
    letters = "abcdefghijklmnopqrstuvwxyz0123456789" * 6
    began = time.monotonic()
    while time.monotonic() - began < 6:
        page.keyboard.type(letters[len(typed)])
        typed.append(time.monotonic())
        time.sleep(0.03)
    killed = time.monotonic()
    assert workbench.kill("web")
    page.keyboard.type(" and on")  # one goes on, the server is away
    arrived = last_draft(workbench, clip)  # the database alone, without any web server's help
    before = sum(1 for moment in typed if moment <= killed - 1.0)
    assert letters.startswith(arrived)
    assert len(arrived) >= before, f"{len(arrived)} of {before} letters typed a second before the kill"
    whole = letters[: len(typed)] + " and on"
    expect(page.locator("#description-en")).to_have_value(whole)
    back(workbench)
    expect(page.locator("[data-ref=saved]")).to_contain_text("Saved at", timeout=60_000)
    assert last_draft(workbench, clip) == whole
    page.reload()
    expect(page.locator("#description-en")).to_have_value(whole)


def test_submit_pressed_ten_times_while_the_server_is_away_is_one_annotation(
    workbench: Workbench, someone: Person
) -> None:
    page = open_check(someone)
    clip = page.inner_text("[data-ref=clipName]")
    page.locator(".clue").first.focus()
    page.keyboard.press("1")
    page.fill("#description-en", "He frowns: he is angry.")
    expect(page.locator("[data-ref=saved]")).to_contain_text("Saved at")
    workbench.kill("web")
    for _ in range(10):
        page.keyboard.press("Control+Enter")
        page.locator("[data-ref=submit]").click(force=True, no_wait_after=True)
    expect(page.locator("[data-banner=offline]")).to_be_visible()
    back(workbench)
    expect(page.locator("[data-ref=clipName]")).not_to_have_text(clip, timeout=60_000)
    assert annotations(workbench, clip) == 1
    assert page.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('submit:')).length") == 0


def test_an_answer_that_was_lost_makes_no_second_annotation(workbench: Workbench, someone: Person) -> None:
    page = open_check(someone)
    clip = page.inner_text("[data-ref=clipName]")
    page.locator(".clue").first.focus()
    page.keyboard.press("1")
    page.fill("#description-en", "The answer is lost.")

    def swallow(route: Any) -> None:
        route.fetch()
        route.abort("connectionreset")

    page.route("**/submit/", swallow, times=1)
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-ref=clipName]")).not_to_have_text(clip, timeout=30_000)
    assert annotations(workbench, clip) == 1


def test_what_was_handed_in_before_a_reload_arrives_after_it_once(workbench: Workbench, someone: Person) -> None:
    page = open_check(someone)
    clip = page.inner_text("[data-ref=clipName]")
    page.locator(".clue").first.focus()
    page.keyboard.press("1")
    page.fill("#description-en", "Handed in, then reloaded.")
    expect(page.locator("[data-ref=saved]")).to_contain_text("Saved at")
    page.route("**/submit/", lambda route: route.abort("connectionreset"))
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-banner=offline]")).to_be_visible()
    assert annotations(workbench, clip) == 0
    page.goto(page.url)
    expect(page.locator("[data-banner=resubmitting]")).to_contain_text("Handing in")
    expect(page.locator("[data-banner=offline]")).to_be_visible()
    page.unroute("**/submit/")
    expect(page.locator("[data-banner=resubmitting]")).to_contain_text("has arrived")
    expect(page.locator("[data-ref=clipName]")).not_to_have_text(clip)
    assert annotations(workbench, clip) == 1
    assert page.evaluate("Object.keys(localStorage).length") == 0


def test_an_earlier_version_is_looked_at_and_taken_back(someone: Person) -> None:
    page = open_check(someone)
    for words in ("The first thought.", "A second thought."):
        page.fill("#description-en", words)
        expect(page.locator("[data-ref=saved]")).to_contain_text("Saving")
        expect(page.locator("[data-ref=saved]")).to_contain_text("Saved at")
    page.click("[data-ref=versionsButton]")
    rows = page.locator("[data-ref=drafts] button")
    expect(rows.nth(1)).to_be_visible()
    rows.nth(1).click()
    expect(page.locator("[data-ref=draftShown]")).to_contain_text("The first thought.")
    someone.shot("41-versions")
    page.locator("[data-ref=draftShown] button").click()
    expect(page.locator("#description-en")).to_have_value("The first thought.")
    page.click("[data-ref=historyUndo]")
    expect(page.locator("#description-en")).to_have_value("A second thought.")


def test_two_tabs_that_submit_the_same_clip_conflict_visibly(workbench: Workbench, someone: Person) -> None:
    someone.expect_trouble("412 (Precondition Failed)")
    someone.expect_trouble("409 (Conflict)")
    first = open_check(someone)
    clip = first.inner_text("[data-ref=clipName]")
    second = first.context.new_page()
    second.goto(first.url)
    expect(second.locator(".clue.is-active")).to_be_visible()
    first.fill("#description-en", "what the first tab says")
    expect(first.locator("[data-ref=saved]")).to_contain_text("Saved at")
    second.fill("#description-en", "what the second tab says")
    expect(second.locator("[data-banner=conflict]")).to_be_visible()
    first.locator(".clue").first.focus()
    first.keyboard.press("1")
    first.keyboard.press("Control+Enter")
    expect(first.locator("[data-ref=clipName]")).not_to_have_text(clip)
    second.locator(".clue").first.focus()
    second.keyboard.press("1")
    second.keyboard.press("Control+Enter")
    expect(second.locator("[data-banner=submit], [data-banner=lease]").first).to_be_visible()
    expect(second.locator("#description-en")).to_have_value("what the second tab says")
    said = ask(workbench, f"[a.description_en for a in Annotation.objects.filter(clip__name={clip!r})]")
    assert said == ["what the first tab says"]


def test_a_server_killed_mid_composition_has_all_but_the_last_second(workbench: Workbench, someone: Person) -> None:
    """An input method at work (CDP): the letters that it holds, and the words that it gave, are in the draft."""
    page = open_check(someone)
    clip = page.inner_text("[data-ref=clipName]")
    cdp = page.context.new_cdp_session(page)
    page.fill("#description-zh", "")
    page.click("#description-zh")
    sentence = "他皱着眉头提高了声音显得非常生气她却一直低着头不肯回答"
    shown: list[tuple[float, str]] = []
    began = time.monotonic()
    for number, sign in enumerate(sentence):
        for letters in ("x", "xi", "xia"):
            cdp.send("Input.imeSetComposition", {"text": letters, "selectionStart": len(letters), "selectionEnd": 0})
            shown.append((time.monotonic(), sentence[:number] + letters))
            time.sleep(0.05)
        if time.monotonic() - began > 4:
            break
        cdp.send("Input.insertText", {"text": sign})
        shown.append((time.monotonic(), sentence[: number + 1]))
    killed = time.monotonic()  # with "xia" in composition
    assert workbench.kill("web")
    rows = f"Draft.objects.filter(claim__clip__name={clip!r}, claim__user__username='dora').order_by('version')"
    arrived = str(ask(workbench, f"{rows}.last().body['description']['zh']"))
    signs = [len(text.rstrip("xia")) for moment, text in shown if moment <= killed - 1.0]
    kept = arrived.rstrip("xia")
    assert sentence.startswith(kept)
    assert len(kept) >= signs[-1] > 3, (arrived, shown[-1])
    back(workbench)
    expect(page.locator("[data-ref=saved]")).to_contain_text("Saved at", timeout=60_000)
    cdp.send("Input.insertText", {"text": "下"})  # the composition outlived the server
    expect(page.locator("#description-zh")).to_have_value(shown[-1][1].removesuffix("xia") + "下")


FORBIDDEN = "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no', 'SecurityError'); }})"
FULL = "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); }"


@pytest.mark.parametrize("without", [FORBIDDEN, FULL], ids=["forbidden", "full"])
def test_work_goes_on_without_storage_in_the_browser(workbench: Workbench, someone: Person, without: str) -> None:
    someone.page.add_init_script(without)
    page = open_check(someone)
    clip = page.inner_text("[data-ref=clipName]")
    page.locator(".clue").first.focus()
    page.keyboard.press("1")
    page.fill("#description-zh", "")  # what an earlier test left there
    page.fill("#description-en", "Nothing is kept in the browser.")
    expect(page.locator("[data-ref=saved]")).to_contain_text("Saved at")
    expect(page.locator("[data-banner=no-local-copy]")).to_be_visible()
    assert last_draft(workbench, clip) == "Nothing is kept in the browser."
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-ref=clipName]")).not_to_have_text(clip)
    assert annotations(workbench, clip) == 1


def test_a_line_that_is_dead_without_saying_so_is_told_and_tried_again(workbench: Workbench, someone: Person) -> None:
    page = open_check(someone)
    clip = page.inner_text("[data-ref=clipName]")
    page.route("**/draft/", lambda route: None, times=1)  # neither an answer nor an end
    page.fill("#description-en", "Said into a dead line.")
    expect(page.locator("[data-banner=offline]")).to_be_visible(timeout=40_000)
    expect(page.locator("[data-ref=saved]")).to_contain_text("Saved at", timeout=40_000)
    expect(page.locator("[data-banner=offline]")).to_have_count(0)
    assert last_draft(workbench, clip) == "Said into a dead line."


def test_a_page_that_comes_back_from_the_browsers_cache_is_in_no_conflict_with_itself(
    workbench: Workbench, someone: Person
) -> None:
    page = open_check(someone)
    clip = page.inner_text("[data-ref=clipName]")
    page.fill("#description-en", "Left")
    with page.expect_response("**/draft/"):
        page.evaluate("window.dispatchEvent(new PageTransitionEvent('pagehide', {persisted: true}))")
    someone.expect_trouble("412 (Precondition Failed)")
    page.fill("#description-en", "Left and come back.")
    expect(page.locator("[data-ref=saved]")).to_contain_text("Saved at")
    assert eventually(lambda: last_draft(workbench, clip) == "Left and come back.", 20)
    expect(page.locator("[data-banner=conflict]")).to_have_count(0)


def test_who_thinks_for_long_renews_the_clip_at_work_alone_and_the_next_one_once_it_is_open(
    workbench: Workbench, someone: Person
) -> None:
    asked: list[str] = []
    someone.page.on("request", lambda request: asked.append(request.url) if "/api/v1/" in request.url else None)
    claims_ahead = lambda request: request.url.endswith("/claims/") and "ahead" in (request.post_data or "")  # noqa: E731
    with someone.page.expect_request(claims_ahead, timeout=20_000):
        page = open_check(someone)
    page.wait_for_timeout(1000)
    clip = page.inner_text("[data-ref=clipName]")
    asked.clear()
    page.evaluate("(() => { const now = Date.now; Date.now = () => now() + 1200_000; })()")  # of a lease of 30 minutes
    with page.expect_response("**/renew/"):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_timeout(500)
    assert [url.rsplit("/", 2)[1] for url in asked] == ["renew"]
    page.locator(".clue").first.focus()
    page.keyboard.press("1")
    page.fill("#description-zh", "")
    page.fill("#description-en", "After long thought.")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-ref=clipName]")).not_to_have_text(clip)
    asked.clear()
    with page.expect_response("**/renew/"):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    now = page.evaluate("performance.getEntriesByName('work-open').at(-1).detail.claim")
    assert [url for url in asked if url.endswith("/renew/")] != []
    assert all(f"/claims/{now}/" in url for url in asked if url.endswith("/renew/"))


def test_the_clip_that_was_held_ahead_is_asked_for_anew_after_the_computer_slept(
    workbench: Workbench, someone: Person
) -> None:
    """The clock of the page stands still meanwhile (performance.now), the leases do not."""
    asked: list[str] = []
    someone.page.on(
        "request", lambda request: asked.append(request.post_data or "") if request.url.endswith("/claims/") else None
    )
    claims_ahead = lambda request: request.url.endswith("/claims/") and "ahead" in (request.post_data or "")  # noqa: E731
    with someone.page.expect_request(claims_ahead, timeout=20_000):
        page = open_check(someone)
    page.wait_for_timeout(1000)
    clip = page.inner_text("[data-ref=clipName]")
    page.locator(".clue").first.focus()
    page.keyboard.press("1")
    page.fill("#description-zh", "")  # what an earlier test left there
    page.fill("#description-en", "Before the sleep.")
    expect(page.locator("[data-ref=saved]")).to_contain_text("Saved at")
    page.evaluate("(() => { const now = Date.now; Date.now = () => now() + 7200_000; })()")
    asked.clear()
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-ref=clipName]")).not_to_have_text(clip)
    assert any("ahead" not in body for body in asked)
