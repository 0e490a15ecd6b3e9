"""Model cards: Markdown as training wrote it, as HTML without anything of its own that a browser would run or fetch."""

from functools import cache

from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt


@cache
def _reader() -> MarkdownIt:
    """CommonMark with tables. Raw HTML is shown as text, pictures are not fetched, and links lead to http(s) only (the
    library refuses javascript:, vbscript:, file: and data: by itself)."""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    # A wide table scrolls in a frame of its own.
    reader.add_render_rule("table_open", lambda *_: '<div class="table-wrap" tabindex="0"><table class="table">\n')
    reader.add_render_rule("table_close", lambda *_: "</table></div>\n")
    return reader


def render(text: str) -> SafeString:
    """A card as HTML; headings begin at the third level, below those of the page."""
    reader = _reader()
    tokens = reader.parse(_without_front_matter(text))
    for token in tokens:
        token.attrs.pop("style", None)  # of aligned columns: no page has inline style
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + 2)}"
        for inline in token.children or ():
            if inline.type == "link_open":
                inline.attrSet("rel", "noopener nofollow")
    return mark_safe(reader.renderer.render(tokens, reader.options, {}))  # noqa: S308 - escaped by the renderer


def _without_front_matter(text: str) -> str:
    """A card of the model hub begins with YAML between two lines of dashes."""
    if text.startswith("---\n"):
        _head, mark, rest = text[4:].partition("\n---\n")
        return rest if mark else text
    return text
