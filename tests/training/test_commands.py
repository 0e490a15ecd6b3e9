"""The command line: what it says without libraries, without weights, and of what it is given."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; from training.__main__ import main\n"


def test_every_command_has_help_that_needs_no_torch() -> None:
    code = (
        WITHOUT_TORCH
        + """
from training.__main__ import parser
commands = next(action.choices for action in parser()._actions if action.choices)
for words in [[], *([name] for name in commands)]:
    try:
        main([*words, "--help"])
    except SystemExit as end:
        assert end.code == 0
"""
    )
    asked = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stderr
    for name in ("", "fit ", "evaluate ", "estimate ", "inspect ", "fetch ", "convert "):
        assert f"usage: python -m training {name}" in asked.stdout


def test_without_torch_a_command_says_what_is_missing() -> None:
    asked = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH + "sys.exit(main(['inspect', '--config', 'tiny']))"], cwd=ROOT,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert asked.returncode == 2
    assert "training needs torch" in asked.stderr
    assert "requirements/ml.txt" in asked.stderr


def test_inspect_shows_modules_and_counts_without_weights(command: Any) -> None:
    code, said, _ = command("inspect", "--config", "affectgpt-2024-stage2")
    assert code == 0
    assert (said["trainable"], said["grade"], said["weights"]["llm"]) == (44_959_744, "fine", "not set")
    rows = {row["name"]: row for row in said["modules"]}
    assert rows["llama_proj"]["shapes"] == {"weight": [4096, 768], "bias": [4096]}
    assert rows["llm"]["trainable"] is False


def test_estimate_prints_one_json_in_the_shape_that_was_agreed_on(command: Any) -> None:
    code, said, err = command("estimate", "--config", "tiny", "--clips", 100, "--gpu", "A100")
    assert code == 0
    assert set(said) == {
        "config", "parameters", "memory", "disk", "steps", "samples", "flops_per_step", "seconds", "basis",
    }  # fmt: skip
    assert set(said["memory"]) == {"weights", "gradients", "optimizer", "activations", "features", "total"}
    assert (said["config"], said["steps"], said["samples"]) == ("tiny", 30 * 25, 30 * 100)
    code, said, err = command("estimate", "--config", "tiny", "--clips", 100, "--gpu", "Abacus")
    assert (code, said, "'Abacus' is not known" in err) == (2, None, True)


def test_a_snapshot_by_url_is_fetched_once_not_by_every_process(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, _, err = command("fit", "--config", "tiny", "--snapshot", "http://host/1/", "--out", tmp_path / "run")
    assert (code, "fetch it first" in err) == (2, True)


def test_a_pretrained_preset_without_its_files_says_which(command: Any, snapshot: Path, tmp_path: Path) -> None:
    words = ["fit", "--config", "affectgpt-2024-stage2", "--snapshot", snapshot, "--out", tmp_path / "run"]
    code, _, err = command(*words)
    assert code == 2
    assert all(f"model.{part}.pretrained" in err for part in ("vision", "image_qformer", "audio", "llm"))
    code, _, err = command(*words, *[
        word for part in ("vision", "image_qformer", "audio", "llm")
        for word in ("--set", f"model.{part}.pretrained=/nowhere/{part}")
    ])  # fmt: skip
    assert code == 2
    assert "no folder /nowhere/vision" in err


def test_a_published_format_is_kept_as_a_snapshot_beside_the_run(command: Any, tmp_path: Path, media: Path) -> None:
    names = [f"clip_{index:02d}" for index in range(4)]
    lines = ["names,emotions,subtitles,reasons"]
    for language in ("eng", "chi"):
        rows = [f'{name},happy,"hello","The person {name} smiles, so the person seems happy."' for name in names]
        (tmp_path / f"gt-{language}.csv").write_text("\n".join([*lines, *rows]) + "\n")
    words = ["fit", "--config", "tiny", "--media", media, "--no-register", "--set", "train.epochs=1"]
    code, _, err = command(*words, "--snapshot", f"emer-v1:{tmp_path},test=0.25", "--out", tmp_path / "run")
    assert code == 0, err
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["snapshot"]["path"] == str(tmp_path / "run.snapshot")
    assert facts["snapshot"]["samples"] == 3
    # The same call again finds the same snapshot, and the run used.
    code, _, err = command(*words, "--snapshot", f"emer-v1:{tmp_path},test=0.25", "--out", tmp_path / "run")
    assert (code, "already used" in err) == (2, True)


def test_scan_and_cache_go_before_a_run(command: Any, few: Path, media: Path, tmp_path: Path) -> None:
    words = ["--config", "tiny", "--snapshot", few, "--media", media]
    code, said, _ = command("scan", *words)
    assert (code, said["samples"], said["sound"]) == (0, 3, True)
    code, said, _ = command("cache", *words, "--dir", tmp_path / "features")
    assert (code, said["made"], said["failed"]) == (0, 4, [])
    code, said, _ = command("cache", *words, "--dir", tmp_path / "features", "--verify", "--prune")
    assert (code, said["made"], said["kept"], said["damaged"]) == (0, 0, 4, [])
