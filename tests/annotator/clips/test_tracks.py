"""What the timeline draws: measured at ingest or on demand, of the chosen person, and nothing that a mode hides."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from annotator.clips import media as clip_media
from annotator.clips import tracks
from annotator.clips.ingest import ingest_folder
from annotator.clips.models import AuTrack, Clip, Corpus, DerivedMedia
from models_ml.tracks import measure
from tests.support.factories import create_member

pytestmark = pytest.mark.django_db

HEADER = "frame, timestamp, confidence, success, AU04_r, AU12_r, AU04_c, AU12_c"


def au_csv(name: str = "a", frames: int = 12) -> str:
    rows = [f"{i + 1}, {i / 25:.3f}, 0.98, 1, 0.10, {min(i, 5)}, 0, 1" for i in range(frames)]
    return "\n".join([HEADER, *rows]) + "\n"


def urls(clip: Clip, user, mode: str = "", claim: int | None = None) -> dict:
    return clip_media.signed_urls(clip, user, claim_id=claim, expires=timezone.now() + timedelta(minutes=5), mode=mode)


def test_ingest_measures_frames_pitch_and_intensity(clip: Clip) -> None:
    found = tracks.of_clip(clip)
    made = clip.derivatives.get(kind="tracks")
    assert made.sha256
    assert found["frames"][0] == 0
    assert len(found["frames"]) == clip.probe["n_frames"]
    assert found["frames"] == sorted(found["frames"])
    assert found["frames"][-1] < clip.duration
    assert len(found["intensity"]["t"]) == len(found["intensity"]["db"]) <= 400
    assert found["au"] is None
    assert found["duration"] == clip.duration


def test_a_clip_of_before_is_measured_once_when_first_asked(clip: Clip) -> None:
    before = tracks.of_clip(clip)
    DerivedMedia.objects.filter(clip=clip, kind="tracks").delete()
    assert tracks.of_clip(Clip.objects.get(pk=clip.pk)) == before
    made = DerivedMedia.objects.get(clip=clip, kind="tracks")
    assert tracks.of_clip(Clip.objects.get(pk=clip.pk)) == before
    assert DerivedMedia.objects.get(clip=clip, kind="tracks").pk == made.pk


@pytest.mark.django_db(transaction=True)
def test_two_who_ask_at_once_leave_one_row(clip: Clip) -> None:
    before = tracks.of_clip(clip)
    DerivedMedia.objects.filter(clip=clip, kind="tracks").delete()

    def ask(_number: int) -> dict:
        try:
            return tracks.of_clip(Clip.objects.get(pk=clip.pk))
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(ask, range(3))) == [before] * 3
    assert DerivedMedia.objects.filter(clip=clip, kind="tracks").count() == 1


def test_a_silent_clip_has_frames_and_no_sound(corpus: Corpus, folder: Path, media: Path) -> None:
    shutil.copy(media / "silent.mp4", folder / "s.mp4")
    ingest_folder(corpus, folder)
    found = tracks.of_clip(Clip.objects.get())
    assert found["frames"]
    assert (found["pitch"], found["intensity"], found["au"]) == (None, None, None)


def test_without_media_there_is_nothing_and_no_error(corpus: Corpus, client: Client) -> None:
    bare = Clip.objects.create(corpus=corpus, name="bare", duration=2.5)
    viewer = create_member(corpus, "viewer")
    client.force_login(viewer)
    answer = client.get(urls(bare, viewer)["tracks"])
    assert answer.json() == {"duration": 2.5, "frames": None, "au": None, "pitch": None, "intensity": None}


def test_an_au_track_that_comes_later_shows_at_once(clip: Clip, client: Client) -> None:
    viewer = create_member(clip.corpus, "viewer")
    client.force_login(viewer)
    url = urls(clip, viewer)["tracks"]
    first = client.get(url)
    assert first.json()["au"] is None
    assert client.get(url, headers={"If-None-Match": first["ETag"]}).status_code == 304
    clip_media.store_au_track(clip, au_csv(), "test")
    later = client.get(url, headers={"If-None-Match": first["ETag"]})
    au = later.json()["au"]
    assert later.status_code == 200
    assert au["curves"]["AU12"][:7] == [0, 1, 2, 3, 4, 5, 5]
    assert au["t"][:3] == [0, 0.04, 0.08]
    assert au["peak"] == {"timestamp": 0.2, "frame": 6}
    assert "no-cache" in later["Cache-Control"]


def test_a_broken_au_track_leaves_the_rest(clip: Clip) -> None:
    clip_media.store_au_track(clip, au_csv(), "test")
    AuTrack.objects.update(path="au/no/such.csv")
    found = tracks.of_clip(Clip.objects.get(pk=clip.pk))
    assert found["au"] is None
    assert found["frames"]


@pytest.mark.parametrize(
    ("mode", "opens", "curves"),
    [
        ("visual", {"muted", "poster", "tracks"}, {"frames", "au"}),
        ("audio", {"audio", "peaks", "tracks"}, {"pitch", "intensity"}),
        ("text", set(), set()),
        ("", {"video", "muted", "audio", "poster", "peaks", "wav", "tracks"}, {"frames", "au", "pitch", "intensity"}),
    ],
)
def test_a_mode_opens_its_own_streams_and_curves_only(
    clip: Clip, client: Client, monkeypatch, mode: str, opens: set[str], curves: set[str]
) -> None:
    clip_media.store_au_track(clip, au_csv(), "test")
    annotator = create_member(clip.corpus, "annotator")
    client.force_login(annotator)
    monkeypatch.setattr(clip_media, "lease_checks", [lambda claim, user: (claim, user) == (7, annotator.pk)])
    found = urls(Clip.objects.get(pk=clip.pk), annotator, mode, 7)
    assert {key for key, url in found.items() if url and key != "expires"} == {
        {"muted": "video"}.get(kind, kind) for kind in opens if kind != "wav"
    }
    token = clip_media.signing.Signer(salt=clip_media.SALT).sign_object(
        {"c": clip.pk, "u": annotator.pk, "k": 7, "m": mode}
    )
    for kind in (*clip_media.KINDS, "tracks"):
        answer = client.get(f"/media/{token}/{kind}")
        assert answer.status_code == (200 if kind in opens else 403), kind
        if kind not in opens:
            assert answer.json()["code"] == "other-mode"
    if "tracks" in opens:
        shown = json.loads(client.get(found["tracks"]).content)
        assert {key for key in ("frames", "au", "pitch", "intensity") if shown[key] is not None} <= curves
        assert shown["au"] is not None if "au" in curves else shown["au"] is None


def test_a_copied_address_answers_403_and_the_address_stays_the_same(clip: Clip, client: Client, monkeypatch) -> None:
    annotator, other = create_member(clip.corpus, "annotator"), create_member(clip.corpus, "manager")
    monkeypatch.setattr(clip_media, "lease_checks", [lambda claim, user: (claim, user) == (7, annotator.pk)])
    found = urls(clip, annotator, "audio", 7)
    later = clip_media.signed_urls(
        clip, annotator, claim_id=7, expires=timezone.now() + timedelta(minutes=30), mode="audio"
    )
    assert {key: url for key, url in found.items() if key != "expires"} == {
        key: url for key, url in later.items() if key != "expires"
    }
    client.force_login(other)
    for kind in ("audio", "peaks", "tracks"):
        assert client.get(found[kind]).status_code == 403
    client.force_login(annotator)
    assert client.get(found["audio"]).status_code == 200


def test_a_withdrawn_clip_keeps_no_curves(clip: Clip, client: Client) -> None:
    viewer = create_member(clip.corpus, "viewer")
    client.force_login(viewer)
    url = urls(clip, viewer)["tracks"]
    Clip.objects.filter(pk=clip.pk).update(withdrawn_at=timezone.now())
    assert client.get(url).status_code == 410
    assert urls(Clip.objects.get(pk=clip.pk), viewer)["tracks"] is None


def test_frames_are_those_of_the_file_that_is_played(clip: Clip) -> None:
    proxy = clip_media.derived_path(clip, "proxy")
    muted = clip_media.derived_path(clip, "muted")
    assert measure(proxy, None)["frames"] == measure(muted, None)["frames"]
