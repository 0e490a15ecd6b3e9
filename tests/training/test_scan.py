"""Before step 1: everything that a run would stumble over is listed, as JSON and as lines."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from PIL import Image

from tests.training import world
from training.caching import cache_command
from training.config import load_config
from training.errors import UsageError
from training.scan import lines_of, scan, scan_command
from training.snapshot import read_snapshot


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A snapshot and its media with one of every trouble."""
    root = tmp_path_factory.mktemp("troubled")
    media = root / "media"
    media.mkdir()
    for index in (0, 1, 2):
        world.write_clip(media / f"clip_{index:02d}.mp4", index)
    (media / "clip_03.mp4").write_bytes((media / "clip_02.mp4").read_bytes())  # the same film
    (media / "clip_04.mp4").write_bytes(b"no film at all " * 100)
    world.write_clip(media / "clip_06.mp4", 6, audio=False)
    world.write_clip(media / "clip_07.wav", 7, video=False)
    rows = [world.record(index, subtitle={"zh": None, "en": "Hi."}) for index in range(10)]
    rows[1]["media_sha256"] = "0" * 64
    rows[2]["subtitle"] = {"zh": "".join(chr(0x4E00 + 7 * i) for i in range(900)), "en": None}
    rows[6]["description"]["en"] = " ".join(f"{i * 7919 % 100003:x}" for i in range(600))
    rows[7]["description"] = {"zh": None, "en": None}
    rows[8]["description"]["en"] = None
    rows[9]["clip"] = "片段 '; DROP TABLE clips; --"
    world.write_clip(media / f"{rows[9]['clip']}.mp4", 9)
    return world.write_snapshot(root / "one", rows), media


def test_every_trouble_is_named(troubled: tuple[Path, Path], tmp_path: Path) -> None:
    folder, media = troubled
    config = load_config("tiny")
    report = scan(config, read_snapshot(folder), media, tmp_path)
    assert (report.records, report.split) == (10, "all")
    assert report.missing == ["clip_05", "clip_08"]
    assert list(report.unreadable) == ["clip_04"]
    assert "not a media file" in report.unreadable["clip_04"]
    assert report.changed == ["clip_01"]
    assert (report.without_audio, report.without_video) == (["clip_06"], ["clip_07"])
    assert list(report.duplicates.values()) == [["clip_02", "clip_03"]]
    assert report.without_target == ["clip_07"]
    assert report.other_language == 1
    assert list(report.subtitle_cut) == ["clip_02"]
    assert list(report.target_cut) == ["clip_06"]
    assert report.tokens["longest"] <= config.data.max_length
    assert report.seconds == pytest.approx(16, abs=2)
    assert not report.sound
    lines = "\n".join(lines_of(report))
    for words in ("2 clips without a media file: clip_05; clip_08", "clip_04.mp4", "1 targets are too long",
                  "the same media", "another sha256"):  # fmt: skip
        assert words in lines
    remembered = (tmp_path / "media.jsonl").read_text()
    assert len(remembered.splitlines()) == 8
    assert scan(config, read_snapshot(folder), media, tmp_path) == report  # from memory
    assert (tmp_path / "media.jsonl").read_text() == remembered


def test_a_file_that_changed_is_looked_into_again(tmp_path: Path) -> None:
    folder = world.write_snapshot(tmp_path / "one", [world.record(0)])
    (tmp_path / "media").mkdir()
    film = world.write_clip(tmp_path / "media" / "clip_00.mp4", 0)
    config, snapshot = load_config("tiny"), read_snapshot(folder)
    assert scan(config, snapshot, tmp_path / "media", tmp_path).sound
    film.write_bytes(b"overwritten by something else " * 50)
    assert list(scan(config, snapshot, tmp_path / "media", tmp_path).unreadable) == ["clip_00"]
    with open(tmp_path / "media.jsonl", "a") as file:
        file.write('{"path": "torn li')  # a writer that was killed
    world.write_clip(film, 3)
    assert scan(config, snapshot, tmp_path / "media", tmp_path).sound


