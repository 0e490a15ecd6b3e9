"""The search for seldom emotions among a corpus's clips: action units, labels and the words of descriptions."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from django.utils.translation import gettext as _

from annotator.clips.models import Clip, Corpus
from annotator.core.errors import Invalid
from models_ml.steps import select

from .models import Clue, DescriptionDraft, Run

BATCH = 2000


def find_rare(corpus: Corpus, label: str, *, run: Run | None = None) -> Iterator[dict[str, Any]]:
    """`{"name", "signs": [what speaks of it]}` for every clip, not withdrawn, that anything speaks of, by name.

    Looked at: the current clue of the peak frame's action units, the clip's own label, and the newest description with
    its OV labels (of `run`, else of any run). Raises Invalid for a word that the lexicon does not know.
    """
    try:
        select.rare_signs(label)
    except ValueError as error:
        raise Invalid(_("The lexicon does not know the emotion “%s”.") % label) from error
    clips = corpus.clips.present().order_by("name")
    batch: list[Clip] = []
    for clip in clips.iterator(chunk_size=BATCH):
        batch.append(clip)
        if len(batch) == BATCH:
            yield from _found(batch, label, run)
            batch = []
    yield from _found(batch, label, run)


def _found(clips: Sequence[Clip], label: str, run: Run | None) -> Iterator[dict[str, Any]]:
    units: dict[int, dict[str, float | None]] = defaultdict(dict)
    clues = Clue.objects.filter(clip__in=clips, superseded_at=None, codes__kind="au")
    for clip_id, codes in clues.values_list("clip_id", "codes"):
        units[clip_id] |= (codes or {}).get("aus") or {}
    drafts = DescriptionDraft.objects.filter(clip__in=clips).order_by("clip_id", "-pk").distinct("clip_id")
    if run is not None:
        drafts = drafts.filter(job__run=run)
    newest = {draft.clip_id: draft for draft in drafts.defer("provenance")}
    for clip in clips:
        draft = newest.get(clip.pk)
        labels = [*([clip.label] if clip.label else []), *([*draft.ov_zh, *draft.ov_en] if draft else [])]
        texts = [draft.description_zh, draft.description_en] if draft else []
        signs = select.rare_signs(label, labels=labels, texts=texts, units=units[clip.pk])
        if signs:
            yield {"name": clip.name, "signs": signs}
