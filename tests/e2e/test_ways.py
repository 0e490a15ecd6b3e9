"""Work that other people, the browser's history and a slow line come into; and a clip that one hears and one sees."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support.workbench import Workbench, eventually

from .conftest import Person

MODALITIES = {"visual": "She frowns.", "audio": "The voice falls.", "text": "The words are calm."}
ASPECTS = {"visual": "expression", "audio": "tone", "text": "content"}
PEOPLE = ("ova", "pim", "quin", "rea")
SLOW = {"offline": False, "latency": 400, "downloadThroughput": 50_000, "uploadThroughput": 50_000}  # ms, bytes/s

ASKED = """async () => {
  const asked = performance.now();
  await fetch("/livez", { cache: "no-store" });
  return performance.now() - asked;
}"""


@pytest.fixture(scope="module")
def passwords(workbench: Workbench, clips: Path) -> dict[str, str]:
    """Corpora `ways` (clips without media), `ways-line` (with) and `ways-parts` (one hears, one sees, rea reviews)."""
    folder = clips.parent / "ways"
    folder.mkdir()
    clues = [
        {"modality": modality, "aspect": ASPECTS[modality], "language": "en", "text": text, "source": modality}
        for modality, text in MODALITIES.items()
    ]
    names = {"ways": ["way_1", "way_2", "way_3", "way_4"], "ways-line": ["film_1", "film_2"], "ways-parts": ["film_1"]}
    commands: list[list[str]] = []
    for slug, some in names.items():
        manifest = folder / f"{slug}.jsonl"
        manifest.write_text("".join(json.dumps({"name": n, "clues": clues}) + "\n" for n in some), encoding="utf-8")
        review, overlap = "required" if slug == "ways-parts" else "none", "1" if slug == "ways-line" else "2"
        commands.append(["create_corpus", slug, "--licence", "open", "--review", review, "--overlap", overlap])
        if slug != "ways":
            (folder / slug).mkdir()
            for name, clip in zip(some, sorted(clips.glob("*.mp4")), strict=False):
                (folder / slug / f"{name}.mp4").write_bytes(clip.read_bytes())
            commands.append(["ingest", slug, str(folder / slug), "--media", "copy"])
        commands.append(["ingest", slug, "--manifest", str(manifest)])
    script = f"""
from django.contrib.auth import get_user_model
from django.core.management import call_command
from annotator.clips.models import Corpus, Membership
for command in {commands!r}:
    try:
        call_command(*command)
    except SystemExit as done:
        assert not done.code, command
call_command("rules", "ways-parts", "--set", 'modes=["audio", "visual"]')
for name in {PEOPLE!r}:
    user = get_user_model().objects.create_user(name, password="ways-" + name)
    for corpus in Corpus.objects.filter(slug__startswith="ways"):
        for role in {{"rea": ["reviewer"], "quin": ["annotator", "viewer"]}}.get(name, ["annotator"]):
            Membership.objects.create(corpus=corpus, user=user, role=role)
