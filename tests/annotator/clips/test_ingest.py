"""A folder becomes clips; what is wrong with a file is said by name and the rest goes on."""

import json
import os
import shutil
import unicodedata
from io import StringIO
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command

from annotator.clips import media as clip_media
from annotator.clips.ingest import ingest_folder
from annotator.clips.models import AuTrack, Clip, Corpus, DerivedMedia, Subtitle
from annotator.clips.signals import clips_changed
from annotator.core.errors import Invalid

from .material import OPENFACE, make_media

pytestmark = pytest.mark.django_db


def reasons(entries: list[dict], name: str) -> str:
    return " | ".join(entry["reason"] for entry in entries if entry.get("name") == name)


def test_a_clip_gets_facts_derived_files_subtitles_label_and_track(corpus: Corpus, media: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    shutil.copy(media / "a.mp4", source / "开心_01.mp4")
    (tmp_path / "words.csv").write_text(
        '\ufeffname,chinese,english\n开心_01,“今天，真好！”,"So good, today"\n', "utf-8"
    )
    (tmp_path / "labels.csv").write_text("name,label\n开心_01,happy\n")
    (tmp_path / "au").mkdir()
    (tmp_path / "au" / "开心_01.csv").write_text(OPENFACE)
    report = ingest_folder(
        corpus, source, subtitles=tmp_path / "words.csv", labels=tmp_path / "labels.csv", au=tmp_path / "au"
    ).as_dict()
    assert report == {
        "created": 1, "updated": 0, "unchanged": 0, "duplicates": [], "repaired": [], "warnings": [], "failed": []
    }  # fmt: skip
    clip = Clip.objects.get()
    assert (clip.name, clip.label, clip.media, clip.derived) == ("开心_01", "happy", "stored", "ready")
    assert clip.has_video
    assert clip.has_audio
    assert clip.duration == pytest.approx(0.5, abs=0.1)
    assert {s.language: s.text for s in clip.subtitles.all()} == {"zh": "“今天，真好！”", "en": "So good, today"}
    assert clip.au_track.peak["frame"] == 2
    kinds = {row.kind: default_storage.size(row.path) == row.bytes for row in clip.derivatives.all()}
    assert kinds == dict.fromkeys(("proxy", "muted", "audio", "wav", "poster", "peaks", "tracks"), True)
    assert clip_media.original_path(clip).read_bytes() == (source / "开心_01.mp4").read_bytes()
    assert json.loads(clip_media.open_derived(clip, "peaks").read())["peaks"]
    assert oct(clip_media.original_path(clip).stat().st_mode)[-3:] == "600"


def test_a_second_ingest_changes_nothing(corpus: Corpus, media: Path, folder: Path) -> None:
    shutil.copy(media / "a.mp4", folder)
    ingest_folder(corpus, folder)
    before = list(Clip.objects.values()), list(DerivedMedia.objects.order_by("id").values())
    again = ingest_folder(corpus, folder)
    assert (again.created, again.updated, again.unchanged) == (0, 0, 1)
    assert (list(Clip.objects.values()), list(DerivedMedia.objects.order_by("id").values())) == before


def test_every_bad_file_is_named_and_the_good_ones_become_clips(
    corpus: Corpus, media: Path, folder: Path, tmp_path: Path
) -> None:
    for name in ("a.mp4", "b.avi", "silent.mp4", "two.mp4"):
        shutil.copy(media / name, folder)
    shutil.copy(media / "sound.mp4", folder / "novideo.mp4")
    (folder / "text.mp4").write_text("this is a text file\n" * 50)
    (folder / "null.mp4").write_bytes(b"")
    (folder / "cut.mp4").write_bytes((media / "a.mp4").read_bytes()[:900])
    (folder / "bad\x01name.mp4").write_bytes(b"x")
    Path(os.fsdecode(os.fsencode(folder) + b"/gbk\xc4\xe3.mp4")).write_bytes(b"x")
    (folder / ("l" * 201 + ".mp4")).write_bytes(b"x")
    os.mkfifo(folder / "pipe.mp4")
    (tmp_path / "outside.mp4").write_bytes((media / "b.avi").read_bytes())
    (folder / "link.mp4").symlink_to(tmp_path / "outside.mp4")
    (folder / "broken.mp4").symlink_to(tmp_path / "nowhere.mp4")
    (folder / "sub").mkdir()
    shutil.copy(media / "b.avi", folder / "sub" / "a.avi")
    shutil.copy(media / "a.mp4", folder / "zcopy.mp4")
    (folder / ".hidden.mp4").write_bytes(b"x")
    (folder / "notes.txt").write_text("no media")

    report = ingest_folder(corpus, folder).as_dict()
    json.dumps(report, ensure_ascii=False).encode("utf-8")  # whatever the names were, the report can be printed

    assert report["created"] == 4
    assert set(Clip.objects.values_list("name", flat=True)) == {"a", "b", "silent", "two"}
    assert report["duplicates"] == [{"name": "zcopy", "of": "a"}]
    failed = {entry["name"]: entry["reason"] for entry in report["failed"]}
    assert set(failed) == {
        "novideo", "text", "null", "cut", "bad\\x01name.mp4", "gbk\\udcc4\\udce3.mp4", "l" * 201 + ".mp4",
        "pipe", "link.mp4", "broken.mp4", "sub/a.avi",
    }  # fmt: skip
    assert "no video stream" in failed["novideo"]
    assert "0 bytes" in failed["null"]
    assert "not a media file" in failed["text"]
    assert "not a regular file" in failed["pipe"]
    assert "out of the folder" in failed["link.mp4"]
    assert "used twice" in failed["sub/a.avi"]
    assert "no audio" in reasons(report["warnings"], "silent")
    assert "hidden" in reasons(report["warnings"], ".hidden.mp4")
    assert Clip.objects.get(name="silent").derivatives.filter(kind__in=["audio", "wav", "peaks"]).count() == 0
    assert Clip.objects.get(name="two").probe["n_frames"] == 2


def test_rows_and_clips_that_miss_each_other_are_warnings(corpus: Corpus, media: Path, folder: Path, tmp_path) -> None:
    shutil.copy(media / "a.mp4", folder)
    shutil.copy(media / "b.avi", folder)
    words = tmp_path / "s.csv"
    words.write_text("name,chinese\nb,nan\nghost,有声音\n../up,坏\n" + 'open,"never closed\n' + "short\n", "utf-8")
    report = ingest_folder(corpus, folder, subtitles=words).as_dict()
    assert report["created"] == 2
    assert "no subtitle" in reasons(report["warnings"], "a")
    assert "no subtitle" in reasons(report["warnings"], "b")
    assert "without a clip" in reasons(report["warnings"], "ghost")
    assert report["repaired"] == [{"name": "b", "field": "chinese", "rule": "nan-is-missing"}]
    assert {entry["line"] for entry in report["failed"]} == {4, 5, 6}
    assert "path" in next(entry["reason"] for entry in report["failed"] if entry["line"] == 4)
    assert not Subtitle.objects.exists()


def test_gbk_rows_are_named_and_the_others_are_read(corpus: Corpus, media: Path, folder: Path, tmp_path: Path) -> None:
    shutil.copy(media / "a.mp4", folder)
    words = tmp_path / "s.csv"
    words.write_bytes(b"name,chinese\n" + "b,你好\n".encode("gbk") + "a,你好\n".encode())
    report = ingest_folder(corpus, folder, subtitles=words)
    assert [(entry["line"], "UTF-8" in entry["reason"]) for entry in report.failed] == [(2, True)]
    assert Subtitle.objects.get().text == "你好"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"clip;text\n", "header"),
        (b"name,name,chinese\n", "twice"),
        ("name,chinese\n".encode("utf-16"), "UTF-16"),
    ],
)
def test_a_table_that_is_none_is_a_wrong_call(corpus: Corpus, folder: Path, tmp_path: Path, content, says) -> None:
    (tmp_path / "s.csv").write_bytes(content)
    with pytest.raises(Invalid, match=says):
        ingest_folder(corpus, folder, subtitles=tmp_path / "s.csv")


