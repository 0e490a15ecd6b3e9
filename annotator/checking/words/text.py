"""What description, OV labels and summaries say."""

from django.utils.translation import gettext as _


def labels() -> list[str]:
    """Suggestions only; any word may be typed."""
    return ["neutral", "happy", "sad", "angry", "surprised", "worried", "fearful", "disgusted"]


def relations() -> list[tuple[str, str]]:
    """How what is shown relates to what is felt: code and name, after "What is shown is"."""
    return [
        ("same", _("what is felt")),
        ("masked", _("a mask over what is felt")),
        ("amplified", _("more than what is felt")),
        ("sarcastic", _("meant sarcastically")),
        ("unclear", _("unclear")),
    ]


def conflict_modalities() -> list[tuple[str, str]]:
    return [("visual", _("picture")), ("audio", _("sound")), ("text", _("words"))]


def script() -> dict[str, object]:
    """For the page's scripts; `%s` (and `%a`, `%b`) is filled in there."""
    return {
        "sources": {
            "llm": _("written by the text model"),
            "template": _("laid out by the template"),
            "translation": _("translated by the text model"),
            "import": _("from an import"),
            "run": _("written by a run"),
        },
        "languages": {"zh": _("Chinese"), "en": _("English")},
        "states": {
            "machine": _("drafted"),
            "confirmed": _("confirmed"),
            "stale": _("behind"),
        },
        "needsDescription": _("Describe the emotional state in at least one language."),
        "draftedBy": _("Drafted, not checked: %s"),
        "behind": _("%a was not brought along when %b was changed."),
        "summaryWriting": _("is being written…"),
        "translating": _("%s is being written…"),
        "summaryFailed": _("nothing usable came"),
        "streamLost": _("The connection was lost while it was being written. Try again."),
        "stop": _("Stop"),
        "dismiss": _("Dismiss"),
        "takeSentence": _("Add this sentence"),
        "takeLabel": _("Add this label"),
        "takePair": _("The word of the other language"),
        "removeLabel": _("Remove %s"),
        "intensity": _("Intensity"),
        "confidence": _("Confidence"),
        "scoresOf": _("Scores of %s"),
        "used": _("in %s records"),
        "restsOn": _("Rests on clue %s"),
        "restsOnSubtitle": _("Rests on the subtitle"),
        "restsOnChanged": _("Rests on what was changed: clue %s"),
        "showSentences": _("Show the sentences"),
        "noSupport": _("No clue supports this sentence"),
        "conflict_": _("conflict"),
        "conflictNeedsTwo": _("A conflict is between two modalities or all three."),
    }
