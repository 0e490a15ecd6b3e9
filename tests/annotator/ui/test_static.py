"""The scripts that a page loads are of one version: every import, however far down, names its content."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.management import call_command
from django.test import override_settings

from annotator.checking import views

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
    assert {f"{entry}.js", "api.js", "saver.js", "wavesurfer.esm.js"} <= names


def test_what_the_page_preloads_is_what_its_script_imports(collected: Path) -> None:
    views.modules.cache_clear()
    try:
        named = views.modules("js/checking/check.js")
    finally:
        views.modules.cache_clear()
    imported = IMPORT.findall((collected / staticfiles_storage.stored_name("js/checking/check.js")).read_text())
    files = {(Path("/static/js/checking") / address).as_posix().replace("/checking/../", "/") for address in imported}
    assert len(files) > 8
    assert files <= set(named)
    assert all((collected / name.removeprefix("/static/")).is_file() and HASHED.search(name) for name in named)
