"""What description, OV labels and summaries say."""

from django.utils.translation import gettext as _


def labels() -> list[str]:
    """Suggestions only; any word may be typed."""
    return ["neutral", "happy", "sad", "angry", "surprised", "worried", "fearful", "disgusted"]


def script() -> dict[str, object]:
    """For the page's scripts; `%s` is filled in there."""
    return {
        "sources": {"llm": _("written by the text model"), "template": _("laid out by the template")},
        "needsDescription": _("Describe the emotional state in at least one language."),
    }
