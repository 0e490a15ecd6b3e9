"""Published files are read as snapshots: their faults repaired and counted, nothing invented, nothing silent."""

from __future__ import annotations

import csv
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.training import world
from training.config import load_config
from training.data import select
from training.errors import UsageError
from training.evidence import survey
from training.lineage import entry, leaks
from training.snapshot import read_snapshot
from training.sources import load_sources, parse_spec, stored

V1 = ["names", "emotions", "subtitles", "reasons"]
NOTHING = ("无法判断人物情感状态", "无法根据字幕内容判断情感状态。")
CHINESE = "在视频中，{0}；在音频中，{1}；在文本中，{2}；"


def write_csv(path: Path, header: list[str], rows: list[list[str]]) -> Path:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([header, *rows])
    return path


@pytest.fixture
def v1(tmp_path: Path) -> Path:
    """EMER-V1 in both languages: ten clips, two of them without a subtitle."""
    spoken = ["Don't talk to me.", "", 'He said "no", twice.', "nan", *[f"line {i}" for i in range(6)]]
    said = ["别跟我说话。", "", "他说了两次“不”。", "", *[f"第{i}句" for i in range(6)]]
    for name, words in (("gt-eng.csv", spoken), ("gt-chi.csv", said)):
        rows = [[f"sample_{i:08d}", "angry" if name == "gt-eng.csv" else "生气", words[i], f"reason {i}, {name}"]
                for i in range(10)]  # fmt: skip
        write_csv(tmp_path / name, V1, rows)
    return tmp_path


@pytest.fixture
def v2(tmp_path: Path) -> Path:
    """EMER-V2 with every fault of the published file."""
    text = "In the video, she smiles. In the audio, the voice is bright. In the text, she says yes."
    rows = [
        ["sample_00000001", CHINESE.format("她微笑", "语调明亮", "字幕内容：“好的。” 她同意了"), text],
        ["sample_00000002", CHINESE.format("他皱眉；又在视频中，转身", *NOTHING), f"Input: {text}"],
        ["sample_00000003", CHINESE.format("画面", "声音", "根据视频线索推断"), f"Input: a draft. Output: {text}"],
        ["sample_00000004", CHINESE.format("画面", "声音", "字幕内容：“别说\"了\"”他说"), f"Input: {text} Output:"],
        ["sample_00000005", CHINESE.format("画面", "声音", "字幕内容：“走”"), f"{text} 她 left."],
    ]  # fmt: skip
    return write_csv(tmp_path / "final-EMER-reason.csv", ["name", "chinese", "english"], rows)


def test_emer_v1_has_both_languages_and_an_empty_subtitle_is_none_never_nan(v1: Path) -> None:
    snapshot = read_snapshot(f"emer-v1:{v1}")
    assert (len(snapshot.records), snapshot.grade, snapshot.corpus) == (10, "fine", "emer-v1")
    empty = [clip for clip, record in snapshot.records.items() if record.subtitle["en"] is None]
    assert empty == ["sample_00000001", "sample_00000003"]
    record = snapshot.records["sample_00000002"]
    assert record.subtitle == {"en": 'He said "no", twice.', "zh": "他说了两次“不”。"}
    assert (record.label, record.description["zh"]) == ("angry", "reason 2, gt-chi.csv")
    chosen = select(load_config("tiny"), list(snapshot.records.values()), {})
    assert [sample.subtitle for sample in chosen.samples if sample.clip in empty] == ["", ""]


def test_the_split_is_80_to_20_by_seed_and_part_of_the_digest(v1: Path) -> None:
    first, again, other = (read_snapshot(f"emer-v1:{v1}{seed}") for seed in ("", "", ",seed=1"))
    assert (len(first.splits["train"]), len(first.splits["test"])) == (8, 2)
    assert set(first.splits["train"]) | set(first.splits["test"]) == set(first.records)
    assert (first.digest, first.splits) == (again.digest, again.splits)
    assert other.splits != first.splits
    assert other.digest != first.digest
    assert len(read_snapshot(f"emer-v1:{v1},test=0.5").splits["test"]) == 5
    assert list(read_snapshot(f"emer-v1:{v1},test=0").splits) == ["all"]


