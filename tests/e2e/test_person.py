"""Whose face, in the browser: numbered boxes over the picture, a choice by keyboard, the annotator's way to it."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.models_ml.face.made import side_by_side, write_video
from tests.support.workbench import Workbench, eventually

from .conftest import Person

WITHIN = "() => document.documentElement.scrollWidth <= document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def passwords(workbench: Workbench, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A corpus of one clip with two drawn people, whom a run has found."""
    manage = workbench.manage
    folder = tmp_path_factory.mktemp("faces")
    write_video(folder / "two.mp4", side_by_side(40))
    manage("create_corpus", "faces", "--licence", "open", "--review", "none")
    manage("ingest", "faces", str(folder))
    found = manage("prelabel", "faces", "--prelabeller", "faces", "--wait")
    assert found["jobs"]["done"] == 1
    return {
        name: manage("add_member", "faces", name, "--role", role, "--create")["password"]
        for name, role in (("fay", "annotator"), ("mats", "manager"))
    }


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_the_manager_chooses_with_the_keyboard(
    passwords: dict[str, str], person: Callable[..., Person], width: int, scheme: str
) -> None:
    mats = person("mats", passwords["mats"], width=width, color_scheme=scheme)
    page = mats.goto("/corpora/faces/clips/")
    page.locator("a[href^='/clips/']").first.click()
    panel = page.locator("#person")
    expect(panel.locator("rect")).to_have_count(2)
    video = panel.locator("video").bounding_box()
    for box in panel.locator("rect").all():
        place = box.bounding_box()
        assert video["x"] <= place["x"]
        assert place["x"] + place["width"] <= video["x"] + video["width"] + 1
        assert 0.2 < place["height"] / video["height"] < 0.95
    chosen = panel.locator("input[name=number]:checked")
    before = chosen.get_attribute("value")
    after = "2" if before == "1" else "1"
    chosen.focus()
    page.keyboard.press("ArrowDown" if after == "2" else "ArrowUp")
    expect(panel.locator("input[name=number]:checked")).to_have_value(after)
    expect(panel.locator(f"[data-person='{after}']")).to_have_class("person-box is-chosen")
    mats.shot(f"person-{width}-{scheme}", full=True)
    with page.expect_response(lambda answer: answer.request.method == "POST"):  # it may say so from before
        page.keyboard.press("Enter")
    expect(panel).to_contain_text("Chosen by mats.")
    page.reload()
    expect(panel.locator("input[name=number]:checked")).to_have_value(after)
    assert page.evaluate(WITHIN)


def test_the_annotator_comes_from_the_checking_page(passwords: dict[str, str], person: Callable[..., Person]) -> None:
    fay = person("fay", passwords["fay"])
    page = fay.goto("/corpora/faces/check/")
    link = page.get_by_role("link", name="Whose face")
    expect(link).to_be_visible()
    with page.context.expect_page() as opened:
        link.click()
    panel = opened.value.locator("#person")
    expect(panel.locator("rect")).to_have_count(2)
    assert eventually(lambda: panel.locator("video").evaluate("(v) => v.videoWidth > 0"), 10)
    panel.locator("input[name=number][value='2']").check()
    panel.get_by_role("button", name="Set").click()
    expect(panel).to_contain_text("Chosen by a person.")
    expect(panel).not_to_contain_text("mats")
    fay.shot("person-annotator", full=True)
