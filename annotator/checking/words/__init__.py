"""What the checking and review pages say, in the reader's language; the scripts get their part as inert JSON."""

from . import clues, page, player, review, text


def script() -> dict[str, object]:
    """Every word that the scripts in static/js/checking/ use, by key; a key stands in one part only."""
    found: dict[str, object] = {}
    for part in (page, player, clues, text, review):
        own = part.script()
        found |= own
    return found
