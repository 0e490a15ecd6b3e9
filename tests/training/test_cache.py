"""Features are kept by content: made once, found again by anyone, never used when damaged."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training import world
from training import shards
from training.building import BuildReport, build
from training.cache import Absent, FeatureStore, cache_folder, open_store
from training.config import Config, load_config
from training.data import Featurizer, Sample, needed
from training.errors import TrainingError, UsageError
from training.media import MediaFile, look
from training.shards import Shards

ROOT = Path(__file__).parents[2]
IDENTITIES = {"visual": "v", "audio": "a"}
NAMES = [f"clip_{index:02d}" for index in range(10)]


class Means:
    """A frozen encoder that is quick to check: means of picture quarters, means of mel bins."""

    device = torch.device("cpu")

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay
        self.clips = 0

    def encode_many(self, modality: str, several: list[dict[str, torch.Tensor]], segments: Any) -> list[torch.Tensor]:
        time.sleep(self.delay * len(several))
        self.clips += len(several)
        return [self._one(modality, inputs) for inputs in several]

    def encode(self, modality: str, inputs: dict[str, torch.Tensor], segments: int) -> torch.Tensor:
        return self.encode_many(modality, [inputs], segments)[0]

    def _one(self, modality: str, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        if modality == "audio":
            return inputs["mel"].float().mean(1)
        frames = inputs["frames"].float()
        half = frames.shape[1] // 2
        quarters = [frames[:, a : a + half, b : b + half].mean((1, 2)) for a in (0, half) for b in (0, half)]
        return torch.stack(quarters, 1)


def encoder_of(delay: float) -> Means:
    return Means(delay)


def opened(path: Path) -> MediaFile:
    return MediaFile(path, **look(None, str(path)))


def samples_of(media: Path, clips: list[str]) -> list[Sample]:
    return [Sample(clip, "", "", opened(media / f"{clip}.mp4")) for clip in clips]


def store_at(folder: Path | None, *settings: str) -> FeatureStore:
    return open_store(load_config("tiny", ["data.cache=disk", *settings]), IDENTITIES, folder)


def fill(store: FeatureStore, samples: list[Sample], workers: int = 0, encoder: Any = None, **more: Any) -> BuildReport:
    return build(store, samples, lambda sample: needed(store.config, sample), encoder or Means(), workers, **more)


def both(store: FeatureStore, sample: Sample, view: int | None = None) -> dict[str, torch.Tensor]:
    return store.get(sample, {"video", "audio"}, view)


@pytest.fixture(scope="module")
def few_samples(media: Path) -> list[Sample]:
    return samples_of(media, NAMES[:3])


@pytest.fixture
def many(media: Path) -> list[Sample]:
    return samples_of(media, NAMES)


def test_made_once_by_workers_and_found_again_memory_mapped_by_another_process(
    tmp_path: Path, many: list[Sample]
) -> None:
    encoder, lines = Means(), []
    report = fill(store_at(tmp_path), many, 2, encoder, progress=lines.append)
    assert (report.made, report.kept, report.failed) == (10, 0, {})
    assert encoder.clips == 20
    assert report.bytes == store_at(tmp_path).bytes > 0
    assert "10/10 files" in lines[-1]
    assert "done" in lines[-1]
    again = store_at(tmp_path)
    assert fill(again, many, 2, encoder).kept == 10
    assert encoder.clips == 20
    found = both(again, many[0])
    assert found["video"].shape == (8, 4, 3)
    (shard,) = (tmp_path / "shards").glob("*.safetensors")
    mapped = [line for line in Path("/proc/self/maps").read_text().splitlines() if shard.name in line]
    assert mapped


def test_in_this_process_or_in_others_the_features_are_the_same(tmp_path: Path, many: list[Sample]) -> None:
    here, there = store_at(tmp_path / "here"), store_at(tmp_path / "there")
    fill(here, many, 0)
    fill(there, many, 2)
    for sample in many:
        a, b = both(here, sample), both(there, sample)
        assert all(torch.equal(a[modality], b[modality]) for modality in a)


def test_disk_memory_and_none_give_the_same_features(tmp_path: Path, few_samples: list[Sample], media: Path) -> None:
    found = []
    for how in ("disk", "memory", "none"):
        config = load_config("tiny", [f"data.cache={how}", "data.cache_dtype=bfloat16"])
        featurizer = Featurizer(Means(), config, open_store(config, IDENTITIES, tmp_path))  # type: ignore[arg-type]
        report = featurizer.build(few_samples, workers=0)
        assert report.made == (0 if how == "none" else 3)
        found.append(featurizer.features(few_samples[1]))
    assert found[0]["audio"].dtype == torch.bfloat16
    for other in found[1:]:
        assert all(torch.equal(found[0][modality], other[modality]) for modality in ("video", "audio"))


def test_the_key_is_the_content_not_the_name(tmp_path: Path, media: Path) -> None:
    other = tmp_path / "换了名字 ; rm -rf $HOME.mp4"
    other.write_bytes((media / "clip_00.mp4").read_bytes())
    store, encoder = store_at(tmp_path / "c"), Means()
    samples = [*samples_of(media, NAMES[:1]), Sample("另一个名字", "", "", opened(other))]
    report = fill(store, samples, 0, encoder)
    assert (report.made, encoder.clips) == (2, 2)  # one file, two modalities
    first, second = (both(store, sample) for sample in samples)
    assert torch.equal(first["audio"], second["audio"])


@pytest.mark.parametrize(
    ("setting", "fresh"),
    [
        ("model.vision.layers=1", {"video"}),
        ("model.vision.image_size=70", {"video"}),
        ("model.audio.mel_bins=64", {"audio"}),
        ("data.window_seconds=1.0", {"audio"}),
        ("data.frames=4", {"video", "audio"}),
        ("data.seconds_per_frame=0.5", {"video", "audio"}),
        ("data.cache_dtype=float16", {"video", "audio"}),
        ("train.lr=1", set()),
        ("model.llm.layers=1", set()),
        ("data.max_length=900", set()),
        ("data.crop_scale=[0.5, 1.0]", set()),
    ],
)
def test_what_decides_a_feature_is_in_its_key_and_nothing_else(
    tmp_path: Path, few_samples: list[Sample], setting: str, fresh: set[str]
) -> None:
    plain, changed = store_at(tmp_path), store_at(tmp_path, setting)
    for modality in ("video", "audio"):
        same = plain.entry(few_samples[0], modality, None).key == changed.entry(few_samples[0], modality, None).key
        assert same is (modality not in fresh), modality


def test_other_weights_are_another_key(tmp_path: Path, few_samples: list[Sample]) -> None:
    config = load_config("tiny", ["data.cache=disk"])
    one, two = (open_store(config, {"visual": "v", "audio": audio}, tmp_path) for audio in ("a", "b"))
    assert one.entry(few_samples[0], "audio", None).key != two.entry(few_samples[0], "audio", None).key
    assert one.entry(few_samples[0], "video", None).key == two.entry(few_samples[0], "video", None).key


def test_a_run_on_sound_alone_finds_the_entries_of_a_run_on_both(tmp_path: Path, few_samples: list[Sample]) -> None:
    fill(store_at(tmp_path), few_samples)
    encoder = Means()
    report = fill(store_at(tmp_path, "data.video=false"), few_samples, 0, encoder)
    assert (report.kept, encoder.clips) == (3, 0)


def test_k_views_are_crops_that_depend_on_the_media_and_the_view_alone(
    tmp_path: Path, few_samples: list[Sample]
) -> None:
    settings = ("data.crop_scale=[0.3, 0.6]", "data.views=3")
    store, again = store_at(tmp_path / "a", *settings), store_at(tmp_path / "b", *settings)
    encoder = Means()
    fill(store, few_samples, 0, encoder)
    assert encoder.clips == 3 * 3 + 3  # three crops of the pictures, one sound
    fill(again, list(reversed(few_samples)))
    for sample in few_samples:
        views = [store.get(sample, {"video"}, view)["video"] for view in range(3)]
        assert not any(torch.equal(views[a], views[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
        assert torch.equal(views[1], again.get(sample, {"video"}, 1)["video"])
    with pytest.raises(Absent):
        store.get(few_samples[0], {"video"}, None)  # whole pictures, as evaluation wants them, were not asked for


def test_a_visit_draws_one_of_the_views_and_the_same_one_each_time(tmp_path: Path, few_samples: list[Sample]) -> None:
    store = store_at(tmp_path, "data.crop_scale=[0.3, 0.6]", "data.views=3")
    featurizer = Featurizer(Means(), store.config, store)  # type: ignore[arg-type]
    featurizer.build(few_samples, workers=0)
    drawn = [featurizer.view((42, number, 0)) for number in range(60)]
    assert set(drawn) == {0, 1, 2}
    assert drawn == [featurizer.view((42, number, 0)) for number in range(60)]
    assert torch.equal(
        featurizer.features(few_samples[0], (42, 5, 0))["video"],
        store.get(few_samples[0], {"video"}, drawn[5])["video"],
    )


def damage(folder: Path, store: FeatureStore, sample: Sample, modality: str) -> None:
    """Turn one bit of one entry's bytes on disk."""
    (shard,) = (folder / "shards").glob("*.safetensors")
    data = bytearray(shard.read_bytes())
    size = int.from_bytes(data[:8], "little")
    place = json.loads(data[8 : 8 + size])[store.entry(sample, modality, None).key]["data_offsets"][0]
    data[8 + size + place] ^= 1
    shard.write_bytes(data)