def test_the_folder_that_is_stored_has_the_same_digest_records_and_split(v1: Path, tmp_path: Path) -> None:
    spec = f"emer-v1:{v1},seed=3"
    folder = stored(spec, tmp_path / "out" / "snapshot")
    assert stored(spec, folder) == folder
    kept, read = read_snapshot(folder), read_snapshot(spec)
    assert (kept.digest, kept.splits, kept.records) == (read.digest, read.splits, read.records)
    with pytest.raises(UsageError, match="another snapshot"):
        stored(f"emer-v1:{v1}", folder)


def test_emer_v2_loses_its_scaffolding_and_says_how_often(v2: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "training"):
        snapshot = read_snapshot(f"emer-v2:{v2}")
    texts = [record.description["en"] for record in snapshot.records.values()]
    assert len(set(texts[:4])) == 1
    assert not any("put:" in str(text) for text in texts)
    assert "3 repairs" in caplog.text
    assert "Chinese words inside the English text" in caplog.text


def test_emer_v2_gives_subtitles_and_clues_and_leaves_out_those_that_say_nothing(v2: Path) -> None:
    records = read_snapshot(f"emer-v2:{v2}").records
    assert [record.subtitle["zh"] for record in records.values()] == ["好的。", None, None, '别说"了"', "走"]
    first = {(clue["modality"], clue["language"]): clue["text"] for clue in records["sample_00000001"].clues}
    assert first["visual", "zh"] == "在视频中，她微笑"
    assert first["audio", "en"] == "In the audio, the voice is bright."
    second = [clue["modality"] for clue in records["sample_00000002"].clues]
    assert second == ["visual", "visual"]
    assert "又在视频中" in records["sample_00000002"].clues[1]["text"]


def test_labels_come_from_the_openset_file(v2: Path, tmp_path: Path) -> None:
    openset = write_csv(
        tmp_path / "check-openset.csv", ["name", "openset"],
        [["sample_00000001", "['happy', \"don't believe\"]"], ["sample_00000002", "[]"]],
    )  # fmt: skip
    snapshot = read_snapshot(f"emer-v2:{v2},openset={openset}")
    assert snapshot.records["sample_00000001"].ov_labels["en"] == ["happy", "don't believe"]
    assert snapshot.digest != read_snapshot(f"emer-v2:{v2}").digest


def merr(path: Path, entries: dict[str, Any]) -> Path:
    path.write_text(json.dumps(entries, ensure_ascii=False), encoding="utf-8")
    return path


def test_merr_is_coarse_in_both_grades_and_its_defects_are_handled(tmp_path: Path) -> None:
    path = merr(tmp_path / "MERR_fine_grained.json", {
        "samplenew_01": {
            "AU_list": [], "visual_prior_list": ["brow lowered", "lips tight"], "audio_prior_list": "a tense voice",
            "peak_index": "0", "peak_AU_list": [], "pseu_emotion": "angry", "text": "",
            "smp_reason_caption": "She is angry.\\nShe shouts.",
        },
        "samplenew_02": {
            "visual_prior_list": "['皱眉', '嘴角下垂']", "audio_prior_list": "声音低沉", "pseu_emotion": "unknown",
            "smp_reason_caption": "他很难过，声音低沉。", "text": "我走了",
        },
        "samplenew_03": {"pseu_emotion": "sad", "caption": " "},
    })  # fmt: skip
    subtitles = write_csv(tmp_path / "t.csv", ["name", "sentence"], [["samplenew_01", "Go away!"]])
    snapshot = read_snapshot(f"merr:{path},subtitles={subtitles}")
    assert snapshot.grade == "coarse"
    assert list(snapshot.records) == ["samplenew_01", "samplenew_02"]
    first, second = snapshot.records.values()
    assert first.description["en"] == "She is angry. She shouts."
    assert (first.subtitle["en"], first.label, first.ov_labels["en"]) == ("Go away!", "angry", ["angry"])
    assert [clue["text"] for clue in first.clues] == ["brow lowered, lips tight", "a tense voice"]
    assert (second.subtitle["zh"], second.label, second.ov_labels) == ("我走了", None, {"zh": [], "en": []})
    assert [clue["text"] for clue in second.clues] == ["皱眉，嘴角下垂", "声音低沉"]


