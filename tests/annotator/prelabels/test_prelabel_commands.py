"""`prelabel` and `import_prelabels`: the JSON that scripts rely on, honest exit codes."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from annotator.clips import hooks
from annotator.clips.models import Clip
from annotator.prelabels import budgets, services, waiting
from annotator.prelabels.management.commands import prelabel
from annotator.prelabels.models import Clue, PreLabeller, Run
from tests.support.factories import create_clip, create_corpus

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever worker runs on the shared broker does not know this test's database."""
    monkeypatch.setattr(waiting, "workers_answer", lambda: False)


def call(name: str, *arguments: str) -> tuple[int, dict[str, Any], str]:
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command(name, *arguments, "--json", stdout=out, stderr=err)
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    return code, json.loads(out.getvalue().splitlines()[-1]), err.getvalue()


def test_prelabel_waits_and_reports_the_jobs(whole_clip: Callable[..., Clip]) -> None:
    corpus = create_corpus("study")
    whole_clip(corpus, "有声")
    create_clip(corpus, "无声")
    code, found, err = call("prelabel", "study", "--wait")
    assert code == 0, "a skipped job is a warning"
    assert found["state"] == "done"
    assert found["jobs"] == {"done": 4, "failed": 0, "skipped": 2, "cancelled": 0}
    assert found["failed"] == []
    assert {item["name"] for item in found["warnings"]} == {"无声"}
    assert Run.objects.get(pk=found["run"]).state == "done"
    assert "No worker answers" in err


def test_prelabel_exits_1_and_names_clip_step_and_reason_of_what_failed(no_models: None) -> None:
    corpus = create_clip(name="片段").corpus
    code, found, _err = call("prelabel", corpus.slug, "--pipeline", "emer", "--wait")
    assert code == 1
    assert found["state"] == "failed"
    failed = {item["step"]: item for item in found["failed"]}
    assert failed["merge"]["name"] == "片段"
    assert failed["merge"]["code"] == "not-configured"
    assert "LLM_BASE_URL" in failed["merge"]["reason"]


def test_the_summary_tells_each_reason_once_and_the_json_every_job(no_models: None) -> None:
    corpus = create_corpus("study")
    for n in range(40):
        create_clip(corpus, f"c{n:02}")
    run = services.create_run(None, corpus, prelabellers=["measured_prosody", "merge"])
    jobs = run.jobs.order_by("clip__name")
    jobs.filter(step="merge").update(state="failed", reason="HTTP 500", error_code="server", finished_at=run.created_at)
    jobs.filter(step="merge", clip__name="c07").update(reason="too slow")
    jobs.filter(step="measured_prosody").update(state="skipped", reason="no sound", finished_at=run.created_at)
    found = prelabel.report(run)
    assert (len(found["failed"]), len(found["warnings"])) == (40, 40)
    assert found["failed"][0] == {
        "name": "c00", "step": "merge", "step_name": "merge", "code": "server", "reason": "HTTP 500",
    }  # fmt: skip
    _head, *lines = prelabel.Command().summary(found).splitlines()
    assert lines == [
        "  failed  merge, 39 clips (c00, c01, c02, …): HTTP 500",
        "  failed  merge, c07: too slow",
        "  skipped measured_prosody, 40 clips (c00, c01, c02, …): no sound",
    ]
    cut = {**found, "failed": found["failed"][:10]}
    assert "  failed  30 more, not told here" in prelabel.Command().summary(cut).splitlines()
    services.pause_run(None, services.create_run(None, corpus))
    paused = prelabel.report(Run.objects.first())
    assert prelabel.Command().summary(paused).splitlines()[1:] == ["  failed  the run: paused by the system"]


def test_prelabel_without_waiting_leaves_the_jobs_to_the_workers() -> None:
    corpus = create_clip().corpus
    code, found, _err = call("prelabel", corpus.slug)
    assert (code, found["state"]) == (0, "queued")
    assert found["jobs"]["queued"] == 3


def test_a_dry_run_estimates_and_writes_nothing(no_models: None, tmp_path: Path) -> None:
    corpus = create_corpus()
    for name in ("甲", "乙", "丙"):
        create_clip(corpus, name)
    names = tmp_path / "clips.txt"
    names.write_text("甲\n丙\n\n", encoding="utf-8-sig")
    code, found, _err = call("prelabel", corpus.slug, "--pipeline", "emer", "--dry-run", "--clips", str(names))
    assert code == 0
    assert (found["clips"], found["jobs"]["estimated"], found["calls"]) == (2, 12, 8)
    assert {item["step"] for item in found["obstacles"]} == {"visual_clue", "audio_clue", "disambiguate", "merge"}
    assert len(found["steps"]) == 6
    assert found["unknown"] == [row["step"] for row in found["steps"]], "nothing of it was ever done here"
    assert found["totals"] == {"tokens": 0, "money": 0, "gpu_seconds": 0, "seconds": 0}
    assert not Run.objects.exists()


