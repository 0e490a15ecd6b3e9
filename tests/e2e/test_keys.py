"""Every action of the checking page by its key; keys of one's own; letters stay letters while one types or composes."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from annotator.checking.shortcuts import shortcuts
from tests.support.workbench import Workbench, eventually

from .conftest import Person

DONE: set[str] = set()  # actions that a test has seen to work


@pytest.fixture(scope="module")
def kim(workbench: Workbench, clips: Path) -> str:
    """A corpus of four clips of one film, pre-labelled, and the password of its annotator."""
    workbench.manage("create_corpus", "keys", "--name", "Keys", "--licence", "open")
    password = workbench.manage("add_member", "keys", "kim", "--role", "annotator", "--create")["password"]
    subtitles, au = str(clips / "subtitles.csv"), str(clips / "au")
    workbench.manage("ingest", "keys", str(clips), "--subtitles", subtitles, "--au", au, ok=(0, 1))
    workbench.shell(
        "from annotator.clips.models import Clip; Clip.objects.filter(corpus__slug='keys').update(source='film')"
    )
    workbench.manage("prelabel", "keys", "--pipeline", "measured", "--wait")
    return password


@pytest.fixture
def someone(kim: str, person: Callable[..., Person]) -> Person:
    return person("kim", kim)


@pytest.fixture
def page(someone: Person) -> Iterator[Page]:
    page = someone.goto("/corpora/keys/check/")
    expect(page.locator(".clue.is-active")).to_be_visible()
    assert eventually(lambda: page.evaluate("document.querySelector('video').readyState >= 2"), 20)
    yield page
    page.evaluate("fetch('/livez')")  # a page that crashed would not answer


def press(page: Page, action: str, times: int = 1) -> None:
    """The default key of the action, as the page's own table has it."""
    [key] = [s.keys[0] for s in shortcuts("annotate") if s.action == action]
    names = {"mod": "Control", "shift": "Shift", "alt": "Alt", "arrowleft": "ArrowLeft", "arrowright": "ArrowRight"}
    names |= {"delete": "Delete", " ": "Space", "enter": "Enter"}
    for _ in range(times):
        page.keyboard.press("+".join(names.get(part, part) for part in key.split("+")))
    DONE.add(action)


def at(page: Page) -> float:
    return float(page.evaluate("document.querySelector('video').currentTime"))


def clue(page: Page, number: int) -> Locator:
    return page.locator(".clue").nth(number)


def test_the_clip_by_keys(page: Page) -> None:
    press(page, "play")
    assert eventually(lambda: at(page) > 0.2, 10)
    press(page, "play")
    assert page.evaluate("document.querySelector('video').paused")
    page.evaluate("document.querySelector('video').currentTime = 0")
    press(page, "forward")
    assert eventually(lambda: abs(at(page) - 1) < 0.06, 5)
    press(page, "frame-forward")
    assert eventually(lambda: 1.0 < at(page) < 1.13, 5)
    press(page, "frame-back")
    assert eventually(lambda: abs(at(page) - 1) < 0.06, 5)
    press(page, "back")
    assert eventually(lambda: at(page) < 0.06, 5)
    rate = page.locator("[data-ref=rate]")
    press(page, "slower")
    expect(rate).to_have_value("0.75")
    press(page, "normal-speed")
    expect(rate).to_have_value("1")
    press(page, "faster")
    expect(rate).to_have_value("1.25")
    assert page.evaluate("document.querySelector('video').playbackRate") == 1.25
    heard = "[document.querySelector('video').muted, document.querySelector('[data-ref=stage]').className].join()"
    before = page.evaluate(heard)
    press(page, "tracks")
    assert eventually(lambda: page.evaluate(heard) != before, 5)
    press(page, "peak")
    assert eventually(lambda: at(page) > 0.06, 5)
    box, note = "document.querySelector('[data-ref=context]')", "document.querySelector('[data-ref=contextNote]')"
    told = f"!{box}.hidden || {note}.textContent"
    for action in ("context-previous", "context-next"):  # the first and the last of a film have one neighbour only
        press(page, action)
        assert eventually(lambda: page.evaluate(told), 10), action
        press(page, action)
        expect(page.locator("[data-ref=context]")).to_be_hidden()


