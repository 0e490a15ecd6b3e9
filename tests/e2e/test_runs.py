"""A large run in the browser: estimated, started, watched without a reload, paused, limited, resumed and cancelled."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.workbench import Workbench

from .conftest import Lab, Person

CLIPS = 20_000
MINUTE = 60_000


@pytest.fixture(scope="session")
def many(workbench: Workbench, lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A corpus of 20,000 clips without media, which mei manages."""
    rows = tmp_path_factory.mktemp("many") / "clips.jsonl"
    with rows.open("w", encoding="utf-8") as file:
        for n in range(CLIPS):
            row = {"name": f"片段_{n:06}", "media": f"https://media.example.org/{n}.mp4", "subtitle_zh": f"第{n}句。"}
            file.write(json.dumps(row | {"speaker": f"说话人{n % 7}", "duration": 3.0}, ensure_ascii=False) + "\n")
    workbench.manage("create_corpus", "many", "--name", "大语料 Large", "--licence", "open")
    workbench.manage("add_member", "many", "mei", "--role", "manager")
    workbench.manage("ingest", "many", "--manifest", str(rows))
    return "many"


def views(mei: Person, name: str) -> None:
    """The page as it is, on a desk and on a phone, light and dark."""
    page = mei.page
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 900})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            mei.shot(f"{name}-{width}-{scheme}", full=True)
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (name, width)
    page.set_viewport_size({"width": 1440, "height": 900})
    page.emulate_media(color_scheme="light")


def language(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()
    page.wait_for_load_state()


def test_a_large_run_is_watched_paused_resumed_and_cancelled(
    person: Callable[..., Person], lab: Lab, many: str, workbench: Workbench
) -> None:
    mei = person("mei", lab.passwords["mei"])
    page = mei.goto(f"/corpora/{many}/runs/")
    page.check("input[name=pipeline][value=emer]")
    page.click("summary:has-text('Only some clips')")
    page.fill("#id_sample", "0")
    page.click("summary:has-text('Budget')")
    page.fill("#id_tokens", "1000000")
    mei.expect_trouble("422")
    page.evaluate("document.querySelector('#id_sample').removeAttribute('min')")
    page.click("button[name=estimate]")
    expect(page.locator(".errorlist").first).to_be_visible()
    views(mei, "runs-form")
    page.fill("#id_sample", "")
    page.click("button[name=estimate]")
    expect(page.locator("#estimate")).to_contain_text("120000")
    expect(page.locator("#estimate")).to_contain_text("not configured")
    views(mei, "runs-estimate")
    page.check("input[name=pipeline][value=measured]")
    page.click("button:has-text('Start the run')")
    page.wait_for_url("**/runs/*/")
    address = page.url

    ended = page.locator("#progress .stats dd").first
    first = ended.inner_text()
    expect(ended).not_to_have_text(first, timeout=MINUTE)  # by itself: htmx
    views(mei, "run-going")
    page.click("button:has-text('Pause')")
    expect(page.locator("#progress")).to_contain_text("Paused by mei")
    views(mei, "run-paused")
    page.fill("#resume-tokens", "5")
    page.wait_for_timeout(5000)
    assert page.input_value("#resume-tokens") == "5", "what is typed outlives the polling"
    page.click("button:has-text('Resume')")
    page.wait_for_url(address)
    expect(page.locator("#progress h2").first).to_contain_text("running")
    expect(page.locator("#progress")).to_contain_text("Budget: Tokens 0 / 5")
    page.click("button:has-text('Cancel')")
    expect(page.locator("#progress h2").first).to_contain_text("cancelled")
    # All that there was when it was cancelled has ended: a slow machine had not yet planned every clip.
    expect(page.locator("#progress progress").first).to_have_js_property("position", 1, timeout=2 * MINUTE)
    language(page, "中文")
    views(mei, "run-cancelled-zh")
    language(page, "EN")


def test_failures_are_grouped_and_a_pipeline_is_written(
    person: Callable[..., Person], lab: Lab, many: str, tmp_path: Path, workbench: Workbench
) -> None:
    mei = person("mei", lab.passwords["mei"])
    page = mei.goto("/pipelines/")
    page.fill("#id_name", "short")
    page.fill("#id_declaration", "- step: disambiguate\n  options: {variant: everything}\n")
    mei.expect_trouble("422")
    page.click("button:has-text('Save')")
    expect(page.locator(".errorlist")).to_contain_text("line 1")
    views(mei, "pipelines-wrong")
    page.fill("#id_declaration", "- step: disambiguate\n  options: {variant: av}\n- merge\n")
    page.click("button:has-text('Save')")
    expect(page.locator("body")).to_contain_text("short v1 is the newest version.")
    page = mei.goto(f"/corpora/{many}/runs/")
    page.check("input[name=pipeline][value=short]")
    page.click("summary:has-text('Only some clips')")
    page.fill("#id_speaker", "说话人3")
    page.fill("#id_sample", "25")
    page.click("button:has-text('Start the run')")
    page.wait_for_url("**/runs/*/")
    expect(page.locator("#progress h2").first).to_contain_text("failed", timeout=2 * MINUTE)
    expect(page.locator("#progress")).to_contain_text("LLM_BASE_URL")
    assert page.locator("#reasons-heading").count() == 1
    assert page.locator("h1 + .sub").inner_text().count("25")
    views(mei, "run-failed")
    language(page, "中文")
    views(mei, "run-failed-zh")
    language(page, "EN")


def test_the_table_of_models_gives_names_and_notes_their_room(
    person: Callable[..., Person], lab: Lab, many: str
) -> None:
    mei = person("mei", lab.passwords["mei"])
    page = mei.goto(f"/corpora/{many}/models/")
    page.set_viewport_size({"width": 1440, "height": 900})
    sizes = "cells => cells.map(cell => [cell.offsetWidth, (cell.querySelector('a') || cell).getClientRects().length])"
    names = page.locator(".models td:nth-child(1)").evaluate_all(sizes)
    assert len(names) > 30
    assert all(width >= 200 and lines <= 2 for width, lines in names), names
    assert min(width for width, _lines in page.locator(".models td:nth-child(5)").evaluate_all(sizes)) >= 200
    assert page.evaluate(
        "document.querySelector('.table-wrap').scrollWidth <= document.querySelector('main').clientWidth"
    )
    views(mei, "models")
