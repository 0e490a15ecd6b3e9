"""Description, languages, proposals and labels in the browser, with a model's server that streams."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Page, expect

from tests.support import scripted_server
from tests.support.workbench import Workbench, eventually, started

from .conftest import Person


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[scripted_server.Running]:
    with scripted_server.running(tmp_path_factory.mktemp("llm") / "calls.jsonl") as running:
        yield running


@pytest.fixture(scope="module")
def workbench(tmp_path_factory: pytest.TempPathFactory, llm: scripted_server.Running) -> Iterator[Workbench]:
    """One whose text model streams slowly, from its own port."""
    folder = tmp_path_factory.mktemp("text") / "var"
    with (
        started(folder, LLM_BASE_URL=llm.base_url, LLM_MODEL="slow", LLM_TRUST="inside") as bench,
        bench.quick_commands(),
    ):
        yield bench


@pytest.fixture(scope="module")
def clips_of(workbench: Workbench, clips: Path) -> Callable[[str], str]:
    """`clips_of("lin")`: that person may check the four pre-labelled clips, as everybody; their password."""
    workbench.manage("create_corpus", "text", "--licence", "open", "--review", "none", "--overlap", "20")
    subtitles, au = str(clips / "subtitles.csv"), str(clips / "au")
    workbench.manage("ingest", "text", str(clips), "--subtitles", subtitles, "--au", au, ok=(0, 1))
    workbench.manage("prelabel", "text", "--pipeline", "measured", "--wait")

    def make(name: str) -> str:
        return str(workbench.manage("add_member", "text", name, "--role", "annotator", "--create")["password"])

    return make


def open_check(someone: Person) -> Page:
    page = someone.goto("/corpora/text/check/")
    expect(page.locator(".clue.is-active")).to_be_visible()
    return page


def keep_all(page: Page) -> None:
    for _clue in range(page.locator(".clue").count()):
        page.keyboard.press("1")


def compose(page: Page, *steps: str, enter: bool = True) -> None:
    """Type through an input method: what is underlined changes until it is committed."""
    session = page.context.new_cdp_session(page)
    for step in steps:
        session.send("Input.imeSetComposition", {"text": step, "selectionStart": len(step), "selectionEnd": len(step)})
        if enter:  # keys that steer the input method are not the page's
            page.evaluate(
                "document.activeElement.dispatchEvent(new KeyboardEvent('keydown',"
                " {key: 'Enter', keyCode: 229, isComposing: true, bubbles: true, cancelable: true}))"
            )
    session.send("Input.insertText", {"text": steps[-1]})
    session.detach()


def submitted(workbench: Workbench, name: str) -> dict[str, Any]:
    script = (
        "import json\nfrom annotator.checking.models import Annotation\n"
        "from annotator.checking.submissions import body_of\n"
        f"print(json.dumps(body_of(Annotation.objects.filter(user__username={name!r}).latest('id'))))"
    )
    found: dict[str, Any] = json.loads(workbench.shell(script).splitlines()[-1])
    return found


def test_the_draft_is_there_marked_and_changes_its_mark(
    workbench: Workbench, clips_of: Callable[[str], str], person: Callable[..., Person]
) -> None:
    lin = person("lin", clips_of("lin"))
    page = open_check(lin)
    first = page.locator("[data-ref=clipName]").text_content() or ""
    expect(page.locator("#description-zh")).not_to_have_value("")
    expect(page.locator("[data-ref=drafted]")).to_contain_text("Drafted, not checked: laid out by the template")
    expect(page.locator("[data-ref=stateEn]")).to_have_text("drafted")
    lin.shot("text-1-drafted")
    page.keyboard.press("d")
    page.keyboard.press("Control+End")
    compose(page, "t", "ta", "ta hen", "他很高兴。")
    assert page.input_value("#description-zh").endswith("他很高兴。")
    assert (page.locator("[data-ref=clipName]").text_content() or "") == first
    expect(page.locator("[data-ref=stateZh]")).to_have_text("")
    expect(page.locator("[data-ref=stateEn]")).to_have_text("behind")
    page.keyboard.press("Escape")
    keep_all(page)
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-ref=staleAsk]")).to_contain_text("English was not brought along")
    lin.shot("text-2-behind")
    page.click("[data-ref=staleConfirm]")
    expect(page.locator("[data-ref=clipName]")).not_to_have_text(first)
    body = submitted(workbench, "lin")
    assert body["translation"] == {"zh": "own", "en": "confirmed"}
    assert body["description"]["zh"].endswith("他很高兴。")
    # The next one: translated anew, taken back, then kept as drafted.
    drafted = page.input_value("#description-en")
    page.fill("#description-en", "She frowns. She is angry.")
    expect(page.locator("[data-ref=stateZh]")).to_have_text("behind")
    page.keyboard.press("Escape")
    page.keyboard.press("t")
    expect(page.locator("#description-zh")).to_have_value(
        "综合视频、音频和文本中的线索，可以推断人物的情绪状态是：愤怒。"
    )
    expect(page.locator("[data-ref=stateZh]")).to_have_text("drafted")
    page.fill("#description-en", drafted)
    expect(page.locator("[data-ref=stateZh]")).to_have_text("behind")
    page.click("[data-ref=descriptionZh]")
    page.keyboard.type("。")
    expect(page.locator("[data-ref=stateZh]")).to_have_text("")


def test_a_summary_streams_in_and_takes_nothing_away(
    llm: scripted_server.Running, clips_of: Callable[[str], str], person: Callable[..., Person]
) -> None:
    mai = person("mai", clips_of("mai"))
    page = open_check(mai)
    keep_all(page)
    page.fill("#description-en", "My own words.")
    page.keyboard.press("Escape")
    page.keyboard.press("s")
    proposal = page.locator("[data-ref=proposalBody]")
    expect(proposal).to_contain_text("From the clues", timeout=30_000)
    expect(page.locator("[data-ref=proposalAccept]")).to_be_hidden()  # it is still being written
    expect(page.locator("#description-en")).to_have_value("My own words.")
    mai.shot("text-3-streaming")
    expect(page.locator("[data-ref=proposalStatus]")).to_have_text("written by the text model", timeout=60_000)
    expect(proposal.locator("del").first).to_be_visible()
    expect(page.locator("#description-en")).to_have_value("My own words.")
    mai.shot("text-4-proposed")
    page.locator("[data-append][data-language=en]").first.click()
    assert page.input_value("#description-en").startswith("My own words. From the clues")
    page.click("[data-ref=proposalAccept]")
    expect(page.locator("[data-ref=proposal]")).to_be_hidden()
    assert page.input_value("#description-en").startswith("From the clues")
    expect(page.locator("[data-ref=drafted]")).to_contain_text("written by the text model")
    page.locator(".clue").first.focus()
    page.keyboard.press("Control+z")
    assert page.input_value("#description-en").startswith("My own words. From")
    page.keyboard.press("Control+z")
    expect(page.locator("#description-en")).to_have_value("My own words.")
    asked = len(llm.calls())
    page.keyboard.press("s")
    expect(proposal).to_contain_text("From the clues", timeout=30_000)
    page.click("[data-ref=proposalDismiss]")
    expect(page.locator("#description-en")).to_have_value("My own words.")
    assert len([call for call in llm.calls()[asked:] if "kind" in call]) == 1


def test_labels_by_keyboard_mouse_and_input_method(
    workbench: Workbench, clips_of: Callable[[str], str], person: Callable[..., Person]
) -> None:
    nia = person("nia", clips_of("nia"))
    page = open_check(nia)
    first = page.locator("[data-ref=clipName]").text_content() or ""
    keep_all(page)
    page.click("#ov-zh")
    compose(page, "g", "gao", "gaoxing", "高兴")
    expect(page.locator("#ov-zh")).to_have_value("高兴")  # Enter that steers the input method adds nothing
    expect(page.locator("[data-ref=ovZh] .offers")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator("[data-ref=ovZh] .chip-label")).to_have_text("高兴")
    page.locator("[data-ref=pairsEn] button", has_text="happy").click()
    expect(page.locator("[data-ref=ovEn] .chip-label")).to_have_text("happy")
    page.locator("#ov-en").focus()
    page.keyboard.type("ang")
    expect(page.locator("#ov-en")).to_have_attribute("aria-expanded", "true")
    nia.shot("text-5-offers")
    page.keyboard.press("ArrowDown")
    active = page.get_attribute("#ov-en", "aria-activedescendant")
    assert page.get_attribute(f"#{active}", "aria-selected") == "true"
    page.keyboard.press("Enter")
    page.keyboard.type("oddly calm,")
    labels = page.locator("[data-ref=ovEn] .chip-label")
    assert labels.count() == 3
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("4")
    page.keyboard.press("Shift+Digit2")
    page.keyboard.press("Delete")
    assert labels.count() == 2
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("5")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("3")
    page.keyboard.press("Shift+Digit1")
    page.locator("[data-ref=ovZh] .chip-label").click()
    page.click("[data-score=intensity][value='2']")
    page.click("[data-ref=extras] summary")
    page.select_option("#relation", "masked")
    page.fill("#felt", "sad,")
    page.fill("#shown", "cheerful,")
    page.check("[data-ref=conflict] input[value=visual]")
    nia.shot("text-6-labels")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-ref=extrasError]")).to_contain_text("between two modalities")
    page.check("[data-ref=conflict] input[value=audio]")
    page.fill("[data-ref=conflictNote]", "她笑着哭")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-ref=clipName]")).not_to_have_text(first)
    body = submitted(workbench, "nia")
    assert body["ov_labels"]["zh"] == ["高兴"]
    assert body["ov_labels"]["en"][0] == "happy"
    assert body["ov_scores"]["en"]["happy"] == {"intensity": 3, "confidence": 1}
    assert body["ov_scores"]["en"][body["ov_labels"]["en"][1]] == {"intensity": 5, "confidence": None}
    assert body["ov_scores"]["zh"]["高兴"] == {"intensity": 2, "confidence": None}
    assert body["display"] == {"relation": "masked", "felt": ["sad"], "shown": ["cheerful"]}
    assert body["conflict"] == {"modalities": ["visual", "audio"], "note": "她笑着哭"}
    assert body["translation"] == {"zh": "machine", "en": "machine"}


def test_sentences_name_their_clues_and_tell_when_those_change(
    clips_of: Callable[[str], str], person: Callable[..., Person]
) -> None:
    password = clips_of("oda")
    oda = person("oda", password)
    page = open_check(oda)
    text = page.locator(".clue [data-ref=text]").first.text_content() or ""
    page.fill("#description-en", f"{text} The weather was fine in Paris yesterday.")
    marks = page.locator("[data-ref=sentencesEn] .sentence-mark")
    expect(marks.first).to_have_text("1")
    expect(marks.last).to_have_class("sentence-mark sentence-mark--none")
    page.locator("[data-ref=sentencesEn] [data-sentence]").first.hover()
    expect(page.locator(".clue").first).to_have_class(re.compile("is-basis"))
    page.click("[data-ref=sentencesEn] [data-open]")
    oda.shot("text-7-sentences")
    page.locator(".clue").first.focus()
    page.keyboard.press("3")
    expect(marks.first).to_have_class("sentence-mark sentence-mark--changed")
    page.keyboard.press("Escape")
    sizes: tuple[tuple[int, int, Literal["light", "dark"]], ...] = ((390, 844, "light"), (1440, 900, "dark"))
    for width, height, scheme in sizes:
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=scheme)
        page.locator("#description-zh").scroll_into_view_if_needed()
        oda.shot(f"text-8-{width}-{scheme}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


WHERE = "() => document.activeElement.dataset.ref || document.activeElement.id || document.activeElement.className"


def test_undo_and_what_redraws_itself_keep_the_focus(
    clips_of: Callable[[str], str], person: Callable[..., Person]
) -> None:
    pia = person("pia", clips_of("pia"))
    page = open_check(pia)
    here = "document.activeElement.textContent"
    page.keyboard.press("2")  # correct: the cursor is in the clue's text
    page.keyboard.press("Control+z")
    expect(page.locator(".clue").first).to_have_attribute("data-verdict", "open")
    assert "clue" in page.evaluate(WHERE)
    # A pair taken by a key: the next pair, or the field.
    page.fill("#ov-zh", "高兴,愤怒,")
    page.locator("[data-ref=pairsEn] button").first.focus()
    page.keyboard.press("Enter")
    assert page.evaluate(WHERE) == "pair"
    page.keyboard.press("Enter")
    assert page.evaluate(WHERE) == "ov-en"
    # On a chip: scores come and go by undo, the chip stays.
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(WHERE) == "chip-label"
    label = page.evaluate("document.activeElement.dataset.label")
    page.keyboard.press("4")
    page.keyboard.press("Control+z")
    assert page.evaluate("document.activeElement.dataset.label") == label
    expect(page.locator("[data-ref=ovEn] .chip-label small")).to_have_count(0)
    page.keyboard.press("Control+z")  # the label itself goes; one is still among the labels
    assert page.evaluate("document.activeElement.closest('[data-ref=ovEn]') !== null")
    # A sentence's mark, while the clues below it change.
    page.fill("#description-en", "He smiles. She frowns.")
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    sentence = page.locator("[data-ref=sentencesEn] [data-sentence]").last
    expect(sentence).to_contain_text("She frowns.")
    sentence.focus()
    page.keyboard.press("Control+z")  # the clue's verdict
    expect(page.locator(".clue").first).to_have_attribute("data-verdict", "open")
    assert eventually(lambda: "She frowns." in page.evaluate(here), 5)
    # The caret of a field that another step is undone in.
    page.click("#description-zh")
    page.fill("#description-zh", "他很高兴，也很累。")
    page.evaluate("document.activeElement.setSelectionRange(3, 3)")
    page.click("[data-ref=historyUndo]")
    page.click("[data-ref=historyRedo]")
    expect(page.locator("#description-zh")).to_have_value("他很高兴，也很累。")
    # A proposal's sentences one after the other, by keys.
    page.keyboard.press("Escape")
    page.locator(".clue").first.focus()
    keep_all(page)
    page.keyboard.press("s")
    expect(page.locator("[data-ref=proposalStatus]")).to_have_text("written by the text model", timeout=60_000)
    first = page.locator("[data-append]").first
    taken = first.get_attribute("data-append") or ""
    first.focus()
    page.keyboard.press("Enter")
    expect(page.locator(f"[data-append='{taken}']")).to_have_count(0)
    assert page.evaluate("document.activeElement.closest('[data-ref=proposal]') !== null")
    page.locator("[data-ref=proposalAccept]").focus()
    page.keyboard.press("Enter")
    assert page.evaluate(WHERE) != ""
    page.locator("[data-ref=keepDraft]").focus()
    page.keyboard.press("Enter")
    expect(page.locator("[data-ref=drafted]")).to_be_hidden()
    assert page.evaluate(WHERE).startswith("description")


def test_a_killed_stream_is_told_and_without_streams_the_answer_comes_whole(
    workbench: Workbench, llm: scripted_server.Running, clips_of: Callable[[str], str], person: Callable[..., Person]
) -> None:
    quy = person("quy", clips_of("quy"))
    quy.expect_trouble("ERR_")
    page = open_check(quy)
    keep_all(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/summar" in request.url else None)
    page.fill("#description-en", "")
    page.keyboard.press("Escape")
    page.keyboard.press("s")
    page.keyboard.press("s")  # again while it is under way
    expect(page.locator("[data-ref=proposalBody]")).to_contain_text("From", timeout=30_000)
    assert len([url for url in asked if url.endswith("/summaries/")]) == 1
    page.click("#description-en")
    page.keyboard.type("Typed while it came, s and all.")
    assert workbench.kill("streams")
    expect(page.locator("[data-ref=proposalStatus]")).to_have_text("nothing usable came", timeout=60_000)
    expect(page.locator("[data-ref=proposalNote]")).not_to_have_text("")
    expect(page.locator("[data-ref=proposalBody]")).to_have_text("")  # half an answer is none
    expect(page.locator("#description-en")).to_have_value("Typed while it came, s and all.")
    assert page.evaluate(WHERE) == "descriptionEn"
    page.route("**/stream/**", lambda route: route.abort("connectionrefused"))
    asked.clear()
    page.click("[data-ref=summarise]")
    expect(page.locator("[data-ref=proposalStatus]")).to_have_text("written by the text model", timeout=60_000)
    expect(page.locator("[data-ref=proposalBody]")).to_contain_text("From the clues", timeout=30_000)
    assert len([url for url in asked if url.endswith("/summarise/")]) == 1
    expect(page.locator("#description-en")).to_have_value("Typed while it came, s and all.")


PASTE = """(text) => {
  const clipboardData = new DataTransfer();
  clipboardData.setData('text', text);
  const field = document.querySelector('#ov-zh');
  field.focus();
  field.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }));
}"""


def test_long_foreign_and_listed_labels(
    workbench: Workbench, clips_of: Callable[[str], str], person: Callable[..., Person]
) -> None:
    rae = person("rae", clips_of("rae"), width=390, height=844)
    rae.expect_trouble("422")
    page = open_check(rae)
    first = page.locator("[data-ref=clipName]").text_content() or ""
    keep_all(page)
    long = "喜" * 80
    page.evaluate(PASTE, f"{long}、😀👩‍👩‍👧，سعيد\n悲伤；悲伤\t ,")
    expect(page.locator("[data-ref=ovZh] .chip-label")).to_have_text([long, "😀👩‍👩‍👧", "سعيد", "悲伤"])
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator("[data-ref=ovZh]").scroll_into_view_if_needed()
    rae.shot("text-9-labels-390")
    page.fill("#description-zh", "הוא מחייך。" + "很长" * 600)
    page.evaluate(PASTE, "怒" * 81 + "、")
    page.keyboard.press("Control+Enter")
    if page.locator("[data-ref=staleAsk]").is_visible():
        page.click("[data-ref=staleConfirm]")
    expect(page.locator("[data-ref=ovError]")).to_contain_text("80")
    page.locator("[data-ref=ovZh] .chip-remove").last.click()
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-ref=clipName]")).not_to_have_text(first)
    body = submitted(workbench, "rae")
    assert body["ov_labels"]["zh"] == [long, "😀👩‍👩‍👧", "سعيد", "悲伤"]
    assert body["description"]["zh"].startswith("הוא מחייך。")
