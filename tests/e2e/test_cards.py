"""Clue cards in the browser: verdicts, reasons, corrections and their diff, spans, new clues; by key and by mouse."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.workbench import Workbench

from .conftest import ROOT, Person

SMILE = "The person smiles brightly at the door."
VOICE = "The voice is loud and trembling."
VOICE_ZH = "声音洪亮而颤抖。"
WORDS = "“我们赢了”说明他非常高兴。"
NAMES = ("aya", "bea", "cay", "dee", "eli", "fia", "gia", "hal", "ivy", "jon", "kip", "lea")
FOCUSED = "document.activeElement.closest('.clue')?.getAttribute('aria-label') ?? document.activeElement.tagName"


@pytest.fixture(scope="module")
def passwords(workbench: Workbench, clips: Path) -> dict[str, str]:
    """Corpus `cards` (three clues a clip, one with a span) and `versions` (two pre-labellers on the face)."""
    media = clips.parent / "cards-media"
    media.mkdir()
    for name in ("a", "b"):
        (media / f"{name}.mp4").write_bytes((clips / "第一段_微笑.mp4").read_bytes()[:])
    (media / "b.mp4").write_bytes(sorted(clips.glob("*.mp4"))[0].read_bytes())
    face = {"modality": "visual", "aspect": "expression", "language": "en", "text": SMILE, "source": "face-a"}
    voice = {"modality": "audio", "aspect": "tone", "language": "en", "text": VOICE, "source": "voice"}
    words = {"modality": "text", "aspect": "content", "language": "zh", "text": WORDS, "source": "words"}
    again = face | {"text": "He grins and looks away.", "source": "face-b"}
    for slug, clues in (("cards", [face, voice, words]), ("versions", [face, again, voice])):
        manifest = media / f"{slug}.jsonl"
        manifest.write_text("".join(json.dumps({"name": n, "clues": clues}) + "\n" for n in "ab"), encoding="utf-8")
        workbench.manage("create_corpus", slug, "--licence", "open", "--review", "none", "--overlap", "20")
        workbench.manage("ingest", slug, str(media), "--media", "copy", ok=(0, 1))
        workbench.manage("ingest", slug, "--manifest", str(manifest))
    script = f"""
import json
from django.contrib.auth import get_user_model
from annotator.clips.models import Corpus, Membership
from annotator.prelabels.models import Clue
Clue.objects.filter(text={VOICE!r}).update(
    span_start=0.4, span_end=0.9, texts={{"en": {VOICE!r}, "zh": {VOICE_ZH!r}}})
for name in {NAMES!r}:
    user = get_user_model().objects.create_user(name, password="cards-" + name)
    for slug in ("cards", "versions"):
        role = "manager" if name == "kip" else "annotator"
        Membership.objects.create(corpus=Corpus.objects.get(slug=slug), user=user, role=role)
print("done")
"""
    assert workbench.shell(script).endswith("done")
    return {name: f"cards-{name}" for name in NAMES}


def at_work(
    person: Callable[..., Person], passwords: dict[str, str], name: str, slug: str = "cards", **options: Any
) -> tuple[Person, Page]:
    someone = person(name, passwords[name], **options)
    page = someone.goto(f"/corpora/{slug}/check/")
    expect(page.locator(".clue.is-active")).to_be_visible()
    page.wait_for_function("() => document.querySelector('video').readyState >= 1")
    return someone, page


def press(page: Page, keys: str) -> None:
    for key in keys.split():
        page.keyboard.press(key)


def verdicts(page: Page) -> list[str]:
    return page.eval_on_selector_all(".clue", "cards => cards.map(card => card.dataset.verdict)")


def active(page: Page) -> Locator:
    return page.locator(".clue.is-active")


def describe(page: Page) -> None:
    page.fill("#description-en", "She is glad.")
    page.press("#description-en", "Escape")


def submit(page: Page) -> None:
    name = page.inner_text("[data-ref=clipName]")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-ref=clipName]")).not_to_have_text(name)


def stored(workbench: Workbench, name: str) -> list[list[Any]]:
    """Verdict, reason, text and span of each check that this person submitted."""
    script = f"""
