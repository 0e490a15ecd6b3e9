"""Why a clue was rejected: codes of a short list, or `other:` before one's own words."""

from django.utils.translation import gettext as _

OTHER = "other"
DUPLICATE = "duplicate"  # given by the page when another clue of a group was chosen


def names() -> dict[str, str]:
    """Every code with its words, in the order of the digit keys."""
    return {
        "not_there": _("not in the clip"),
        "other_person": _("about another person"),
        "overstated": _("says more than the evidence"),
        "irrelevant": _("says nothing about the emotion"),
        "wrong_time": _("at another time"),
        OTHER: _("other"),
        DUPLICATE: _("another clue says it better"),
    }


def in_words(reason: str) -> str:
    """What a stored reason says to a reader: "about another person"; free words stand as they were written."""
    code, colon, own = reason.partition(":")
    if code == OTHER and colon:
        return own.strip() or names()[OTHER]
    return names().get(reason, reason)
