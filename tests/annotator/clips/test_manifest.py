"""Clips by row: what is wrong with a row is said with its line; nothing is opened, no address is trusted."""

import io
import json
from pathlib import Path

import pytest

from annotator.clips import hooks, manifest
from annotator.clips.manifest import ASPECTS, MODALITIES, check_url, ingest_manifest, ingest_rows, jsonl_rows
from annotator.clips.models import Clip, Corpus, Subtitle
from annotator.clips.reports import Report
from annotator.core.errors import Invalid
from annotator.prelabels import models as prelabels

pytestmark = pytest.mark.django_db
SHA = "ab" * 32


def ingest(corpus: Corpus, *lines: object) -> Report:
    raw = b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    return ingest_rows(corpus, jsonl_rows(io.BytesIO(raw).readline), Report())


def test_a_row_becomes_a_clip_with_all_it_says(corpus: Corpus) -> None:
    row = {
        "name": "片段_1", "media": "https://example.org/a.mp4", "sha256": SHA.upper(), "duration": 3.25,
        "source": "film-7", "speaker": "lin", "licence": "restricted", "subtitle_zh": "你好", "subtitle_en": None,
        "label": "happy", "extra": {"kept": "out"},
    }  # fmt: skip
    report = ingest(corpus, row)
    assert (report.created, report.failed) == (1, [])
    assert report.repaired == [{"name": "片段_1", "field": "sha256", "rule": "lower-case"}]
    clip = Clip.objects.get()
    assert (clip.media, clip.media_url, clip.media_sha256) == ("url", "https://example.org/a.mp4", SHA)
    assert (clip.duration, clip.source, clip.speaker, clip.label) == (3.25, "film-7", "lin", "happy")
    assert clip.effective_licence == "restricted"
    assert Subtitle.objects.get().text == "你好"
    assert ingest(corpus, row).unchanged == 1
    assert ingest(corpus, {**row, "speaker": "zhou"}).updated == 1


def test_bad_rows_are_named_by_line_and_the_rest_goes_on(corpus: Corpus) -> None:
    bad = [
        b"{not json", b"[1]", b"\xc4\xe3", {"media": "x.mp4"}, {"name": "../up"}, {"name": "a\u0000"}, {"name": 7},
        {"name": "d1", "duration": "long"}, {"name": "d2", "duration": -1}, {"name": "s", "sha256": "xyz"},
        {"name": "m1", "media": "../../etc/passwd"}, {"name": "m2", "media": "http://127.0.0.1/x.mp4"},
        {"name": "m3", "media": "file:///etc/passwd"}, {"name": "t", "subtitle_zh": ["list"]},
        {"name": "u", "subtitle_en": "half \ud83d"}, {"name": "c", "clues": [{"modality": "smell"}]},
        b'{"name": "i", "duration": Infinity}', b'{"name":"' + b"x" * manifest.MAX_LINE + b'"}',
    ]  # fmt: skip
    report = ingest(corpus, *bad, {"name": "good"}, b"", {"name": "good"}, b'{"name": "nan", "subtitle_en": NaN}')
    assert [entry["line"] for entry in report.failed] == [*range(1, len(bad) + 1), len(bad) + 3]
    assert "used twice" in report.failed[-1]["reason"]
    assert set(Clip.objects.values_list("name", flat=True)) == {"good", "nan"}
    assert report.repaired == [{"name": "nan", "field": "subtitle_en", "rule": "nan-is-missing"}]


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/a", "http://127.0.0.1/a", "http://127.1/a", "http://0x7f000001/a", "http://2130706433/",
        "http://10.0.0.5/a", "http://192.168.1.1/", "http://169.254.169.254/latest", "http://[::1]/a",
        "http://[::ffff:10.0.0.1]/", "http://[fd00::1]/", "http://intranet/a", "http://nas.local/a", "http://0/",
        "ftp://example.org/a", "file:///etc/passwd", "http://user:pw@example.org/", "http:///a", "http://[bad/",
        "http://localhost./a", "http://example.org:99999/", "http://example.org/a b", "javascript://x/%0aalert(1)",
        "http://017700000001/",
    ],
)  # fmt: skip
def test_addresses_that_are_private_or_no_web_addresses_are_refused(url: str) -> None:
    with pytest.raises(Invalid):
        check_url(url)


@pytest.mark.parametrize("url", ["https://example.org/a.mp4", "http://8.8.8.8/x", "https://例子.测试/视频.mp4"])
def test_public_addresses_are_taken(url: str) -> None:
    assert check_url(url) == url