def test_mer2025_joins_its_tracks_and_an_empty_list_is_neutral(tmp_path: Path) -> None:
    write_csv(tmp_path / "track2_train_ovmerd.csv", ["name", "openset"], [["a", "['sad']"], ["b", "[]"]])
    write_csv(tmp_path / "track3_train_ovmerd.csv", ["name", "reason"], [["a", "He is sad."], ["b", "他很平静。"]])
    write_csv(tmp_path / "subtitle_chieng.csv", ["name", "chinese", "english"], [["a", "走", ""], ["b", "nan", "nan"]])
    snapshot = read_snapshot(f"mer2025-ovmerd:{tmp_path},test=0")
    assert snapshot.grade == "fine"
    assert snapshot.records["b"].ov_labels["en"] == ["neutral"]
    assert snapshot.records["b"].description == {"zh": "他很平静。", "en": None}
    assert snapshot.records["a"].subtitle == {"zh": "走", "en": None}
    assert snapshot.records["b"].subtitle == {"zh": None, "en": None}
    with pytest.raises(UsageError, match="neither track2_train_mercaptionplus.csv nor"):
        read_snapshot(f"mer2025-mercaptionplus:{tmp_path}")


@pytest.fixture
def instructions(tmp_path: Path) -> Path:
    """One of each instruction set, with pictures and a video, and rows that are broken."""
    for name in ("0", "1"):
        Image.new("RGB", (40, 30), (200, 10, 10)).save(tmp_path / f"{name}.jpg")
    (tmp_path / "coco").mkdir()
    Image.new("RGB", (64, 48), (10, 200, 10)).save(tmp_path / "coco" / "COCO_train2014_000000000009.jpg")
    (tmp_path / "videos" / "page").mkdir(parents=True)
    world.write_clip(tmp_path / "videos" / "page" / "17.mp4", 1)
    (tmp_path / "filter_cap.json").write_text(json.dumps({"annotations": [
        {"image_id": "0", "caption": "A red square."}, {"image_id": "1", "caption": "Again red."},
        {"image_id": "2", "caption": ""},
    ]}))  # fmt: skip
    turns = [("human", "<image>\nWhat is it?"), ("gpt", "A green field."), ("human", "And why?"), ("gpt", "Grass.")]
    said = [{"from": who, "value": text} for who, text in turns]
    (tmp_path / "llava.json").write_text(json.dumps([
        {"id": "9", "image": "000000000009.jpg", "conversations": said},
        {"id": "9", "image": "000000000009.jpg", "conversations": said[:2]},
        {"id": "8", "image": "../../etc/passwd", "conversations": said[:2]},
        {"id": "7", "image": "x.jpg", "conversations": said[:1]},
    ]))  # fmt: skip
    (tmp_path / "videochat.json").write_text(json.dumps([
        {"video": "page/17.mp4",
         "QA": [{"i": "x", "q": "What moves?", "a": "A square."}, {"q": "Where?", "a": "Right."}]},
    ]))  # fmt: skip
    return tmp_path


