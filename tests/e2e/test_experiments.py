"""Training in the browser: launched from a snapshot with its estimate, watched live, its checkpoint promoted and used
by the next run; results with intervals, compared, downloaded. Both languages, desk and phone, no serious finding."""

import csv
import io
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.annotator.experiments.written import write_checkpoint, write_evaluation, write_run
from tests.support.workbench import Workbench

from .conftest import ROOT, Person

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
WITHIN = "() => document.documentElement.scrollWidth <= document.documentElement.clientWidth"
DRAWN = """() => [...document.querySelectorAll('.chart canvas')].map((canvas) => {
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return new Set(new Uint32Array(data.buffer)).size;
})"""
MINUTE = 60_000
SAID = "The person smiles and raises the cheeks, so the person is happy."
RECORDS = f"""
from annotator.clips.models import Clip
from annotator.snapshots.services import freeze_snapshot
from tests.support.factories import create_record
for clip in Clip.objects.filter(corpus__slug="trained").select_related("corpus").order_by("name"):
    create_record(clip, description={{"zh": "他笑了。", "en": "{SAID}"}})
print(json.dumps({{"snapshot": freeze_snapshot(None, clip.corpus, "v1", group_by=[]).pk,
                   "coarse": [create_record(clip, "coarse").pk,
                              freeze_snapshot(None, clip.corpus, "c1", grade="coarse", group_by=[]).pk][1],
                   "digest": freeze_snapshot(None, clip.corpus, "v2", group_by=[]).digest}}))
"""


