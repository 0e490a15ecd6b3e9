"""The pipelines of the papers as runs of the workbench: real media, a scripted model server, records at the end."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from annotator.checking.models import Record
from annotator.prelabels import services
from annotator.prelabels.models import Clue, DescriptionDraft, Run
from tests.annotator.clips.material import make_media
from tests.annotator.prelabels.test_work import do_all, jobs_of
from tests.support.factories import create_corpus

pytestmark = pytest.mark.django_db
SMILE = """frame, face_id, timestamp, confidence, success, AU06_r, AU12_r
1, 0, 0.000, 0.98, 1, 0.10, 0.20
2, 0, 0.040, 0.98, 1, 1.50, 2.00
3, 0, 0.080, 0.98, 1, 0.30, 0.20
"""


@pytest.fixture
def corpus(settings: Any, tmp_path: Path) -> Any:
    """One clip of two seconds with picture, sound, subtitle and action units, ingested as any."""
    settings.MEDIA_ROOT = tmp_path / "media"
    folder, tracks = tmp_path / "clips", tmp_path / "au"
    folder.mkdir()
    tracks.mkdir()
    make_media(folder / "c1.mp4", seconds=2)
    (tracks / "c1.csv").write_text(SMILE)
    with (tmp_path / "subtitles.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["name", "chinese"], ["c1", "太好了"]])
    made = create_corpus(licence="restricted")
    call_command(
        "ingest", made.slug, str(folder), "--subtitles", str(tmp_path / "subtitles.csv"), "--au", str(tracks), "--json"
    )
    return made


@pytest.fixture
def ran(corpus: Any) -> Callable[[str], Run]:
    def run(pipeline: str) -> Run:
        started = services.create_run(None, corpus, pipeline)
        do_all(started)
        return started

    return run


@pytest.mark.parametrize("pipeline", ["emer", "emer-open", "merr"])
def test_a_run_ends_in_one_coarse_record_in_both_languages(scripted: Any, corpus: Any, ran: Any, pipeline: str) -> None:
    run = ran(pipeline)
    states = {step: job.state for step, job in jobs_of(run).items()}
    assert run.state == "done"
    states.pop("au_track", None)
    assert set(states.values()) == {"done"}
    record = Record.objects.get(clip__corpus=corpus, grade="coarse")
    assert record.current.number == 1  # of several drafts of the run only the last makes the record
    line = json.loads(record.current.line)
    assert all(line["description"].values())
    assert line["ov_labels"] == {"zh": ["高兴"], "en": ["happy"]}


def test_merr_asks_about_the_peak_frame_and_keeps_its_template(scripted: Any, corpus: Any, ran: Any) -> None:
    run = ran("merr")
    scene = Clue.objects.get(prelabeller__name="visual-objective:scripted")
    assert (scene.modality, scene.aspect) == ("visual", "scene")
    # The track's peak is its second frame; the clip's own picture at that time was sent.
    assert scene.provenance["parameters"]["frame"] == "peak"
    assert scene.provenance["parameters"]["time"] == 0.04
    coarse = DescriptionDraft.objects.get(job=jobs_of(run)["coarse_template"])
    assert coarse.description_en.startswith("This person in the video is standing at a kitchen table")
    assert "include raised cheeks and lip corners pulled up" in coarse.description_en
    fine = DescriptionDraft.objects.get(job=jobs_of(run)["fine_generation"])
    assert fine.provenance["parameters"]["consistent"] is True
    asked = [call for call in scripted.calls() if call["kind"] == "fine"]
    assert coarse.description_en[:60] in asked[0]["text"]


def test_without_a_server_merr_still_writes_a_coarse_description(no_models: None, corpus: Any, ran: Any) -> None:
    run = ran("merr")
    jobs = jobs_of(run)
    assert {jobs[step].error_code for step in ("visual_objective", "audio_clue", "fine_generation")} == {
        "not-configured"
    }
    draft = DescriptionDraft.objects.get(job=jobs["coarse_template"])
    assert draft.description_en == (
        "The person's expression and actions include raised cheeks and lip corners pulled up."
    )
    assert "太好了" in draft.description_zh
    assert Record.objects.get(clip__corpus=corpus, grade="coarse").current.draft_id == draft.pk


def test_the_open_chain_writes_one_language_then_both_then_labels(scripted: Any, corpus: Any, ran: Any) -> None:
    run = ran("emer-open")
    drafts = {draft.job.step: draft for draft in DescriptionDraft.objects.filter(job__run=run).select_related("job")}
    assert drafts["merge"].description_en
    assert drafts["merge"].description_zh == ""
    assert drafts["translate"].description_zh
    assert drafts["translate"].ov_zh == []
    assert drafts["ov_labels"].ov_zh
    assert drafts["ov_labels"].description_zh == drafts["translate"].description_zh
    assert drafts["merge"].provenance["prompt"]["file"] == "merge_clues.en.md"
    kinds = [call["kind"] for call in scripted.calls()]
    assert sorted(kinds[:2]) == ["audio", "visual"]
    assert kinds[2:] == ["disambiguate", "prose", "translate", "labels", "labels"]


def test_clips_whose_clues_contradict_make_no_record(scripted: Any, corpus: Any, ran: Any) -> None:
    clip = corpus.clips.get()
    for modality, text in (("visual", "The person smiles broadly."), ("audio", "The speaker sobs.")):
        services.import_prelabels(
            None,
            corpus,
            f"name,text\n{clip.name},{text}\n".encode(),
            filename="p.csv",
            prelabeller=f"people-{modality}",
            modality=modality,
            language="en",
        )
    run = services.create_run(None, corpus, prelabellers=["fine_generation"])
    do_all(run)
    (job,) = run.jobs.all()
    assert (job.state, job.error_code) == ("skipped", "filtered")
    assert job.reason.startswith("the clues contradict each other: visual / audio")
    assert job.provenance["parameters"]["contradictions"][0]["between"] == ["visual", "audio"]
    assert not Record.objects.filter(clip=clip).exists()


def test_a_restricted_clip_goes_to_no_outside_server_in_any_step(
    scripted: Any, corpus: Any, ran: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for prefix in ("LLM", "PRELABEL"):
        monkeypatch.setenv(f"{prefix}_TRUST", "outside")
    for pipeline in ("emer-open", "merr"):
        run = ran(pipeline)
        asked = [job for job in jobs_of(run).values() if job.queue == "llm"]
        assert {job.error_code for job in asked} <= {"outside", ""}
        assert not any(job.state == "done" for job in asked)
    assert scripted.calls() == []


def test_a_changed_prompt_is_another_version_of_every_pipeline_that_uses_it(
    corpus: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import shutil

    from models_ml import prompts

    first = services.create_run(None, corpus, "emer").pipeline
    open_chain = services.create_run(None, corpus, "emer-open").pipeline
    folder = tmp_path / "prompts"
    shutil.copytree(prompts.FOLDER, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    path = folder / "translate.zh.md"
    path.write_text(path.read_text("utf-8").replace("忠实翻译", "逐句忠实翻译"), "utf-8")
    monkeypatch.setattr(prompts, "FOLDER", folder)
    prompts.load.cache_clear()
    try:
        assert services.create_run(None, corpus, "emer").pipeline == first
        changed = services.create_run(None, corpus, "emer-open").pipeline
    finally:
        prompts.load.cache_clear()
    assert (changed.name, changed.version) == ("emer-open", open_chain.version + 1)
    open_chain.refresh_from_db()
    steps = {step["step"]: step["prompts"] for step in open_chain.definition["steps"]}
    later = {step["step"]: step["prompts"] for step in changed.definition["steps"]}
    assert [name for name in steps if steps[name] != later[name]] == ["translate"]
