"""What the checking and review pages say, in the reader's language; the scripts get their part as inert JSON."""

from . import clues, page, player, review, text


def script() -> dict[str, object]:
    """Every word that the scripts in static/js/checking/ use, by key.

    Raises ValueError where a key stands in two parts: one would say the other's word.
    """
    found: dict[str, object] = {}
    for part in (page, player, clues, text, review):
        own = part.script()
        if doubled := sorted(found.keys() & own.keys()):
            raise ValueError(f"words in more than one part: {', '.join(doubled)}")
        found |= own
    return found
