"""The log of the rule that accepts by agreement, in both languages."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.support.workbench import Workbench

from .conftest import ROOT, Person
from .test_review import call, crowd

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
WIDTHS = ((1440, 900, "light"), (390, 844, "dark"))


@pytest.fixture(scope="module")
def manager(workbench: Workbench, clips: Path) -> str:
    """A corpus in which the rule accepted one clip and referred the other; its manager's password."""
    crowd(workbench, clips, "agreed", ["ada", "bob", "cara"])
    password = workbench.manage("add_member", "agreed", "mia", "--role", "manager", "--create")["password"]
    token = workbench.manage("issue_token", "mia")["token"]
    call(workbench, token, "PATCH", "/corpora/agreed/rules/", {"auto_accept": 0.8})
    for name in ("ada", "bob"):
        own = workbench.manage("issue_token", name)["token"]
        for number in (1, 2):
            claim = call(workbench, own, "POST", "/corpora/agreed/claims/", {})
            differs = name == "bob" and number == 2
            clues = [
                {"id": clue["id"], "verdict": "rejected", "reason": "overstated"}
                if differs
                else {"id": clue["id"], "verdict": "kept"}
                for clue in claim["clues"]
            ]
            label = "生气" if differs else "平静"
            body = {
                "clues": clues,
                "description": {"zh": "她在微笑。", "en": ""},
                "ov_labels": {"zh": [label], "en": []},
            }
            call(workbench, own, "POST", f"/claims/{claim['id']}/submit/", body)
    return password


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(("width", "height", "scheme"), WIDTHS)
def test_the_log_is_read(
    manager: str, person: Callable[..., Person], width: int, height: int, scheme: str, language: str
) -> None:
    mia = person("mia", manager, width=width, height=height, color_scheme=scheme)
    page = mia.page
    mia.goto("/")
    page.get_by_role("button", name={"en": "EN", "zh": "中文"}[language], exact=True).click()
    mia.goto("/corpora/agreed/auto-decisions/")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(2)
    words = {"en": ("sent to review", "accepted"), "zh": ("已转审核", "已接受")}[language]
    for number, word in enumerate(words):  # newest first
        expect(rows.nth(number)).to_contain_text(word)
    expect(rows.nth(0)).to_contain_text("0.00")
    expect(rows.nth(1)).to_contain_text("1.00")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    mia.shot(f"49-auto-decisions-{width}-{language}")
    for line in ("Applying inline style", "CSP: style-src"):  # axe brings a style of its own
        mia.expect_trouble(line)
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("() => axe.run('main', {resultTypes: ['violations']})")
    assert [one["id"] for one in found["violations"] if one["impact"] in ("serious", "critical")] == []
    page.locator("#shown").select_option("accepted")
    page.locator("form.form--inline button").click()
    expect(rows).to_have_count(1)