def test_a_filter_and_a_budget_are_given_as_words(whole_clip: Callable[..., Clip]) -> None:
    corpus = create_corpus("study")
    for name in ("甲", "乙", "丙"):
        create_clip(corpus, name, speaker="李雷" if name == "甲" else "韩梅梅")
    words = ("--filter", "speaker=韩梅梅", "sample=1", "--budget", "tokens=1e6,gpu-seconds=5", "--repeat", "2")
    code, found, _err = call("prelabel", "study", *words, "--wait")
    assert (code, found["clips"], found["state"]) == (0, 1, "done")
    assert found["spent"] == {"tokens": 0, "money": 0, "gpu_seconds": 0}
    run = Run.objects.get(pk=found["run"])
    assert run.selection == {"speaker": ["韩梅梅"], "sample": 1}
    assert (run.budget, run.repeat) == ({"tokens": 1_000_000, "gpu_seconds": 5.0}, 2)


def test_a_paused_run_ends_the_wait_says_why_and_is_resumed(
    whole_clip: Callable[..., Clip], scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgets, "FRESH_SECONDS", 0.0)
    corpus = create_corpus("study")
    for n in range(3):
        whole_clip(corpus, f"片段{n}", zh=f"第{n}句话")
    code, found, err = call("prelabel", "study", "--pipeline", "emer", "--budget", "tokens=1", "--wait")
    assert (code, found["state"]) == (1, "paused")
    assert found["failed"][-1]["code"] == "paused"
    assert "of 1 tokens" in found["failed"][-1]["reason"]
    assert "paused" in err
    run = str(found["run"])
    with pytest.raises(CommandError, match="budget is spent") as caught:
        call("prelabel", "study", "--resume", run)
    assert caught.value.returncode == 2
    code, found, err = call("prelabel", "study", "--resume", run, "--budget", "tokens=1000000", "--wait")
    assert (code, found["state"], found["failed"]) == (0, "done", [])
    assert "jobs (100.0 %)" in err, "the same figures as on the page"
    assert found["calls"] == found["jobs"]["done"] - 6, "voice and face ask no model; no call was made twice"


@pytest.mark.parametrize(
    "arguments",
    [
        ("no-such-corpus",),
        ("study", "--pipeline", "nonsense"),
        ("study", "--prelabeller", "nobody"),
        ("study", "--clips", "/no/such/file"),
        ("study", "--filter", "colour=red"),
        ("study", "--filter", "speaker"),
        ("study", "--budget", "yen=5"),
        ("study", "--repeat", "-1"),
        ("study", "--resume", "99999"),
        ("study", "--resume", "1", "--pipeline", "emer"),
    ],
)
def test_a_wrong_call_exits_2(arguments: tuple[str, ...]) -> None:
    create_clip(create_corpus("study"))
    with pytest.raises(CommandError) as error:
        call_command("prelabel", *arguments)
    assert error.value.returncode == 2
    assert not Run.objects.exists()


def import_file(tmp_path: Path, content: str | bytes, name: str = "labels.csv") -> tuple[int, dict[str, Any], str]:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    options = ("--prelabeller", "salmonn", "--modality", "audio", "--language", "zh")
    return call("import_prelabels", "study", str(path), *options)


def test_imported_prelabels_become_clues_with_their_source(tmp_path: Path) -> None:
    clip = create_clip(create_corpus("study"), "片段_1")
    code, found, _err = import_file(tmp_path, 'name,text\n片段_1,"声音低沉，\n语速很慢"\n')
    assert code == 0
    assert found["created"] == 1
    clue = Clue.objects.get(clip=clip)
    assert (clue.text, clue.aspect, clue.prelabeller.kind) == ("声音低沉，\n语速很慢", "tone", "import")
    assert clue.provenance["file"] == "labels.csv"
    assert len(clue.provenance["file_sha256"]) == 64


def test_importing_again_supersedes_only_what_changed(tmp_path: Path) -> None:
    corpus = create_corpus("study")
    for name in ("a", "b"):
        create_clip(corpus, name)
    import_file(tmp_path, "name,text\na,一样\nb,旧的\n")
    _code, found, _err = import_file(tmp_path, '{"name":"a","text":"一样"}\n{"name":"b","text":"新的"}\n', "l.jsonl")
    assert (found["created"], found["unchanged"], found["updated"]) == (0, 1, 1)
    assert set(Clue.objects.filter(superseded_at=None).values_list("text", flat=True)) == {"一样", "新的"}
    assert Clue.objects.count() == 3


