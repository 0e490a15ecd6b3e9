"""What a clip costs: by keys alone and by mouse alone, in English and in Chinese, to the stored annotation."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support.workbench import Workbench, eventually

from .conftest import Person
from .test_text import compose, submitted

CLUES = (
    {"modality": "visual", "aspect": "expression", "language": "en", "text": "The lip corners rise.", "source": "face"},
    {"modality": "audio", "aspect": "tone", "language": "en", "text": "The voice is flat.", "source": "voice"},
    {"modality": "text", "aspect": "content", "language": "zh", "text": "话里没有责备。", "source": "words"},
)
DRAFTED = {
    "description": {"zh": "嘴角上扬，他很高兴。", "en": "The lip corners rise and he is happy."},
    "ov_labels": {"zh": ["高兴"], "en": ["happy"]},
}
RIGHT = " It trembles at the end."
PEOPLE = ("key-en", "key-zh", "mouse-en", "mouse-zh", "phone")
WORDS = {
    "en": {"draft": "Drafted, not checked", "behind": "English was not brought along", "open": "clues to check: 3"},
    "zh": {"draft": "草稿，未检查", "behind": "英语", "open": "还有 3 条线索待检查"},
}


@pytest.fixture(scope="module")
def passwords(workbench: Workbench, clips: Path) -> dict[str, str]:
    """Corpus `walk`: two clips of three clues each, whose coarse records draft description and labels."""
    media = clips.parent / "walk-media"
    media.mkdir()
    for name, clip in zip("ab", sorted(clips.glob("*.mp4")), strict=False):
        (media / f"{name}.mp4").write_bytes(clip.read_bytes())
    manifest = media / "walk.jsonl"
    manifest.write_text("".join(json.dumps({"name": n, "clues": CLUES}) + "\n" for n in "ab"), encoding="utf-8")
    workbench.manage("create_corpus", "walk", "--licence", "open", "--review", "none", "--overlap", "9")
    workbench.manage("ingest", "walk", str(media), "--media", "copy", ok=(0, 1))
    workbench.manage("ingest", "walk", "--manifest", str(manifest))
    script = f"""
from annotator.clips.models import Clip
from tests.support import factories as make
for clip in Clip.objects.filter(corpus__slug="walk"):
    make.create_record(clip, "coarse", **{DRAFTED!r})
print("done")
"""
    assert workbench.shell(script).endswith("done")
    return {
        name: workbench.manage("add_member", "walk", name, "--role", "annotator", "--create")["password"]
        for name in PEOPLE
    }


class Keys:
    """Presses chords and counts them; text is typed apart and not counted."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.pressed: list[str] = []

    def __call__(self, *chords: str) -> None:
        for chord in chords:
            self.page.keyboard.press(chord)
            self.pressed.append(chord)


def begin(person: Callable[..., Person], passwords: dict[str, str], name: str) -> tuple[Page, dict[str, str], Person]:
    """The page as it opens on a fresh clip: drafted text and labels in their fields, marked as not checked."""
    someone = person(name, passwords[name])
    language = name[-2:]
    if language == "zh":
        someone.page.get_by_role("button", name="中文").click()
    page = someone.goto("/corpora/walk/check/")
    words = WORDS[language]
    fresh(page, words)
    return page, words, someone


def fresh(page: Page, words: dict[str, str]) -> None:
    expect(page.locator("[data-ref=open]")).to_have_text(words["open"])
    expect(page.locator(".clue.is-active")).to_be_focused()
    expect(page.locator("#description-zh")).to_have_value(DRAFTED["description"]["zh"])
    expect(page.locator("#description-en")).to_have_value(DRAFTED["description"]["en"])
    expect(page.locator("[data-ref=drafted]")).to_contain_text(words["draft"])
    expect(page.locator("[data-ref=ovZh] .chip-label")).to_have_text("高兴")
    expect(page.locator("[data-ref=ovEn] .chip-label")).to_have_text("happy")
    seen = page.evaluate(
        """() => {
          const within = document.querySelector(".work-area--text").getBoundingClientRect();
          const box = document.querySelector("#ov-en").getBoundingClientRect();
          return [box.top >= within.top, box.bottom <= within.bottom, scrollY === 0,
                  document.documentElement.scrollHeight <= innerHeight];
        }"""
    )
    assert seen == [True] * 4  # the labels are in sight beside the description, and nothing scrolls


def kept(clip: dict[str, Any]) -> None:
    """Three clues kept, and text and labels as they were drafted."""
    assert [clue["verdict"] for clue in clip["clues"]] == ["kept"] * 3
    assert [clue["text"] for clue in clip["clues"]] == [clue["text"] for clue in CLUES]
    assert clip["description"] == DRAFTED["description"]
    assert clip["ov_labels"] == DRAFTED["ov_labels"]
    assert clip["translation"] == {"zh": "machine", "en": "machine"}


def corrected(clip: dict[str, Any]) -> None:
    """The second clue corrected, the Chinese description one's own, the English confirmed beside it."""
    assert [clue["verdict"] for clue in clip["clues"]] == ["kept", "corrected", "kept"]
    assert clip["clues"][1]["text"] == CLUES[1]["text"] + RIGHT
    assert clip["description"]["zh"] == DRAFTED["description"]["zh"] + "声音发颤。"
    assert clip["description"]["en"] == DRAFTED["description"]["en"]
    assert clip["ov_labels"] == DRAFTED["ov_labels"]
    assert clip["translation"] == {"zh": "own", "en": "confirmed"}


