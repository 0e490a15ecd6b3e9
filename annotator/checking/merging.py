"""A record put together from several annotations: which clues it may take, and who had said each part of it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from annotator.prelabels.models import Clue
from annotator.prelabels.queries import in_order

from .canonical import LANGUAGES
from .models import Annotation
from .submissions import body_of, offered_clues

# What a reviewer decides over. The reply, the state of the translation and how it was made are the annotator's own.
PARTS = ("clues", "description", "ov_labels", "label", "ov_scores", "display", "conflict")
_SAID = ("id", "modality", "aspect", "language", "text", "span", "verdict")


def decided(body: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a body that make a record; what is empty is left out, so that two bodies can be compared."""
    return {key: body[key] for key in PARTS if body.get(key) not in (None, "", {}, [])}


def judged_clues(annotations: Sequence[Annotation]) -> list[Clue]:
    """The clues that the annotations judged: a later run may have put others in their place since."""
    ids = {check.clue_id for annotation in annotations for check in annotation.checks.all() if check.clue_id}
    return list(in_order(Clue.objects.filter(pk__in=ids)).select_related("prelabeller"))


def clues_to_decide(body: Mapping[str, Any], chosen: Annotation, annotations: Sequence[Annotation]) -> list[Clue]:
    """The clues that need a verdict in `body`: those offered to the chosen annotation's author.

    A body that takes a clue from somebody else too is a merge, and needs one on every clue that anybody judged.
    """
    offered = offered_clues(chosen.claim)
    own = {clue.pk for clue in offered}
    items = body.get("clues")
    taken = {item.get("id") for item in items if isinstance(item, dict)} if isinstance(items, list) else set()
    others = [clue for clue in judged_clues(annotations) if clue.pk not in own]
    return [*offered, *others] if any(clue.pk in taken for clue in others) else offered


def sources(body: Mapping[str, Any], annotations: Sequence[Annotation]) -> dict[str, Any]:
    """Which annotations (their ids) say each part of `body` to the letter; nobody: the reviewer's own words.

    `{"clues": [[ids], … one a clue of the body], "description": {language: [ids]}, "ov_labels": {language: {label:
    [ids]}}}`, then `label`, `display` and `conflict` where the body has them. It is found by comparing, so no client
    can claim a source that did not say it.
    """
    said = {annotation.pk: body_of(annotation) for annotation in annotations}

    def who(says: Callable[[Mapping[str, Any]], bool]) -> list[int]:
        return [pk for pk, other in said.items() if says(other)]

    found: dict[str, Any] = {
        "clues": [
            who(lambda other, item=item: _clue(item) in [_clue(each) for each in other["clues"]])  # type: ignore[misc]
            for item in body["clues"]
        ],
        "description": {
            language: who(lambda other, tongue=language: other["description"][tongue] == body["description"][tongue])  # type: ignore[misc]
            for language in LANGUAGES
            if body["description"][language]
        },
        "ov_labels": {
            language: {
                label: who(lambda other, word=label, tongue=language: word in other["ov_labels"][tongue])  # type: ignore[misc]
                for label in body["ov_labels"][language]
            }
            for language in LANGUAGES
        },
    }
    for key in ("label", "display", "conflict"):
        if body.get(key):
            found[key] = who(lambda other, part=key: other.get(part) == body[part])  # type: ignore[misc]
    return found


def _clue(item: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(item.get(key) for key in _SAID)