def test_clues_by_keys(page: Page) -> None:
    first = page.locator(".clue.is-active")
    name = first.get_attribute("id")
    press(page, "next-clue")
    expect(page.locator(".clue.is-active")).not_to_have_id(name or "")
    press(page, "previous-clue")
    expect(page.locator(".clue.is-active")).to_have_id(name or "")
    press(page, "keep")
    expect(clue(page, 0)).to_have_attribute("data-verdict", "kept")
    press(page, "previous-clue")
    press(page, "undecide")
    expect(clue(page, 0)).to_have_attribute("data-verdict", "open")
    press(page, "correct")
    expect(clue(page, 0)).to_have_attribute("data-verdict", "corrected")
    page.keyboard.type(" 1 2 3")
    page.keyboard.press("Escape")
    press(page, "diff")
    press(page, "span-start")
    press(page, "forward")
    press(page, "span-end")
    span = clue(page, 0).locator("[data-ref=spanPlay]")
    expect(span).to_be_visible()
    said = span.inner_text()
    for action in ("start-later", "start-earlier", "end-earlier", "end-later"):
        press(page, action, 4)
        now = span.inner_text()
        assert now != said, action
        said = now
    press(page, "loop")
    assert eventually(lambda: not page.evaluate("document.querySelector('video').paused"), 5)
    press(page, "play")
    press(page, "no-span")
    expect(span).to_be_hidden()
    press(page, "reject")
    expect(clue(page, 0)).to_have_attribute("data-verdict", "rejected")
    page.keyboard.press("Escape")
    count = page.locator(".clue").count()
    press(page, "add")
    page.keyboard.press("1")  # of the first kind
    page.keyboard.type("The shoulders are raised.")
    page.keyboard.press("Escape")
    expect(page.locator(".clue")).to_have_count(count + 1)
    press(page, "remove")
    expect(page.locator(".clue")).to_have_count(count)
    press(page, "choose")
    expect(page.locator(".clue.is-active")).not_to_have_attribute("data-verdict", "open")


def test_text_and_page_by_keys(page: Page, someone: Person) -> None:
    for action, field in (("description-zh", "#description-zh"), ("description-en", "#description-en")):
        press(page, action)
        expect(page.locator(field)).to_be_focused()
        page.keyboard.press("Escape")
    press(page, "labels")
    assert page.evaluate("document.activeElement.id").startswith("ov-")
    page.keyboard.press("Escape")
    press(page, "guideline")
    expect(page.locator("#panel-guideline")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page.locator("[data-ref=drawer]")).to_be_hidden()
    press(page, "comments")
    expect(page.locator("[data-ref=commentText]")).to_be_focused()
    page.keyboard.type("who speaks here? 123")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-ref=thread]")).to_contain_text("who speaks here? 123")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    press(page, "flag")
    expect(page.locator("[data-ref=flagDialog]")).to_be_visible()
    page.keyboard.press("ArrowDown")
    with page.expect_response(lambda answer: answer.url.endswith("/flags/") and answer.status == 201):
        page.locator("[data-ref=flagDialog] button[value=flag]").press("Enter")
    press(page, "help")
    expect(page.locator("[data-ref=help]")).to_be_visible()
    someone.shot("40-keys")
    page.keyboard.press("Escape")
    expect(page.locator("[data-ref=help]")).to_be_hidden()
    clue(page, 0).focus()
    press(page, "keep")
    page.keyboard.press("Escape")
    with page.expect_response(lambda answer: "/summar" in answer.url):
        press(page, "summarise")
    page.fill("#description-en", "")
    page.fill("#description-zh", "她很高兴。")
    page.keyboard.press("Escape")
    someone.expect_trouble("409 (Conflict)")  # no text model is configured here, and the page says so
    with page.expect_response("**/translate/"):
        press(page, "translate")


def test_undo_and_redo_reach_over_the_whole_page_and_leave_a_field_its_own(page: Page) -> None:
    verdict = clue(page, 0).get_attribute("data-verdict") or ""
    page.keyboard.press("Escape")
    clue(page, 0).focus()
    press(page, "keep" if verdict != "kept" else "undecide")
    then = clue(page, 0).get_attribute("data-verdict") or ""
    assert then != verdict
    page.click("#description-en")
    before = page.input_value("#description-en")
    page.keyboard.press("Control+End")
    page.keyboard.type("!")
    press(page, "undo")
    expect(page.locator("#description-en")).to_have_value(before)  # the field's own typing first
    expect(clue(page, 0)).to_have_attribute("data-verdict", then)
    press(page, "undo")
    expect(clue(page, 0)).to_have_attribute("data-verdict", verdict)  # then the page's last step
    expect(page.locator("[data-ref=announce]")).to_contain_text("Undone: clues")
    press(page, "redo")
    expect(clue(page, 0)).to_have_attribute("data-verdict", then)
    page.click("[data-ref=historyUndo]")
    expect(clue(page, 0)).to_have_attribute("data-verdict", verdict)


