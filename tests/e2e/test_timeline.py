"""Player and timeline in the browser: one clock, spans by mouse and keyboard, whatever the clip lacks."""

import json
import re
import statistics
import subprocess
from collections.abc import Callable
from typing import Any

import imageio_ffmpeg
import pytest
from playwright.sync_api import Page, Route, expect

from models_ml.synthetic import make_corpus
from tests.support.workbench import Workbench, eventually

from .conftest import Person

FRAME = 0.0401  # s, of 25 frames/s; a millisecond's rounding
PHONE = {"width": 390, "height": 844}
WITHIN = "() => document.documentElement.scrollWidth <= document.documentElement.clientWidth"
VIDEO = "document.querySelector('[data-ref=video]')"
REGIONS = """() => {
  const host = document.querySelector('[data-ref=wave] > div');
  const width = host.getBoundingClientRect();
  return [...host.shadowRoot.querySelectorAll('[part~=region]')].map((region) => {
    const box = region.getBoundingClientRect();
    return { left: (box.left - width.left) / width.width, right: (box.right - width.left) / width.width,
             x: box.x, y: box.y, width: box.width, height: box.height };
  });
}"""
LAPS = """(seconds) => new Promise((done) => {
  const video = document.querySelector('[data-ref=video]');
  const seen = [];
  const until = performance.now() + seconds * 1000;
  const step = () => {
    seen.push(video.currentTime);
    if (performance.now() < until) requestAnimationFrame(step);
    else done(seen);
  };
  requestAnimationFrame(step);
})"""
SETTLED = """() => new Promise((done) => {
  const video = document.querySelector('[data-ref=video]');
  const ready = () => !video.seeking && video.readyState >= 2;
  const look = () => (ready() ? setTimeout(() => done(video.currentTime), 60) : setTimeout(look, 20));
  look();
})"""
SWITCHES = """() => {
  const name = document.querySelector('[data-ref=clipName]');
  window.switched = new Promise((done) => new MutationObserver(() => {
    const started = performance.now();
    const look = () => {
      const video = document.querySelector('[data-ref=video]');
      if (video.readyState >= 2) done([name.textContent, performance.now() - started]);
      else setTimeout(look, 5);
    };
    look();
  }).observe(name, { childList: true, characterData: true, subtree: true }));
}"""
# A new address for lost media is asked for once in ten seconds at most; the clock of the page goes on by that.
LATER = "(() => { const now = Date.now; Date.now = () => now() + 10_001; })()"
CLIPS = ("film_1", "film_2", "film_3", "still")
SITUATIONS = ("axis", "quiet", "bare", "nomedia", "sound", "picture", "words", "many")


def corpus_of(situation: str) -> str:
    """Its slug; other files' corpora live on the same workbench."""
    return f"timeline-{situation}"


def ffmpeg(*arguments: str) -> None:
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", *arguments], check=True)


