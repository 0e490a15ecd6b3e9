"""Quality in the browser: figures, charts drawn with the table behind them, files, both languages, a phone; and how
active time is counted."""

import csv
import io
import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support.workbench import Workbench

from .conftest import ROOT, Person

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
WITHIN = "() => document.documentElement.scrollWidth <= document.documentElement.clientWidth"
# A chart is drawn where its canvas has other colours than the one it was cleared with.
DRAWN = """() => [...document.querySelectorAll('.chart canvas')].map((canvas) => {
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return new Set(new Uint32Array(data.buffer)).size;
})"""
LABELS = {"olga": ["happy", "proud"], "omar": ["joyful"]}


def post(port: int, token: str, path: str, body: Any) -> tuple[int, Any]:
    request = urllib.request.Request(  # noqa: S310 - our own server
        f"http://127.0.0.1:{port}/api/v1{path}",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        text = answer.read()
        return answer.status, json.loads(text) if text else None


def checked(claim: dict[str, Any], name: str) -> dict[str, Any]:
    """Olga keeps all; Omar corrects the first clue."""
    clues = []
    for number, clue in enumerate(claim["clues"]):
        one = {key: clue[key] for key in ("id", "modality", "aspect", "language", "text", "span")}
        corrected = name == "omar" and number == 0
        one |= {"verdict": "corrected", "text": one["text"] + " A little."} if corrected else {"verdict": "kept"}
        clues.append(one)
    return {
        "clues": clues,
        "description": {"zh": "他很高兴。", "en": "He is happy."},
        "ov_labels": {"zh": [], "en": LABELS[name]},
        "label": "happy",
        "work": {"active_s": 0.5, "played": [[0, 2]], "keys": 3, "edits": 1, "clues": {}},
    }


@pytest.fixture(scope="module")
def passwords(workbench: Workbench, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A corpus of three clips that two people checked by REST; one record is accepted, one annotation returned."""
    manage = workbench.manage
    manage("create_corpus", "figures", "--name", "Figures", "--licence", "open", "--overlap", "2")
    manifest = tmp_path_factory.mktemp("figures") / "clips.jsonl"
    clues = [
        {"modality": "visual", "aspect": "expression", "language": "en", "text": "She smiles.", "source": "face"},
        {"modality": "audio", "aspect": "tone", "language": "zh", "text": "声音很高。", "source": "voice"},
    ]
    rows = [
        {"name": f"clip{n}", "media": f"https://media.example.org/clip{n}.mp4", "duration": 4.0, "clues": clues,
         "subtitle_zh": "我们赢了！", "subtitle_en": "We won!"} for n in range(3)
    ]  # fmt: skip
    manifest.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    manage("ingest", "figures", "--manifest", str(manifest))
    found = {}
    for name, role in (("olga", "annotator"), ("omar", "annotator"), ("rosa", "reviewer"), ("mona", "manager")):
        found[name] = manage("add_member", "figures", name, "--role", role, "--create")["password"]
    tokens = {name: manage("issue_token", name)["token"] for name in ("olga", "omar", "rosa")}
    for name in ("olga", "omar"):
        for _clip in range(3):
            _status, claim = post(workbench.port, tokens[name], "/corpora/figures/claims/", {})
            status, _answer = post(workbench.port, tokens[name], f"/claims/{claim['id']}/submit/", checked(claim, name))
            assert status == 201
    for decision in ({"decision": "accept"}, {"decision": "return", "reason": "请再听一遍。"}):
        _status, review = post(workbench.port, tokens["rosa"], "/corpora/figures/claims/", {"kind": "review"})
        mine = {"annotation": review["annotations"][0]["id"]}
        assert post(workbench.port, tokens["rosa"], f"/claims/{review['id']}/decide/", {**decision, **mine})[0] == 201
    return found


def drawn(page: Page, charts: int) -> None:
    expect(page.locator(".chart canvas")).to_have_count(charts)
    page.wait_for_function(f"() => ({DRAWN})().every((colours) => colours > 3)")


def serious(someone: Person) -> list[str]:
    for line in ("Applying inline style", "CSP: style-src"):  # axe brings a style of its own
        someone.expect_trouble(line)
    page = someone.page
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("() => axe.run('.quality', {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:120]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]


def table(page: Page, link: Any) -> list[dict[str, str]]:
    with page.expect_download() as download:
        link.click()
    path = Path(download.value.path())
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))


def test_the_quality_page_for_a_reviewer(passwords: dict[str, str], person: Callable[..., Person]) -> None:
    rosa = person("rosa", passwords["rosa"])
    page = rosa.goto("/corpora/figures/quality/")
    expect(page.locator("nav.corpus-nav [aria-current]")).to_have_text("Quality")
    drawn(page, 1)
    between = page.locator(".stats > div", has_text="Set-level Avg between annotators")
    # {happy, proud} against {joyful}, one group: 1 and 1/2 each way
    expect(between).to_contain_text("0.75")
    assert "olga" not in page.content()
    page.get_by_text("The figures as a table").last.click()
    expect(page.locator(".quality-behind[open] tbody tr")).to_have_count(1)
    clues = page.locator("section", has=page.get_by_role("heading", name="What becomes of the clues"))
    rows = {row["prelabeller"]: row for row in table(page, clues.get_by_role("link", name="CSV"))}
    # Three clips by two people, one of whom keeps everything; the returned one counts no more.
    assert {row["judged"] for row in rows.values()} == {"5"}
    assert sum(int(row["corrected"]) for row in rows.values()) in (2, 3)
    rosa.shot("quality-1440", full=True)
    assert page.evaluate(WITHIN)
    page.get_by_role("link", name="7 days").click()
    expect(page.locator(".quality-period [aria-current]")).to_have_text("7 days")
    drawn(page, 1)
    assert not serious(rosa)


def test_the_dashboard_for_a_manager(passwords: dict[str, str], person: Callable[..., Person]) -> None:
    mona = person("mona", passwords["mona"])
    page = mona.goto("/corpora/figures/dashboard/")
    drawn(page, 2)
    expect(page.get_by_text("All annotations are done.").or_(page.get_by_text("annotation is left"))).to_be_visible()
    people = page.locator("section", has=page.get_by_role("heading", name="Annotators"))
    expect(people.get_by_role("row", name="omar")).to_be_visible()
    files = page.get_by_role("link", name="CSV")
    assert files.count() == 5
    for number in range(5):
        assert table(page, files.nth(number))
    mona.shot("dashboard-1440", full=True)
    assert page.evaluate(WITHIN)
    assert not serious(mona)


def test_my_week_for_an_annotator(passwords: dict[str, str], person: Callable[..., Person]) -> None:
    olga = person("olga", passwords["olga"])
    page = olga.goto("/corpora/figures/my-week/")
    drawn(page, 1)
    expect(page.get_by_text("请再听一遍。")).to_be_visible()
    expect(page.locator(".stats > div").first).to_contain_text("3")
    assert len(table(page, page.get_by_role("link", name="CSV"))) == 7
    assert not serious(olga)


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1440, "dark")])
def test_they_fit_a_phone_the_dark_and_chinese(
    passwords: dict[str, str], person: Callable[..., Person], width: int, scheme: str
) -> None:
    for name, address, charts, words in (
        ("mona", "dashboard", 2, "管理面板"),
        ("rosa", "quality", 1, "质量"),
        ("olga", "my-week", 1, "我的一周"),
    ):
        someone = person(name, passwords[name], width=width, color_scheme=scheme)
        page = someone.goto(f"/corpora/figures/{address}/")
        page.get_by_role("button", name="中文").click()
        expect(page.locator("h1")).to_have_text(words)
        drawn(page, charts)
        assert page.evaluate(WITHIN)
        someone.shot(f"{address}-{width}-{scheme}-zh", full=True)


# What `Activity` is given in place of the checking page's player and editor: their properties are the interface.
COUNT = """async ([idle, playing]) => {
  const { Activity } = await import('/static/js/checking/activity.js');
  window.player = { playing, duration: 4, played: [[0, 1.5], [1.5, 2]] };
  window.editor = { clues: { active: { offered: { id: 7 } } } };
  window.activity = new Activity({ idle, player: window.player, editor: window.editor });
  const claim = { clip: { duration: 4 }, draft: null, clues: [{ id: 7, span: [0, 2] }, { id: 8, span: null }] };
  window.activity.start(claim);
}"""


def test_active_time_leaves_out_idle_time(passwords: dict[str, str], person: Callable[..., Person]) -> None:
    olga = person("olga", passwords["olga"])
    page = olga.goto("/corpora/figures/my-week/")
    page.evaluate(COUNT, [1, False])
    page.mouse.move(200, 300)
    page.keyboard.press("a")
    page.keyboard.press("Shift")
    page.wait_for_timeout(4000)
    work = page.evaluate("() => window.activity.value")
    assert 0.5 <= work["active_s"] <= 2.6  # a second after the last sign, and what a tick is wide
    assert work["keys"] == 1  # a modifier alone says nothing
    assert work["clues"]["7"] == {"active_s": work["active_s"], "played": True}
    assert work["clues"]["8"] == {"active_s": 0, "played": False}  # half of the clip was played
    assert work["played"] == [[0, 2]]
    assert work["context"] == {"previous": False, "next": False}
    page.evaluate("() => { window.player.playing = true; window.editor.clues.active = null; }")
    page.mouse.move(210, 310)
    before = page.evaluate("() => window.activity.value.active_s")
    page.wait_for_timeout(3000)
    after = page.evaluate("() => window.activity.value")
    assert after["active_s"] - before >= 2  # who plays a clip watches it
    assert after["clues"]["7"]["active_s"] <= before + 0.6  # no clue is at work


def test_a_draft_goes_on_where_its_work_was(passwords: dict[str, str], person: Callable[..., Person]) -> None:
    olga = person("olga", passwords["olga"])
    page = olga.goto("/corpora/figures/my-week/")
    page.evaluate(COUNT, [60, False])
    work = page.evaluate(
        """() => {
          const work = { active_s: 100, played: [[3, 4]], clues: { 7: { active_s: 40 } }, keys: 9, edits: 2 };
          work.context = { next: true };
          window.activity.start({ clip: { duration: 4 }, clues: [{ id: 7, span: null }], draft: { work } });
          return window.activity.value;
        }"""
    )
    assert 100 <= work["active_s"] < 101
    assert work["played"] == [[0, 2], [3, 4]]
    assert (work["keys"], work["edits"], work["context"]) == (9, 2, {"previous": False, "next": True})
    assert 40 <= work["clues"]["7"]["active_s"] < 41
