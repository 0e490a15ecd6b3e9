"""What the clue cards say."""

from django.utils.translation import gettext as _

from annotator.prelabels import gate_words


def modalities() -> list[tuple[str, str, str]]:
    """(code, name, what to say when there is no clue)."""
    return [
        ("visual", _("Visual clues"), _("No visual clue was drafted. Add what you see.")),
        ("audio", _("Audio clues"), _("No audio clue was drafted. Add what you hear.")),
        ("text", _("Text clues"), _("No text clue was drafted. Add what the words say.")),
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


def reject_reasons() -> list[str]:
    return [
        _("not seen or heard in the clip"),
        _("about another person"),
        _("says more than the evidence"),
        _("says nothing about the emotion"),
    ]


def script() -> dict[str, object]:
    """For the page's scripts; `%s` is filled in there."""
    return {
        "aspects": dict(aspects()),
        "verdicts": {
            "open": _("to check"),
            "kept": _("kept"),
            "corrected": _("corrected"),
            "rejected": _("rejected"),
            "added": _("added"),
        },
        "open": _("%s to check"),
        "checked": _("checked"),
        "byYou": _("added by hand"),
        "removeLabel": _("Remove %s"),
        "needsVerdict": _("Keep, correct or reject this clue."),
        "needsText": _("A clue needs a text."),
        "badSpan": _("The span ends before it starts."),
        "nothingChanged": _("Nothing was changed here: keep the clue, or change its text or span."),
        "gate": gate_words.script(),
    }
