"""The table of models: every model of the papers is there, its figures are the paper's, its words are checked."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from models_ml.mllm.families import FAMILIES
from models_ml.registry import FOLDER, RegistryError, load, table
from models_ml.registry.__main__ import main
from models_ml.registry.markdown import document

ROOT = Path(__file__).resolve().parents[3]
NAMED = {  # those of the papers, then those of today
    "gpt-4v",
    "gpt-3.5",
    "qwen-audio",
    "qwen2-audio",
    "salmonn",
    "secap",
    "onellm",
    "pandagpt",
    "otter",
    "videochat",
    "videochat2",
    "video-llama",
    "video-llava",
    "video-chatgpt",
    "llama-vid",
    "mplug-owl",
    "chat-univi",
    "valley",
    "minigpt-v2",
    "emotion-llama",
    "llama-3",
    "qwen2",
    "vicuna",
    "affectgpt",
    "qwen2.5-omni",
    "qwen3-omni",
    "qwen2.5-vl",
    "qwen3-vl",
    "voxtral",
    "gemma-3n",
    "llava-onevision",
    "internvl3",
}


def rows():
    return {row.key: row for row in load()}


def test_every_model_of_the_papers_and_of_today_has_a_row():
    assert set(rows()) >= NAMED
    assert {row.way for row in load() if row.key in NAMED} == {"openai", "transformers", "adapter"}


@pytest.mark.parametrize(
    ("key", "place", "english", "chinese"),
    [
        ("salmonn", 0, 48.06, 48.53),
        ("chat-univi", 0, 53.09, 54.20),
        ("onellm", 0, 43.04, 46.77),  # heard
        ("onellm", 1, 50.99, 51.84),  # seen
        ("gpt-4v", 0, 56.69, 57.34),
        ("qwen2", 0, 53.38, 55.15),  # table 2
    ],
)
def test_its_scores_are_the_papers(key, place, english, chinese):
    result = rows()[key].results()[place]
    assert (result["english"].mean, result["chinese"].mean) == (english, chinese)


def test_affectgpt_is_scored_on_the_test_clips_in_english_only():
    first = rows()["affectgpt"].results()[0]
    assert (first["table"], first["english"].mean, first["english"].std, first["chinese"]) == ("4", 65.08, None, None)


def test_the_mean_of_accuracy_and_recall_is_the_average_everywhere():
    """As in the paper, within its rounding."""
    grouped: dict = {}
    for scores in table().values():
        for one in scores:
            grouped.setdefault((one.table, one.model, one.media, one.language), {})[one.metric] = one.mean
    assert len(grouped) == 108
    for place, figures in grouped.items():
        assert figures["avg"] == pytest.approx((figures["accuracy_s"] + figures["recall_s"]) / 2, abs=0.0051), place


def test_a_worker_can_load_what_the_table_says_it_loads():
    for row in load():
        if row.family:
            assert row.family in FAMILIES
        if row.way == "transformers":
            assert FAMILIES[row.family].model in row.runs_with
            assert row.run_here == "tiny"


def test_what_was_not_run_by_us_says_so():
    assert all(rows()[key].run_here == "recorded" for key in ("openface", "mediapipe"))
    assert all("not run by us" in rows()[key].note["en"] for key in ("openface", "mediapipe", "salmonn"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, "model salmonn: unknown field 'colour'"),
        ({"way": "magic"}, "model salmonn: way must be one of"),
        ({"run_here": False}, "model salmonn: run_here must be one of"),
        ({"licence": "MIT"}, "model salmonn: licence needs code and weights"),
        ({"checked": ["code", "weights"]}, "model salmonn: a licence that is unknown was not checked"),
        ({"languages": ["tlh"]}, "model salmonn: languages is a list of"),
        ({"link": "ftp://x"}, "model salmonn: .* https address"),
        ({"note": {"en": "x"}}, "model salmonn: a note needs en and zh"),
        ({"name": None}, "model salmonn: name must be text"),
        ({"way": "transformers"}, "model salmonn: a model of transformers needs a family"),
        ({"scores": [{"model": "Nobody", "media": ["audio"]}]}, "model salmonn: scores.csv has no 'Nobody'"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, change, message):
    listed = yaml.safe_load((FOLDER / "models.yaml").read_text("utf-8"))
    listed = [item | change if item["key"] == "salmonn" else item for item in listed]
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(listed), "utf-8")
    with pytest.raises(RegistryError, match=message):
        load(tmp_path / "models.yaml")


def test_a_row_without_a_field_and_a_key_that_is_there_twice_are_named(tmp_path):
    listed = yaml.safe_load((FOLDER / "models.yaml").read_text("utf-8"))
    (tmp_path / "models.yaml").write_text(yaml.safe_dump([*listed, listed[0]]), "utf-8")
    with pytest.raises(RegistryError, match="gpt-4v: its key is there twice"):
        load(tmp_path / "models.yaml")
    del listed[3]["licence"]
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(listed), "utf-8")
    with pytest.raises(RegistryError, match="model qwen2-audio: the field 'licence' is missing"):
        load(tmp_path / "models.yaml")


def test_the_page_in_the_docs_is_the_table():
    written = (ROOT / "docs/models.md").read_text("utf-8")
    assert written == document(load()), "python -m models_ml.registry --markdown > docs/models.md"


def test_the_command_prints_what_is_asked_for(capsys):
    assert main(["--modality", "audio", "--way", "adapter"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["model", "Qwen-Audio", "SALMONN", "SECap"]
    assert "48.06" in lines[2]


def test_the_command_runs_alone():
    done = subprocess.run(
        [sys.executable, "-m", "models_ml.registry", "--json"], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert '"key": "salmonn"' in done.stdout