def test_importing_a_second_modality_leaves_the_first_alone(tmp_path: Path) -> None:
    create_clip(create_corpus("study"), "a")
    import_file(tmp_path, "name,text\na,声音\n")
    (tmp_path / "v.csv").write_text("name,text\na,微笑\n")
    call("import_prelabels", "study", str(tmp_path / "v.csv"), "--prelabeller", "salmonn", "--modality", "visual",
         "--language", "zh")  # fmt: skip
    assert set(Clue.objects.filter(superseded_at=None).values_list("text", flat=True)) == {"声音", "微笑"}


def test_bad_rows_are_named_by_line_and_the_others_go_on(tmp_path: Path) -> None:
    create_clip(create_corpus("study"), "a")
    code, found, _err = import_file(tmp_path, "name,text\nnobody,x\na,好\na,again\n,x\na2,\nshort\n")
    assert code == 1
    assert found["created"] == 1
    assert {item["line"] for item in found["failed"]} == {2, 4, 5, 6, 7}


@pytest.mark.parametrize(
    ("content", "says"),
    [("name,words\na,x\n", "text"), (b"name,text\na,\xff\xfe\n", "line 2"), ("", "name")],
)
def test_a_file_that_is_no_table_of_prelabels_exits_2(content: str | bytes, says: str, tmp_path: Path) -> None:
    create_clip(create_corpus("study"), "a")
    with pytest.raises(CommandError, match=says) as error:
        import_file(tmp_path, content)
    assert error.value.returncode == 2


def test_a_row_cut_short_and_half_a_character_are_bad_rows_like_others(tmp_path: Path) -> None:
    clip = create_clip(name="clip_1")
    short = tmp_path / "short.csv"
    short.write_text("text,name\nA cry.\nA sigh.,clip_1\n", "utf-8")
    options = ("--prelabeller", "ours", "--modality", "audio", "--language", "en")
    code, answer, _ = call("import_prelabels", clip.corpus.slug, str(short), *options)
    assert (code, answer["created"]) == (1, 1)
    assert answer["failed"] == [{"line": 2, "reason": "the row has too few or too many fields"}]
    half = tmp_path / "half.jsonl"
    half.write_text('{"name": "clip_1", "text": "\\ud83d"}\n{"name": "clip_1", "text": "A sob."}\n', "utf-8")
    code, answer, _ = call("import_prelabels", clip.corpus.slug, str(half), *options)
    assert (code, answer["updated"]) == (1, 1)
    assert answer["failed"][0]["line"] == 1
    assert services.clues_for(clip).get().text == "A sob."


def test_a_clip_file_with_a_nul_names_an_unknown_clip(tmp_path: Path) -> None:
    clip = create_clip()
    (tmp_path / "clips.txt").write_bytes(b"a\x00b\n")
    with pytest.raises(CommandError, match="no clip") as caught:
        call("prelabel", clip.corpus.slug, "--clips", str(tmp_path / "clips.txt"))
    assert caught.value.returncode == 2


def test_a_measurement_cannot_be_replaced_by_an_import(tmp_path: Path) -> None:
    create_clip(create_corpus("study"), "a")
    PreLabeller.objects.create(name="salmonn", kind="server")
    with pytest.raises(CommandError, match="salmonn"):
        import_file(tmp_path, "name,text\na,x\n")


def test_imported_clues_enter_the_coarse_description(tmp_path: Path) -> None:
    clip = create_clip(create_corpus("study"), "a")
    import_file(tmp_path, "name,text\na,声音颤抖\n")
    call("prelabel", "study", "--prelabeller", "measured_prosody", "coarse-template", "--wait")
    assert "声音颤抖" in clip.description_drafts.get().description_zh


def test_clues_of_a_manifest_are_taken_by_source_and_superseded_on_change() -> None:
    clip = create_clip()
    row = {"modality": "visual", "aspect": "expression", "language": "zh", "text": "他在笑", "source": "qwen"}
    (take,) = [hook for hook in hooks.clue_importers if "prelabels" in hook.__module__]
    assert take(clip.corpus, {clip.pk: [row, {**row, "source": "gemini", "text": "他微笑"}]}) == {clip.pk}
    assert take(clip.corpus, {clip.pk: [row]}) == set()
    assert take(clip.corpus, {clip.pk: [{**row, "text": "他大笑"}]}) == {clip.pk}
    assert [(c.prelabeller.name, c.text) for c in services.clues_for(clip)] == [
        ("qwen", "他大笑"),
        ("gemini", "他微笑"),
    ]