import json
from annotator.checking.models import Check
rows = Check.objects.filter(annotation__user__username={name!r}).order_by("annotation", "position")
print(json.dumps([[c.verdict, c.reason, c.text, [c.span_start, c.span_end]] for c in rows]))
"""
    return json.loads(workbench.shell(script).splitlines()[-1])


def within(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))


def test_three_right_clues_are_three_keys_and_all_in_sight(
    workbench: Workbench, passwords: dict[str, str], person: Callable[..., Person]
) -> None:
    ada, page = at_work(person, passwords, "aya")
    area = page.locator(".work-area--clues").bounding_box()
    assert area
    for box in (card.bounding_box() for card in page.locator(".clue").all()):
        assert box
        assert area["y"] <= box["y"]
        assert box["y"] + box["height"] <= area["y"] + area["height"]
    assert verdicts(page) == ["open"] * 3, "nothing is chosen beforehand"
    expect(active(page)).to_have_attribute("aria-label", "Clue 1, visual, expression, to check")
    ada.shot("cards-1440-open")
    describe(page)
    press(page, "1")
    expect(page.locator(".clue").nth(1)).to_have_attribute("aria-current", "true")
    press(page, "1 1")
    assert verdicts(page) == ["kept"] * 3
    assert page.evaluate(FOCUSED) == "Clue 3, text, content, kept"
    expect(page.locator("[data-said]")).to_have_text("Every clue is checked.")
    submit(page)
    assert [row[0] for row in stored(workbench, "aya")] == ["kept"] * 3


def test_a_rejected_clue_has_a_reason_by_digit_or_in_ones_own_words(
    workbench: Workbench, passwords: dict[str, str], person: Callable[..., Person]
) -> None:
    bea, page = at_work(person, passwords, "bea")
    describe(page)
    press(page, "3")
    expect(active(page).locator(".reason:visible")).to_have_count(6)
    bea.shot("cards-1440-reasons")
    press(page, "Escape j 1 1 Control+Enter")
    first = page.locator(".clue").first
    assert verdicts(page) == ["rejected", "kept", "kept"]
    expect(first.locator(".field-error")).to_have_text("Say why it is rejected.")
    press(page, "3 2")  # about another person
    expect(first.locator(".clue-why")).to_have_text("about another person")
    press(page, "j j 3 6")
    page.keyboard.type("3 jk: not his words")
    press(page, "Enter")
    expect(page.locator(".clue").nth(2).locator(".clue-why")).to_have_text("3 jk: not his words")
    submit(page)
    rows = stored(workbench, "bea")
    assert [row[:2] for row in rows] == [
        ["rejected", "other_person"], ["kept", ""], ["rejected", "other:3 jk: not his words"]
    ]  # fmt: skip
    assert [row[2] for row in rows] == [SMILE, VOICE, WORDS]
    kim = person("kip", passwords["kip"])
    page = kim.goto("/corpora/cards/clips/")
    page.locator("a[href^='/clips/']").first.click()
    expect(page.locator("#records")).to_contain_text("(about another person)")
    expect(page.locator("#records")).to_contain_text("(3 jk: not his words)")


def test_a_correction_shows_what_was_changed_by_word_and_by_character(
    workbench: Workbench, passwords: dict[str, str], person: Callable[..., Person]
) -> None:
    cay, page = at_work(person, passwords, "cay")
    describe(page)
    press(page, "2")
    field = active(page).locator("textarea")
    expect(field).to_be_focused()
    expect(active(page).locator("[data-ref=same]")).to_be_visible()
    press(page, "Escape")
    assert verdicts(page)[0] == "open", "a correction without a change is none"
    press(page, "Enter")
    field.fill("The person frowns at the door.")
    diff = active(page).locator(".clue-diff")
    expect(diff.locator("del")).to_have_text(re.compile("smiles brightly$"))
    expect(diff.locator("ins")).to_have_text(re.compile("inserted: frowns$"))
    cay.shot("cards-1440-diff-en")
    press(page, "Escape v")
    expect(diff.locator("ins").first).not_to_have_text(re.compile("frowns$"))
    assert diff.locator("ins").count() >= 1
    press(page, "v")
    expect(diff).to_be_hidden()
    expect(active(page).locator(".clue-text")).to_have_text(SMILE)
    press(page, "v 2")
    field.fill(SMILE)
    press(page, "Enter")
    expect(active(page).locator("[data-ref=keepSame]")).to_be_focused()
    press(page, "Enter")
    assert verdicts(page)[0] == "kept"
    press(page, "2")
    field = active(page).locator("textarea")
    field.fill("The voice is low.")
    expect(active(page).locator("[data-ref=stale]")).to_be_visible()
    expect(active(page).locator(".clue-other")).to_have_text(VOICE_ZH)
    press(page, "Enter 2")
    field = active(page).locator("textarea")
    field.fill("“我们赢了”说明她有点难过。")
    diff = active(page).locator(".clue-diff")
    expect(diff.locator("ins").first).to_have_text(re.compile("她有点难过$"))
    expect(diff.locator("del").first).to_have_text(re.compile("他非常高兴$"))
    cay.shot("cards-1440-diff-zh")
    submit(page)
    rows = stored(workbench, "cay")
    assert [row[0] for row in rows] == ["kept", "corrected", "corrected"]
    assert [row[2] for row in rows] == [SMILE, "The voice is low.", "“我们赢了”说明她有点难过。"]


def test_the_diff_keeps_every_character(passwords: dict[str, str], person: Callable[..., Person]) -> None:
    _dee, page = at_work(person, passwords, "dee")
    pairs = [
        ["", "new"], ["old", ""], ["same", "same"], ["她在笑。", "他不笑！"], ["a  b\nc", "a b c"],
        ["smile 😀👨‍👩‍👧 é", "smiles 😀👨‍👩‍👦 é"], ["He grins, then frowns.", "Then he frowns, grinning."],
        ["说“我们赢了”", "说\"我们输了\""],
    ]  # fmt: skip
    script = """async ([pairs, url]) => {
      const { changes } = await import(url);
      const out = [];
      for (const [a, b] of pairs) for (const language of ["zh", "en"]) for (const level of ["words", "characters"]) {
        const parts = changes(a, b, language, level);
        out.push([a, b, parts.map((p) => p.same ?? p.removed).join(""), parts.map((p) => p.same ?? p.added).join("")]);
      }
      return out;
    }"""
    found = page.evaluate(script, [pairs, "/static/js/checking/diff.js"])
    assert len(found) == 4 * len(pairs)
    assert all((a, b) == (old, new) for a, b, old, new in found)
    shown = """async ([url, a, b]) => {
      const box = document.createElement("p");
      box.append((await import(url)).diffNodes(a, b, "en"));
      return box.innerHTML;
    }"""
    html = page.evaluate(shown, ["/static/js/checking/diff.js", "<b>x</b> is & was", "<b>x</b> was"])
    assert "&lt;b&gt;" in html
    assert "<b>" not in html


def test_digits_and_enter_belong_to_the_input_method_while_one_composes(
    workbench: Workbench, passwords: dict[str, str], person: Callable[..., Person]
) -> None:
    _eli, page = at_work(person, passwords, "eli")
    describe(page)
    press(page, "1 1 2")
    field = active(page).locator("textarea")
    typing = page.context.new_cdp_session(page)
    pressed = {"type": "rawKeyDown", "windowsVirtualKeyCode": 229, "key": "Process", "code": "Digit1"}
    for text in ("t", "ta", "ta'xiao"):
        typing.send("Input.dispatchKeyEvent", pressed)
        typing.send("Input.imeSetComposition", {"text": text, "selectionStart": len(text), "selectionEnd": len(text)})
    typing.send("Input.dispatchKeyEvent", pressed | {"code": "Enter"})
    assert verdicts(page) == ["kept", "kept", "corrected"]
    expect(field).to_be_focused()
    typing.send("Input.insertText", {"text": "她笑了"})
    expect(field).to_have_value(WORDS + "她笑了")
    expect(active(page).locator(".clue-diff ins")).to_have_text(re.compile("她笑了$"))
    submit(page)
    assert stored(workbench, "eli")[2][2] == WORDS + "她笑了"


def test_a_span_by_keys_makes_a_kept_clue_a_corrected_one(
    workbench: Workbench, passwords: dict[str, str], person: Callable[..., Person]
) -> None:
    _fay, page = at_work(person, passwords, "fia")
    describe(page)
    press(page, "1 1 k")  # back to the voice, which was kept
    assert verdicts(page) == ["kept", "kept", "open"]
    press(page, "j k Shift+ArrowLeft")
    assert verdicts(page) == ["kept", "corrected", "open"]
    expect(page.locator("[data-said]")).to_contain_text("counts as corrected")
    start = active(page).locator("[data-ref=start]")
    moved = float(start.input_value())
    assert 0.4 - 0.06 < moved < 0.4
    press(page, "Shift+ArrowRight Alt+ArrowRight")
    assert abs(float(start.input_value()) - 0.4) <= 0.04
    end = active(page).locator("[data-ref=end]")
    assert 0.9 < float(end.input_value()) < 0.96
    page.evaluate("document.querySelector('video').currentTime = 0.6")
    page.wait_for_function("() => Math.abs(document.querySelector('video').currentTime - 0.6) < 0.05")
    press(page, "[")
    assert abs(float(start.input_value()) - 0.6) < 0.05
    press(page, "Shift+Delete")
    assert (start.input_value(), end.input_value()) == ("", "")
    start.fill("0.25")
    end.fill("0.75")
    press(page, "Escape p")
    page.wait_for_function("() => !document.querySelector('video').paused")
    page.wait_for_timeout(1200)  # longer than the span: it must have begun again
    assert 0.1 < page.evaluate("document.querySelector('video').currentTime") < 1.0
    assert not page.evaluate("document.querySelector('video').paused")
    press(page, "j 1")
    submit(page)
    rows = stored(workbench, "fia")
    assert [row[0] for row in rows] == ["kept", "corrected", "kept"]
    assert (rows[1][2], rows[1][3]) == (VOICE, [0.25, 0.75])


def test_of_several_versions_one_is_chosen_by_one_key(
    workbench: Workbench, passwords: dict[str, str], person: Callable[..., Person]
) -> None:
    gil, page = at_work(person, passwords, "gia", "versions")
    describe(page)
    box = page.locator(".clue-versions")
    expect(box).to_contain_text("2 versions of one clue")
    expect(box.locator(".clue")).to_have_count(2)
    left, right = (card.bounding_box() for card in box.locator(".clue").all())
    assert left
    assert right
    assert left["x"] + left["width"] <= right["x"], "side by side"
    expect(box).to_contain_text("drafted by face-a")
    gil.shot("cards-1440-versions")
    press(page, "j u")
    assert verdicts(page) == ["rejected", "kept", "open"]
    expect(page.locator(".clue").first.locator(".clue-why")).to_have_text("another clue says it better")
    press(page, "4 k")  # the voice has no verdict to take back: nothing happens
    press(page, "4")
    assert verdicts(page) == ["rejected", "open", "open"]
    press(page, "1 1")
    submit(page)
    assert sorted(row[:2] for row in stored(workbench, "gia")) == [
        ["kept", ""], ["kept", ""], ["rejected", "duplicate"]
    ]  # fmt: skip


def test_new_clues_say_their_kind_by_a_digit(
    workbench: Workbench, passwords: dict[str, str], person: Callable[..., Person]
) -> None:
    hal, page = at_work(person, passwords, "hal")
    describe(page)
    press(page, "a")
    expect(page.locator("[data-ref=kinds]:focus")).to_have_count(1)
    hal.shot("cards-1440-add")
    press(page, "4")
    expect(active(page).locator("textarea")).to_be_focused()
    assert page.locator("[data-modality=audio] .clue").count() == 2
    page.keyboard.type("12 jk: 声音在抖")
    expect(active(page)).to_have_attribute("aria-label", "Clue 3, audio, tone, added")
    press(page, "Escape a")
    press(page, "Escape")  # an empty one is taken back
    assert page.locator(".clue").count() == 4
    press(page, "a")
    page.keyboard.type("She waves.")  # typing at once goes to the text
    expect(active(page).locator("textarea")).to_have_value("She waves.")
    press(page, "Escape Delete")
    assert page.locator(".clue").count() == 4
    page.locator("[data-modality=visual] [data-add]").click()
    active(page).locator(".kind", has_text="gesture").click()
    page.keyboard.type("She waves.")
    press(page, "Enter")
    assert page.evaluate(FOCUSED).startswith("Clue 3, audio"), "on to the next that waits"
    press(page, "1 1 1")
    submit(page)
    rows = stored(workbench, "hal")
    assert [row[0] for row in rows] == ["kept", "added", "kept", "added", "kept"]
    assert [rows[1][2], rows[3][2]] == ["She waves.", "12 jk: 声音在抖"]


def test_everything_by_mouse(workbench: Workbench, passwords: dict[str, str], person: Callable[..., Person]) -> None:
    _ivy, page = at_work(person, passwords, "ivy")
    cards = page.locator(".clue")
    page.fill("#description-en", "She is glad.")
    cards.nth(2).locator("[data-ref=keep]").click()  # folded: it is kept where it stands
    assert verdicts(page) == ["open", "open", "kept"]
    expect(cards.nth(0)).to_have_attribute("aria-current", "true")
    cards.nth(1).locator(".clue-text").click()
    expect(cards.nth(1)).to_have_attribute("aria-current", "true")
    page.wait_for_function("() => !document.querySelector('video').paused")  # its span plays over and over
    cards.nth(1).locator("[data-ref=correct]").click()
    cards.nth(1).locator("textarea").fill("The voice is quiet.")
    cards.nth(0).locator("[data-ref=reject]").click()
    cards.nth(0).locator(".reason", has_text="says more than").click()
    assert verdicts(page) == ["rejected", "corrected", "kept"]
    name = page.inner_text("[data-ref=clipName]")
    page.click("[data-ref=submit]")
    expect(page.locator("[data-ref=clipName]")).not_to_have_text(name)
    assert [row[:3] for row in stored(workbench, "ivy")] == [
        ["rejected", "overstated", SMILE], ["corrected", "", "The voice is quiet."], ["kept", "", WORDS]
    ]  # fmt: skip


def test_what_is_not_shown_is_not_hinted_at(
    workbench: Workbench, passwords: dict[str, str], person: Callable[..., Person]
) -> None:
    lea, page = at_work(person, passwords, "lea", "versions")
    expect(active(page)).to_contain_text("drafted by")
    arm = "from annotator.checking.models import Claim; Claim.objects.filter(user__username='lea').update({})"
    workbench.shell(arm.format("arm='blind'"))
    page.reload()
    expect(page.locator(".clue")).to_have_count(3)
    assert "face-" not in page.inner_text(".clues")
    expect(page.locator(".clue-source:visible")).to_have_count(0)
    expect(page.locator(".clue-versions .clue")).to_have_count(2)
    lea.shot("cards-1440-blind")
    workbench.shell(arm.format("arm='none', offered=[]"))
    page.evaluate("localStorage.clear()")
    page.reload()
    expect(page.locator("[data-none]:visible")).to_have_count(3)
    expect(page.locator(".clue")).to_have_count(0)
    lea.shot("cards-1440-none")
    describe(page)
    press(page, "a 5")
    page.keyboard.type("The pitch rises.")
    press(page, "Enter")
    submit(page)
    assert [row[:3] for row in stored(workbench, "lea")] == [["added", "", "The pitch rises."]]


@pytest.mark.parametrize(("width", "height", "scheme"), [(1440, 900, "dark"), (390, 844, "light"), (390, 844, "dark")])
def test_it_fits_and_is_accessible_in_chinese_too(
    passwords: dict[str, str], person: Callable[..., Person], width: int, height: int, scheme: str
) -> None:
    jon = person("jon", passwords["jon"], width=width, height=height, color_scheme=scheme)
    page = jon.page
    page.click("button[value=zh-hans]")
    expect(page.locator("html")).to_have_attribute("lang", re.compile("zh"))
    jon.goto("/corpora/versions/check/")
    expect(active(page)).to_be_visible()
    press(page, "3")
    expect(active(page).locator(".reason").first).to_contain_text("视频里没有")
    jon.shot(f"cards-{width}-{scheme}-zh-reasons", full=width < 900)
    press(page, "2 2")
    page.keyboard.type(" Changed.")
    jon.shot(f"cards-{width}-{scheme}-zh-diff", full=width < 900)
    assert within(page)
    for line in ("Applying inline style", "CSP: style-src"):  # axe brings a style of its own
        jon.expect_trouble(line)
    page.evaluate((ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run('.clues')")
    serious = [trouble["id"] for trouble in found["violations"] if trouble["impact"] in ("serious", "critical")]
    assert serious == []
