"""The evidence gate in the browser: chips beside the clue, marked words, spans that play, the page of comparison."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.workbench import Workbench

from .conftest import Person

SAID = "The person smiles brightly 😀 and frowns at the door."
WITHIN = "() => document.documentElement.scrollWidth <= document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def passwords(workbench: Workbench, clips: Path) -> dict[str, str]:
    """A corpus of one smiling clip with a clue that is half right; its annotator's and manager's passwords."""
    manage = workbench.manage
    manage("create_corpus", "gate", "--name", "Gate", "--licence", "open", "--review", "none")
    media = clips.parent / "gate-media"
    media.mkdir()
    (media / "a.mp4").write_bytes((clips / "第一段_微笑.mp4").read_bytes())
    (media / "subtitles.csv").write_text("name,chinese,english\na,我们赢了！,We won!\n", encoding="utf-8")
    (media / "au").mkdir()
    (media / "au" / "a.csv").write_bytes((clips / "au" / "第一段_微笑.csv").read_bytes())
    manage("ingest", "gate", str(media), "--subtitles", str(media / "subtitles.csv"), "--au", str(media / "au"),
           "--media", "copy")  # fmt: skip
    for name, modality, text in (
        ("face", "visual", SAID),
        ("tone", "audio", "The voice is loud and trembling."),
        ("words", "text", 'The words "we won" show joy; "I am lost" shows fear.'),
    ):
        table = clips.parent / f"{name}.csv"
        table.write_text(
            "name,text\na," + json.dumps(text, ensure_ascii=False).replace('\\"', '""') + "\n", encoding="utf-8"
        )
        manage("import_prelabels", "gate", str(table), "--prelabeller", f"gate-{name}", "--modality", modality,
               "--language", "en")  # fmt: skip
    found = {}
    for name, role in (("gil", "annotator"), ("gus", "manager")):
        found[name] = manage("add_member", "gate", name, "--role", role, "--create")["password"]
    return found


def plays(page: Page, start: float, end: float) -> bool:
    """Whether the clip plays from about the span's start and stops at about its end."""
    page.wait_for_function(
        "([a, b]) => { const v = document.querySelector('video'); return v.paused && v.currentTime >= b - 0.05 && "
        "v.currentTime < b + 0.6 && v.currentTime > a; }",
        arg=[start, end],
    )
    return True


def test_the_annotator_sees_what_the_signals_say_before_deciding(
    passwords: dict[str, str], person: Callable[..., Person]
) -> None:
    gil = person("gil", passwords["gil"])
    page = gil.goto("/corpora/gate/check/")
    card = page.locator(".clue").first
    findings = card.locator(".finding")
    expect(findings).to_have_count(2)
    expect(findings.nth(0)).to_contain_text("✗ contradicted lowered brows")
    expect(findings.nth(0)).to_contain_text("AU04")
    expect(findings.nth(1)).to_contain_text("✓ supported smile")
    expect(card.locator(".clue-text")).to_have_text(SAID)
    expect(card.locator("mark.claimed--contradicted")).to_have_text("frowns")
    expect(card.locator("mark.claimed--supported")).to_contain_text("smiles")
    span = findings.nth(1).locator(".span-chip")
    expect(span).to_be_visible()
    gil.shot("gate-check-1440", full=True)
    words = page.locator('[data-modality="text"] .finding')
    expect(words.nth(0)).to_contain_text("✗ contradicted quoted words “I am lost”")
    expect(words.nth(1)).to_contain_text("✓ supported quoted words “we won”")
    span.click()
    a, b = page.evaluate(
        "(text) => text.match(/\\d+:\\d+\\.\\d/g).map((t) => { const [m, s] = t.split(':'); return 60 * m + +s; })",
        span.inner_text(),
    )
    assert plays(page, a, b)
    assert page.evaluate(WITHIN)


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1440, "dark"), (390, "dark")])
def test_it_fits_a_phone_and_the_dark(
    passwords: dict[str, str], person: Callable[..., Person], width: int, scheme: str
) -> None:
    gil = person("gil", passwords["gil"], width=width, color_scheme=scheme)
    page = gil.goto("/corpora/gate/check/")
    expect(page.locator(".finding").first).to_be_visible()
    gil.shot(f"gate-check-{width}-{scheme}", full=True)
    assert page.evaluate(WITHIN)


def test_the_clip_page_and_the_comparison(passwords: dict[str, str], person: Callable[..., Person]) -> None:
    gus = person("gus", passwords["gus"])
    page = gus.goto("/corpora/gate/clips/")
    page.locator("a[href^='/clips/']").first.click()
    finding = page.locator("#clues .finding--supported", has_text="smile")
    expect(finding).to_be_visible()
    gus.shot("gate-clip-1440", full=True)
    button = finding.locator("button")
    start, end = (float(button.get_attribute(f"data-play-{key}") or "") for key in ("from", "to"))
    button.click()
    assert plays(page, start, end)
    page = gus.goto("/corpora/gate/gate/")
    expect(page.locator("h1")).to_have_text("Evidence gate")
    expect(page.locator("table").last).to_contain_text("smile")
    gus.shot("gate-page-1440", full=True)
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Judge all again").click()
    expect(page.locator(".notice", has_text="being judged")).to_be_visible()
    expect(page.locator("#gate-progress")).not_to_contain_text("wait for a worker", timeout=60_000)
    page.set_viewport_size({"width": 390, "height": 844})
    gus.shot("gate-page-390", full=True)
    assert page.evaluate(WITHIN)
    page.get_by_role("button", name="中文").click()
    expect(page.locator("h1")).to_have_text("证据检验")
    page.set_viewport_size({"width": 1440, "height": 900})
    gus.shot("gate-page-zh", full=True)
    gus.goto("/corpora/gate/clips/").locator("a[href^='/clips/']").first.click()
    expect(page.locator("#clues .finding--contradicted").first).to_contain_text("与测量不符 皱眉")
    gus.shot("gate-clip-zh", full=True)