def test_instruction_sets_are_pictures_and_videos_with_turns(instructions: Path) -> None:
    captions = read_snapshot(f"cc_sbu:{instructions / 'filter_cap.json'}")
    assert list(captions.records) == ["cc_sbu/0", "cc_sbu/1"]
    turns = captions.records["cc_sbu/0"].turns
    assert turns is not None
    assert turns[0][1] == "A red square."
    assert turns[0][0].endswith((".", "?"))
    found = survey(captions.records.values(), captions, instructions)
    assert found.counts() == {"video": 2, "audio": 0, "missing": 0}
    assert found.files["cc_sbu/0"].image

    talk = read_snapshot(f"llava:{instructions / 'llava.json'}")
    assert list(talk.records) == ["llava/8", "llava/9", "llava/9#1"]
    assert talk.records["llava/9"].turns == [("What is it?", "A green field."), ("And why?", "Grass.")]
    found = survey(talk.records.values(), talk, instructions / "coco")
    assert sorted(found.files) == ["llava/9", "llava/9#1"]
    assert "no media file" in found.missing["llava/8"]  # a path that leaves the folder is none

    films = read_snapshot(f"videochat:{instructions / 'videochat.json'}")
    found = survey(films.records.values(), films, instructions / "videos")
    assert found.files["videochat/page/17"].has_video
    assert films.records["videochat/page/17"].turns == [("What moves?", "A square."), ("Where?", "Right.")]


def test_a_mixture_reads_each_source_with_its_own_media(instructions: Path, v1: Path) -> None:
    pictures = f"{{path: 'cc_sbu:{instructions / 'filter_cap.json'}', media: '{instructions}', weight: 2}}"
    config = load_config("tiny", [f"data.sources=[{pictures}, {{path: 'emer-v1:{v1}', split: train}}]"])
    captions, emer = load_sources(config)
    assert [(source.number, source.split, len(source.records)) for source in (captions, emer)] == [
        (1, "all", 2), (2, "train", 8)]  # fmt: skip
    assert captions.media.counts()["video"] == 2
    assert emer.media.counts()["missing"] == 8
    chosen = select(config, captions.records, captions.media.files, captions.number)
    assert [sample.source for sample in chosen.samples] == [1, 1]
    # Without its picture an instruction is left out and named, not asked about nothing.
    assert select(config, captions.records, {}, 1).without_media == ["cc_sbu/0", "cc_sbu/1"]


def test_a_source_of_the_other_grade_is_refused(v1: Path) -> None:
    config = load_config("tiny-stage1", [f"data.sources=[{{path: 'emer-v1:{v1}'}}]"])
    with pytest.raises(UsageError, match="fine records, stage 1 trains on coarse"):
        load_sources(config)


def test_a_clip_of_both_emer_editions_is_a_leak_by_its_name(v1: Path, v2: Path) -> None:
    first, second = read_snapshot(f"emer-v1:{v1}"), read_snapshot(f"emer-v2:{v2}")
    lineage = [entry(first, "train", 2, list(first.records.values()))]
    found = leaks(lineage, second, list(second.records.values()))
    assert [leak.clip for leak in found] == [f"sample_{number:08d}" for number in range(1, 6)]
    assert {leak.by for leak in found} == {"name"}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("emer-v2:{}/none.csv", "none.csv: No such file"),
        ("emer-v2:{}/final-EMER-reason.csv,seed=x", "seed='x'"),
        ("emer-v2:{}/final-EMER-reason.csv,test=1.5", "share below 1"),
        ("emer-v2:{}/final-EMER-reason.csv,openset={}/none.csv", "none.csv"),
        ("merr:{}/final-EMER-reason.csv,seed=1", "takes no option 'seed'"),
        ("merr:{}/final-EMER-reason.csv", "not JSON"),
        ("emer-v1:{}/nowhere", "not a folder"),
        ("cc_sbu:", "names no path"),
    ],
)
def test_what_cannot_be_read_is_a_usage_error_that_names_it(v2: Path, spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("[", r"\[")):
        read_snapshot(spec.replace("{}", str(v2.parent)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"names,emotions\na,b\n", "no column 'subtitles'"),
        (b"names,emotions,subtitles,reasons\na,b,c\n", "line 2: not as many cells"),
        (b"names,emotions,subtitles,reasons\na,b,c,d\na,b,c,d\n", "line 3: clip 'a' stands there twice"),
        (b"names,emotions,subtitles,reasons\n,b,c,d\n", "line 2: no clip name"),
        (b"names,emotions,subtitles,reasons\na,b,c,\xff\n", "not UTF-8"),
    ],
)
def test_a_bad_table_is_named_by_file_and_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "gt-eng.csv").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_snapshot(f"emer-v1:{tmp_path}")


