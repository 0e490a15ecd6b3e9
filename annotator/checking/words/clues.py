"""What the clue cards say."""

from django.utils.translation import gettext as _

from annotator.checking import reasons
from annotator.prelabels import gate_words

# What a new clue may be, in the order of the digit keys: (modality, aspect).
KINDS = (
    ("visual", "expression"),
    ("visual", "gesture"),
    ("visual", "scene"),
    ("audio", "tone"),
    ("audio", "prosody"),
    ("text", "content"),
    ("visual", ""),
    ("audio", ""),
    ("text", ""),
)


def modalities() -> list[tuple[str, str, str]]:
    """(code, name, what to say when there is no clue)."""
    return [
        ("visual", _("Visual clues"), _("No visual clue yet. Add what you see.")),
        ("audio", _("Audio clues"), _("No audio clue yet. Add what you hear.")),
        ("text", _("Text clues"), _("No text clue yet. Add what the words say.")),
    ]


def aspects() -> list[tuple[str, str]]:
    return [
        ("", _("general")),
        ("expression", _("expression")),
        ("gesture", _("gesture")),
        ("scene", _("scene")),
        ("tone", _("tone")),
        ("prosody", _("prosody")),
        ("content", _("content")),
    ]


def reject_reasons() -> list[tuple[str, str]]:
    """(code, words), in the order of the digit keys."""
    return list(reasons.names().items())


def script() -> dict[str, object]:
    """For the page's scripts; `%s` is filled in there."""
    return {
        "aspects": dict(aspects()),
        "modalities": {"visual": _("visual"), "audio": _("audio"), "text": _("text")},
        "kinds": KINDS,
        "verdicts": {
            "open": _("to check"),
            "kept": _("kept"),
            "corrected": _("corrected"),
            "rejected": _("rejected"),
            "added": _("added"),
        },
        "reasons": reasons.names(),
        "open": _("%s to check"),
        "checked": _("checked"),
        "byYou": _("added by hand"),
        "clueSource": _("drafted by %s"),
        "clueName": _("Clue %s"),
        "prelabellers": _("%s versions of one clue: keep one, or judge each"),
        "gateSum": _("Evidence gate: %s"),
        "everyClueChecked": _("Every clue is checked."),
        "needsVerdict": _("Keep, correct or reject this clue."),
        "needsReason": _("Say why it is rejected."),
        "needsText": _("A clue needs a text."),
        "badSpan": _("The span ends before it starts."),
        "nothingChanged": _("Nothing was changed here: keep the clue, or change its text or span."),
        "spanCorrects": _("The span was changed: the clue counts as corrected."),
        "rejectedSpan": _("A rejected clue keeps its span."),
        "noSpanYet": _("This clue has no span yet."),
        "notYours": _("A drafted clue is rejected, not removed."),
        "addedStays": _("You added this clue: correct its text, or remove it."),
        "removed": _("The added clue was removed."),
        "undecided": _("The verdict was taken back."),
        "choseThis": _("Kept; the others beside it are rejected."),
        "diffLevels": {
            "words": _("Changes by word"),
            "characters": _("Changes by character"),
            "off": _("Changes hidden"),
        },
        "inserted": _("inserted:"),
        "deleted": _("deleted:"),
        "gate": gate_words.script(),
    }
