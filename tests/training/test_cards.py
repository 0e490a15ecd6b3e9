"""A model card says what was trained on what, how good it is, and what must be known before it is used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.training import world
from training.cards import facts, licence_of, readme, write_card
from training.config import load_config
from training.lineage import entry
from training.snapshot import read_snapshot

FIGURES = {
    "run": "x", "split": "test", "n": 66, "accuracy": 0.62, "recall": 0.64, "avg": 0.63,
    "ci95": {"accuracy": [0.57, 0.67], "recall": [0.59, 0.69], "avg": [0.585, 0.675]}, "grouping": "lexicon",
    "extraction": "direct", "route": "one-step", "checkpoint": "step-00000120", "step": 120, "epoch": 1.5,
    "snapshot": {"digest": "d" * 64, "name": "fine"}, "leak": None, "predictions": "p.jsonl", "finished": "2025",
    "during_training": True,
}  # fmt: skip


@pytest.fixture
def made(tmp_path: Path) -> Any:
    """A checkpoint's folder with state and lineage, of these settings and evaluations."""

    def make(settings: list[str], evaluations: list[dict] | None = None, **manifest: Any) -> tuple[Path, Path]:
        run = tmp_path / "stage2"
        folder = run / "checkpoints" / "step-00000120"
        folder.mkdir(parents=True)
        (run / "evaluations").mkdir()
        rows = [world.record(index, licence="open" if index else "restricted") for index in range(3)]
        snapshot = read_snapshot(world.write_snapshot(tmp_path / "snapshot", rows))
        lineage = [{**entry(snapshot, "all", 2, snapshot.split("all")), **manifest}]
        config = load_config("tiny", settings).to_dict()
        state = {"step": 120, "epoch": 1.5, "config": config, "frozen": {"llm": "files:abc"}, "git": "f00",
                 "steps_per_epoch": 80, "processes": 1, "trainable_parameters": 222_976}  # fmt: skip
        (folder / "state.json").write_text(json.dumps(state))
        (folder / "lineage.json").write_text(json.dumps(lineage))
        for index, one in enumerate(evaluations or []):
            (run / "evaluations" / f"{index}.json").write_text(json.dumps({**FIGURES, **one}))
        return folder, run

    return make


def test_a_card_tells_lineage_recipe_and_limits(made: Any) -> None:
    folder, run = made([])
    card = write_card(folder, run)
    assert card == json.loads((folder / "card.json").read_text())
    (stage,) = card["trained_on"]
    assert (stage["clips"], stage["grade"], stage["licences"]) == (3, "fine", {"open": 2, "restricted": 1})
    assert (card["step"], card["epoch"], card["trainable_parameters"]) == (120, 1.5, 222_976)
    assert card["recipe"]["optimizer"] == "AdamW"
    assert card["recipe"]["modalities"] == ["video", "audio", "subtitle"]
    assert card["random_weights"] == ["vision", "image_qformer", "audio", "llm"]
    text = (folder / "README.md").read_text()
    for words in ("Random weights: vision", "Not evaluated yet.", "decide about nobody by it", stage["digest"][:12],
                  "open 2, restricted 1", "weight_decay: 0.05", "revision f00"):  # fmt: skip
        assert words in text


def test_the_front_matter_is_what_the_hub_reads(made: Any) -> None:
    folder, run = made(["model.llm.pretrained=Qwen/Qwen2.5-7B-Instruct"], [{}])
    write_card(folder, run)
    _, head, _ = (folder / "README.md").read_text().split("---\n", 2)
    front = yaml.safe_load(head)
    assert front["license"] == "other"
    assert front["pipeline_tag"] == "video-text-to-text"
    assert front["base_model"] == ["Qwen/Qwen2.5-7B-Instruct"]
    assert "random-weights" in front["tags"]
    (result,) = front["model-index"][0]["results"]
    assert result["dataset"] == {"name": "fine", "type": "EMER", "split": "test", "revision": "d" * 64}
    assert result["metrics"][0]["value"] == 63.0
    assert result["metrics"][0]["name"] == "avg, grouping lexicon, labels direct"


def test_figures_stand_with_interval_grouping_and_extraction_and_only_this_checkpoints(made: Any) -> None:
    folder, run = made([], [{}, {"checkpoint": "step-00000040", "avg": 0.99}])
    card = facts(folder, run)
    assert [one["avg"] for one in card["evaluations"]] == [0.63]
    text = readme(card)
    assert "| fine | test | 66 | 63.00 [58.5, 67.5] | 62.00 [57.0, 67.0] |" in text
    assert "| one-step | lexicon | direct |" in text
    assert "66 clips under test are few" in text
    assert "99.00" not in text


def test_a_leak_and_synthetic_clips_are_said_first_of_all(made: Any) -> None:
    folder, run = made([], [{"leak": "leak: 1 of 66 clips"}], synthetic=True, grade="coarse")
    card = facts(folder, run)
    assert card["synthetic"]
    text = readme(card)
    assert text.index("Synthetic: trained on clips made by code") < text.index("## Trained on")
    assert "Trained on coarse records only" in text
    assert "Some figures are of clips that were trained on" in text
    assert "test (**leak**)" in text
    assert "synthetic" in yaml.safe_load(text.split("---\n")[1])["tags"]


def test_the_best_checkpoint_says_why_and_that_the_test_curve_chose_it(made: Any) -> None:
    folder, run = made([], [{}])
    choice = {"checkpoint": "step-00000120", "why": "epoch 1.5 has the highest avg on test",
              "warning": "chosen on the test curve, as in the paper: its test score is too high"}  # fmt: skip
    (run / "checkpoints" / "best.json").write_text(json.dumps(choice))
    text = readme(facts(folder, run))
    assert "Best of its run: epoch 1.5 has the highest avg on test." in text
    assert "Chosen on the test curve, as in the paper" in text


def test_licences_of_base_models_are_those_that_their_folders_state(made: Any, tmp_path: Path) -> None:
    model = tmp_path / "llm"
    model.mkdir()
    assert licence_of(str(model)) is None
    (model / "README.md").write_text("# no front matter")
    assert licence_of(str(model)) is None
    (model / "README.md").write_text("---\nlicense: other\nlicense_name: llama2\nlicense_link: LICENSE\n---\n# model\n")
    folder, run = made([f"model.llm.pretrained={model}", f"model.audio.pretrained={tmp_path}"])
    rows = {row["part"]: row for row in facts(folder, run)["base_models"]}
    assert rows["llm"]["licence"] == "other, llama2, LICENSE"
    assert rows["llm"]["identity"] == "files:abc"
    assert (rows["vision"]["random"], rows["vision"]["licence"]) == (True, None)
    kind = load_config("tiny").model.audio.kind
    assert (rows["audio"]["licence"] is not None) == (kind == "imagebind")
