"""The scripts that a page loads are of one version: every import, however far down, names its content."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.management import call_command
from django.test import override_settings

from annotator.checking import views
from annotator.core import static

ROOT = Path(__file__).resolve().parents[3]

IMPORT = re.compile(r"""(?:\bfrom\s*|\bimport\s*\(?\s*)"(\.[^"]+)";?""")
HASHED = re.compile(r"\.[0-9a-f]{12}\.js$")


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("static")
    storages = {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": "annotator.core.static.ModuleStorage"},
    }
    with override_settings(STORAGES=storages, STATIC_ROOT=str(folder)):
        call_command("collectstatic", "--noinput", "-v", "0")
        yield folder


@pytest.mark.parametrize("entry", ["check", "review"])
def test_every_import_names_the_content_of_a_file_that_is_there(collected: Path, entry: str) -> None:
    todo, seen = [collected / staticfiles_storage.stored_name(f"js/checking/{entry}.js")], set()
    while todo:
        file = todo.pop()
        if file in seen:
            continue
        seen.add(file)
        assert HASHED.search(file.name), file
        for address in IMPORT.findall(file.read_text(encoding="utf-8")):
            todo.append((file.parent / address).resolve())
    names = {HASHED.sub(".js", file.name) for file in seen}
    assert {f"{entry}.js", "api.js", "saver.js", "wavesurfer.esm.js", "array.js", "base.js"} <= names


def test_what_the_page_preloads_is_what_its_script_imports(collected: Path) -> None:
    named = static.modules("js/checking/check.js")
    imported = IMPORT.findall((collected / staticfiles_storage.stored_name("js/checking/check.js")).read_text())
    files = {(Path("/static/js/checking") / address).as_posix().replace("/checking/../", "/") for address in imported}
    assert len(files) > 8
    assert files <= set(named)
    assert all((collected / name.removeprefix("/static/")).is_file() and HASHED.search(name) for name in named)


@pytest.mark.parametrize("entry", ["check", "review"])
def test_a_bundle_imports_nothing_at_first_and_finds_what_it_loads_later(collected: Path, entry: str) -> None:
    file = collected / staticfiles_storage.stored_name(f"js/bundles/{entry}.js")
    text = file.read_text(encoding="utf-8")
    later = re.findall(r'import\("([^"]+)"\)', text)
    assert len(later) == 3
    assert set(IMPORT.findall(text)) == set(later)
    assert all(HASHED.search(address) and (file.parent / address).resolve().is_file() for address in later)
    assert file.with_suffix(".js.gz").stat().st_size < 60_000


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    """A copy of static/ and of what bundles it, the only one that is found."""
    shutil.copytree(ROOT / "static", tmp_path / "static", ignore=shutil.ignore_patterns("bundles"))
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "front_end.py", tmp_path / "scripts")
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    with override_settings(STATICFILES_DIRS=[tmp_path / "static"]):
        finders.get_finder.cache_clear()
        static.script.cache_clear()
        static.sheets.cache_clear()
        yield tmp_path
    finders.get_finder.cache_clear()
    static.script.cache_clear()
    static.sheets.cache_clear()


def bundle(tree: Path) -> str:
    command = [sys.executable, str(tree / "scripts" / "front_end.py"), "--bundle-only"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def plain(address: str) -> str:
    """A name below static/, whether the address says the content's hash or not."""
    return re.sub(r"\.[0-9a-f]{12}(?=\.(?:js|css)$)", "", address).removeprefix("/static/")


def script() -> tuple[str, set[str]]:
    static.script.cache_clear()
    found = static.script("js/checking/check.js", "js/bundles/check.js")
    return plain(found.address), {plain(module) for module in found.modules}


def sheets(*names: str) -> list[str]:
    static.sheets.cache_clear()
    return [plain(sheet) for sheet in static.sheets(names, "css/bundles/work.css")]


def test_a_page_takes_the_bundle_of_its_sources_only(tree: Path) -> None:
    alone, modules = script()
    assert alone == "js/checking/check.js"
    assert bundle(tree) == ""
    assert script() == ("js/bundles/check.js", set())
    made_from = json.loads((tree / "static" / static.MADE_FROM).read_text())["js/bundles/check.js"]
    assert set(made_from) == {alone, *modules}
    saver = tree / "static" / "js" / "checking" / "saver.js"
    before = saver.read_text("utf-8")
    saver.write_text(before + "// another line\n", "utf-8")
    assert script() == (alone, modules)
    assert bundle(tree) == ""
    assert script() == ("js/bundles/check.js", set())
    saver.write_text(before, "utf-8")  # an older one again: as wrong as a newer one
    assert script() == (alone, modules)


def test_the_sheets_are_one_file_while_it_is_of_them(tree: Path) -> None:
    bundle(tree)
    assert sheets(*views.SHEETS) == ["css/bundles/work.css"]
    assert sheets(*views.SHEETS, "css/quality.css") == [*views.SHEETS, "css/quality.css"]
    (tree / "static" / "css" / "player.css").write_text("/* gone */", "utf-8")
    assert sheets(*views.SHEETS) == list(views.SHEETS)


def test_without_esbuild_it_says_so_and_the_page_loads_modules(tree: Path) -> None:
    (tree / "node_modules").unlink()
    assert re.fullmatch(r"The checking page loads its modules one by one: esbuild cannot run \(.+\)\.\n", bundle(tree))
    alone, modules = script()
    assert alone == "js/checking/check.js"
    assert {"js/api.js", "js/checking/saver.js", "vendor/diff/array.js", "vendor/diff/base.js"} <= modules
