"""The checking page in Chromium: from an empty cache until clues can be checked, script by bytes, the switch.

Interactive is the mark `work-open` that the page sets when clip, clues and fields of its first claim stand and its keys
act, from the start of the navigation. Script counts what came over the wire (compressed), before and with what is
loaded later (waveform, curves). A switch lasts from the answer to a submission until the next clip stands; what the
video has of it by then is `ready` (2 and more: the present frame is there).
"""

import shutil
import time
from typing import Any

from models_ml.synthetic import make_corpus

from .figures import latency
from .world import World

ROUNDS = 7
SWITCHES = 6
BROWSER = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
LOADED = """() => {
  const scripts = performance.getEntriesByType("resource").filter((entry) => /\\.js(\\?|$)/.test(entry.name));
  const open = performance.getEntriesByName("work-open")[0].startTime;
  const bytes = (entries) => entries.reduce((sum, entry) => sum + entry.transferSize, 0);
  const first = bytes(scripts.filter((script) => script.startTime < open));
  return {open: open / 1000, first, all: bytes(scripts), n: scripts.length};
}"""
SWITCHED = """() => {
  const [marks, video] = [performance.getEntriesByType("mark"), document.querySelector("[data-ref=video]")];
  const at = (name) => marks.filter((mark) => mark.name === name).at(-1).startTime;
  return {seconds: (at("work-open") - at("work-handed-in")) / 1000, ready: video.readyState};
}"""


def measure(world: World) -> dict[str, Any]:
    """Make a corpus of drawn clips, open its checking page anew and anew, then check clips in a row."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        raise RuntimeError("Chromium is missing: apt-get install chromium")
    slug, password = _corpus(world)
    world.collect_static()
    port = world.start_web(workers=1)
    base = f"http://127.0.0.1:{port}"
    loads: list[dict[str, float]] = []
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=path, args=BROWSER)
            state = _sign_in(browser, base, password)
            for _round in range(ROUNDS + 1):
                context = browser.new_context(viewport={"width": 1440, "height": 900}, storage_state=state)
                page = context.new_page()
                page.goto(f"{base}/corpora/{slug}/check/")
                page.wait_for_selector(".clue.is-active")
                page.wait_for_timeout(2500)
                loads.append(page.evaluate(LOADED))
                if _round < ROUNDS:
                    context.close()
            switches = [_switch(page) for _clip in range(SWITCHES)]
            browser.close()
    finally:
        world.stop("web")
    measured = loads[1:]  # the first one warms the server, not the browser
    return {
        "cold_interactive": latency([load["open"] for load in measured]),
        "script_kb_before_interactive": round(max(load["first"] for load in measured) / 1000, 1),
        "script_kb": round(max(load["all"] for load in measured) / 1000, 1),
        "scripts": int(measured[-1]["n"]),
        "switch": latency([switch["seconds"] for switch in switches]),
        "switch_video_ready": sum(switch["ready"] >= 2 for switch in switches) / len(switches),
    }


def _corpus(world: World) -> tuple[str, str]:
    slug = "page"
    folder = world.folder / "page-clips"
    make_corpus(folder, n=SWITCHES + 3, seed=5)
    world.manage("create_corpus", slug, "--licence", "open", "--review", "none")
    world.start_worker()
    try:
        world.manage("ingest", slug, str(folder), "--subtitles", str(folder / "subtitles.csv"))
        world.manage("prelabel", slug, "--pipeline", "measured", "--wait")
    finally:
        world.stop("worker", "beat")
    made = world.manage("add_member", slug, "page-annotator", "--role", "annotator", "--create")
    return slug, str(made["password"])


def _sign_in(browser: Any, base: str, password: str) -> Any:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{base}/accounts/sign-in/")
    page.fill("#id_username", "page-annotator")
    page.fill("#id_password", password)
    page.press("#id_password", "Enter")
    page.wait_for_url(f"{base}/")
    state = context.storage_state()
    context.close()
    return state


def _switch(page: Any) -> dict[str, float]:
    """Check the clip as one does, hand it in, and see how long the next one takes to stand there."""
    name = page.inner_text("[data-ref=clipName]")
    while page.locator(".clue[data-verdict=open]").count():
        page.locator(".clue[data-verdict=open]").first.focus()
        page.keyboard.press("1")
    if not page.input_value("#description-en") + page.input_value("#description-zh"):  # else a draft stands there
        page.fill("#description-en", "The face and the voice agree.")
    page.wait_for_timeout(2000)  # the next clip is fetched meanwhile
    page.keyboard.press("Control+Enter")
    deadline = time.monotonic() + 20
    while page.inner_text("[data-ref=clipName]") == name:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{name} was not taken: {page.inner_text('.banners')}")
        page.wait_for_timeout(20)
    page.wait_for_timeout(300)
    return dict(page.evaluate(SWITCHED))