print("done")
"""
    assert workbench.shell(script).endswith("done")
    return {name: f"ways-{name}" for name in PEOPLE}


def open_check(someone: Person, slug: str, within: float = 20) -> Page:
    page = someone.goto(f"/corpora/{slug}/check/")
    expect(page.locator(".clue.is-active")).to_be_visible(timeout=within * 1000)
    return page


def saved(page: Page) -> None:
    expect(page.locator("[data-ref=saved]")).to_contain_text("Saved at", timeout=60_000)


def ask(workbench: Workbench, expression: str) -> Any:
    """A JSON value of the database."""
    script = f"import json; from annotator.checking.models import *; print(json.dumps({expression}))"
    return json.loads(workbench.shell(script).splitlines()[-1])


def said(workbench: Workbench, slug: str) -> dict[str, list[list[str]]]:
    """Who said what of which clip: newest drafts and annotations, each as [person, clip, English]."""
    drafts = f"Draft.objects.filter(claim__corpus__slug={slug!r}).order_by('claim_id', '-version').distinct('claim_id')"
    made = f"Annotation.objects.filter(clip__corpus__slug={slug!r}).order_by('id')"
    return dict(
        ask(
            workbench,
            "{'drafts': [[d.claim.user.username, d.claim.clip.name, d.body['description']['en']] for d in "
            f"{drafts}], 'annotations': [[a.user.username, a.clip.name, a.description_en] for a in {made}]}}",
        )
    )


def sign_in(page: Page, name: str, password: str) -> None:
    """In this tab, for the whole browser; whoever was signed in goes."""
    page.locator("summary.avatar").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/accounts/sign-in/**")
    page.fill("#id_username", name)
    page.fill("#id_password", password)
    page.press("#id_password", "Enter")
    page.wait_for_url(lambda url: "/accounts/" not in url)


def test_somebody_else_signs_in_in_another_tab(
    workbench: Workbench, passwords: dict[str, str], person: Callable[..., Person]
) -> None:
    """Nothing goes under the other's name, nothing typed is lost, and the page says who is there now."""
    ova = person("ova", passwords["ova"])
    ova.expect_trouble("401 (Unauthorized)")
    page = open_check(ova, "ways")
    clip = page.inner_text("[data-ref=clipName]")
    page.fill("#description-en", "What Ova saw.")
    saved(page)
    other = page.context.new_page()
    other.goto(ova.base + "/")
    sign_in(other, "pim", passwords["pim"])
    page.fill("#description-en", "What Ova saw, and what she saw next.")
    told = page.locator("[data-banner=signed-out]")
    expect(told).to_contain_text("pim")
    expect(page.locator("[data-ref=saved]")).to_contain_text("Not saved yet")
    for _clue in MODALITIES:
        page.locator(".clue[data-verdict=open]").first.focus()
        page.keyboard.press("1")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-ref=submit]")).to_be_enabled()
    expect(told).to_contain_text("pim")
    ova.shot("50-somebody-else")
    expect(page.locator("[data-ref=clipName]")).to_have_text(clip)
    # The other one works meanwhile, on what is theirs.
    other.goto(ova.base + "/corpora/ways/check/")
    expect(other.locator(".clue.is-active")).to_be_visible()
    expect(other.locator("#description-en")).to_have_value("")
    other.fill("#description-en", "What Pim saw.")
    saved(other)
    theirs = other.inner_text("[data-ref=clipName]")
    now = said(workbench, "ways")
    assert now["annotations"] == []
    assert sorted(now["drafts"]) == [["ova", clip, "What Ova saw."], ["pim", theirs, "What Pim saw."]]
    # Back again: what waited arrives, under the name of whose it is.
    sign_in(other, "ova", passwords["ova"])
    other.close()
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    saved(page)
    expect(told).to_have_count(0)
    expect(page.locator("#description-en")).to_have_value("What Ova saw, and what she saw next.")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-ref=clipName]")).not_to_have_text(clip)
    assert said(workbench, "ways")["annotations"] == [["ova", clip, "What Ova saw, and what she saw next."]]


def test_back_and_forth_through_the_browsers_history(
    workbench: Workbench, passwords: dict[str, str], person: Callable[..., Person]
) -> None:
    quin = person("quin", passwords["quin"])
    quin.expect_trouble("412 (Precondition Failed)")  # what was said on leaving is ours
    page = open_check(quin, "ways")
    clip = page.inner_text("[data-ref=clipName]")
    page.locator(".clue").first.focus()
    page.keyboard.press("1")
    page.fill("#description-en", "Said just before")
    page.goto(quin.base + "/corpora/ways/clips/")
    expect(page.locator("main")).to_contain_text("way_1")
    page.go_back()
    expect(page.locator("[data-ref=clipName]")).to_have_text(clip)
    expect(page.locator("#description-en")).to_have_value("Said just before")
    expect(page.locator(".clue").first).to_have_attribute("data-verdict", "kept")
    page.fill("#description-en", "Said just before leaving")
    page.go_forward()
    expect(page.locator("main")).to_contain_text("way_1")
    page.go_back()
    expect(page.locator("#description-en")).to_have_value("Said just before leaving")
    page.fill("#description-en", "Said just before leaving, and again.")
    saved(page)
    page.go_forward()
    page.go_back()
    expect(page.locator("#description-en")).to_have_value("Said just before leaving, and again.")
    expect(page.locator("[data-ref=saved]")).not_to_contain_text("Not saved")
    expect(page.locator("[data-banner=conflict]")).to_have_count(0)
    theirs = ["quin", clip, "Said just before leaving, and again."]
    assert eventually(lambda: theirs in said(workbench, "ways")["drafts"], 20), said(workbench, "ways")