def test_many_files_are_looked_into_by_workers(tmp_path: Path, media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.media.FEW", 3)
    rows = [world.record(index) for index in range(10)]
    folder = world.write_snapshot(tmp_path / "one", [*rows, world.record(4, clip="bad")])
    for path in media.glob("*.mp4"):
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "bad.mp4").write_bytes(b"bad" * 100)
    report = scan(load_config("tiny"), read_snapshot(folder), tmp_path)
    assert report.missing == []
    assert list(report.unreadable) == ["bad"]
    assert report.seconds == pytest.approx(20, abs=2)


def test_the_command_says_it_as_json_and_in_the_log(
    troubled: tuple[Path, Path], snapshot: Path, media: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "training"):
        result, code = scan_command("tiny", str(troubled[0]), str(troubled[1]))
    assert code == 1
    assert json.loads(json.dumps(result))["missing"] == ["clip_05", "clip_08"]
    assert "2 clips without a media file" in caplog.text
    result, code = scan_command("tiny", str(snapshot), str(media), split="test")
    assert (code, result["records"], result["sound"]) == (0, 2, True)
    with pytest.raises(UsageError, match="no split 'dev'"):
        scan_command("tiny", str(snapshot), str(media), split="dev")


def test_sources_are_looked_through_too(tmp_path: Path, snapshot: Path, media: Path) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "0.jpg")
    (tmp_path / "1.jpg").write_bytes(b"no picture")
    captions = {"annotations": [{"image_id": str(index), "caption": "Black."} for index in range(3)]}
    (tmp_path / "filter_cap.json").write_text(json.dumps(captions))
    source = f"data.sources=[{{path: 'cc_sbu:{tmp_path / 'filter_cap.json'}', media: '{tmp_path}'}}]"
    result, code = scan_command("tiny", str(snapshot), str(media), [source])
    assert code == 1
    assert (result["sources"][0]["missing"], list(result["sources"][0]["unreadable"])) == (["cc_sbu/2"], ["cc_sbu/1"])
    assert result["missing"] == []


def test_features_are_made_ahead_verified_and_pruned_by_a_command(
    tmp_path: Path, snapshot: Path, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="no folder to keep features in"):
        monkeypatch.delenv("EMER_CACHE", raising=False)
        cache_command("tiny", str(snapshot), str(media))
    first, code = cache_command("tiny", str(snapshot), str(media), folder=str(tmp_path), workers=0)
    assert (code, first["made"], first["kept"], first["failed"]) == (0, 10, 0, [])
    again, _ = cache_command("tiny", str(snapshot), str(media), folder=str(tmp_path), verify=True)
    assert (again["made"], again["kept"], again["bytes"], again["damaged"]) == (0, 10, first["bytes"], [])
    crops = ["data.crop_scale=[0.5, 1.0]", "data.views=2"]
    more, _ = cache_command("tiny", str(snapshot), str(media), crops, folder=str(tmp_path), workers=0)
    assert (more["made"], more["failed"]) == (10, [])
    (shard,) = sorted((tmp_path / "shards").glob("*.safetensors"))[:1]
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    mended, _ = cache_command(
        "tiny", str(snapshot), str(media), folder=str(tmp_path), workers=0, verify=True, prune=True
    )
    assert len(mended["damaged"]) == mended["made"] == 1
    assert mended["bytes"] == more["bytes"]


def test_a_run_finds_what_the_command_made(tmp_path: Path, few: Path, media: Path, command, monkeypatch) -> None:
    monkeypatch.setenv("EMER_CACHE", str(tmp_path / "features"))
    cache_command("tiny", str(few), str(media), workers=0)
    made = sorted(path.name for path in (tmp_path / "features" / "shards").iterdir())
    code, result, _ = command(
        "fit", "--config", "tiny", "--snapshot", few, "--media", media, "--out", tmp_path / "run", "--no-register",
        "--set", "data.cache=disk", "train.epochs=1", "train.threads=1",
    )  # fmt: skip
    assert (code, result["media"]) == (0, {"video": 3, "audio": 3, "missing": 0})
    assert sorted(path.name for path in (tmp_path / "features" / "shards").iterdir()) == made