def test_a_damaged_entry_is_named_forgotten_and_made_again(tmp_path: Path, few_samples: list[Sample]) -> None:
    fill(store_at(tmp_path), few_samples)
    good = both(store_at(tmp_path), few_samples[1])["audio"].clone()
    damage(tmp_path, store_at(tmp_path), few_samples[1], "audio")
    report = store_at(tmp_path).verify()
    assert report.checked == 6
    assert [(row["clip"], row["modality"]) for row in report.damaged] == [("clip_01", "audio")]
    assert "sha256" in report.damaged[0]["reason"]
    store, encoder = store_at(tmp_path), Means()
    built = fill(store, few_samples, 0, encoder)
    assert (built.made, built.kept, encoder.clips) == (1, 2, 1)
    assert torch.equal(both(store, few_samples[1])["audio"], good)
    assert store_at(tmp_path).verify().damaged == []


def test_a_damaged_entry_that_nobody_verified_is_not_used_but_made_again(
    tmp_path: Path, few_samples: list[Sample]
) -> None:
    fill(store_at(tmp_path), few_samples)
    good = both(store_at(tmp_path), few_samples[0])["video"].clone()
    damage(tmp_path, store_at(tmp_path), few_samples[0], "video")
    with pytest.raises(Absent):
        both(store_at(tmp_path), few_samples[0])
    damage_undone = store_at(tmp_path)  # it was taken out of the index for everybody
    assert not damage_undone.has(few_samples[0], "video")
    store = store_at(tmp_path)
    featurizer = Featurizer(Means(), store.config, store)  # type: ignore[arg-type]
    assert torch.equal(featurizer.features(few_samples[0])["video"], good)
    store.close()
    assert torch.equal(both(store_at(tmp_path), few_samples[0])["video"], good)