def test_a_corrupt_au_track_is_a_warning_with_its_line(corpus: Corpus, media: Path, folder: Path, tmp_path) -> None:
    shutil.copy(media / "a.mp4", folder)
    au = tmp_path / "au"
    au.mkdir()
    (au / "a.csv").write_text(OPENFACE.replace("1.50", "wide"))
    (au / "ghost.csv").write_text(OPENFACE)
    report = ingest_folder(corpus, folder, au=au).as_dict()
    assert (report["created"], report["failed"]) == (1, [])
    assert "a.csv: line 3" in reasons(report["warnings"], "a")
    assert "without a clip" in reasons(report["warnings"], "ghost")
    (au / "a.csv").write_text(OPENFACE)
    assert ingest_folder(corpus, folder, au=au).updated == 1
    assert AuTrack.objects.get().clip.name == "a"


def test_a_clips_media_never_changes(clip: Clip, media: Path, folder: Path) -> None:
    shutil.copy(media / "b.avi", folder / "a.mp4")
    report = ingest_folder(clip.corpus, folder).as_dict()
    assert "never changes" in reasons(report["failed"], "a")
    assert Clip.objects.get().media_sha256 == clip.media_sha256


def test_subtitles_of_clips_ingested_before_can_be_corrected(clip: Clip, folder: Path, tmp_path: Path) -> None:
    words = tmp_path / "s.csv"
    words.write_text("name,english\na,hello\n")
    (tmp_path / "other").mkdir()
    report = ingest_folder(clip.corpus, tmp_path / "other", subtitles=words)
    assert (report.updated, report.failed) == (1, [])
    words.write_text("name,english\na,hallo\n")
    assert ingest_folder(clip.corpus, folder, subtitles=words).updated == 1
    assert Subtitle.objects.get().text == "hallo"


