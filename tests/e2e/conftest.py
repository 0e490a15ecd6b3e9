"""A real browser (Debian's Chromium) against a real workbench: granian, PostgreSQL, Redis, worker, scheduler, trainer.

Screenshots go to build/screenshots/. Every page that a test opens is watched: an error in the console, a violation of
the content security policy or an answer of 5xx fails the test that saw it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from models_ml.synthetic import make_corpus
from tests.support.workbench import Workbench, started

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "build" / "screenshots"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
WATCH_POLICY = """
document.addEventListener("securitypolicyviolation", (event) => {
  console.error(`CSP: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile || ""}:${event.lineNumber}`);
});
"""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    assert path, "Chromium is missing: apt-get install chromium fonts-noto-cjk"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four drawn and spoken clips with subtitles and AU tracks; one has a Chinese name."""
    folder = tmp_path_factory.mktemp("clips")
    make_corpus(folder, n=4, seed=11)
    first = sorted(folder.glob("*.mp4"))[0]
    for old in (first, folder / "au" / f"{first.stem}.csv"):
        old.rename(old.with_stem("第一段_微笑"))
    for table in (folder / "subtitles.csv", folder / "labels.csv"):
        table.write_text(table.read_text(encoding="utf-8").replace(first.stem, "第一段_微笑"), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def workbench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """A workbench with a trainer beside it."""
    with started(tmp_path_factory.mktemp("workbench") / "var", workers=2) as bench, bench.quick_commands():
        log = (bench.state.root.parent / "trainer.log").open("wb")
        trainer = subprocess.Popen(
            [sys.executable, "manage.py", "trainer"], cwd=ROOT, env=bench.environment, stdout=log, stderr=log
        )
        try:
            yield bench
        finally:
            trainer.terminate()
            try:
                trainer.wait(timeout=20)
            except subprocess.TimeoutExpired:
                trainer.kill()
            log.close()


@dataclass
class Person:
    """Somebody at a browser of their own."""

    page: Page
    base: str
    name: str
    troubles: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def goto(self, path: str) -> Page:
        self.page.goto(self.base + path)
        return self.page

    def shot(self, name: str, *, full: bool = False) -> None:
        """Keep what the page looks like now."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(SCREENSHOTS / f"{name}.png"), full_page=full)

    def expect_trouble(self, text: str) -> None:
        """The browser itself logs refused requests as errors: name those that a test brings about."""
        self.expected.append(text)

    def unexpected(self) -> list[str]:
        return [line for line in self.troubles if not any(text in line for text in self.expected)]


@pytest.fixture
def person(workbench: Workbench, chromium: Browser) -> Iterator[Callable[..., Person]]:
    """`person(name, password, width=…, dark=…)` signs in and is watched until the test ends."""
    people: list[Person] = []
    contexts: list[BrowserContext] = []

    def come(name: str, password: str, *, width: int = 1440, height: int = 900, **options: Any) -> Person:
        context = chromium.new_context(viewport={"width": width, "height": height}, locale="en-US", **options)
        context.set_default_timeout(30_000)
        context.add_init_script(WATCH_POLICY)
        contexts.append(context)
        someone = Person(context.new_page(), f"http://127.0.0.1:{workbench.port}", name)
        people.append(someone)
        watch(context, someone)
        page = someone.goto("/accounts/sign-in/")
        page.fill("#id_username", name)
        page.fill("#id_password", password)
        page.press("#id_password", "Enter")
        page.wait_for_url(someone.base + "/")
        return someone

    yield come
    troubles = {someone.name: someone.unexpected() for someone in people if someone.unexpected()}
    for context in contexts:
        context.close()
    assert not troubles


def watch(context: BrowserContext, someone: Person) -> None:
    """Note what goes wrong on any page of this browser."""

    def console(message: Any) -> None:
        if message.type in ("error", "warning"):
            where = message.location.get("url", "")
            someone.troubles.append(f"console {message.type}: {message.text} {where}")

    def response(answer: Any) -> None:
        if answer.status >= 500:
            someone.troubles.append(f"{answer.status} {answer.request.method} {answer.url}")

    context.on("console", console)
    context.on("weberror", lambda trouble: someone.troubles.append(f"uncaught: {trouble.error}"))
    context.on("response", response)


@dataclass(frozen=True)
class Lab:
    """A corpus with four people, known by their passwords."""

    slug: str
    passwords: dict[str, str]


@pytest.fixture(scope="session")
def lab(workbench: Workbench) -> Lab:
    """The corpus `lab`: mei manages, anna annotates, rui reviews."""
    workbench.manage("create_corpus", "lab", "--name", "实验室 Lab", "--licence", "open")
    passwords = {}
    for name, role in (("mei", "manager"), ("anna", "annotator"), ("rui", "reviewer")):
        passwords[name] = workbench.manage("add_member", "lab", name, "--role", role, "--create")["password"]
    return Lab("lab", passwords)