@pytest.fixture(scope="module")
def tia(workbench: Workbench, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Corpora of one situation each, and the password of their annotator."""
    folder = tmp_path_factory.mktemp("axis")
    make_corpus(folder / "made", n=3, seed=5)
    made = sorted((folder / "made").glob("*.mp4"))
    for slug in SITUATIONS:
        (folder / slug / "au").mkdir(parents=True)
    for number, clip in enumerate(made, 1):
        # Frames of uneven length: every third of the first thirty is left out.
        uneven = "select='not(lt(n,30)*eq(mod(n,3),2))'"
        ffmpeg(
            "-i",
            str(clip),
            "-vf",
            uneven,
            "-fps_mode",
            "vfr",
            "-c:a",
            "copy",
            str(folder / "axis" / f"film_{number}.mp4"),
        )
        track = (folder / "made" / "au" / f"{clip.stem}.csv").read_bytes()
        (folder / "axis" / "au" / f"film_{number}.csv").write_bytes(track)
    track = (folder / "made" / "au" / f"{made[0].stem}.csv").read_bytes()
    ffmpeg("-i", str(made[0]), "-an", "-c:v", "copy", str(folder / "quiet" / "still.mp4"))
    (folder / "quiet" / "au" / "still.csv").write_bytes(track)
    for slug, number in (("bare", 0), ("sound", 0), ("picture", 1), ("words", 2)):
        (folder / slug / f"{slug}.mp4").write_bytes(made[number].read_bytes())
        if slug != "bare":
            (folder / slug / "au" / f"{slug}.csv").write_bytes(
                (folder / "made" / "au" / f"{made[number].stem}.csv").read_bytes()
            )
    for number in (1, 2):
        (folder / "many" / f"many_{number}.mp4").write_bytes(made[number].read_bytes())
    row = {"name": "gone", "duration": 4.0, "subtitle_en": "Only words are left.", "clues": [
        {"modality": "text", "aspect": "content", "language": "en", "text": "The words are sad.", "source": "hand"}
    ]}  # fmt: skip
    (folder / "gone.jsonl").write_text(json.dumps(row) + "\n")
    (folder / "clues.csv").write_text("name,text\n" + "".join(f"{name},The person frowns.\n" for name in CLIPS))
    commands: list[list[str]] = []
    for name in SITUATIONS:
        slug = corpus_of(name)
        commands.append(["create_corpus", slug, "--licence", "open", "--review", "none"])
        if name == "nomedia":
            commands.append(["ingest", slug, "--manifest", str(folder / "gone.jsonl")])
        else:
            commands.append(["ingest", slug, str(folder / name), "--au", str(folder / name / "au")])
        once = ["--create", "--json"] if name == SITUATIONS[0] else []
        commands.append(["add_member", slug, "tia", "--role", "annotator", *once])
    for slug in ("axis", "quiet"):
        options = ["--prelabeller", "hand", "--modality", "visual", "--language", "en"]
        commands.append(["import_prelabels", corpus_of(slug), str(folder / "clues.csv"), *options])
    printed = workbench.shell(
        "from django.core.management import call_command\n"
        f"for command in {commands!r}:\n    try:\n        call_command(*command)\n"
        "    except SystemExit as done:\n        assert done.code in (0, 1, None), command\n"
        "from annotator.clips.models import Clip\nfrom annotator.checking.models import Slot\n"
        f"Clip.objects.filter(corpus__slug={corpus_of('axis')!r}).update(source='film')\n"
        "Slot.objects.filter(clip__name='film_2').update(priority=5)\n"
        "for slug, mode in (('sound', 'audio'), ('picture', 'visual'), ('words', 'text')):\n"
        "    Slot.objects.filter(corpus__slug=f'timeline-{slug}').update(mode=mode)\n"
    )
    return str(next(json.loads(line) for line in printed.splitlines() if '"password"' in line)["password"])


def open_check(someone: Person, situation: str) -> Page:
    page = someone.goto(f"/corpora/{corpus_of(situation)}/check/")
    expect(page.locator("[data-ref=task]")).to_be_visible()
    expect(page.locator("[data-ref=timeline]")).to_be_visible()
    return page


def until(page: Page, expression: str) -> None:
    """Wait for it without Playwright's polling, which the page's policy (no eval) forbids."""
    assert eventually(lambda: page.evaluate(expression), 15), expression


def claimed(page: Page) -> dict[str, Any]:
    """The claim on the page, as the server tells it."""
    slug = page.locator("#work").get_attribute("data-corpus")
    token = page.evaluate("document.cookie.match(/csrftoken=([^;]+)/)?.[1] || ''")
    answer = page.request.post(
        f"{page.url.split('/corpora/')[0]}/api/v1/corpora/{slug}/claims/",
        data={"kind": "annotate"},
        headers={"X-CSRFToken": token, "Referer": page.url},
    )
    assert answer.ok, answer.text()
    return answer.json()


def regions(page: Page, count: int = 1) -> list[dict[str, float]]:
    assert eventually(lambda: len(page.evaluate(REGIONS)) == count, 10), page.evaluate(REGIONS)
    return page.evaluate(REGIONS)


def fields(page: Page) -> list[float]:
    """The span that the active clue says."""
    card = page.locator(".clue.is-active")
    return [float(card.locator(f"[data-ref={name}]").input_value()) for name in ("start", "end")]


def agree(page: Page, duration: float, index: int = 0, count: int = 1) -> list[float]:
    """The active clue's span is its region's within a frame; the span."""
    assert eventually(lambda: page.locator(".clue.is-active [data-ref=end]").input_value() != "", 5)

    def near() -> bool:
        region, span = regions(page, count)[index], fields(page)
        return all(abs(region[side] * duration - at) < FRAME for side, at in zip(("left", "right"), span, strict=True))

    assert eventually(near, 5), (regions(page, count), fields(page))
    return fields(page)


def at_first(page: Page) -> None:
    """The first clue is the active one, and no field has the focus."""
    page.locator(".clue").first.click()
    page.keyboard.press("Escape")
    expect(page.locator(".clue").first).to_have_class(re.compile("is-active"))


def draw(page: Page, start: float, end: float, duration: float) -> None:
    box = page.locator("[data-ref=wave]").bounding_box()
    y = box["y"] + 52  # the lowest lane: no region of a face or a voice lies there
    page.mouse.move(box["x"] + box["width"] * start / duration, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * end / duration, y, steps=8)
    page.mouse.up()


def stored(page: Page) -> list[float]:
    """The span of the first corrected clue in the draft that reached the server."""

    def span() -> Any:
        draft = claimed(page)["draft"] or {"clues": []}
        return next((clue["span"] for clue in draft["clues"] if clue["verdict"] == "corrected"), None)

    wanted = fields(page)
    assert eventually(lambda: span() == wanted, 15, every=0.5), (span(), wanted)
    return wanted


def test_a_span_is_drawn_dragged_and_nudged(tia: str, person: Callable[..., Person]) -> None:
    someone = person("tia", tia)
    page = open_check(someone, "axis")
    claim = claimed(page)
    assert claim["clip"]["name"] == "film_2"
    duration = claim["clip"]["duration"]
    frames = page.request.get(page.url.split("/corpora/")[0] + claim["clip"]["media"]["tracks"]).json()["frames"]
    assert max(b - a for a, b in zip(frames, frames[1:], strict=False)) > 0.07  # uneven, as it was made
    at_first(page)
    before = len(page.evaluate(REGIONS))
    draw(page, 0.9, 1.7, duration)
    count = before or 1
    span = agree(page, duration, count=count)
    assert span == pytest.approx([0.9, 1.7], abs=0.005)
    for key, index, step in (("Alt+ArrowRight", 1, 1), ("Alt+ArrowLeft", 1, -1), ("Shift+ArrowLeft", 0, -1)):
        old = fields(page)
        page.keyboard.press(key)
        assert eventually(lambda old=old: fields(page) != old, 5)
        new = agree(page, duration, count=count)
        assert new[1 - index] == old[1 - index]
        assert min(abs(new[index] - frame) for frame in frames) < 0.001  # a real frame, not a twenty-fifth of a second
        assert (new[index] - old[index]) * step > 0
    region = regions(page, count)[0]
    old = fields(page)
    page.mouse.move(region["x"] + region["width"] / 2, region["y"] + region["height"] / 2)
    page.mouse.down()
    page.mouse.move(region["x"] + region["width"] / 2 + 60, region["y"] + region["height"] / 2, steps=6)
    page.mouse.up()
    assert eventually(lambda: fields(page) != old, 5)
    moved = agree(page, duration, count=count)
    assert moved[1] - moved[0] == pytest.approx(old[1] - old[0], abs=0.005)
    assert moved[0] > old[0]
    region = regions(page, count)[0]
    page.mouse.move(region["x"] + region["width"] - 2, region["y"] + region["height"] / 2)
    page.mouse.down()
    page.mouse.move(region["x"] + region["width"] + 38, region["y"] + region["height"] / 2, steps=6)
    page.mouse.up()
    assert eventually(lambda: fields(page)[1] > moved[1] + 0.02, 5)
    assert agree(page, duration, count=count)[0] == pytest.approx(moved[0], abs=0.002)
    stored(page)
    someone.shot("timeline-span")


def test_frames_are_stepped_by_their_own_times(tia: str, person: Callable[..., Person]) -> None:
    page = open_check(person("tia", tia), "axis")
    claim = claimed(page)
    frames = page.request.get(page.url.split("/corpora/")[0] + claim["clip"]["media"]["tracks"]).json()["frames"]
    until(page, f"{VIDEO}.readyState >= 2")
    page.keyboard.press("Escape")
    page.evaluate(f"{VIDEO}.requestVideoFrameCallback(function seen(_n, m) {{ window.shownFrame = m.mediaTime; "
                  f"{VIDEO}.requestVideoFrameCallback(seen); }})")  # fmt: skip
    for key, wanted in [(".", 1), (".", 2), (".", 3), (".", 4), (",", 3), (",", 2)]:
        page.keyboard.press(key)
        assert page.evaluate(SETTLED) == pytest.approx(frames[wanted], abs=0.001)
        assert eventually(
            lambda wanted=wanted: abs(page.evaluate("window.shownFrame ?? -1") - frames[wanted]) < 0.001, 5
        )


@pytest.mark.parametrize(("key", "rate"), [("-", 0.25), ("=", 2)])
def test_spans_set_while_it_plays_are_where_it_was(
    tia: str, person: Callable[..., Person], key: str, rate: float
) -> None:
    page = open_check(person("tia", tia), "axis")
    duration = claimed(page)["clip"]["duration"]
    at_first(page)
    page.keyboard.press("0")
    for _press in range(4):
        page.keyboard.press(key)
    until(page, f"{VIDEO}.readyState >= 3")
    assert page.evaluate(f"[{VIDEO}.playbackRate, {VIDEO}.preservesPitch]") == [rate, True]
    page.evaluate(f"{VIDEO}.currentTime = 0.4")
    page.evaluate(SETTLED)
    page.keyboard.press(" ")
    until(page, f"{VIDEO}.currentTime > 0.45")
    for press, index in (("[", 0), ("]", 1)):
        page.wait_for_timeout(300)
        at = page.evaluate(f"{VIDEO}.currentTime")
        page.keyboard.press(press)
        after = page.evaluate(f"{VIDEO}.currentTime")
        assert at - FRAME <= fields(page)[index] <= after + FRAME
    page.keyboard.press(" ")
    for nudge, index in (("Alt+ArrowRight", 1), ("Shift+ArrowRight", 0)):
        old = agree(page, duration)
        page.keyboard.press(nudge)
        assert eventually(lambda old=old, index=index: fields(page)[index] > old[index], 5)
    page.keyboard.press("p")
    until(page, f"!{VIDEO}.paused")
    seen = page.evaluate(LAPS, 4)
    back = [i for i in range(1, len(seen)) if seen[i] < seen[i - 1]]
    start, end = agree(page, duration)
    assert back
    assert min(seen[back[0] :]) > start - FRAME
    assert page.evaluate(f"{VIDEO}.playbackRate") == rate
    page.keyboard.press(" ")
    assert stored(page) == [start, end]
    assert start < end


def test_a_span_loops_without_leaving_it(tia: str, person: Callable[..., Person]) -> None:
    page = open_check(person("tia", tia), "axis")
    duration = claimed(page)["clip"]["duration"]
    at_first(page)
    draw(page, 1.0, 1.6, duration)
    start, end = agree(page, duration)
    until(page, f"{VIDEO}.readyState >= 3")
    page.keyboard.press("p")
    until(page, f"!{VIDEO}.paused")
    seen = page.evaluate(LAPS, 4)
    back = [i for i in range(1, len(seen)) if seen[i] < seen[i - 1] - 0.2]
    assert len(back) >= 2, seen
    inside = seen[back[0] :]
    assert min(inside) > start - FRAME
    # A frame at most on a machine that draws in time; this one may be busy, so the middle of the laps counts.
    assert statistics.median(seen[i - 1] - end for i in back) <= FRAME
    region = regions(page)[0]
    page.mouse.click(region["x"] + region["width"] / 2, region["y"] + region["height"] / 2)
    assert eventually(lambda: page.evaluate(f"!{VIDEO}.paused"), 5)
    page.keyboard.press(" ")
    assert eventually(lambda: page.evaluate(f"{VIDEO}.paused"), 5)


def test_curves_are_chosen_and_clicked(tia: str, person: Callable[..., Person]) -> None:
    someone = person("tia", tia)
    page = open_check(someone, "axis")
    expect(page.locator("[data-ref=faceChart] canvas")).to_be_visible()
    expect(page.locator("[data-ref=voiceChart] canvas")).to_be_visible()
    page.locator("[data-ref=auButton]").click()
    boxes = page.locator("[data-ref=auList] input")
    expect(boxes.first).to_be_visible()
    page.locator("[data-ref=auList] label", has_text="AU45").click()
    expect(page.locator("[data-ref=auValues]")).to_contain_text("AU45")
    page.locator("[data-ref=auUsual]").click()
    expect(page.locator("[data-ref=auValues]")).not_to_contain_text("AU45")
    page.keyboard.press("Escape")
    expect(boxes.first).to_be_hidden()
    box = page.locator("[data-ref=faceChart]").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 20)
    half = claimed(page)["clip"]["duration"] / 2
    assert eventually(lambda: abs(page.evaluate(f"{VIDEO}.currentTime") - half) < FRAME, 5)
    page.keyboard.press("y")
    peak = claimed(page)["au"]["peak"]["timestamp"]
    assert eventually(lambda: abs(page.evaluate(f"{VIDEO}.currentTime") - peak) < 0.08, 5)
    page.locator("[data-ref=curvesToggle]").click()
    expect(page.locator("[data-ref=faceChart]")).to_be_hidden()


def test_sound_and_picture_are_switched(tia: str, person: Callable[..., Person]) -> None:
    page = open_check(person("tia", tia), "axis")
    page.keyboard.press("Escape")
    page.keyboard.press("m")
    expect(page.locator("[data-ref=soundOnly]")).to_be_visible()
    assert page.evaluate(f"[{VIDEO}.muted, getComputedStyle({VIDEO}).opacity]") == [False, "0"]
    page.keyboard.press("m")
    expect(page.get_by_role("button", name="Picture only")).to_be_visible()
    assert page.evaluate(f"[{VIDEO}.muted, getComputedStyle({VIDEO}).opacity]") == [True, "1"]
    page.locator("[data-ref=tracks]").click()
    assert page.evaluate(f"{VIDEO}.muted") is False


def test_the_clips_around_it_are_context_and_recorded(tia: str, person: Callable[..., Person]) -> None:
    someone = person("tia", tia)
    page = open_check(someone, "axis")
    at_first(page)
    for key, name in (("b", "film_1"), ("n", "film_3")):
        page.keyboard.press(key)
        shown = page.locator("[data-ref=context]")
        expect(shown).to_contain_text("Context, not the clip")
        expect(shown).to_contain_text(name)
        until(page, "document.querySelector('[data-ref=contextMedia] video').currentTime > 0.1")
        assert page.evaluate(f"{VIDEO}.paused")
        someone.shot(f"timeline-context-{name}")
        page.keyboard.press(key)
        expect(shown).to_be_hidden()
    page.locator(".clue.is-active textarea").first.fill("Seen with what comes before and after.")
    both = {"previous": True, "next": True}
    assert eventually(lambda: (claimed(page)["draft"] or {}).get("work", {}).get("context") == both, 15, 0.5)


def test_an_address_that_was_refused_is_asked_for_again(tia: str, person: Callable[..., Person]) -> None:
    someone = person("tia", tia)
    someone.expect_trouble("403")
    held: list[Route] = []
    someone.page.route("**/media/**/video", lambda route: route.continue_() if held else held.append(route))
    page = open_check(someone, "axis")
    assert eventually(lambda: held or page.evaluate("0"), 10)
    page.evaluate(f"{VIDEO}.currentTime = 1.2")
    held[0].fulfill(status=403, body="{}")  # as after a pause that the lease did not outlive
    until(page, f"{VIDEO}.readyState >= 2")
    assert page.evaluate(f"{VIDEO}.currentTime") == pytest.approx(1.2, abs=FRAME)
    expect(page.locator("[data-ref=lostMedia]")).to_be_hidden()


def test_a_silent_clip_and_one_without_action_units(tia: str, person: Callable[..., Person]) -> None:
    someone = person("tia", tia)
    page = open_check(someone, "quiet")
    expect(page.locator("[data-ref=quiet]")).to_have_text("This clip has no sound.")
    expect(page.locator("[data-ref=voiceRow]")).to_be_hidden()
    expect(page.locator("[data-ref=tracks]")).to_be_hidden()
    expect(page.locator("[data-ref=faceChart] canvas")).to_be_visible()
    duration = claimed(page)["clip"]["duration"]
    at_first(page)
    draw(page, 0.5, 1.0, duration)
    agree(page, duration)
    someone.shot("timeline-silent")
    page = open_check(someone, "bare")
    expect(page.locator("[data-ref=noAu]")).to_be_visible()
    expect(page.locator("[data-ref=auButton]")).to_be_hidden()
    expect(page.locator("[data-ref=voiceChart] canvas")).to_be_visible()
    someone.shot("timeline-no-action-units")


def test_without_media_spans_can_still_be_drawn(tia: str, person: Callable[..., Person]) -> None:
    someone = person("tia", tia)
    page = open_check(someone, "nomedia")
    expect(page.locator("[data-ref=noMedia]")).to_be_visible()
    expect(page.locator("[data-ref=quiet]")).to_have_text("There is no sound to draw.")
    at_first(page)
    draw(page, 1.0, 2.0, 4.0)
    agree(page, 4.0)
    for key in (" ", "p", ".", "-", "m", "y", "b"):
        page.keyboard.press(key)
    someone.shot("timeline-no-media")


def test_isolated_work_shows_and_opens_its_own_only(tia: str, person: Callable[..., Person]) -> None:
    someone = person("tia", tia)
    page = open_check(someone, "sound")
    media = claimed(page)["clip"]["media"]
    assert [bool(media[key]) for key in ("video", "audio", "poster", "peaks", "tracks")] == [
        False,
        True,
        False,
        True,
        True,
    ]
    expect(page.locator("[data-ref=video]")).to_be_hidden()
    expect(page.locator("[data-ref=faceRow]")).to_be_hidden()
    expect(page.locator("[data-ref=voiceChart] canvas")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press(" ")
    until(page, "document.querySelector('[data-ref=audio]').currentTime > 0.1")
    someone.shot("timeline-sound")
    base = page.url.split("/corpora/")[0]
    for kind, status in (("audio", 200), ("video", 403), ("muted", 403), ("poster", 403)):
        assert page.request.get(base + media["audio"].replace("/audio", f"/{kind}")).status == status
    assert page.request.get(base + media["tracks"]).json()["au"] is None
    page = open_check(someone, "picture")
    media = claimed(page)["clip"]["media"]
    assert media["video"].endswith("/muted")
    assert [bool(media[key]) for key in ("audio", "peaks")] == [False, False]
    for kind, status in (("muted", 200), ("video", 403), ("audio", 403), ("peaks", 403), ("wav", 403)):
        assert page.request.get(base + media["video"].replace("/muted", f"/{kind}")).status == status
    expect(page.locator("[data-ref=quiet]")).to_have_text("The sound is hidden in this task.")
    expect(page.locator("[data-ref=voiceRow]")).to_be_hidden()
    someone.shot("timeline-picture")
    page = open_check(someone, "words")
    assert not any(claimed(page)["clip"]["media"][key] for key in ("video", "audio", "poster", "peaks", "tracks"))
    expect(page.locator("[data-ref=noMedia]")).to_have_text("This task shows the words alone.")
    someone.shot("timeline-words")


def test_the_next_clip_is_there_at_once(tia: str, person: Callable[..., Person]) -> None:
    someone = person("tia", tia)
    fetched: list[str] = []
    someone.page.on("request", lambda request: fetched.append(request.url) if "/media/" in request.url else None)
    page = open_check(someone, "many")
    ahead = lambda: page.evaluate("0") == 0 and len({url for url in fetched if url.endswith("/video")}) == 2  # noqa: E731
    assert eventually(ahead, 20), fetched  # the second clip's is asked for while the first one is shown
    page.wait_for_timeout(2000)
    page.evaluate(SWITCHES)
    page.fill("#description-en", "Somebody frowns.")
    page.keyboard.press("Control+Enter")
    name, milliseconds = page.evaluate("window.switched")
    assert name == "many_2"
    assert milliseconds < 200
    assert len([url for url in fetched if url.endswith(("/peaks", "/tracks"))]) == len(
        {url for url in fetched if url.endswith(("/peaks", "/tracks"))}
    )


def test_in_the_dark_in_chinese_and_on_a_phone(tia: str, person: Callable[..., Person]) -> None:
    someone = person("tia", tia, color_scheme="dark")
    page = open_check(someone, "axis")
    expect(page.locator("[data-ref=faceChart] canvas")).to_be_visible()
    page.wait_for_timeout(500)
    someone.shot("timeline-dark")
    page.get_by_role("button", name="中文").click()
    expect(page.locator("[data-ref=timeline]")).to_be_visible()
    expect(page.locator("[data-ref=faceChart] canvas")).to_be_visible()
    someone.shot("timeline-dark-zh")
    page.get_by_role("button", name="EN", exact=True).click()
    page.set_viewport_size(PHONE)
    page.reload()
    expect(page.locator("[data-ref=timeline]")).to_be_visible()
    expect(page.locator("[data-ref=faceChart]")).to_be_hidden()
    assert page.evaluate(WITHIN)
    someone.shot("timeline-390", full=True)
    page.locator("[data-ref=curvesToggle]").click()
    expect(page.locator("[data-ref=faceChart] canvas")).to_be_visible()
    assert page.evaluate(WITHIN)
    someone.shot("timeline-390-curves", full=True)


def lease_of_tia(workbench: Workbench, state: str) -> None:
    """End the leases on the films, as time does ("expired"), or as a manager does ("released")."""
    workbench.shell(
        "from datetime import timedelta\nfrom django.utils import timezone\n"
        "from annotator.checking.models import Claim, Slot\n"
        f"claims = Claim.objects.filter(corpus__slug={corpus_of('axis')!r}, user__username='tia', state='live')\n"
        "Slot.objects.filter(pk__in=claims.values('slot_id')).update(state='open')\n"
        f"claims.update(state={state!r}, lease_end=timezone.now() - timedelta(minutes=5))\n"
    )


def test_media_come_back_with_the_lease(workbench: Workbench, tia: str, person: Callable[..., Person]) -> None:
    someone = person("tia", tia)
    for trouble in ("403", "ERR_FAILED"):
        someone.expect_trouble(trouble)
    page = open_check(someone, "axis")
    until(page, f"{VIDEO}.readyState >= 2")
    lost = page.locator("[data-ref=lostMedia]")
    ready = f"{VIDEO}.readyState >= 2 && {VIDEO}.error === null"
    # The lease ran out while the computer slept; the slot is free: it is taken back, and the clip goes on.
    lease_of_tia(workbench, "expired")
    page.evaluate(f"{VIDEO}.load()")
    until(page, ready)
    expect(lost).to_be_hidden()
    # Without a network for it there is no clip, and the page says so; with the next draft it comes back.
    lease_of_tia(workbench, "expired")
    page.route("**/renew/", lambda route: route.abort())
    page.evaluate(LATER)
    page.evaluate(f"{VIDEO}.load()")
    expect(lost).to_be_visible()
    page.unroute("**/renew/")
    page.evaluate(LATER)
    page.fill("#description-en", "Going on with the work.")
    until(page, ready)
    expect(lost).to_be_hidden()
    # And when one plays it.
    lease_of_tia(workbench, "expired")
    page.route("**/renew/", lambda route: route.abort())
    page.evaluate(LATER)
    page.evaluate(f"{VIDEO}.load()")
    expect(lost).to_be_visible()
    page.unroute("**/renew/")
    page.locator(".clue").first.focus()
    page.keyboard.press(" ")
    until(page, f"{ready} && ({VIDEO}.currentTime > 0.1)")


LATE = """
const real = window.fetch;
let count = 0;
const wait = (ms) => new Promise((go) => setTimeout(go, ms));
window.fetch = async (...asked) => {
  const late = /[/](peaks|tracks)$/.test(String(asked[0]));
  const answer = await real(...asked); // asked for at once: a clip that was given up opens nothing any more
  if (late) await wait(count++ % 4 < 2 ? 900 : 30);
  return answer;
};
"""


def test_clips_switched_while_their_curves_still_come(tia: str, person: Callable[..., Person]) -> None:
    """What comes late for the clip before touches nothing of the one that is shown."""
    someone = person("tia", tia)
    page = someone.page
    page.add_init_script(LATE)
    open_check(someone, "axis")
    names = [page.inner_text("[data-ref=clipName]")]
    for _clip in range(2):  # at once, before anything of it has come
        page.locator("[data-ref=skip]").click()
        page.locator("dialog[open] [data-reason]").first.click()
        expect(page.locator("[data-ref=clipName]")).not_to_have_text(names[-1])
        names.append(page.inner_text("[data-ref=clipName]"))
    assert len(set(names)) == 3
    expect(page.locator("[data-ref=faceChart] canvas")).to_have_count(1)
    expect(page.locator("[data-ref=voiceChart] canvas")).to_have_count(1)
    page.wait_for_timeout(2000)  # all that is late has come
    expect(page.locator("[data-ref=faceChart] canvas")).to_have_count(1)
    page.evaluate(f"{VIDEO}.currentTime = 1")
    expect(page.locator("[data-ref=voiceValues]")).to_contain_text("dB")
    claim = claimed(page)
    shown = page.evaluate("Number(document.querySelector('[data-ref=seek]').max)")
    assert (claim["clip"]["name"], shown) == (names[-1], pytest.approx(claim["clip"]["duration"], abs=0.01))