def test_damage_that_shows_after_the_encoders_were_let_go_is_named_and_mended_by_a_resume(
    tmp_path: Path, few_samples: list[Sample]
) -> None:
    fill(store_at(tmp_path), few_samples)
    damage(tmp_path, store_at(tmp_path), few_samples[0], "video")
    store, encoder = store_at(tmp_path), Means()
    encoder.visual = None  # type: ignore[attr-defined]  # as AffectGPT.release_encoders leaves it
    with pytest.raises(TrainingError, match="clip_00: its kept features are gone or damaged.*--resume"):
        Featurizer(encoder, store.config, store).features(few_samples[0])  # type: ignore[arg-type]
    assert fill(store_at(tmp_path), few_samples).made == 1


@pytest.mark.parametrize("how", ["cut", "gone", "noise"])
def test_a_shard_that_is_cut_off_or_gone_costs_its_own_entries(tmp_path: Path, many: list[Sample], how: str) -> None:
    fill(store_at(tmp_path), many[:3])
    fill(store_at(tmp_path), many)
    first, second = sorted((tmp_path / "shards").glob("*.safetensors"))
    if how == "gone":
        first.unlink()
    else:
        first.write_bytes(first.read_bytes()[:-100] if how == "cut" else b"\xff" * 5000)
    store, encoder = store_at(tmp_path), Means()
    with pytest.raises(Absent):
        both(store, many[0])
    assert len(both(store, many[5])) == 2
    assert fill(store, many, 0, encoder).kept == 7
    assert encoder.clips == 6
    assert store.verify().damaged == []


def test_an_index_that_is_no_json_costs_its_shard_and_no_more(tmp_path: Path, few_samples: list[Sample]) -> None:
    fill(store_at(tmp_path), few_samples)
    (index,) = (tmp_path / "shards").glob("*.jsonl")
    index.write_text("{not json\nnor this\n")
    assert fill(store_at(tmp_path), few_samples).made == 3


