"""Pipelines that people write: checked line by line, versioned, never rewritten."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from annotator.core.errors import Forbidden, Invalid
from annotator.prelabels import pipelines, plans, services, waiting
from annotator.prelabels.models import Pipeline, PreLabeller
from tests.support.factories import create_clip, create_corpus, create_member, create_user

pytestmark = pytest.mark.django_db

GOOD = """
- measured_prosody
- step: visual_clue
  options: {frames: 4}
- step: visual_clue
  tag: long
- step: disambiguate
  prelabeller: texts
  options:
    variant: av
- coarse_template
"""


@pytest.fixture
def texts() -> PreLabeller:
    fields = {"kind": "server", "modality": "text", "base_url": "http://127.0.0.1:9/v1", "model": "m"}
    return PreLabeller.objects.create(name="texts", trust="inside", **fields)


@pytest.fixture
def sounds() -> PreLabeller:
    return PreLabeller.objects.create(name="sounds", kind="local", modality="audio", model="/models/hears")


def define(text: Any, name: str = "ours") -> Pipeline:
    return pipelines.define(None, name, text)


def steps_of(row: Pipeline) -> dict[str, dict[str, Any]]:
    return {step["key"]: step for step in row.definition["steps"]}


def test_a_declaration_becomes_a_plan_with_options_models_tags_and_prompts(texts: PreLabeller) -> None:
    row = define(GOOD)
    steps = steps_of(row)
    key = f"disambiguate@{texts.pk}"
    assert list(steps) == ["measured_prosody", "visual_clue", "visual_clue~long", key, "coarse_template"]
    assert steps["visual_clue"]["options"]["frames"] == 4
    assert steps["visual_clue~long"]["options"]["frames"] == 8, "the default is written down, too"
    assert (steps[key]["prelabeller"], steps[key]["options"]["variant"], steps[key]["queue"]) == ("texts", "av", "llm")
    assert set(steps["coarse_template"]["after"]) >= {"visual_clue", "visual_clue~long", "measured_prosody"}
    prompts = steps[key]["prompts"]
    assert prompts
    assert all(len(prompt["sha256"]) == 64 for prompt in prompts)
    assert row.version == 1
    assert row.declaration[1] == {"step": "visual_clue", "options": {"frames": 4}}


def test_json_and_yaml_and_a_list_say_the_same(texts: PreLabeller) -> None:
    row = define(GOOD)
    assert define(json.dumps(row.declaration)) == row
    assert define(row.declaration) == row
    assert define(pipelines.as_text(row.declaration)) == row
    assert Pipeline.objects.filter(name="ours").count() == 1


def test_a_change_is_a_new_version_and_an_older_wording_can_become_the_newest_again() -> None:
    first = define("- coarse_template")
    second = define("- measured_prosody\n- coarse_template")
    third = define("- coarse_template")
    assert [row.version for row in (first, second, third)] == [1, 2, 3]
    assert first.sha256 == third.sha256
    first.refresh_from_db()
    assert len(first.definition["steps"]) == 1
    corpus = create_clip().corpus
    run = services.create_run(None, corpus, "ours")
    assert run.pipeline == third
    define("- au_expression")
    run.refresh_from_db()
    assert run.pipeline == third, "a run keeps the version that it took"
    assert list(run.jobs.values_list("step", flat=True)) == ["coarse_template"]


def test_a_changed_prompt_is_a_new_version_for_the_next_run(monkeypatch: pytest.MonkeyPatch) -> None:
    first = define("- disambiguate")
    corpus = create_clip().corpus
    assert services.create_run(None, corpus, "ours").pipeline == first
    builtin = services.create_run(None, corpus, "emer").pipeline
    monkeypatch.setattr(plans, "prompts_of", lambda step: [{"file": "x.md", "version": "9", "sha256": "0" * 64}])
    second = services.create_run(None, corpus, "ours").pipeline
    assert (second.version, second.declaration) == (2, first.declaration)
    assert services.create_run(None, corpus, "emer").pipeline.version == builtin.version + 1


def test_a_local_model_works_in_the_gpu_queue(sounds: PreLabeller) -> None:
    row = define("- step: audio_clue\n  prelabeller: sounds")
    assert steps_of(row)[f"audio_clue@{sounds.pk}"]["queue"] == "gpu"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- visual_clu", "line 1: there is no step “visual_clu”. There are: .*visual_clue"),
        ("- merge\n- step: visual_clue\n  options: {framez: 4}", "line 2: “visual_clue” has no option “framez”"),
        ("- step: visual_clue\n  options: {frames: 40}", "line 1: the option “frames” .* wants a whole number ≥ 4 ≤ 8"),
        ("- step: visual_clue\n  options: {frames: true}", "a whole number"),
        ("- step: visual_clue\n  options: {frames: 4.5}", "a whole number"),
        ("- step: merge\n  options: {form: xml}", "one of json, subtitle, clues, not “xml”"),
        ("- step: fine_generation\n  options: {filter_contradictory: 1}", "one of True, False"),
        ("- step: au_filter\n  options: {labels: happy}", "a list of texts"),
        ("- step: visual_clue\n  options: [4]", "options are a mapping"),
        ("- step: visual_clue\n  prelabeller: nobody", "no registered model “nobody”. There are: sounds, texts"),
        ("- step: visual_clue\n  prelabeller: sounds", "“sounds” is for audio, not for the step “visual_clue”"),
        ("- step: coarse_template\n  prelabeller: texts", "“coarse_template” asks no model"),
        ("- merge\n- merge", "line 2: “merge” is there already \\(line 1\\)"),
        ("- step: merge\n  model: x", "line 1: there is no “model”"),
        ("- step: merge\n  step: translate", "line 2: “step” is there twice"),
        ("- step: merge\n  tag: Too Long For A Tag", "the tag “Too Long For A Tag”"),
        ("- 7", "line 1: a step is wanted here"),
        ("- [merge]", "line 1: a step is wanted here"),
        ("- options: {}", "no step “None”"),
        ("steps: [merge]", "a list of 1 to 50 steps"),
        ("", "a list of 1 to 50 steps"),
        ("[]", "a list of 1 to 50 steps"),
        ("- merge\n- {step", "line 2: "),
        ("- &a merge\n- *a", "line 2: no references"),
        ("[" * 20_000 + "]" * 20_000, "neither YAML nor JSON"),
        ("[" * 20_000, "line 1: "),
        ("- merge\n- a\x07b", "neither YAML nor JSON"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line(text: str, says: str, texts: PreLabeller, sounds: PreLabeller) -> None:
    with pytest.raises(Invalid, match=says):
        define(text)
    assert not Pipeline.objects.exists()


def test_everything_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        define(["merge", {"step": "nothing"}, {"step": "visual_clue", "options": {"frames": 99, "x": 1}}], name="merge")
    problems = caught.value.extra["errors"]["pipeline"]
    assert [problem.partition(":")[0] for problem in problems] == [problems[0], "step 2", "step 3", "step 3"]
    assert "built in" in problems[0]


@pytest.mark.parametrize("name", ["", "emer", "measured", "visual-clue", "a b", "../x", "流水线", "a+b", "x" * 81])
def test_a_name_that_is_taken_or_no_name_is_refused(name: str) -> None:
    with pytest.raises(Invalid):
        define("- merge", name=name)


def test_a_pipeline_whose_model_was_removed_says_so_when_it_is_run(texts: PreLabeller) -> None:
    define(GOOD)
    texts.delete()
    with pytest.raises(Invalid, match="no pre-labeller “texts”"):
        services.create_run(None, create_clip().corpus, "ours")


def test_managers_write_pipelines_and_others_do_not() -> None:
    corpus = create_corpus()
    row = pipelines.define(create_member(corpus, "manager"), "ours", "- merge")
    assert row.created_by is not None
    for user in (create_member(corpus, "viewer"), create_member(corpus, "annotator"), create_user()):
        with pytest.raises(Forbidden):
            pipelines.define(user, "ours", "- translate")
    pipelines.define(create_user(is_superuser=True), "ours", "- translate")
    assert Pipeline.objects.filter(name="ours").count() == 2


def test_registered_models_take_their_steps_of_a_pipeline(texts: PreLabeller, sounds: PreLabeller) -> None:
    corpus = create_clip().corpus
    run = services.create_run(None, corpus, "emer", prelabellers=["texts", "sounds"])
    keys = set(run.jobs.values_list("step", flat=True))
    assert {f"disambiguate@{texts.pk}", f"merge@{texts.pk}", f"audio_clue@{sounds.pk}", "visual_clue"} < keys
    assert run.jobs.get(step=f"merge@{texts.pk}").after == [
        "measured_prosody", "au_expression", "visual_clue", f"audio_clue@{sounds.pk}", f"disambiguate@{texts.pk}",
    ]  # fmt: skip
    part = services.create_run(None, corpus, "emer", prelabellers=["merge", "texts"])
    assert list(part.jobs.values_list("step", flat=True)) == [f"merge@{texts.pk}"]
    alone = services.create_run(None, corpus, prelabellers=["translate", "texts"])
    assert list(alone.jobs.values_list("step", flat=True)) == [f"translate@{texts.pk}"]
    with pytest.raises(Invalid, match="no step for “texts”"):
        services.create_run(None, corpus, "measured", prelabellers=["texts"])
    with pytest.raises(Invalid, match="no step “merge”"):
        services.create_run(None, corpus, "measured", prelabellers=["merge"])


def test_a_pipeline_of_ones_own_runs_to_its_end(whole_clip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "workers_answer", lambda: False)
    clip = whole_clip(create_corpus(), "片段")
    define("- measured_prosody\n- au_expression\n- step: coarse_template\n  tag: merr\n  options: {form: merr}")
    run = services.wait_for(services.create_run(None, clip.corpus, "ours"))
    assert run.state == "done"
    assert run.jobs.filter(state="done").count() == 3
    assert "This person in the video" not in clip.description_drafts.get().description_zh
    assert clip.description_drafts.get().job.step == "coarse_template~merr"


def as_role(client: Client, role: str) -> Client:
    client.force_login(create_member(create_corpus(), role))
    return client


def test_the_page_writes_a_pipeline_and_says_what_is_wrong_beside_the_text(client: Client) -> None:
    as_role(client, "manager")
    wrong = client.post("/pipelines/", {"name": "ours", "declaration": "- merge\n- nonsense"})
    assert wrong.status_code == 422
    page = wrong.content.decode()
    assert "line 2: there is no step “nonsense”" in page
    assert "- nonsense" in page, "what was typed is kept"
    assert client.post("/pipelines/", {"name": "ours", "declaration": "- merge"}).status_code == 302
    page = client.get("/pipelines/?edit=ours").content.decode()
    assert "- merge" in page
    assert "ours" in client.get(f"/corpora/{create_member_corpus(client)}/runs/").content.decode()
    assert "my-emer" in client.get("/pipelines/?edit=emer").content.decode()


def create_member_corpus(client: Client) -> str:
    from annotator.clips.models import Corpus

    return Corpus.objects.latest("id").slug


def test_a_viewer_sees_pipelines_and_has_no_form(client: Client) -> None:
    define("- merge")
    page = as_role(client, "viewer").get("/pipelines/").content.decode()
    assert "ours" in page
    assert "Save as the newest version" not in page
    assert client.post("/pipelines/", {"name": "x", "declaration": "- merge"}).status_code == 403


def test_rest_lists_and_writes_pipelines(client: Client) -> None:
    as_role(client, "manager")
    body = {"name": "ours", "declaration": ["au_expression", {"step": "coarse_template", "options": {"form": "merr"}}]}
    made = client.post("/api/v1/pipelines/", body, content_type="application/json")
    assert made.status_code == 201
    assert made.json()["definition"]["steps"][1]["options"]["form"] == "merr"
    again = client.post(
        "/api/v1/pipelines/", {"name": "ours", "declaration": "- merge"}, content_type="application/json"
    )
    assert again.json()["version"] == 2
    assert [row["version"] for row in client.get("/api/v1/pipelines/").json()["results"]] == [1, 2]
    one = client.get("/api/v1/pipelines/ours/").json()
    assert (one["version"], one["builtin"], len(one["definition"]["steps"])) == (2, False, 1)
    assert client.get("/api/v1/pipelines/emer/").json()["builtin"] is True
    assert client.get("/api/v1/pipelines/none/").status_code == 404
    wrong = client.post("/api/v1/pipelines/", {"name": "emer", "declaration": [7]}, content_type="application/json")
    assert wrong.status_code == 422
    assert len(wrong.json()["errors"]["pipeline"]) == 2


def command(*arguments: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command("pipeline", *arguments, "--json", stdout=out, stderr=io.StringIO())
    return json.loads(out.getvalue().splitlines()[-1])


def test_the_command_defines_lists_and_shows(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("- measured_prosody\n- coarse_template\n", "utf-8")
    assert command("define", "ours", str(path))["version"] == 1
    path.write_text("- coarse_template\n", "utf-8")
    assert command("define", "ours", str(path))["version"] == 2
    listed = {row["name"]: row for row in command("list")["pipelines"]}
    assert (listed["ours"]["version"], listed["emer"]["builtin"]) == (2, True)
    assert len(command("show", "ours", "--version", "1")["steps"]) == 2
    assert [step["key"] for step in command("show", "ours")["steps"]] == ["coarse_template"]
    assert command("show", "merr")["version"] is None
    for wrong in (("show", "nobody"), ("show", "ours", "--version", "9"), ("define", "ours", str(tmp_path / "no"))):
        with pytest.raises(CommandError) as caught:
            command(*wrong)
        assert caught.value.returncode == 2
    path.write_text("- nonsense\n", "utf-8")
    with pytest.raises(CommandError, match="line 1") as caught:
        command("define", "ours", str(path))
    assert caught.value.returncode == 2


@pytest.fixture
def named_run(texts: PreLabeller, no_models: None) -> Any:
    """A run of two clips in which a registered model failed at a tagged step, and one of two turns of another."""
    corpus = create_corpus("study")
    for name in ("甲", "乙"):
        create_clip(corpus, name)
    define(
        "- disambiguate\n- step: disambiguate\n  tag: long\n  prelabeller: texts\n- step: merge\n  prelabeller: texts"
    )
    run = services.create_run(None, corpus, "ours")
    run.jobs.filter(step=f"disambiguate~long@{texts.pk}").update(
        state="failed", reason="HTTP 500", error_code="server", finished_at=run.created_at
    )
    run.jobs.filter(step=f"merge@{texts.pk}").update(step=f"merge@{texts.pk}#1")
    return run


def test_people_read_the_pre_labellers_name_and_scripts_get_it_beside_the_key(
    named_run: Any, texts: PreLabeller, client: Client, django_assert_max_num_queries: Any
) -> None:
    client.force_login(create_user("boss", is_superuser=True, is_staff=True))
    page = client.get(f"/runs/{named_run.pk}/").content.decode()
    assert page.count("disambiguate~long · texts<") == 4, "its row, its group of failures, two failures"
    assert "merge#1 · texts<" in page
    assert f"@{texts.pk}" not in page
    assert f"@{texts.pk}" not in client.get("/admin/prelabels/job/").content.decode()

    key = f"disambiguate~long@{texts.pk}"
    with django_assert_max_num_queries(8):
        jobs = client.get(f"/api/v1/runs/{named_run.pk}/jobs/").json()["results"]
    assert {job["step"]: job["step_name"] for job in jobs} == {
        "disambiguate": "disambiguate",
        key: "disambiguate~long · texts",
        f"merge@{texts.pk}#1": "merge#1 · texts",
    }
    codes = client.get(f"/api/v1/runs/{named_run.pk}/").json()["progress"]["codes"]
    assert [(code["step"], code["step_name"], code["n"]) for code in codes] == [(key, "disambiguate~long · texts", 2)]


def test_an_estimate_and_a_dry_run_name_the_pre_labeller(named_run: Any, texts: PreLabeller, client: Client) -> None:
    client.force_login(create_member(named_run.corpus, "manager"))
    page = client.post("/corpora/study/runs/", {"pipeline": "ours", "estimate": "1"}).content.decode()
    estimate = page.partition('id="estimate"')[2].partition("</section>")[0]
    assert "nothing is known about them: disambiguate, disambiguate~long · texts, merge · texts." in estimate
    assert ">disambiguate~long · texts</th>" in estimate
    assert "@" not in estimate
    out = io.StringIO()
    call_command("prelabel", "study", "--pipeline", "ours", "--dry-run", stdout=out)
    assert "  merge · texts: no earlier run to estimate from" in out.getvalue()
    assert "@" not in out.getvalue()
    out = io.StringIO()
    call_command("pipeline", "show", "ours", stdout=out)
    call_command("pipeline", "list", stdout=out)
    assert out.getvalue().count("ours v1: disambiguate, disambiguate~long · texts, merge · texts") == 2
    rows = client.post("/api/v1/corpora/study/runs/estimate/", {"pipeline": "ours"}).json()["steps"]
    assert rows[2]["step"] == f"merge@{texts.pk}"
    assert rows[2]["step_name"] == "merge · texts"