def test_a_plain_path_with_a_colon_is_a_path() -> None:
    assert parse_spec("/data/a:b") is None
    assert parse_spec("C:/snapshots/one") is None
    spec = parse_spec("emer-v2:/data/x,y.csv,openset=/o,1.csv,seed=7")
    assert spec is not None
    assert (str(spec.path), spec.options) == ("/data/x,y.csv", {"openset": "/o,1.csv", "seed": "7"})


def test_mer2025_s_folders_are_looked_into(tmp_path: Path) -> None:
    (tmp_path / "video").mkdir()
    world.write_clip(tmp_path / "video" / "a.mp4", 1)
    faces = tmp_path / "openface_face" / "a"
    faces.mkdir(parents=True)
    np.save(faces / "a.npy", np.zeros((4, 112, 112, 3), np.uint8))
    write_csv(tmp_path / "track2_train_human.csv", ["name", "openset"], [["a", "['sad']"], ["b", "['sad']"]])
    snapshot = read_snapshot(f"mer2025-human:{tmp_path},test=0")
    config = load_config("tiny", ["data.faces=openface"])
    found = survey(snapshot.records.values(), snapshot, tmp_path, config)
    assert found.counts() == {"video": 1, "audio": 1, "missing": 1}
    assert found.files["a"].faces == faces / "a.npy"
    assert found.files["a"].faces_sha256


def test_a_run_trains_on_emer_v1_with_pictures_and_a_conversation_beside(
    v1: Path, instructions: Path, tmp_path: Path, command: Any
) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    for index in range(10):
        world.write_clip(clips / f"sample_{index:08d}.avi", index, seconds=0.5)
    sources = ", ".join(
        f"{{path: '{kind}:{instructions / file}', media: '{instructions / place}'}}"
        for kind, file, place in (("cc_sbu", "filter_cap.json", "."), ("videochat", "videochat.json", "videos"))
    )
    run = tmp_path / "run"
    code, result, errors = command(
        "fit", "--config", "tiny", "--snapshot", f"emer-v1:{v1}", "--media", clips, "--out", run, "--no-register",
        "--set", "train.iters_per_epoch=8", "train.epochs=1", "train.batch_size=2", "train.threads=1",
        "data.crop_scale=[0.5, 1.0]", "data.views=2", f"data.sources=[{sources}]",
    )  # fmt: skip
    assert code == 0, errors
    assert np.isfinite(result["loss"])
    assert result["media"] == {"video": 8, "audio": 8, "missing": 0}
    # The drawn split lies beside the run, and the lineage names every clip that was trained on.
    kept = read_snapshot(f"{run}.snapshot")
    assert kept.digest == read_snapshot(f"emer-v1:{v1}").digest
    lineage = json.loads((run / "lineage.json").read_text())
    assert sorted(row["clip"] for stage in lineage for row in stage["clips"]) == sorted(
        [*kept.splits["train"], "cc_sbu/0", "cc_sbu/1", "videochat/page/17"]
    )
    # A picture of the mixture that is gone stops the run before it begins.
    (instructions / "0.jpg").unlink()
    code, _, errors = command(
        "fit", "--config", "tiny", "--snapshot", f"emer-v1:{v1}", "--media", clips, "--out", tmp_path / "two",
        "--no-register", "--set", f"data.sources=[{sources}]",
    )  # fmt: skip
    assert code == 2
    assert "1 of 2 clips have no readable media (cc_sbu/0" in errors
