"""Every string that a person sees is there in English and in Simplified Chinese."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import polib
import pytest
from django.utils import translation

ROOT = Path(__file__).resolve().parents[3]
CATALOGUE = ROOT / "locale" / "zh_Hans" / "LC_MESSAGES" / "django.po"


@pytest.fixture(scope="module")
def messages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("messages_script", ROOT / "scripts" / "messages.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_msgid_has_a_chinese_translation_with_the_same_placeholders(messages: ModuleType) -> None:
    catalogue = polib.pofile(str(CATALOGUE), encoding="utf-8")
    assert messages.problems(catalogue, messages.found()) == [], "run scripts/messages.py and translate what is new"


def test_msgids_are_read_from_templates_and_python_alike(messages: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        '{% load i18n %}{% translate "A title" %}{{ _("A value") }}'
        "{% blocktranslate count n=k %}{{ n }} clip{% plural %}{{ n }} clips{% endblocktranslate %}",
        encoding="utf-8",
    )
    assert set(messages.in_template(page)) == {("A title", ""), ("A value", ""), ("%(n)s clip", "%(n)s clips")}
    code = tmp_path / "code.py"
    code.write_text('a = _("one " "sentence")\nb = ngettext("%(n)d job", "%(n)d jobs", n)\n', encoding="utf-8")
    assert set(messages.in_python(code)) == {("one sentence", ""), ("%(n)d job", "%(n)d jobs")}


def test_what_is_missing_untranslated_or_left_over_is_named(messages: ModuleType) -> None:
    catalogue = polib.POFile()
    catalogue.append(polib.POEntry(msgid="Keep", msgstr=""))
    catalogue.append(polib.POEntry(msgid="%(n)s to check", msgstr="待检查"))
    catalogue.append(polib.POEntry(msgid="Gone", msgstr="没了"))
    wanted = {("Keep", ""): ["a.html"], ("New", ""): ["b.html"], ("%(n)s to check", ""): ["c.html"]}
    assert messages.problems(catalogue, wanted) == [
        "untranslated: 'Keep' (a.html)",
        "missing: 'New' (b.html)",
        "placeholders differ: '%(n)s to check' -> '待检查'",
        "left over: 'Gone'",
    ]


def test_the_catalogue_is_compiled_and_used() -> None:
    subprocess.run([sys.executable, "scripts/compile_messages.py"], cwd=ROOT, check=True)
    with translation.override("zh-hans"):
        assert translation.gettext("My corpora") == "我的语料库"
        assert translation.ngettext("%(n)s clip", "%(n)s clips", 3) % {"n": 3} == "3 个片段"
