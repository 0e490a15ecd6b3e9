"""What the scripts of the checking page say."""

from typing import Any

import pytest

from annotator.checking import words
from annotator.checking.words import clues, page, player, review, text

PARTS = (page, player, clues, text, review)


def test_the_words_of_every_part_reach_the_page() -> None:
    told = words.script()
    for part in PARTS:
        for key, word in part.script().items():
            assert told[key] == word, (part.__name__, key)


def test_a_key_in_two_parts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    own: dict[str, Any] = player.script() | {"confidence": "Level"}
    monkeypatch.setattr(player, "script", lambda: own)
    with pytest.raises(ValueError, match="confidence"):
        words.script()
