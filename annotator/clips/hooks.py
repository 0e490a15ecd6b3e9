"""Where higher rooms add to what clips show: each appends a function in its apps.py `ready()`."""

from collections.abc import Callable, Sequence
from typing import Any

from django.http import HttpRequest

from .models import Clip, Corpus

# (request, clip) -> html-safe string below the player of a clip's page; "" for nothing.
panels: list[Callable[[HttpRequest, Clip], str]] = []

# (user id, clip id) -> the id of this person's live claim on the clip, or None.
claims: list[Callable[[int, int], int | None]] = []

# (corpora, user) -> {corpus id: {"key": JSON}}: joined into GET /corpora/{slug}/progress/, overview and home page.
progress: list[Callable[[Sequence[Corpus], Any], dict[int, dict[str, Any]]]] = []

# (corpus as somebody wants to save it) -> {field: what speaks against it}; asked by forms that change a corpus.
corpus_problems: list[Callable[[Corpus], dict[str, str]]] = []

# (corpus, {clip id: [{modality, aspect, language, text, source}]}) -> ids of the clips whose clues changed.
# Called inside the transaction that stores the manifest's rows; the clues are checked already.
clue_importers: list[Callable[[Corpus, dict[int, list[dict[str, Any]]]], set[int]]] = []
