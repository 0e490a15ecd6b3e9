"""What may name a clip."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotator.clips.names import clean_name, shown
from annotator.core.errors import Invalid


@pytest.mark.parametrize("name", ["a", "开心_01", "it's (1) & co", "=SUM(A1)", "<b>", "00000042", "a.b", "naïve", "-x"])
def test_ordinary_names_pass_unchanged(name: str) -> None:
    assert clean_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../a",
        "a/b",
        "a\\b",
        "a\nb",
        "a\x00",
        "a\x7f",
        "\ud800",
        "\u202egpj",
        " a",
        "a ",
        "x" * 201,
        "\u2028",
    ],
)
def test_names_that_are_paths_or_trickery_are_refused(name: str) -> None:
    with pytest.raises(Invalid):
        clean_name(name)


def test_a_decomposed_name_is_composed() -> None:
    assert clean_name("e\u0301") == "\u00e9"


@given(st.text())
def test_whatever_passes_is_one_line_that_can_be_stored_and_shown(text: str) -> None:
    try:
        name = clean_name(text)
    except Invalid:
        name = "refused"
    assert name.encode("utf-8")
    assert len(name.splitlines()) == 1
    assert "/" not in name
    assert len(shown(text).encode("utf-8").decode().splitlines()) <= 1
    assert clean_name(name) == name


@pytest.mark.parametrize("name", ["开心\u300001", "a\u00a0b", "👩\u200d🔬", "e\u0301"])
def test_a_valid_name_is_shown_as_it_is(name: str) -> None:
    assert shown(clean_name(name)) == clean_name(name)
