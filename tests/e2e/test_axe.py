"""axe-core finds nothing serious on the pages of checking: desk and phone, light and dark, both languages."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.workbench import Workbench

from .conftest import ROOT, Person
from .test_review import call

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
PAGES = {
    "check": ".clue.is-active",
    "review": ".compare",
    "rules": "main form",
    "quality": ".quality",
    "dashboard": ".quality",
    "my-week": ".quality",
    "terms": "main h1",
    "records": "main table, main .empty",
    "claims": "main table, main .empty",
}
MAIN = ("check", "review", "quality")  # in every combination; the others in half of them
# The open parts of the checking page: what is pressed, and what shows then.
STATES = (("3", ".reasons:not([hidden])"), ("g", "#panel-guideline"), ("c", "[data-ref=commentText]"))


@pytest.fixture(scope="module")
def password(workbench: Workbench, clips: Path) -> str:
    """Corpus `clear` with terms, a clip to check, a review that waits, a record; the password of who may do all."""
    manage = workbench.manage
    manage("create_corpus", "clear", "--name", "Clear 清楚", "--licence", "open", "--review", "required")
    media = clips.parent / "clear-media"
    media.mkdir()
    for name, clip in zip("abc", sorted(clips.glob("*.mp4")), strict=False):
        (media / f"{name}.mp4").write_bytes(clip.read_bytes())
    manage("ingest", "clear", str(media), "--media", "copy", ok=(0, 1))
    clues = [
        {"modality": "visual", "aspect": "expression", "language": "en", "text": "She smiles.", "source": "face"},
        {"modality": "audio", "aspect": "tone", "language": "zh", "text": "声音很高。", "source": "voice"},
    ]
    rows = [{"name": name, "subtitle_zh": "我没事。", "subtitle_en": "I'm fine.", "clues": clues} for name in "abc"]
    manifest = media / "clear.jsonl"
    manifest.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    manage("ingest", "clear", "--manifest", str(manifest))
    manage("add_member", "clear", "yan", "--role", "annotator", "--create")
    manage("add_member", "clear", "noa", "--role", "reviewer", "--create")
    tokens = {name: manage("issue_token", name)["token"] for name in ("yan", "noa")}
    for _clip in range(2):
        claim = call(workbench, tokens["yan"], "POST", "/corpora/clear/claims/", {})
        body = {
            "clues": [{"id": clue["id"], "verdict": "kept"} for clue in claim["clues"]],
            "description": {"zh": "她很高兴。", "en": "She is happy."},
            "ov_labels": {"zh": ["高兴"], "en": ["happy"]},
        }
        call(workbench, tokens["yan"], "POST", f"/claims/{claim['id']}/submit/", body)
    review = call(workbench, tokens["noa"], "POST", "/corpora/clear/claims/", {"kind": "review"})
    decision = {"decision": "accept", "annotation": review["annotations"][0]["id"]}
    call(workbench, tokens["noa"], "POST", f"/claims/{review['id']}/decide/", decision)
    terms = media / "terms.txt"
    terms.write_text("Only for research.\n仅供研究。", encoding="utf-8")
    password = manage("add_member", "clear", "gro", "--role", "manager", "--create")["password"]
    for role in ("annotator", "reviewer"):  # who has all of them sees every page
        manage("add_member", "clear", "gro", "--role", role)
    manage("rules", "clear", "--set", f"terms=@{terms}")
    return str(password)


def serious(page: Page) -> list[str]:
    """What axe calls serious or critical, each with the first element that has it."""
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:160]} {one['nodes'][0]['failureSummary'][:300]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize(
    ("width", "scheme", "language"),
    list(itertools.product((1440, 390), ("light", "dark"), ("en", "zh"))),
)
def test_no_page_has_a_serious_finding(
    password: str, person: Callable[..., Person], width: int, scheme: str, language: str
) -> None:
    gro = person("gro", password, width=width, height=900 if width > 390 else 844, color_scheme=scheme)
    for line in ("Applying inline style", "CSP: style-src"):  # axe brings a style of its own
        gro.expect_trouble(line)
    page = gro.page
    page.get_by_role("button", name="中文" if language == "zh" else "EN", exact=True).click()
    page.wait_for_load_state()
    gro.goto("/corpora/clear/terms/")
    accept = page.locator("main form.panel-foot button[type=submit]")
    if accept.count():  # the first time; what is accepted stays so
        accept.click()
        page.wait_for_load_state()
    axe = AXE.read_text(encoding="utf-8")
    wrong: dict[str, list[str]] = {}
    every = (width > 390, scheme == "light", language == "en").count(True) % 2  # each pair of them occurs
    for name, shows in PAGES.items():
        if name not in MAIN and not every:
            continue
        gro.goto(f"/corpora/clear/{name}/")
        expect(page.locator(shows).first).to_be_visible()
        page.evaluate(axe)
        wrong[name] = serious(page)
        gro.shot(f"axe-{name}-{width}-{scheme}-{language}", full=True)
        if name != "check":
            continue
        for key, opened in STATES:
            page.locator(".clue").first.focus()
            page.keyboard.press(key)
            expect(page.locator(opened).first).to_be_visible()
            wrong[f"check {key}"] = serious(page)
            gro.shot(f"axe-check-{width}-{scheme}-{language}-{key}")
        page.keyboard.press("Escape")
        page.keyboard.press("Escape")
        for button, dialog in (("helpButton", "help"), ("flagButton", "flagDialog"), ("skip", "skipDialog")):
            page.click(f"[data-ref={button}]")
            expect(page.locator(f"[data-ref={dialog}]")).to_be_visible()
            wrong[f"check {dialog}"] = serious(page)
            page.keyboard.press("Escape")
    lines = [f"{name}: {line}" for name, found in wrong.items() for line in found]
    assert not lines, "\n".join(lines)
