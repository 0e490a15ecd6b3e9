"""The pipelines of the papers, step after step as declared, on a made film and a scripted server."""

import re
from pathlib import Path

import pytest

from models_ml.face import read_openface
from models_ml.llm import NotConfigured
from models_ml.steps import PIPELINES, STEPS, Evidence, base_name, prompts_of, run_step
from models_ml.steps.types import INPUTS

TRACK = read_openface("frame, timestamp, AU06_r, AU12_r\n1, 0.0, 0.2, 0.3\n2, 1.5, 1.0, 2.0\n3, 1.9, 0.4, 0.1\n")


def run(name, ev, endpoint):
    """The pipeline on one clip, as a run does it: what a step says reaches the steps after it."""
    found = {}
    for entry in PIPELINES[name]["steps"]:
        step, options = (entry, {}) if isinstance(entry, str) else (entry["step"], entry.get("options", {}))
        try:
            result = found[step] = run_step(step, ev, endpoint, **options)
        except NotConfigured:
            continue
        ev.clues += result.clues
        if result.description:
            ev.draft = {"description": result.description, "ov_labels": result.ov_labels}
    return found


@pytest.fixture
def clip(film, voice):
    return Evidence(
        "c", media_path=film, wav_path=voice(1.5, loud=(0, 1)), au=TRACK, subtitle={"zh": "太好了", "en": None}
    )


@pytest.mark.parametrize("name", ["emer", "emer-open", "merr"])
def test_a_pipeline_ends_in_a_description_and_labels_in_both_languages(name, clip, ask):
    found = run(name, clip, ask())
    assert all(result.state == "done" for step, result in found.items() if step != "au_track")
    assert clip.draft["ov_labels"] == {"en": ["happy"], "zh": ["高兴"]}
    assert "happy" in clip.draft["description"]["en"]
    assert "高兴" in clip.draft["description"]["zh"]


def test_the_order_of_calls_is_the_papers(clip, ask, server):
    run("emer-open", clip, ask())
    kinds = [call["kind"] for call in server.calls()]
    assert kinds == ["visual", "audio", "disambiguate", "prose", "translate", "labels", "labels"]


def test_emer_asks_four_times_a_clip(clip, ask, server):
    run("emer", clip, ask())
    assert [call["kind"] for call in server.calls()] == ["visual", "audio", "disambiguate", "merge"]


def test_merr_goes_as_far_as_it_can_without_a_server(clip):
    found = run("merr", clip, None)
    assert set(found) == {"au_track", "au_expression", "coarse_template"}
    assert clip.draft["description"]["en"] == (
        "The person's expression and actions include raised cheeks and lip corners pulled up."
    )
    assert clip.draft["description"]["zh"].endswith("所说的话：“太好了”")


def test_merr_describes_the_scene_of_the_peak_frame_and_writes_its_own_template(clip, ask):
    found = run("merr", clip, ask())
    assert found["visual_objective"].provenance["parameters"]["time"] == 1.5
    written = found["coarse_template"].description["en"]
    assert written.startswith(
        "This person in the video is standing at a kitchen table, one hand on a letter, with a window behind. "
        "The person's expression and actions include raised cheeks and lip corners pulled up, "
        "and the person's tone is bright and quick, with a rising tone that suggests a cheerful mood."
    )


@pytest.mark.parametrize("name", list(STEPS))
def test_every_step_declares_what_others_plan_by(name):
    spec = STEPS[name]
    assert set(spec.needs) <= {*INPUTS, *STEPS}
    assert bool(spec.prompts) == bool(spec.endpoint)
    assert (spec.queue == "llm") == bool(spec.endpoint)
    assert {"zh", "en"} & {reference["file"].split(".")[1] for reference in prompts_of(name)} or not spec.prompts
    for option in spec.options.values():
        assert option.help
        assert option.choices is None or option.default in option.choices
        assert option.least is None or option.least <= option.default <= option.most


@pytest.mark.parametrize("name", list(STEPS))
def test_every_option_is_an_argument_of_its_step(name):
    import inspect

    arguments = inspect.signature(STEPS[name].fn).parameters
    for option, declared in STEPS[name].options.items():
        assert arguments[option].default == declared.default


def test_needs_have_no_circle():
    order = []
    names = list(STEPS)
    while left := [name for name in names if name not in order]:
        free = [name for name in left if set(STEPS[name].after(names)) <= set(order)]
        assert free, f"{left} wait for each other"
        order += free


def test_the_guide_names_every_step_option_and_pipeline():
    guide = (Path(__file__).parents[3] / "docs" / "steps.md").read_text("utf-8")
    for name, spec in STEPS.items():
        (row,) = [line for line in guide.splitlines() if line.startswith(f"| `{name}` |")]
        assert [option for option in spec.options if f"`{option}`" not in row] == []
    for name, pipeline in PIPELINES.items():
        (row,) = [line for line in guide.splitlines() if line.startswith(f"| `{name}` |") and name not in STEPS]
        steps = [base_name(step) for step in pipeline["steps"]]
        assert [step for step in re.findall(r"\w+", row.split("|")[2]) if step in STEPS] == steps