def test_a_clip_that_does_not_decode_is_reported_with_its_reason_and_the_others_are_made(
    tmp_path: Path, many: list[Sample]
) -> None:
    bad = tmp_path / "坏的.mp4"
    world.write_clip(bad, 13)
    sample = Sample("坏的", "", "", opened(bad))
    bad.write_bytes(b"not a film any more" * 100)
    report = fill(store_at(tmp_path / "c"), [*many[:4], sample, *many[4:]], 2)
    assert report.made == 10
    assert list(report.failed) == ["坏的"]
    assert "坏的.mp4" in report.failed["坏的"]


def test_a_stream_that_gives_nothing_is_a_failure_of_the_clip(tmp_path: Path, media: Path) -> None:
    import dataclasses

    film = opened(media / "clip_00.mp4")
    silent = world.write_clip(tmp_path / "silent.mp4", 0, audio=False)
    claimed = dataclasses.replace(film, path=silent, sha256="0" * 64)  # the survey saw sound, and now there is none
    report = fill(store_at(tmp_path / "c"), [Sample("silent", "", "", claimed)])
    assert "audio" in report.failed["silent"]
    assert report.made == 0


def builder(folder: Path, media: Path, clips: list[str], seconds: float = 0.2, workers: int = 1) -> subprocess.Popen:
    words = ["tests.training.acts", str(folder), str(media), ",".join(clips), str(workers), str(seconds)]
    return subprocess.Popen(
        [sys.executable, "-m", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def complete(folder: Path) -> int:
    return len(list((folder / "shards").glob("*.jsonl")))


def test_a_builder_killed_amid_its_work_loses_one_shard_and_is_gone_on_with(tmp_path: Path, media: Path) -> None:
    folder = tmp_path / "c"
    process = builder(folder, media, NAMES)
    while complete(folder) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    children = children_of(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    store = store_at(folder)
    kept = [name for name in NAMES if store.has(samples_of(media, [name])[0], "audio")]
    assert 0 < len(kept) < 10
    assert store.verify().damaged == []
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{child}").exists() for child in children)  # the workers left with it
    encoder = Means()
    report = fill(store, samples_of(media, NAMES), 0, encoder)
    assert report.kept + report.made == 10
    assert report.kept >= len(kept) - 1
    assert encoder.clips <= 2 * (10 - len(kept)) + 1
    # What a killed one leaves at its various moments is swept, and nothing else.
    whole = next((folder / "shards").glob("*.safetensors"))
    for suffix in (".writing", ".tmp", ".safetensors"):
        (folder / "shards" / f"00000000000000000001-1-dead{suffix}").write_bytes(whole.read_bytes())
    removed = store.prune()
    assert removed["files"] >= 3
    assert removed["entries"] == 0
    assert {path.suffix for path in (folder / "shards").iterdir()} == {".jsonl", ".safetensors"}
    assert store_at(folder).verify().checked == 20


def test_a_build_that_is_told_to_stop_keeps_what_it_made_and_lets_its_workers_go(
    tmp_path: Path, many: list[Sample]
) -> None:
    class Told(Means):
        def encode_many(self, modality: str, several: Any, segments: Any) -> list[torch.Tensor]:
            if self.clips >= 8:
                raise KeyboardInterrupt
            return super().encode_many(modality, several, segments)

    before = children_of(os.getpid())
    with pytest.raises(KeyboardInterrupt):
        fill(store_at(tmp_path), many, 2, Told())
    assert children_of(os.getpid()) == before
    assert fill(store_at(tmp_path), many).kept == 4


def children_of(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def test_two_builders_at_once_on_one_folder_do_not_spoil_each_other(tmp_path: Path, media: Path) -> None:
    folder = tmp_path / "c"
    processes = [builder(folder, media, names, workers=0) for names in (NAMES[:8], list(reversed(NAMES))[:8])]
    while complete(folder) < 1:
        time.sleep(0.01)
    store_at(folder).prune()  # meanwhile: what live builders are writing stays
    assert [process.wait() for process in processes] == [0, 0]
    store = store_at(folder)
    for sample in samples_of(media, NAMES):
        assert len(both(store, sample)) == 2
    report = store.verify()
    assert report.damaged == []
    assert 20 <= report.checked <= 32
    alone = store_at(tmp_path / "alone")
    fill(alone, samples_of(media, NAMES))
    for sample in samples_of(media, NAMES):
        assert torch.equal(both(store, sample)["video"], both(alone, sample)["video"])
    store.prune()
    assert store_at(folder).verify().checked == 20  # second copies left


def test_prune_keeps_what_this_config_made_and_drops_other_encoders_work(
    tmp_path: Path, few_samples: list[Sample]
) -> None:
    fill(store_at(tmp_path), few_samples)
    fill(store_at(tmp_path, "data.frames=4"), few_samples)
    store = store_at(tmp_path)
    before = sum(path.stat().st_size for path in (tmp_path / "shards").iterdir())
    removed = store.prune()
    after = sum(path.stat().st_size for path in (tmp_path / "shards").iterdir())
    assert removed["entries"] == 6
    assert after < before
    assert len(both(store_at(tmp_path), few_samples[0])) == 2
    with pytest.raises(Absent):
        both(store_at(tmp_path, "data.frames=4"), few_samples[0])


def test_shards_are_closed_at_their_size(tmp_path: Path, many: list[Sample], monkeypatch) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", 10_000)
    fill(store_at(tmp_path), many)
    assert complete(tmp_path) > 3
    assert store_at(tmp_path).verify().checked == 20


def test_what_another_process_added_is_found_after_a_refresh(tmp_path: Path, few_samples: list[Sample]) -> None:
    early = store_at(tmp_path)
    fill(store_at(tmp_path), few_samples)
    assert not early.has(few_samples[0], "video")
    early.refresh()
    assert len(both(early, few_samples[0])) == 2


def test_features_that_exceed_the_memory_are_not_all_made(few_samples: list[Sample], many: list[Sample]) -> None:
    config = load_config("tiny", ["data.cache_mb=1"])
    store = open_store(config, IDENTITIES)
    store.keep.limit = 20_000  # type: ignore[attr-defined]
    lines: list[str] = []
    encoder = Means()
    report = fill(store, many, 0, encoder, progress=lines.append)
    assert report.made < 10
    assert any("exceed data.cache_mb" in line for line in lines)
    featurizer = Featurizer(encoder, config, store)  # type: ignore[arg-type]
    for sample in many:  # the least recently used leave
        assert set(featurizer.features(sample)) == {"video", "audio"}
    assert store.bytes <= 20_000


def test_a_store_without_a_place_or_in_a_file_s_place_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs a folder"):
        store_at(None)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="feature cache"):
        store_at(tmp_path / "file")


def test_where_the_cache_lies(tmp_path: Path, monkeypatch) -> None:
    config = load_config("tiny", ["data.cache=disk"])
    monkeypatch.delenv("EMER_CACHE", raising=False)
    assert cache_folder(config, tmp_path / "runs" / "one") == tmp_path / "runs" / "features"
    monkeypatch.setenv("EMER_CACHE", str(tmp_path / "here"))
    assert cache_folder(config) == tmp_path / "here"
    config.data.cache_dir = str(tmp_path / "there")
    assert cache_folder(config) == tmp_path / "there"
    assert cache_folder(load_config("tiny")) is None


def test_the_real_encoders_features_come_back_bit_by_bit(tmp_path: Path, media: Path) -> None:
    from training.weights import assemble, identities, make_tokenizer

    config: Config = load_config("tiny", ["data.cache=disk"])
    model = assemble(config, make_tokenizer(config, ["hello"]))
    store = open_store(config, identities(config, model), tmp_path)
    samples = samples_of(media, NAMES[:2])
    kept, fresh = Featurizer(model, config, store), Featurizer(model, load_config("tiny", ["data.cache=none"]))
    kept.build(samples, workers=0)
    for sample in samples:
        for modality, value in fresh.features(sample).items():
            assert torch.equal(kept.features(sample)[modality], value)


def test_an_entry_says_whose_it_is_in_its_index(tmp_path: Path, few_samples: list[Sample]) -> None:
    fill(store_at(tmp_path), few_samples)
    (index,) = (tmp_path / "shards").glob("*.jsonl")
    head, *rows = [json.loads(line) for line in index.read_text().splitlines()]
    assert {space["modality"] for space in head["spaces"].values()} == {"video", "audio"}
    assert {row["clip"] for row in rows} == set(NAMES[:3])
    first = next(row for row in rows if row["clip"] == "clip_00")
    assert first["media"] == hashlib.sha256(few_samples[0].media.path.read_bytes()).hexdigest()  # type: ignore[union-attr]
    assert isinstance(store_at(tmp_path).keep, Shards)
