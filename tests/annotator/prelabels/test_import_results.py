"""Result files of AffectGPT come in as pre-labels: their columns, their leaked prompts, their languages."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management.base import CommandError

from annotator.clips.models import Corpus
from annotator.prelabels.imports import import_clues
from annotator.prelabels.models import Clue
from tests.annotator.prelabels.test_prelabel_commands import call
from tests.support.factories import create_clip, create_corpus

pytestmark = pytest.mark.django_db


@pytest.fixture
def import_results(tmp_path: Path) -> Callable[..., tuple[int, dict[str, Any], str]]:
    corpus = create_corpus("study")
    for name in ("sample_00000047", "sample_00000153", "sample_00000508"):
        create_clip(corpus, name)

    def run(
        content: str, language: str = "zh", name: str = "results.csv", *more: str
    ) -> tuple[int, dict[str, Any], str]:
        path = tmp_path / name
        path.write_text(content, "utf-8")
        options = ("--prelabeller", "affectgpt", "--modality", "text", "--language", language, *more)
        return call("import_prelabels", "study", str(path), *options)

    return run


def test_names_and_chi_reasons_become_clues_of_no_single_aspect(import_results: Callable[..., Any]) -> None:
    code, found, _err = import_results('names,chi_reasons\nsample_00000047,"视频中人物微笑；音频中语调上扬。"\n')
    assert (code, found["created"], found["repaired"]) == (0, 1, [])
    clue = Clue.objects.get()
    assert (clue.modality, clue.aspect, clue.language) == ("text", "", "zh")
    assert clue.text == "视频中人物微笑；音频中语调上扬。"
    assert clue.prelabeller.name == "affectgpt"


def test_an_aspect_that_is_named_wins(import_results: Callable[..., Any]) -> None:
    import_results("names,chi_reasons\nsample_00000047,他笑了\n", "zh", "r.csv", "--aspect", "content")
    assert Clue.objects.get().aspect == "content"


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("name,reason", "en"),
        ("name,reason", "zh"),
        ("names,emotions,subtitles,reasons", "en"),
        ("names,eng_reasons,chi_reasons", "en"),
        ("names,eng_reasons,chi_reasons", "zh"),
    ],
)
def test_other_result_files_are_read_by_their_columns(
    import_results: Callable[..., Any], header: str, language: str
) -> None:
    texts = {"eng_reasons": "A smile.", "chi_reasons": "微笑。"}
    row = [texts.get(column, "A smile." if language == "en" else "微笑。") for column in header.split(",")[1:]]
    code, found, _err = import_results(f"{header}\nsample_00000047,{','.join(row)}\n", language)
    assert (code, found["created"]) == (0, 1)
    assert Clue.objects.get().text == ("A smile." if language == "en" else "微笑。")


def test_what_leaked_from_a_prompt_is_taken_off_and_reported(import_results: Callable[..., Any]) -> None:
    rows = [
        ("sample_00000047", "Input: He smiles and speaks softly."),
        ("sample_00000153", "Input: He draft. Output: He smiles at her."),
        ("sample_00000508", "She looks down. Output:"),
    ]
    lines = [json.dumps({"name": name, "reason": text}) for name, text in rows]
    code, found, _err = import_results("\n".join(lines), "en", "results.jsonl")
    assert code == 0
    assert [(item["name"], item["field"], item["rule"]) for item in found["repaired"]] == [
        ("sample_00000047", "text", "leading_marker"),
        ("sample_00000153", "text", "inner_output"),
        ("sample_00000508", "text", "trailing_marker"),
    ]
    assert list(Clue.objects.order_by("clip__name").values_list("text", flat=True)) == [
        "He smiles and speaks softly.",
        "He smiles at her.",
        "She looks down.",
    ]


def test_a_text_column_of_our_own_is_taken_as_it_is(import_results: Callable[..., Any]) -> None:
    _code, found, _err = import_results("name,text\nsample_00000047,Input: he says\n", "en")
    assert found["repaired"] == []
    assert Clue.objects.get().text == "Input: he says"


def test_a_reason_of_nothing_but_scaffolding_is_an_empty_row(import_results: Callable[..., Any]) -> None:
    code, found, _err = import_results("name,reason\nsample_00000047,Output:\nsample_00000153,微笑\n")
    assert (code, found["created"]) == (1, 1)
    assert found["failed"] == [{"line": 2, "name": "sample_00000047", "reason": "the text is empty"}]


def test_chinese_reasons_are_not_imported_as_english(import_results: Callable[..., Any]) -> None:
    with pytest.raises(CommandError, match="chi_reasons.*another language") as caught:
        import_results("names,chi_reasons\nsample_00000047,微笑\n", "en")
    assert caught.value.returncode == 2
    assert not Clue.objects.exists()


def test_a_hundred_rows_cost_as_many_queries_as_two(
    import_results: Callable[..., Any], django_assert_max_num_queries: Any
) -> None:
    corpus = Corpus.objects.get()
    names = [create_clip(corpus, f"n{n:03}").name for n in range(100)]
    item = {"modality": "visual", "aspect": "expression", "language": "en", "text": "She smiles."}
    for some in (names[:2], names):
        with django_assert_max_num_queries(45):
            _code, found, _err = import_results("name,text\n" + "".join(f"{name},She smiles.\n" for name in some), "en")
        assert found["created"] + found["unchanged"] == len(some)
        ids = list(corpus.clips.filter(name__in=some).values_list("pk", flat=True))
        with django_assert_max_num_queries(45):
            changed = import_clues(corpus, {pk: [{**item, "source": "m"}, {**item, "source": "n"}] for pk in ids})
        assert len(changed) == (2 if some is not names else 98)