def test_letters_stay_letters_while_one_composes(page: Page) -> None:
    """A real composition (CDP), with the keys that an input method gets: none of them acts, Enter does not submit."""
    open_before = page.locator(".clue[data-verdict=open]").count()
    name = page.inner_text("[data-ref=clipName]")
    page.fill("#description-zh", "")
    page.click("#description-zh")
    session = page.context.new_cdp_session(page)
    session.send("Input.imeSetComposition", {"text": "ni", "selectionStart": 2, "selectionEnd": 2})
    for key in ("1", "3", "x", "?", "Enter"):
        event = {"key": key, "windowsVirtualKeyCode": 229, "nativeVirtualKeyCode": 229}
        session.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", **event})
        session.send("Input.dispatchKeyEvent", {"type": "keyUp", **event})
    session.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", **event, "modifiers": 2})  # Ctrl+Enter, composing
    session.send("Input.imeSetComposition", {"text": "你好", "selectionStart": 2, "selectionEnd": 2})
    session.send("Input.insertText", {"text": "你好"})
    expect(page.locator("#description-zh")).to_have_value("你好")
    assert page.locator(".clue[data-verdict=open]").count() == open_before
    assert page.locator("dialog[open]").count() == 0
    assert page.inner_text("[data-ref=clipName]") == name
    page.keyboard.type("，他很高兴。 1 2 3 ? x")
    expect(page.locator("#description-zh")).to_have_value("你好，他很高兴。 1 2 3 ? x")
    assert page.locator(".clue[data-verdict=open]").count() == open_before


def test_a_key_of_ones_own_is_set_by_pressing_it_and_stays(page: Page, someone: Person) -> None:
    press(page, "help")
    page.click("[data-action=keep]")
    page.keyboard.press("j")
    expect(page.locator("[data-ref=keyTrouble]")).to_contain_text("next clue")  # the holder is named
    page.click("[data-action=keep]")
    with page.expect_response("**/me/preferences/"):
        page.keyboard.press("q")
    expect(page.locator("[data-action=keep]")).to_have_text("Q")
    page.keyboard.press("Escape")
    page.reload()
    expect(page.locator(".clue.is-active")).to_be_visible()
    clue(page, 0).focus()
    page.keyboard.press("4")
    page.keyboard.press("1")
    expect(clue(page, 0)).to_have_attribute("data-verdict", "open")
    page.keyboard.press("q")
    expect(clue(page, 0)).to_have_attribute("data-verdict", "kept")
    expect(page.locator(".clue.is-active [data-key=keep], .clue [data-key=keep]").first).to_have_text("Q")
    press(page, "help")
    with page.expect_response("**/me/preferences/"):
        page.click("[data-ref=keyReset]")
    expect(page.locator("[data-action=keep]")).to_have_text("1")


def test_save_submit_and_skip_by_keys_in_three_requests(page: Page) -> None:
    """Two clips in a row: at most three requests each, media and drafts aside, and the switch without waiting."""
    asked: list[str] = []
    kinds = ("/draft/", "/media/", "/static/")
    page.on("request", lambda r: asked.append(f"{r.method} {r.url}") if not any(k in r.url for k in kinds) else None)
    for _ in range(2):
        name = page.inner_text("[data-ref=clipName]")
        for number in range(page.locator(".clue").count()):
            clue(page, number).focus()
            press(page, "undecide")
            press(page, "keep")
        page.fill("#description-zh", "")
        page.fill("#description-en", "The lip corners rise: happy.")
        press(page, "save")
        expect(page.locator("[data-ref=saved]")).to_contain_text("Saved at")
        page.wait_for_timeout(1500)  # nobody checks a clip faster; the next one is fetched meanwhile
        asked.clear()
        press(page, "submit")
        expect(page.locator("[data-ref=clipName]")).not_to_have_text(name)
        assert len(asked) == 1, asked  # the next clip was there already
        page.wait_for_timeout(2500)  # the claim ahead
        assert len(asked) <= 3, asked
    name = page.inner_text("[data-ref=clipName]")
    page.keyboard.press("Escape")
    press(page, "skip")
    page.keyboard.press("2")  # the second reason of the list
    expect(page.locator("[data-ref=clipName]")).not_to_have_text(name)


def test_every_action_of_the_table_was_pressed(page: Page) -> None:
    table = json.loads(page.locator("#work-keys").inner_text() or page.locator("#work-keys").text_content() or "[]")
    later = {row["action"] for row in table if row["action"].startswith("take-")}
    assert {row["action"] for row in table} - DONE - later == set()