def test_lost_derived_files_are_made_again(clip: Clip, folder: Path) -> None:
    default_storage.delete(clip.derivatives.get(kind="proxy").path)
    ingest_folder(clip.corpus, folder)
    assert default_storage.exists(clip.derivatives.get(kind="proxy").path)


def test_two_corpora_share_files_and_not_clips(clip: Clip, folder: Path) -> None:
    other = Corpus.objects.create(slug="other", name="other")
    ingest_folder(other, folder)
    twin = Clip.objects.get(corpus=other)
    assert {d.path for d in twin.derivatives.all()} == {d.path for d in clip.derivatives.all()}


def test_nothing_is_stored_of_a_batch_whose_subscriber_fails(corpus: Corpus, media: Path, folder: Path) -> None:
    shutil.copy(media / "a.mp4", folder)

    def refuse(**_: object) -> None:
        raise RuntimeError("no slots")

    clips_changed.connect(refuse)
    try:
        with pytest.raises(RuntimeError):
            ingest_folder(corpus, folder)
    finally:
        clips_changed.disconnect(refuse)
    assert not Clip.objects.exists()
    assert not DerivedMedia.objects.exists()
    assert ingest_folder(corpus, folder).created == 1


def test_media_by_reference_stays_where_it_is(corpus: Corpus, media: Path, folder: Path, settings, tmp_path) -> None:
    shutil.copy(media / "a.mp4", folder)
    with pytest.raises(Invalid, match="MEDIA_IMPORT_ROOTS"):
        ingest_folder(corpus, folder, keep="reference")
    settings.MEDIA_IMPORT_ROOTS = [folder.resolve()]
    assert ingest_folder(corpus, folder, keep="reference").created == 1
    clip = Clip.objects.get()
    assert clip_media.original_path(clip) == folder.resolve() / "a.mp4"
    assert not default_storage.exists("originals")
    settings.MEDIA_IMPORT_ROOTS = [tmp_path / "elsewhere"]
    with pytest.raises(FileNotFoundError):
        clip_media.original_path(clip)


def test_the_command_answers_json_and_exit_codes(media: Path, folder: Path, capsys: pytest.CaptureFixture) -> None:
    out = StringIO()
    call_command("create_corpus", "lab", "--overlap", "2", "--review", "none", "--json", stdout=out)
    assert json.loads(out.getvalue().splitlines()[-1]) == {
        "slug": "lab", "overlap": 2, "review": "none", "licence": "restricted"
    }  # fmt: skip
    make_media(folder / "ok.mp4", tone=77)
    (folder / "bad.mp4").write_text("text")
    out = StringIO()
    with pytest.raises(SystemExit) as stopped:
        call_command("ingest", "lab", str(folder), "--json", stdout=out)
    assert stopped.value.code == 1
    report = json.loads(out.getvalue().splitlines()[-1])
    assert (report["created"], report["failed"][0]["name"]) == (1, "bad")
    for wrong in (
        ["nowhere", str(folder)],
        ["lab", "/no/such/folder"],
        ["lab"],
        ["lab", str(folder), "--manifest", "x"],
    ):
        with pytest.raises(CommandError) as error:
            call_command("ingest", *wrong)
        assert error.value.returncode == 2