def test_the_stricter_licence_wins_and_an_unknown_one_is_restricted(corpus: Corpus) -> None:
    report = ingest(corpus, {"name": "a", "licence": "open"}, {"name": "b", "licence": "CC-BY"}, {"name": "c"})
    assert report.repaired == [{"name": "b", "field": "licence", "rule": "unknown-is-restricted"}]
    assert {c.name: c.effective_licence for c in Clip.objects.all()} == {"a": "open", "b": "restricted", "c": "open"}
    assert "stays so" in ingest(corpus, {"name": "b", "licence": "open"}).warnings[0]["reason"]
    assert Clip.objects.get(name="b").licence == "restricted"


def test_a_hash_under_two_names_is_a_duplicate_and_another_hash_fails(corpus: Corpus) -> None:
    report = ingest(corpus, {"name": "a", "sha256": SHA}, {"name": "b", "sha256": SHA})
    assert (report.created, report.duplicates) == (1, [{"name": "b", "of": "a"}])
    report = ingest(corpus, {"name": "a", "sha256": "cd" * 32})
    assert "never changes" in report.failed[0]["reason"]


def test_clues_reach_the_room_that_takes_them(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    clue = {"modality": "audio", "aspect": "tone", "language": "zh", "text": "语速很快", "source": "gpt-x"}
    taken: dict = {}
    monkeypatch.setattr(hooks, "clue_importers", [lambda _corpus, clues: taken.update(clues) or set(clues)])
    ingest(corpus, {"name": "a", "clues": [clue]}, {"name": "b"})
    assert taken == {Clip.objects.get(name="a").pk: [clue]}


def test_the_checked_words_are_those_of_the_prelabels() -> None:
    assert MODALITIES == prelabels.MODALITIES
    assert ASPECTS == prelabels.ASPECTS


def test_a_csv_manifest_with_a_bom_and_clues_in_a_cell(corpus: Corpus, tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text('\ufeffname,media,duration,subtitle_zh\n一,clips/1.mp4,2.5,"他说:""好"""\n二,,abc,\n', "utf-8")
    report = ingest_manifest(corpus, path)
    assert report.created == 1
    assert report.failed[0]["line"] == 3
    assert "MEDIA_IMPORT_ROOTS" in report.warnings[0]["reason"]
    assert Clip.objects.get().media_path == str(tmp_path.resolve() / "clips/1.mp4")
    assert Subtitle.objects.get().text == '他说:"好"'


def test_other_kinds_of_files_are_a_wrong_call(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "m.xlsx").write_bytes(b"PK")
    (tmp_path / "m.parquet").write_bytes(b"PAR1")
    for name in ("m.xlsx", "m.parquet", "missing.jsonl"):
        with pytest.raises(Invalid):
            ingest_manifest(corpus, tmp_path / name)


def test_rows_are_stored_in_batches_and_an_interrupted_manifest_goes_on(corpus: Corpus, monkeypatch) -> None:
    monkeypatch.setattr(manifest, "BATCH", 3)

    def rows():
        for n in range(8):
            if n == 7:
                raise ConnectionError("the client went away")
            yield n + 1, {"name": f"c{n}"}

    with pytest.raises(ConnectionError):
        ingest_rows(corpus, rows(), Report())
    assert Clip.objects.count() == 6
    report = ingest_rows(corpus, ((n + 1, {"name": f"c{n}"}) for n in range(8)), Report())
    assert (report.created, report.unchanged) == (2, 6)


def test_a_folder_gives_media_to_clips_that_came_by_manifest(corpus: Corpus, media: Path, folder: Path) -> None:
    from annotator.clips.ingest import ingest_folder

    ingest(corpus, {"name": "a", "speaker": "lin", "media": "https://example.org/a.mp4", "duration": 9})
    (folder / "a.mp4").write_bytes((media / "a.mp4").read_bytes())
    assert ingest_folder(corpus, folder).updated == 1
    clip = Clip.objects.get()
    assert (clip.media, clip.derived, clip.speaker) == ("stored", "ready", "lin")
    assert clip.duration < 1
    assert ingest(corpus, {"name": "a", "media": "https://example.org/a.mp4", "duration": 9}).unchanged == 1


def test_a_path_that_the_database_cannot_keep_costs_its_row_only(corpus: Corpus, tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d" * 200] * 2)
    deep.mkdir(parents=True)
    rows = [{"name": "far", "media": "x" * 900}, {"name": "开心\u300001", "media": "开心\u300001.mp4"}]
    (deep / "m.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    report = ingest_manifest(corpus, deep / "m.jsonl")
    assert (report.created, [(entry["line"], entry["name"]) for entry in report.failed]) == (1, [(1, "far")])
    assert Clip.objects.get().media_path.endswith("/开心\u300001.mp4")  # a blank of any script is no control character