@pytest.fixture(scope="module")
def study(workbench: Workbench, clips: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Corpus `trained`: three clips with records, snapshots v1 (fine), c1 (coarse); tara manages, vic views."""
    media = tmp_path_factory.mktemp("trained")
    for clip in sorted(clips.glob("*.mp4"))[:3]:
        (media / clip.name).write_bytes(clip.read_bytes())
    workbench.manage("create_corpus", "trained", "--name", "训练 Trained", "--licence", "open")
    workbench.manage("ingest", "trained", str(media), "--media", "copy")
    people = {
        name: workbench.manage("add_member", "trained", name, "--role", role, "--create")["password"]
        for name, role in (("tara", "manager"), ("vic", "viewer"))
    }
    return {**json.loads(workbench.shell(f"import json{RECORDS}").splitlines()[-1]), **people}


@pytest.fixture(scope="module")
def evaluated(workbench: Workbench, study: dict[str, Any]) -> None:
    """Two runs by hand: one evaluated epoch by epoch, both on the test split clip by clip."""
    runs = workbench.state.root / "runs"
    dice = random.Random(7)
    common = [dice.uniform(0.2, 0.7) for _clip in range(66)]

    def scores(shift: float) -> dict[str, tuple[float, float]]:
        return {
            f"clip{n:02}": tuple(min(1.0, max(0.0, base + shift + dice.uniform(-0.1, 0.1))) for _ in "ar")
            for n, base in enumerate(common)
        }  # type: ignore[return-value]

    for name, shift in (("stage2-alone", 0.0), ("stage1-then-2", 0.12)):  # found by name: the latter has the older row
        folder = write_run(runs / name, study["digest"], steps=40)
        write_checkpoint(folder, 40, name.encode())
        found = scores(shift)
        figures = [sum(pair[i] for pair in found.values()) / len(found) for i in (0, 1)]
        avg = sum(figures) / 2
        ci95 = {key: [avg - 0.045, avg + 0.045] for key in ("accuracy", "recall", "avg")}
        write_evaluation(folder, "test", scores=found, avg=avg, accuracy=figures[0], recall=figures[1], ci95=ci95)
    for epoch in range(1, 13):
        for split, top in (("train", 0.8), ("test", 0.6)):
            avg = top * epoch / (epoch + 2) + dice.uniform(-0.03, 0.03)
            write_evaluation(folder, f"{split}-{epoch:02}", split=split, avg=avg, n=66, epoch=float(epoch),
                             during_training=True, finished=f"2026-02-{epoch:02}T00:00:00+00:00")  # fmt: skip
    workbench.shell("from annotator.experiments import discovery; discovery.discover(); discovery.find_checkpoints()")


def language(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()
    page.wait_for_load_state()


def serious(someone: Person) -> list[str]:
    for line in ("Applying inline style", "CSP: style-src"):  # axe brings a style of its own
        someone.expect_trouble(line)
    someone.page.evaluate(AXE.read_text(encoding="utf-8"))
    found = someone.page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:160]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]


def views(someone: Person, name: str) -> None:
    """The page as it is on a desk and on a phone, light and dark; nothing sticks out, axe finds nothing serious."""
    page = someone.page
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 900})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.wait_for_timeout(150)  # charts are drawn anew
            someone.shot(f"{name}-{width}-{scheme}", full=True)
            assert page.evaluate(WITHIN), (name, width)
        assert not serious(someone), (name, width)
    page.set_viewport_size({"width": 1440, "height": 900})
    page.emulate_media(color_scheme="light")


def drawn(page: Page, charts: int) -> None:
    expect(page.locator(".chart canvas")).to_have_count(charts)
    page.wait_for_function(f"() => ({DRAWN})().every((colours) => colours > 3)")


def test_from_a_snapshot_to_a_prelabeller_and_its_first_run(
    person: Callable[..., Person], study: dict[str, Any], workbench: Workbench
) -> None:
    tara = person("tara", study["tara"])
    page = tara.goto(f"/snapshots/{study['snapshot']}/")
    page.click("text=Train on it")
    expect(page.locator("h1")).to_have_text("Launch training")
    assert "tiny" in page.locator("#id_config option").all_inner_texts()
    page.select_option("#id_snapshot", str(study["coarse"]))  # its configs come by themselves
    expect(page.locator("#id_config option", has_text="tiny-stage1")).to_have_count(1)
    assert all(name.endswith("-stage1") for name in page.locator("#id_config option").all_inner_texts())
    page.select_option("#id_snapshot", str(study["snapshot"]))
    expect(page.locator("#id_config option", has_text="overfit")).to_have_count(1)
    page.select_option("#id_config", "overfit")
    page.fill("#id_name", "in-the-browser")
    page.fill("#id_overrides", "train.epochs=many")
    tara.expect_trouble("422")
    page.click("button[name=launch]")
    expect(page.locator(".form-row", has=page.locator("#id_overrides")).locator(".errorlist")).to_contain_text("epochs")
    views(tara, "launch-wrong")
    page.fill("#id_overrides", "train.epochs=250\ngenerate.max_new_tokens=40")
    page.click("button[name=commands]")
    expect(page.locator("#command-many")).to_contain_text("accelerate launch -m training")
    page.click("button[name=estimate]")
    expect(page.locator("#estimate")).not_to_have_attribute("hx-get", re.compile("."), timeout=MINUTE)
    expect(page.locator("#estimate dl")).to_contain_text(re.compile(r"Memory\s*[\d.]+\s[KMG]B"))
    views(tara, "launch-estimate")
    page.click("button[name=launch]")
    page.wait_for_url(re.compile(r"/experiments/\d+/$"))
    address = page.url
    step = page.locator("#run-state .stats > div", has_text="Step").locator("dd").first
    expect(step).to_contain_text("of 250", timeout=2 * MINUTE)
    first = step.inner_text()
    expect(step).not_to_have_text(first, timeout=MINUTE)  # by itself: htmx
    expect(page.locator(".run-log")).to_contain_text("loss")
    tara.shot("run-live-1440", full=True)
    expect(page.locator("#run-state .badge")).to_have_text("done", timeout=2 * MINUTE)
    link = page.locator("#run-outcome").get_by_role("link", name="Step 250")
    expect(link).to_be_visible(timeout=MINUTE)  # came without a reload, or with the sweeper's next turn
    drawn(page, 1)
    views(tara, "run-done")
    link.click()
    expect(page.locator("#stages-heading")).to_be_visible()
    views(tara, "checkpoint")
    page.fill("#id_name", "our-affectgpt")
    page.click("text=Make it a pre-labeller")
    expect(page.locator(".notice").first).to_contain_text("our-affectgpt")
    views(tara, "checkpoint-promoted")
    page.click("text=Pre-label 训练 Trained")
    page.check("input[name=prelabellers][value=our-affectgpt]")
    page.check("input[name=pipeline][value='']")
    page.click("button:has-text('Start the run')")
    page.wait_for_url("**/runs/*/")
    expect(page.locator("#progress h2").first).to_contain_text("done", timeout=3 * MINUTE)
    script = "from annotator.prelabels.models import DescriptionDraft as D; print(sorted(set(D.objects.filter(" \
        "prelabeller__name='our-affectgpt').values_list('description_en', flat=True))))"  # fmt: skip
    assert workbench.shell(script) == str([SAID])
    tara.goto(address.removeprefix(tara.base))
    expect(page.locator("#run-outcome")).to_contain_text("our-affectgpt")


def test_a_run_is_cancelled_and_resumed(person: Callable[..., Person], study: dict[str, Any]) -> None:
    tara = person("tara", study["tara"])
    page = tara.goto(f"/experiments/new/?snapshot={study['snapshot']}&config=tiny&name=stopped-and-resumed")
    page.fill("#id_overrides", "train.epochs=1\ntrain.iters_per_epoch=400\ntrain.save_every=5")
    page.click("button[name=launch]")
    page.wait_for_url(re.compile(r"/experiments/\d+/$"))
    step = page.locator("#run-state .stats > div", has_text="Step").locator("dd").first
    expect(step).to_contain_text("of 400", timeout=2 * MINUTE)
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("#run-state button:has-text('Cancel')")
    expect(page.locator("#run-state .badge")).to_have_text("cancelled", timeout=MINUTE)
    tara.shot("run-cancelled-1440", full=True)
    page.click("#run-state button:has-text('Resume')")
    expect(page.locator("#run-state .badge")).to_have_text("done", timeout=3 * MINUTE)
    expect(step).to_contain_text("400 of 400")


def test_results_are_drawn_compared_and_downloaded(
    person: Callable[..., Person], study: dict[str, Any], evaluated: None
) -> None:
    vic = person("vic", study["vic"])
    page = vic.goto("/experiments/results/")
    rows = page.locator("section", has=page.locator("#results-heading")).locator("tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.first.locator("svg.strip")).to_have_attribute("aria-label", re.compile(r"Avg \d+\.\d+ \[\d"))
    expect(page.locator(".paper tbody tr")).to_have_count(33)
    views(vic, "results")
    a, b = (page.locator("#compare-a option", has_text=name).first.get_attribute("value")
            for name in ("stage2-alone · test", "stage1-then-2 · test"))  # fmt: skip
    page.select_option("#compare-a", a)
    page.select_option("#compare-b", b)
    page.click("#compare button")
    expect(page.locator("#compare")).to_contain_text("over 66 clips")
    expect(page.locator("#compare tbody tr")).to_have_count(3)
    expect(page.locator("#compare tbody tr").last).to_contain_text("the interval leaves 0 out")
    views(vic, "results-compared")
    language(page, "中文")
    expect(page.locator("h1")).to_have_text("结果")
    views(vic, "results-zh")
    language(page, "EN")
    page.select_option("#filter-split", "test")
    page.click("main form button:has-text('Filter')")
    expect(rows).to_have_count(2)
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    found = list(csv.DictReader(io.StringIO(text)))
    assert [row["run"] for row in found[:2]] == ["stage2-alone", "stage1-then-2"]
    assert len(found) == 2 + 33
    with page.expect_download() as download:
        page.get_by_role("link", name="Markdown").click()
    assert "| stage2-alone |" in Path(download.value.path()).read_text(encoding="utf-8")


def test_the_curves_of_a_run_and_the_pages_in_chinese(
    person: Callable[..., Person], study: dict[str, Any], evaluated: None
) -> None:
    vic = person("vic", study["vic"])
    page = vic.goto("/experiments/")
    expect(page.get_by_role("link", name="stage1-then-2")).to_be_visible()
    views(vic, "experiments")
    page.get_by_role("link", name="stage1-then-2").click()
    drawn(page, 2)
    before = page.locator("[data-scores] canvas").evaluate("canvas => canvas.toDataURL()")
    page.get_by_role("button", name="Recall_S").click()
    expect(page.get_by_role("button", name="Recall_S")).to_have_attribute("aria-pressed", "true")
    page.get_by_text("The figures as a table").click()
    expect(page.locator(".run-figures tbody tr")).to_have_count(24)
    assert before
    views(vic, "run-curves")
    assert page.locator("#run-state form").count() == 0  # a viewer starts and stops nothing
    language(page, "中文")
    expect(page.locator("#loss-heading")).to_have_text("损失")
    views(vic, "run-curves-zh")
    page.locator("#checkpoints-heading").locator("xpath=../..").get_by_role("link").first.click()
    expect(page.locator("#card-heading")).to_have_text("模型卡")
    views(vic, "checkpoint-zh")
    tara = person("tara", study["tara"])
    page = tara.goto("/experiments/new/")
    language(page, "中文")
    expect(page.locator("h1")).to_have_text("启动训练")
    views(tara, "launch-zh")