@pytest.mark.parametrize("name", ["key-en", "key-zh"])
def test_by_keys_alone(
    workbench: Workbench, passwords: dict[str, str], person: Callable[..., Person], name: str
) -> None:
    """Three right clues: four chords. One wrong: eight, and the typing, with the other language looked at again."""
    page, words, someone = begin(person, passwords, name)
    first = page.inner_text("[data-ref=clipName]")
    keys = Keys(page)
    keys("1", "1", "1", "Control+Enter")
    expect(page.locator("[data-ref=clipName]")).not_to_have_text(first)
    assert len(keys.pressed) <= 4
    kept(submitted(workbench, name))

    fresh(page, words)
    keys = Keys(page)
    keys("1", "2")
    expect(page.locator(".clue.is-active [data-ref=edit]")).to_be_focused()
    page.keyboard.type(RIGHT)
    keys("Enter", "1", "d")
    expect(page.locator("#description-zh")).to_be_focused()
    compose(page, "s", "sheng", "shengyin", "声音发颤。")
    expect(page.locator("#description-zh")).to_have_value(DRAFTED["description"]["zh"] + "声音发颤。")
    keys("Control+Enter")
    expect(page.locator("[data-ref=staleAsk]")).to_contain_text(words["behind"])
    someone.shot(f"walk-{name}-behind")
    keys("Enter")
    expect(page.locator("[data-ref=empty]")).to_be_visible()
    assert len(keys.pressed) <= 8
    corrected(submitted(workbench, name))


@pytest.mark.parametrize("name", ["mouse-en", "mouse-zh"])
def test_by_mouse_alone(
    workbench: Workbench, passwords: dict[str, str], person: Callable[..., Person], name: str
) -> None:
    """The same work by clicks; the keyboard only types words."""
    page, words, someone = begin(person, passwords, name)
    first = page.inner_text("[data-ref=clipName]")
    for number in range(3):
        page.locator(".clue").nth(number).locator("[data-ref=keep]").click()
    page.click("[data-ref=submit]")
    expect(page.locator("[data-ref=clipName]")).not_to_have_text(first)
    kept(submitted(workbench, name))

    fresh(page, words)
    cards = page.locator(".clue")
    cards.nth(0).locator("[data-ref=keep]").click()
    cards.nth(1).locator("[data-ref=correct]").click()
    expect(cards.nth(1).locator("[data-ref=edit]")).to_be_focused()
    page.keyboard.type(RIGHT)
    cards.nth(2).locator("[data-ref=keep]").click()
    field = page.locator("#description-zh")
    low = field.bounding_box()
    assert low
    field.click(position={"x": low["width"] - 30, "y": low["height"] - 12})  # behind the last word
    compose(page, "s", "sheng", "shengyin", "声音发颤。")
    expect(field).to_have_value(DRAFTED["description"]["zh"] + "声音发颤。")
    # What stands below the field is where it was pressed, though the field gets lower when it is left.
    page.locator("[data-ref=ovEn] .chip-remove").click(delay=120)
    expect(page.locator("[data-ref=ovEn] .chip-label")).to_have_count(0)
    page.click("[data-ref=historyUndo]")
    expect(page.locator("[data-ref=ovEn] .chip-label")).to_have_text("happy")
    page.click("[data-ref=submit]")
    expect(page.locator("[data-ref=staleAsk]")).to_contain_text(words["behind"])
    someone.shot(f"walk-{name}-behind")
    page.click("[data-ref=staleConfirm]")
    expect(page.locator("[data-ref=empty]")).to_be_visible()
    corrected(submitted(workbench, name))


def test_on_a_phone_the_clip_leaves_room_for_the_clue(
    workbench: Workbench, passwords: dict[str, str], person: Callable[..., Person]
) -> None:
    """By taps: the clip takes less than a third of the screen, and the clue at work stands free below it."""
    someone = person("phone", passwords["phone"], width=390, height=844, has_touch=True)
    page = someone.goto("/corpora/walk/check/")
    expect(page.locator(".clue.is-active")).to_be_visible()
    assert eventually(lambda: page.evaluate("document.querySelector('video').readyState >= 2"), 20)
    first = page.inner_text("[data-ref=clipName]")
    for number in range(3):
        card = page.locator(".clue").nth(number)
        keep = card.locator("[data-ref=keep]")
        keep.scroll_into_view_if_needed()
        keep.tap()
        expect(card).to_have_attribute("data-verdict", "kept")
        free = page.evaluate(
            """() => {
              const box = (css) => document.querySelector(css).getBoundingClientRect();
              const [clip, bar, clue] = [box(".player"), box(".work-bar"), box(".clue.is-active")];
              return [clip.height <= innerHeight * 0.3, clip.width === innerWidth,
                      clue.top >= clip.bottom, clue.bottom <= bar.top];
            }"""
        )
        assert free == [True] * 4, number
        someone.shot(f"walk-phone-{number}")
    page.locator("[data-ref=submit]").tap()
    expect(page.locator("[data-ref=clipName]")).not_to_have_text(first)
    kept(submitted(workbench, "phone"))