def test_on_a_slow_line_it_opens_saves_and_hands_in_once(
    workbench: Workbench, passwords: dict[str, str], person: Callable[..., Person], record_property: Any
) -> None:
    """400 ms to each answer, 50 kB/s: nothing is kept in the browser from before."""
    someone = person("ova", passwords["ova"])
    page = someone.page
    page.set_default_navigation_timeout(120_000)
    handed_in: list[str] = []
    page.on("request", lambda request: handed_in.append(request.url) if request.url.endswith("/submit/") else None)
    line = page.context.new_cdp_session(page)
    line.send("Network.enable")
    line.send("Network.emulateNetworkConditions", SLOW)
    began = time.monotonic()
    open_check(someone, "ways-line", within=60)
    record_property("seconds_until_one_can_work", round(time.monotonic() - began, 1))
    assert time.monotonic() - began < 60
    assert page.evaluate(ASKED) >= SLOW["latency"]  # the line is slow indeed
    clip = page.inner_text("[data-ref=clipName]")
    for _clue in MODALITIES:
        page.keyboard.press("1")
    page.fill("#description-en", "Said over a slow line.")
    saved(page)
    for _impatient in range(3):
        page.keyboard.press("Control+Enter")
    expect(page.locator("[data-ref=clipName]")).not_to_have_text(clip, timeout=60_000)
    assert len(handed_in) == 1
    assert said(workbench, "ways-line")["annotations"] == [["ova", clip, "Said over a slow line."]]


def test_what_one_heard_and_another_saw_becomes_one_record(
    workbench: Workbench, passwords: dict[str, str], person: Callable[..., Person]
) -> None:
    ova, pim, rea = (person(name, passwords[name]) for name in ("ova", "pim", "rea"))
    page = open_check(ova, "ways-parts")
    expect(page.locator("[data-ref=mode]")).to_have_text("sound only")
    expect(page.locator(".clue")).to_have_count(1)
    expect(page.locator(".clue")).to_contain_text(MODALITIES["audio"])
    expect(page.locator("[data-ref=video]")).to_be_hidden()
    page.keyboard.press("2")
    page.keyboard.press("Control+a")
    page.keyboard.type("The voice falls at the end.")
    page.fill("#description-en", "She sounds tired.")
    page.fill("#ov-en", "tired,")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-ref=empty]")).to_be_visible()
    page = open_check(pim, "ways-parts")
    expect(page.locator("[data-ref=mode]")).to_have_text("picture only")
    expect(page.locator(".clue")).to_have_count(1)
    expect(page.locator(".clue")).to_contain_text(MODALITIES["visual"])
    page.keyboard.press("1")
    page.fill("#description-en", "She looks down.")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-ref=empty]")).to_be_visible()
    page = rea.goto("/corpora/ways-parts/review/")
    whole = page.locator(".compare-row--whole")
    expect(whole.locator("td")).to_have_count(3)  # two annotations, the record
    expect(whole).to_contain_text("sound only")
    expect(whole).to_contain_text("picture only")
    assert eventually(lambda: page.evaluate("document.querySelector('video').readyState >= 2"), 20)  # has it all
    expect(page.locator("[data-row='description:en']")).to_contain_text("She sounds tired.")
    rea.shot("51-review-parts")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-ref=empty]")).to_be_visible()
    (found,) = page.request.get(rea.base + "/api/v1/corpora/ways-parts/records/?grade=fine").json()["results"]
    assert found["record"]["description"]["en"] == "She sounds tired."
    assert found["record"]["ov_labels"]["en"] == ["tired"]
    assert [(clue["modality"], clue["text"]) for clue in found["record"]["clues"]] == [
        ("visual", MODALITIES["visual"]),
        ("audio", "The voice falls at the end."),
    ]
    rea.goto("/corpora/ways-parts/records/")
    expect(rea.page.locator("main")).to_contain_text("film_1")
    assert workbench.manage("check_invariants")["ok"]
