"""What the clip's page shows of pre-labelling: the current clues, each with its source."""

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.translation import get_language

from annotator.clips import people
from annotator.clips.access import may
from annotator.clips.models import Clip

from . import gate_words, queries
from .models import Clue, DescriptionDraft


def _shown(clue: Clue) -> dict[str, Any]:
    """`{"language", "text", "chips"}`: in the reader's language where the clue has a rendering in it, else as it was
    written, the words of its claims marked; and what the evidence gate says of them."""
    language = "zh" if (get_language() or "").startswith("zh") else "en"
    text = (clue.texts or {}).get(language)
    if text and text != clue.text:
        return {"language": language, "text": text, "chips": []}
    marked = gate_words.marked(clue.text, clue.gate)
    return {"language": clue.language, "text": marked, "chips": gate_words.chips(clue.gate)}


def _of_somebody_else(clip: Clip, drafted: Sequence[Clue | DescriptionDraft | None]) -> list[bool]:
    """Of drafted clues and descriptions: whether each was made for another person than the clip is about now."""
    if clip.people.count() < 2:
        return [False] * len(drafted)
    chosen = people.target(clip)

    def other(each: Clue | DescriptionDraft | None) -> bool:
        if each is None or each.prelabeller.kind == "import":
            return False
        modality = each.modality if isinstance(each, Clue) else ""
        return people.is_of_somebody_else(each.provenance.get("parameters") or {}, modality, chosen)

    return [other(each) for each in drafted]


def clues_panel(request: HttpRequest, clip: Clip) -> str:
    """The panel's HTML; "" for who may not see pre-labels."""
    if not may(request.user, clip.corpus, "run.view"):
        return ""
    clues = list(queries.clues_for(clip).select_related("prelabeller", "job"))
    draft = DescriptionDraft.objects.filter(clip=clip).select_related("prelabeller", "job").last()
    *others, draft_other = _of_somebody_else(clip, [*clues, draft])
    context = {
        "clip": clip,
        "clues": [(clue, _shown(clue) | {"other_person": other}) for clue, other in zip(clues, others, strict=True)],
        "draft": draft,
        "draft_other_person": draft_other,
        "may_start": may(request.user, clip.corpus, "run.start"),
    }
    return render_to_string("prelabels/_panel.html", context, request=request)