def gbk_folder(parent: Path) -> Path:
    """A folder whose name is GBK, as unpacked from a zip made on Windows."""
    made = Path(os.fsdecode(os.fsencode(parent) + "/你好".encode("gbk")))
    made.mkdir()
    return made


def test_files_in_a_folder_whose_name_is_not_utf8_become_clips(corpus: Corpus, media: Path, folder: Path) -> None:
    shutil.copy(media / "a.mp4", gbk_folder(folder))
    report = ingest_folder(corpus, folder)
    assert (report.created, report.failed) == (1, [])


def test_a_reference_that_the_database_cannot_keep_is_named_and_the_rest_goes_on(
    corpus: Corpus, media: Path, folder: Path, settings
) -> None:
    settings.MEDIA_IMPORT_ROOTS = [folder.resolve()]
    shutil.copy(media / "a.mp4", gbk_folder(folder) / "gbk.mp4")
    deep = folder.joinpath(*["d" * 200] * 5)
    deep.mkdir(parents=True)
    shutil.copy(media / "silent.mp4", deep / "deep.mp4")
    shutil.copy(media / "b.avi", folder)
    report = ingest_folder(corpus, folder, keep="reference").as_dict()
    assert report["created"] == 1
    assert "not UTF-8" in reasons(report["failed"], "gbk")
    assert "too long" in reasons(report["failed"], "deep")


def test_tracks_are_named_by_the_rule_of_clips(corpus: Corpus, media: Path, folder: Path, tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "é")
    shutil.copy(media / "a.mp4", folder / f"{decomposed}.mp4")
    au = tmp_path / "au"
    au.mkdir()
    (au / f"{decomposed}.csv").write_text(OPENFACE)
    (au / "é.csv").write_text(OPENFACE)
    Path(os.fsdecode(os.fsencode(au) + b"/gbk\xc4\xe3.csv")).write_text(OPENFACE)
    report = ingest_folder(corpus, folder, au=au).as_dict()
    assert AuTrack.objects.get().clip.name == "é"
    assert "used twice" in reasons(report["failed"], "é.csv")
    assert "not UTF-8" in reasons(report["failed"], "gbk\\udcc4\\udce3.csv")


def test_a_label_that_is_too_long_costs_its_row_only(corpus: Corpus, media: Path, folder: Path, tmp_path: Path) -> None:
    shutil.copy(media / "a.mp4", folder)
    shutil.copy(media / "b.avi", folder)
    (tmp_path / "l.csv").write_text("name,label\na," + "x" * 81 + "\nb," + "y" * 80 + "\n")
    report = ingest_folder(corpus, folder, labels=tmp_path / "l.csv")
    assert (report.created, [(e["line"], "80 characters" in e["reason"]) for e in report.failed]) == (2, [(2, True)])
    assert set(Clip.objects.values_list("label", flat=True)) == {"", "y" * 80}


def test_the_report_names_a_clip_as_it_is_called(corpus: Corpus, media: Path, folder: Path) -> None:
    shutil.copy(media / "silent.mp4", folder / "开心\u300001.mp4")
    report = ingest_folder(corpus, folder)
    assert [entry["name"] for entry in report.warnings] == [Clip.objects.get().name] == ["开心\u300001"]


def test_what_the_system_refuses_is_one_line(corpus: Corpus, folder: Path) -> None:
    with pytest.raises(CommandError, match="too long") as wrong:
        call_command("ingest", corpus.slug, str(folder / ("x" * 300)))
    assert wrong.value.returncode == 2
    with pytest.raises(CommandError, match="Not UTF-8") as wrong:
        call_command("ingest", "l\udcc4", str(folder))
    assert wrong.value.returncode == 2
    with pytest.raises(CommandError, match="too long"):
        call_command("ingest", corpus.slug, str(folder), "--au", str(folder / ("x" * 300)))
