"""What a clip may be called, and what text the database can keep."""

import unicodedata

from django.utils.translation import gettext as _

from annotator.core.errors import Invalid

MAX_NAME = 200
# Control, surrogate, private-use and unassigned code points, line and paragraph separators; of the format
# characters (Cf) those that reorder text and so make a name look like another.
_REFUSED = {"Cc", "Cs", "Co", "Cn", "Zl", "Zp"}
_BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


def clean_name(raw: str) -> str:
    """`raw` in Unicode's composed form (NFC) if it may name a clip. Raises Invalid that says why not.

    A name becomes a line of a split file, a file name in an export and a path segment of a URL.
    """
    name = unicodedata.normalize("NFC", raw)
    if not name:
        raise Invalid(_("the name is empty"))
    if len(name) > MAX_NAME:
        raise Invalid(_("the name has %(n)d characters, at most %(max)d") % {"n": len(name), "max": MAX_NAME})
    if any(hidden(c) for c in name):
        raise Invalid(_("the name has a control character or bytes that are not UTF-8"))
    if "/" in name or "\\" in name or name in {".", ".."}:
        raise Invalid(_("the name is a path: / \\ and .. are refused"))
    if name != name.strip():
        raise Invalid(_("the name begins or ends with a blank"))
    return name


def hidden(character: str) -> bool:
    """Whether a character is a control, or one that makes text look like another; blanks of any script are not."""
    return unicodedata.category(character) in _REFUSED or character in _BIDI


def storable(text: str) -> bool:
    """Whether PostgreSQL can keep `text`: no NUL, no lone surrogate."""
    return "\x00" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


def shown(text: object) -> str:
    """`text` for a report: what `hidden` names and undecodable bytes escaped, at most 300 characters. A valid
    name is shown as it is."""
    safe = str(text).encode("utf-8", "backslashreplace").decode()
    return "".join(c.encode("unicode_escape").decode() if hidden(c) else c for c in safe)[:300]
